//! What can be asked about slots, and what is answered: plain data.

use strongroom_base::Timestamp;
use strongroom_sdk::{Target, ops};
use strongroom_seal::Waiting;
use strongroom_secret::SecretText;

use super::engine::SealSlots;

/// All slots. Answers [`SlotFacts`].
pub struct ListSlots;

/// What there is to know of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFacts {
    /// Its number, which no other slot of the instance ever has.
    pub id: u32,
    /// Its kind: `key-file`, `env-var`, `passphrase`, `shares`, `pkcs11`, `systemd-credential`.
    pub kind: &'static str,
    /// What an operator calls it; may be empty.
    pub label: String,
    /// What it is opened by: a path, a name, a threshold.
    pub opens_by: String,
    /// When it was made, if that is known.
    pub created: Option<Timestamp>,
    /// Whether it opens without anyone who types something.
    pub is_unattended: bool,
    /// Whether it opened the instance at this start.
    pub is_in_use: bool,
    /// Whether it opened when it was last tried; `None` if it was not since the start.
    pub is_ok: Option<bool>,
}

/// A new slot. Answers [`Added`].
pub struct AddSlot {
    /// How it opens.
    pub kind: NewKind,
    /// What an operator calls it; may be empty.
    pub label: String,
}

/// How a new slot opens.
pub enum NewKind {
    /// By a new key file on the server's machine.
    KeyFile,
    /// By the key in the server's environment.
    EnvVar,
    /// By this passphrase.
    Passphrase(SecretText),
    /// By shares, which are made and answered, once.
    Shares {
        /// Shares that are needed.
        needed: u8,
        /// Shares that there are.
        shares: u8,
    },
    /// By a new key in a PKCS#11 token.
    Pkcs11 {
        /// The token's label.
        token: String,
        /// The key's label; without it, one is made up.
        key: Option<String>,
    },
    /// By a credential that systemd gives the server.
    SystemdCredential {
        /// Its name.
        name: String,
    },
}

/// A slot was added.
pub struct Added {
    /// It.
    pub slot: SlotFacts,
    /// Its shares, if it opens by shares. They are nowhere else.
    pub shares: Vec<SecretText>,
}

/// The removal of a slot. Answers [`Removed`].
pub struct RemoveSlot {
    /// Which.
    pub id: u32,
}

/// A slot was removed.
pub struct Removed {
    /// It.
    pub slot: SlotFacts,
    /// Slots that are left and open without anyone who types something.
    pub unattended_left: usize,
}

/// Tries slots. Answers a [`SlotCheck`] for each.
pub struct CheckSlots {
    /// Which; all of them without it.
    pub id: Option<u32>,
    /// A passphrase and shares, one a line, for those that need them.
    pub given: Option<SecretText>,
}

/// A slot that was tried.
pub struct SlotCheck {
    /// It.
    pub slot: SlotFacts,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gives the root key.
    Opens,
    /// It needs something that was not given.
    NotTried,
    /// It does not give the root key, and why.
    Fails(String),
}

/// The drill that a slot alone opens a copy of the instance. Answers [`Drilled`].
pub struct DrillSlot {
    /// Which.
    pub id: u32,
    /// A passphrase or shares, one a line, if it needs them.
    pub given: Option<SecretText>,
}

/// The slot alone opened the copy.
pub struct Drilled {
    /// It.
    pub slot: SlotFacts,
    /// Rows that were copied: the superblock, the slot, all keys.
    pub rows: usize,
    /// Workspaces whose keys opened.
    pub workspaces: usize,
}

/// New shares for a slot that opens by shares. Answers [`Rekeyed`].
pub struct RekeySlot {
    /// Which; without it the one that there is.
    pub id: Option<u32>,
    /// Shares that are needed.
    pub needed: u8,
    /// Shares that there are.
    pub shares: u8,
}

/// A slot of new shares was added.
pub struct Rekeyed {
    /// The slot that goes when they are confirmed.
    pub old: u32,
    /// The new one.
    pub new: SlotFacts,
    /// The new shares. They are nowhere else.
    pub shares: Vec<SecretText>,
}

/// One of the new shares, to show that they arrived. Answers [`RekeyStep`].
pub struct ConfirmRekey {
    /// The share.
    pub share: SecretText,
}

/// What a new share has done.
pub enum RekeyStep {
    /// More are needed.
    Waiting(Waiting),
    /// The new shares open the instance, and the old ones do not any more.
    Done {
        /// The slot that was removed.
        old: u32,
        /// The one in its place.
        new: u32,
    },
}

/// The end of a rekey without its new shares.
pub struct CancelRekey;

ops! { SealSlots:
    ListSlots -> Vec<SlotFacts>, "slot.list", Operate, |_| Target::Instance, list;
    AddSlot -> Added, "slot.add", Operate, |_| Target::Instance, add;
    RemoveSlot -> Removed, "slot.remove", Operate, |_| Target::Instance, remove;
    CheckSlots -> Vec<SlotCheck>, "slot.check", Operate, |_| Target::Instance, check;
    RekeySlot -> Rekeyed, "slot.rekey", Operate, |_| Target::Instance, rekey;
    ConfirmRekey -> RekeyStep, "slot.rekey_confirm", Operate, |_| Target::Instance, confirm_rekey;
    CancelRekey -> (), "slot.rekey_cancel", Operate, |_| Target::Instance, cancel_rekey;
    DrillSlot -> Drilled, "slot.drill", Operate, |_| Target::Instance, drill;
}
