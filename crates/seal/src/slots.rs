//! The slot table: CBOR, in clear, at `system/slots` and in `DATA/slots.bak`.
//!
//! A slot wraps the root key with XAES-256-GCM under a key derived from the slot's own; instance, slot and kind are
//! bound to both, so a slot copied from another instance, or relabelled, does not open.

use minicbor::{Decode, Encode};
use strongroom_barrier::RootKey;
use strongroom_barrier::keyring::derive;
use strongroom_barrier::xaes::{AeadError, NONCE_BYTES, Xaes};
use strongroom_base::{InstanceId, Rng};
use strongroom_secret::Key;
use zeroize::Zeroizing;

use crate::key::SealKey;

/// The only format so far.
const FORMAT: u8 = 1;

/// How a slot's key reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SlotKind {
    /// A file outside the data directory.
    #[n(1)]
    KeyFile = 1,
    /// An environment variable.
    #[n(2)]
    EnvVar = 2,
}

/// All slots of an instance.
#[derive(Encode, Decode)]
pub struct Slots {
    #[n(0)]
    format: u8,
    #[n(1)]
    slots: Vec<Slot>,
}

#[derive(Encode, Decode)]
struct Slot {
    #[n(0)]
    id: u32,
    #[n(1)]
    kind: SlotKind,
    /// nonce 24 ‖ ciphertext 32 ‖ tag 16
    #[cbor(n(2), with = "minicbor::bytes")]
    wrapped: Vec<u8>,
}

/// Why no slot gives the root key.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The table cannot be read.
    #[error("the seal slots are damaged or were written by a newer version")]
    Slots,
    /// There is no key for any slot.
    #[error("no key was given for any of the seal slots ({0})")]
    NoKey(String),
    /// Keys were given, and none opens its slot.
    #[error("wrong seal key: {0} does not open this instance")]
    WrongKey(&'static str),
    /// The provider failed.
    #[error(transparent)]
    Aead(#[from] AeadError),
}

/// The root key, and how it was had.
pub struct Opened {
    /// The root key.
    pub root: RootKey,
    /// Whether the key that opened it is one that anyone could guess.
    pub is_weak: bool,
}

impl SlotKind {
    /// What an operator calls it.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            SlotKind::KeyFile => "the key file",
            SlotKind::EnvVar => "the key in the environment",
        }
    }
}

impl Slots {
    /// A table of one slot of `kind` in which `key` opens `root`.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn create(
        instance: InstanceId,
        root: &RootKey,
        kind: SlotKind,
        key: &SealKey,
        rng: &dyn Rng,
    ) -> Result<Self, SealError> {
        let slot = Slot::wrap(1, kind, instance, root, key, rng)?;
        Ok(Self {
            format: FORMAT,
            slots: vec![slot],
        })
    }

    /// The root key, by the first of `keys` that opens a slot of its kind.
    ///
    /// # Errors
    /// [`SealError::NoKey`] when there is none to try, [`SealError::WrongKey`] when none fits.
    pub fn open(&self, instance: InstanceId, keys: &[(SlotKind, SealKey)]) -> Result<Opened, SealError> {
        let mut tried = None;
        for (kind, key) in keys {
            for slot in self.slots.iter().filter(|slot| slot.kind == *kind) {
                if let Ok(root) = slot.unwrap(instance, key) {
                    return Ok(Opened {
                        root,
                        is_weak: key.is_weak(),
                    });
                }
                tried = Some(kind.describe());
            }
        }
        Err(match tried {
            Some(kind) => SealError::WrongKey(kind),
            None => SealError::NoKey(
                self.kinds()
                    .map(SlotKind::describe)
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        })
    }

    /// The kinds of the slots.
    pub fn kinds(&self) -> impl Iterator<Item = SlotKind> + '_ {
        self.slots.iter().map(|slot| slot.kind)
    }

    /// The table's bytes.
    ///
    /// # Errors
    /// Never in practice: encoding into memory does not fail.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SealError> {
        minicbor::to_vec(self).map_err(|_| SealError::Slots)
    }

    /// Reads [`Slots::to_bytes`] back.
    ///
    /// # Errors
    /// [`SealError::Slots`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let slots: Self = minicbor::decode(bytes).map_err(|_| SealError::Slots)?;
        (slots.format == FORMAT).then_some(slots).ok_or(SealError::Slots)
    }
}

impl Slot {
    fn wrap(
        id: u32,
        kind: SlotKind,
        instance: InstanceId,
        root: &RootKey,
        key: &SealKey,
        rng: &dyn Rng,
    ) -> Result<Self, AeadError> {
        let context = context(id, kind, instance);
        let mut nonce = [0; NONCE_BYTES];
        rng.fill(&mut nonce);
        let mut data = Zeroizing::new(root.expose().to_vec());
        let tag = Xaes::new(&derive(key.key(), &context))?.seal(&nonce, &context, &mut data)?;
        Ok(Self {
            id,
            kind,
            wrapped: [&nonce[..], &data, &tag].concat(),
        })
    }

    fn unwrap(&self, instance: InstanceId, key: &SealKey) -> Result<RootKey, AeadError> {
        let context = context(self.id, self.kind, instance);
        let (nonce, sealed) = self.wrapped.split_first_chunk().ok_or(AeadError)?;
        let mut data = Zeroizing::new(sealed.to_vec());
        let root = Xaes::new(&derive(key.key(), &context))?.open(nonce, &context, &mut data)?;
        Key::from_slice(root).map(RootKey::from_key).ok_or(AeadError)
    }
}

fn context(id: u32, kind: SlotKind, instance: InstanceId) -> Vec<u8> {
    [
        b"strongroom/slot/v1",
        &id.to_be_bytes()[..],
        &[kind as u8],
        instance.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use strongroom_base::SystemRng;

    const HERE: InstanceId = InstanceId::from_bytes([1; 16]);

    fn table() -> (Slots, SealKey, RootKey) {
        let rng = SystemRng::default();
        let (root, key) = (RootKey::generate(&rng), SealKey::generate(&rng));
        (
            Slots::create(HERE, &root, SlotKind::KeyFile, &key, &rng).unwrap(),
            key,
            root,
        )
    }

    #[test]
    fn only_its_own_key_in_its_own_instance_opens_a_slot() {
        let (slots, key, root) = table();
        let slots = Slots::from_bytes(&slots.to_bytes().unwrap()).unwrap();
        let other = SealKey::generate(&SystemRng::default());
        let wrong = slots.open(HERE, &[(SlotKind::KeyFile, other)]);
        assert!(matches!(wrong, Err(SealError::WrongKey("the key file"))));
        assert!(matches!(slots.open(HERE, &[]), Err(SealError::NoKey(_))));

        let keys = [(SlotKind::KeyFile, key)];
        assert!(slots.open(InstanceId::from_bytes([2; 16]), &keys).is_err());
        assert!(slots.open(HERE, &keys).unwrap().root.expose() == root.expose());
    }

    /// `docs/formats/slots.md` shows these bytes.
    #[test]
    fn the_bytes_of_format_1() {
        let slots = Slots {
            format: FORMAT,
            slots: vec![Slot {
                id: 1,
                kind: SlotKind::EnvVar,
                wrapped: vec![9; 72],
            }],
        };
        let hex: String = slots
            .to_bytes()
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, format!("8201818301025848{}", "09".repeat(72)));
    }

    proptest! {
        #[test]
        fn arbitrary_tables_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(Slots::from_bytes(&bytes).is_err());
        }
    }
}
