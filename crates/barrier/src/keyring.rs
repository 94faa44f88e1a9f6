//! The chain of keys: root key → keyring (KEKs) → workspace keys (DEKs, name key, ledger key). Here are the records and
//! what is prepared of them; `chain.rs` loads them.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac;
use minicbor::{Decode, Encode};
use strongroom_base::Rng;
use strongroom_secret::Key;
use strongroom_storage::Revision;

use crate::envelope::{EnvelopeError, Record};
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
struct Epoch {
    #[n(0)]
    number: u32,
    #[cbor(n(1), with = "crate::cbor::key")]
    key: Key,
}

/// A succession of keys, oldest first. The newest seals; the others open what they sealed.
#[derive(Encode, Decode)]
#[cbor(transparent)]
pub(crate) struct Epochs(#[n(0)] Vec<Epoch>);

impl Epochs {
    fn first(rng: &dyn Rng) -> Self {
        let mut epochs = Self(Vec::new());
        epochs.add(rng);
        epochs
    }

    /// Adds a key, which is the newest from now on; gives its epoch.
    pub(crate) fn add(&mut self, rng: &dyn Rng) -> u32 {
        let number = self.newest().saturating_add(1);
        let key = Key::fill(|key| rng.fill(key));
        self.0.push(Epoch { number, key });
        number
    }

    /// Forgets the keys older than `epoch`; the newest stays. Whether there were any.
    pub(crate) fn drop_before(&mut self, epoch: u32) -> bool {
        let before = self.0.len();
        let oldest_kept = epoch.min(self.newest());
        self.0.retain(|kept| kept.number >= oldest_kept);
        self.0.len() < before
    }

    /// The newest epoch; zero when there is none, as in a damaged record.
    pub(crate) fn newest(&self) -> u32 {
        self.0.last().map_or(0, |epoch| epoch.number)
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.0.iter().map(|epoch| epoch.number).collect()
    }

    /// The key of `epoch`, prepared; `None` when there is no such epoch.
    pub(crate) fn key(&self, epoch: u32) -> Option<Result<Xaes, AeadError>> {
        let found = self.0.iter().rfind(|kept| kept.number == epoch)?;
        Some(Xaes::new(&found.key))
    }
}

/// The instance's KEKs; stored under the root key.
#[derive(Encode, Decode)]
pub(crate) struct Keyring {
    #[n(0)]
    pub(crate) keks: Epochs,
}

/// A workspace's keys; stored under a KEK.
#[derive(Encode, Decode)]
pub(crate) struct WorkspaceKeyRecord {
    #[n(0)]
    pub(crate) deks: Epochs,
    /// Names are looked up by their tokens, so this key cannot rotate with the DEKs.
    #[cbor(n(1), with = "crate::cbor::key")]
    name_key: Key,
    /// Leaves are never written again, so their key stays.
    #[cbor(n(2), with = "crate::cbor::key")]
    ledger_key: Key,
}

impl Record for Keyring {}
impl Record for WorkspaceKeyRecord {}

impl Keyring {
    pub(crate) fn generate(rng: &dyn Rng) -> Self {
        Self {
            keks: Epochs::first(rng),
        }
    }
}

impl WorkspaceKeyRecord {
    pub(crate) fn generate(rng: &dyn Rng) -> Self {
        Self {
            deks: Epochs::first(rng),
            name_key: Key::fill(|key| rng.fill(key)),
            ledger_key: Key::fill(|key| rng.fill(key)),
        }
    }
}

/// A workspace's keys, prepared for use. Views share them, and see new DEKs as soon as they are learnt of.
pub(crate) struct WorkspaceKeys {
    deks: RwLock<Arc<Deks>>,
    pub(crate) names: NameKey,
    pub(crate) ledger: Xaes,
}

/// The DEKs of a workspace as they were at a revision of its row.
pub(crate) struct Deks {
    /// Of the row; `None` while it has not been read.
    pub(crate) revision: Option<Revision>,
    /// The epoch of the KEK that wraps the row.
    pub(crate) kek: u32,
    /// By epoch, oldest first.
    keys: Vec<(u32, Xaes)>,
}

impl WorkspaceKeys {
    /// The keys of `record`, which lies under the KEK of epoch `kek` and has `revision`.
    pub(crate) fn new(
        record: &WorkspaceKeyRecord,
        kek: u32,
        revision: Option<Revision>,
    ) -> Result<Self, AeadError> {
        Ok(Self {
            deks: RwLock::new(Arc::new(Deks::new(record, kek, revision)?)),
            names: NameKey::new(&record.name_key),
            ledger: Xaes::new(&record.ledger_key)?,
        })
    }

    /// The DEKs as they are known now.
    pub(crate) fn deks(&self) -> Arc<Deks> {
        self.deks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes `deks`, unless those that are known are as new.
    pub(crate) fn learn(&self, deks: Deks) {
        let mut known = self.deks.write().unwrap_or_else(PoisonError::into_inner);
        if known.revision < deks.revision {
            *known = Arc::new(deks);
        }
    }
}

impl Deks {
    pub(crate) fn new(
        record: &WorkspaceKeyRecord,
        kek: u32,
        revision: Option<Revision>,
    ) -> Result<Self, AeadError> {
        let prepare = |epoch: &Epoch| Ok((epoch.number, Xaes::new(&epoch.key)?));
        let keys = record
            .deks
            .0
            .iter()
            .map(prepare)
            .collect::<Result<_, AeadError>>()?;
        Ok(Self { revision, kek, keys })
    }

    /// The DEK that seals, and its epoch.
    pub(crate) fn newest(&self) -> Result<(u32, &Xaes), AeadError> {
        let newest = self.keys.last().ok_or(AeadError)?;
        Ok((newest.0, &newest.1))
    }

    /// The DEK of `epoch`.
    pub(crate) fn dek(&self, epoch: u32) -> Result<&Xaes, EnvelopeError> {
        // Most records are of the newest epochs.
        let found = self.keys.iter().rfind(|(number, _)| *number == epoch);
        found.map(|(_, dek)| dek).ok_or(EnvelopeError::Epoch(epoch))
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

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_base::SystemRng;

    fn epoch(number: u32) -> Epoch {
        let key = Key::fill(|key| key.fill(u8::try_from(number).unwrap()));
        Epoch { number, key }
    }

    /// `docs/formats/record.md`: a field's number and form are on disk and never change.
    #[test]
    fn the_bytes_of_records() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let key = |number: u8| format!("5820{}", format!("{number:02x}").repeat(32));
        let keyring = Keyring {
            keks: Epochs(vec![epoch(1), epoch(2)]),
        };
        let epochs = format!("828201{}8202{}", key(1), key(2));
        assert_eq!(hex(minicbor::to_vec(&keyring).unwrap()), format!("81{epochs}"));
        let workspace = WorkspaceKeyRecord {
            deks: Epochs(vec![epoch(1), epoch(2)]),
            name_key: epoch(3).key,
            ledger_key: epoch(4).key,
        };
        assert_eq!(
            hex(minicbor::to_vec(&workspace).unwrap()),
            format!("83{epochs}{}{}", key(3), key(4))
        );
    }

    #[test]
    fn epochs_only_grow_and_the_newest_stays() {
        let rng = SystemRng::default();
        let mut epochs = Epochs::first(&rng);
        assert_eq!((epochs.add(&rng), epochs.add(&rng)), (2, 3));
        assert!(!epochs.drop_before(1));
        assert!(epochs.drop_before(2));
        assert_eq!(epochs.numbers(), [2, 3]);
        assert!(epochs.key(1).is_none() && epochs.key(2).is_some());
        assert!(epochs.drop_before(9));
        assert_eq!((epochs.numbers(), epochs.add(&rng)), (vec![3], 4));
    }
}
