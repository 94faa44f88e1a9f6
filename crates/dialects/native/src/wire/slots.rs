//! The seal slots.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_core::slots::{
    AddSlot, Added, CheckSlots, DrillSlot, Drilled, NewKind, RemoveSlot, Removed, SlotCheck, SlotFacts,
    Verdict,
};
use strongroom_dialect_kit::{json, reply};
use strongroom_sdk::Error;
use strongroom_secret::SecretText;

/// A slot.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SlotReply {
    /// Its number, which no other slot of the instance ever has.
    id: u32,
    /// `key-file`, `env-var`, `passphrase`, `shares`, `pkcs11` or `systemd-credential`.
    kind: &'static str,
    /// What an operator calls it; may be empty.
    label: String,
    /// What it is opened by: a path, a name, a threshold.
    opens_by: String,
    /// When it was made, if that is known.
    created: Option<u64>,
    /// Whether it opens without anyone who types something.
    is_unattended: bool,
    /// Whether it opened the instance at this start.
    is_in_use: bool,
    /// Whether it opened when it was last tried; null if it was not since the start.
    is_ok: Option<bool>,
}

impl From<SlotFacts> for SlotReply {
    fn from(slot: SlotFacts) -> Self {
        Self {
            id: slot.id,
            kind: slot.kind,
            label: slot.label,
            opens_by: slot.opens_by,
            created: slot.created.map(strongroom_base::Timestamp::as_millis),
            is_unattended: slot.is_unattended,
            is_in_use: slot.is_in_use,
            is_ok: slot.is_ok,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct SlotsReply {
    slots: Vec<SlotReply>,
}

impl From<Vec<SlotFacts>> for SlotsReply {
    fn from(slots: Vec<SlotFacts>) -> Self {
        Self {
            slots: slots.into_iter().map(SlotReply::from).collect(),
        }
    }
}

/// Beside `kind` and `label`, each field belongs to one kind.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct AddSlotRequest {
    /// `key-file`, `env-var`, `passphrase`, `shares`, `pkcs11` or `systemd-credential`.
    kind: String,
    /// What an operator calls it.
    #[serde(default)]
    label: String,
    /// Of a `passphrase`: it.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "Option<String>")]
    passphrase: Option<SecretText>,
    /// Of `shares`: how many are made, 2 to 255.
    shares: Option<u8>,
    /// Of `shares`: how many are needed, 2 or more.
    threshold: Option<u8>,
    /// Of `pkcs11`: the token's label.
    token: Option<String>,
    /// Of `pkcs11`: the label of the key that is made in the token; without it, one is made up.
    key: Option<String>,
    /// Of a `systemd-credential`: its name.
    name: Option<String>,
}

impl TryFrom<AddSlotRequest> for AddSlot {
    type Error = Error;

    fn try_from(request: AddSlotRequest) -> Result<Self, Error> {
        fn needed<T>(field: &'static str, value: Option<T>) -> Result<T, Error> {
            value.ok_or_else(|| Error::invalid(field, "is missing: this kind needs it"))
        }
        let kind = match request.kind.as_str() {
            "key-file" => NewKind::KeyFile,
            "env-var" => NewKind::EnvVar,
            "passphrase" => NewKind::Passphrase(needed("passphrase", request.passphrase)?),
            "shares" => NewKind::Shares {
                needed: needed("threshold", request.threshold)?,
                shares: needed("shares", request.shares)?,
            },
            "pkcs11" => NewKind::Pkcs11 {
                token: needed("token", request.token)?,
                key: request.key,
            },
            "systemd-credential" => NewKind::SystemdCredential {
                name: needed("name", request.name)?,
            },
            _ => {
                return Err(Error::invalid(
                    "kind",
                    "is one of `key-file`, `env-var`, `passphrase`, `shares`, `pkcs11`, `systemd-credential`",
                ));
            }
        };
        Ok(Self {
            kind,
            label: request.label,
        })
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct AddedReply {
    slot: SlotReply,
    /// Of a slot that opens by shares: they. They are nowhere else, and are not shown again.
    shares: Vec<ShareReply>,
}

/// A share.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
struct ShareReply(
    #[serde(serialize_with = "reply::secret_text")]
    #[schemars(with = "String")]
    SecretText,
);

impl From<Added> for AddedReply {
    fn from(added: Added) -> Self {
        Self {
            slot: added.slot.into(),
            shares: added.shares.into_iter().map(ShareReply).collect(),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct RemoveSlotRequest {
    /// The slot's number.
    id: u32,
}

impl From<RemoveSlotRequest> for RemoveSlot {
    fn from(request: RemoveSlotRequest) -> Self {
        Self { id: request.id }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct RemovedReply {
    slot: SlotReply,
    /// Slots that are left and open without anyone who types something.
    unattended_left: usize,
}

impl From<Removed> for RemovedReply {
    fn from(removed: Removed) -> Self {
        Self {
            slot: removed.slot.into(),
            unattended_left: removed.unattended_left,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct CheckSlotsRequest {
    /// The slot's number; without it, all are tried.
    id: Option<u32>,
    /// A passphrase and shares, one a line, for slots that need them.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "Option<String>")]
    given: Option<SecretText>,
}

impl From<CheckSlotsRequest> for CheckSlots {
    fn from(request: CheckSlotsRequest) -> Self {
        Self {
            id: request.id,
            given: request.given,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ChecksReply {
    checks: Vec<CheckReply>,
}

/// A slot that was tried.
#[derive(Serialize, JsonSchema)]
struct CheckReply {
    slot: SlotReply,
    /// `opens`, `not_tried` or `fails`.
    verdict: &'static str,
    /// Why it fails, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl From<Vec<SlotCheck>> for ChecksReply {
    fn from(checks: Vec<SlotCheck>) -> Self {
        Self {
            checks: checks.into_iter().map(CheckReply::from).collect(),
        }
    }
}

impl From<SlotCheck> for CheckReply {
    fn from(check: SlotCheck) -> Self {
        let (verdict, why) = match check.verdict {
            Verdict::Opens => ("opens", None),
            Verdict::NotTried => ("not_tried", None),
            Verdict::Fails(why) => ("fails", Some(why)),
        };
        Self {
            slot: check.slot.into(),
            verdict,
            why,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct DrillSlotRequest {
    /// The slot's number.
    id: u32,
    /// A passphrase or shares, one a line, if the slot needs them.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "Option<String>")]
    given: Option<SecretText>,
}

impl From<DrillSlotRequest> for DrillSlot {
    fn from(request: DrillSlotRequest) -> Self {
        Self {
            id: request.id,
            given: request.given,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct DrilledReply {
    slot: SlotReply,
    /// Rows that were copied: the superblock, the slot, all keys.
    rows: usize,
    /// Workspaces whose keys opened.
    workspaces: usize,
}

impl From<Drilled> for DrilledReply {
    fn from(drilled: Drilled) -> Self {
        Self {
            slot: drilled.slot.into(),
            rows: drilled.rows,
            workspaces: drilled.workspaces,
        }
    }
}
