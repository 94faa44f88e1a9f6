//! The chain of keys: root key → keyring (KEKs) → workspace keys (DEKs, name key, ledger key).

use aws_lc_rs::hmac;
use minicbor::{Decode, Encode};
use strongroom_base::Rng;
use strongroom_secret::Key;

use crate::envelope::Record;
use crate::names::NameKey;
use crate::xaes::{AeadError, Xaes};

/// Protects the keyring. Seal slots wrap it; nothing stores it in clear.
pub struct RootKey(Key);

impl RootKey {
    /// A new random root key.
    #[must_use]
    pub fn generate(rng: &dyn Rng) -> Self {
        Self(Key::fill(|key| rng.fill(key)))
    }

    /// The root key that a seal slot opened.
    #[must_use]
    pub fn from_key(key: Key) -> Self {
        Self(key)
    }

    /// The same key once more, for who wraps it in new slots while others use it.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(Key::fill(|key| key.copy_from_slice(self.0.expose())))
    }

    /// The key's bytes, for the slot that wraps them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    pub(crate) fn xaes(&self) -> Result<Xaes, AeadError> {
        Xaes::new(&self.0)
    }
}

/// One key of a succession; epochs start at 1 and only grow.
#[derive(Encode, Decode)]
pub(crate) struct Epoch {
    #[n(0)]
    number: u32,
    #[cbor(n(1), with = "crate::cbor::key")]
    key: Key,
}

/// The instance's KEKs, oldest first; stored under the root key.
#[derive(Encode, Decode)]
pub(crate) struct Keyring {
    #[n(0)]
    keks: Vec<Epoch>,
}

/// A workspace's keys; stored under a KEK.
#[derive(Encode, Decode)]
pub(crate) struct WorkspaceKeyRecord {
    #[n(0)]
    deks: Vec<Epoch>,
    /// Names are looked up by their tokens, so this key cannot rotate with the DEKs.
    #[cbor(n(1), with = "crate::cbor::key")]
    name_key: Key,
    #[cbor(n(2), with = "crate::cbor::key")]
    ledger_key: Key,
}

impl Record for Keyring {}
impl Record for WorkspaceKeyRecord {}

impl Keyring {
    pub(crate) fn generate(rng: &dyn Rng) -> Self {
        Self {
            keks: vec![Epoch::first(rng)],
        }
    }

    /// The newest KEK, which wraps what is written from now on.
    pub(crate) fn newest(&self) -> Result<(u32, Xaes), AeadError> {
        newest(&self.keks)
    }

    pub(crate) fn kek(&self, epoch: u32) -> Result<Xaes, AeadError> {
        let kek = self
            .keks
            .iter()
            .find(|kek| kek.number == epoch)
            .ok_or(AeadError)?;
        Xaes::new(&kek.key)
    }
}

impl WorkspaceKeyRecord {
    pub(crate) fn generate(rng: &dyn Rng) -> Self {
        Self {
            deks: vec![Epoch::first(rng)],
            name_key: Key::fill(|key| rng.fill(key)),
            ledger_key: Key::fill(|key| rng.fill(key)),
        }
    }
}

impl Epoch {
    fn first(rng: &dyn Rng) -> Self {
        Self {
            number: 1,
            key: Key::fill(|key| rng.fill(key)),
        }
    }
}

fn newest(epochs: &[Epoch]) -> Result<(u32, Xaes), AeadError> {
    let newest = epochs.last().ok_or(AeadError)?;
    Ok((newest.number, Xaes::new(&newest.key)?))
}

/// A workspace's keys, prepared for use.
pub(crate) struct WorkspaceKeys {
    deks: Vec<(u32, Xaes)>,
    pub(crate) names: NameKey,
    pub(crate) ledger: Xaes,
}

impl WorkspaceKeys {
    pub(crate) fn new(record: &WorkspaceKeyRecord) -> Result<Self, AeadError> {
        let deks = record
            .deks
            .iter()
            .map(|dek| Ok((dek.number, Xaes::new(&dek.key)?)))
            .collect::<Result<_, AeadError>>()?;
        Ok(Self {
            deks,
            names: NameKey::new(&record.name_key),
            ledger: Xaes::new(&record.ledger_key)?,
        })
    }

    pub(crate) fn newest(&self) -> Result<(u32, &Xaes), AeadError> {
        self.deks
            .last()
            .map(|(epoch, dek)| (*epoch, dek))
            .ok_or(AeadError)
    }

    pub(crate) fn dek(&self, epoch: u32) -> Result<&Xaes, AeadError> {
        self.deks
            .iter()
            .find(|(number, _)| *number == epoch)
            .map(|(_, dek)| dek)
            .ok_or(AeadError)
    }
}

/// A key for one purpose, derived from `key` by HMAC-SHA256 as a pseudorandom function (NIST SP 800-108 §4, one block).
pub fn derive(key: &Key, purpose: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), purpose);
    Key::fill(|out| {
        out.iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from)
    })
}
