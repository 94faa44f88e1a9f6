//! The table's rules and bytes.

use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use strongroom_base::{Rng, SystemRng};
use strongroom_secret::SecretText;
use strongroom_shamir::Threshold;

use super::*;
use crate::kind::{CredentialName, TokenKey};
use crate::{Given, Opened, Reach, SealKey, ShareSet, Unreached};

const HERE: InstanceId = InstanceId::from_bytes([1; 16]);
const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn new(kind: SlotKind) -> NewSlot {
    NewSlot {
        kind,
        label: "for tests".into(),
        created: NOON,
    }
}

/// A table of one key file, its key, and the root key.
async fn table() -> (Slots, SealKey, RootKey) {
    let rng = SystemRng::default();
    let (root, key) = (RootKey::generate(&rng), SealKey::generate(&rng));
    let slots = Slots::create(HERE, &root, new(SlotKind::KeyFile), &key, &rng)
        .await
        .unwrap();
    (slots, key, root)
}

/// Has one key for key files, and what was given.
struct Pocket(Option<[u8; 32]>);

#[async_trait]
impl Reach for Pocket {
    async fn prepare(&self, _: InstanceId, _: u32, _: &SlotKind) -> Result<(), Unreached> {
        Ok(())
    }

    fn place(&self, _: InstanceId, _: u32, kind: &SlotKind) -> String {
        kind.opens_by()
    }

    async fn reach(
        &self,
        _: InstanceId,
        _: u32,
        kind: &SlotKind,
        given: &Given,
    ) -> Result<Arc<dyn Seal>, Unreached> {
        Ok(Arc::new(match kind {
            SlotKind::Shares(set) => given.share_key(set)?,
            SlotKind::Passphrase(stretch) => given
                .passphrase()
                .ok_or(Unreached::NoPassphrase)
                .and_then(|text| Ok(stretch.key(&text)?))?,
            _ => {
                let key = self.0.ok_or(Unreached::NoKey)?;
                SealKey::from_key(strongroom_secret::Key::from_slice(&key).unwrap())
            }
        }))
    }
}

fn pocket(key: &SealKey) -> Pocket {
    Pocket(Some(*key.key().expose()))
}

async fn open(slots: &Slots, pocket: &Pocket, given: &[&SecretText]) -> Result<Opened, SealError> {
    let given: Vec<_> = given.iter().map(|text| text.expose()).collect();
    let given = Given::read(&SecretText::new(given.join("\n"))).unwrap();
    slots.open(HERE, pocket, &given).await
}

#[tokio::test]
async fn only_its_own_key_in_its_own_instance_opens_a_slot() {
    let (slots, key, root) = table().await;
    let slots = Slots::from_bytes(&slots.to_bytes().unwrap()).unwrap();
    assert!(open(&slots, &pocket(&key), &[]).await.unwrap().root.expose() == root.expose());

    let other = SealKey::generate(&SystemRng::default());
    let wrong = open(&slots, &pocket(&other), &[])
        .await
        .err()
        .unwrap()
        .to_string();
    assert_eq!(
        wrong,
        "no seal slot opens this instance: slot 1 `for tests` (the key file): it does not open this slot"
    );
    let none = open(&slots, &Pocket(None), &[]).await.err().unwrap().to_string();
    assert!(
        none.ends_with("no key was given: set STRONGROOM_SEAL_KEY"),
        "{none}"
    );

    let elsewhere = InstanceId::from_bytes([2; 16]);
    assert!(
        slots
            .open(elsewhere, &pocket(&key), &Given::default())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn any_slot_opens_and_what_was_given_goes_first() {
    let (mut slots, key, root) = table().await;
    let rng = SystemRng::default();
    let (set, shared, texts) = ShareSet::generate(Threshold::new(2, 3).unwrap(), &rng).unwrap();
    let id = slots
        .add(HERE, &root, new(SlotKind::Shares(set)), &shared, &rng)
        .await
        .unwrap();
    assert_eq!(id, 2);

    let opened = open(&slots, &pocket(&key), &[]).await.unwrap();
    assert_eq!((opened.slot, opened.tried.len()), (1, 0));
    let opened = open(&slots, &pocket(&key), &[&texts[0], &texts[2]])
        .await
        .unwrap();
    assert_eq!((opened.slot, opened.tried.len()), (2, 0));
    assert!(opened.root.expose() == root.expose());
    // Shares that do not open keep nobody from opening by the key, and the failure is told.
    let opened = open(&slots, &pocket(&key), &[&texts[0]]).await.unwrap();
    assert_eq!((opened.slot, opened.tried[0].slot), (1, 2));

    let error = open(&slots, &Pocket(None), &[&texts[0]])
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("slot 1 `for tests` (the key file): no key was given"),
        "{error}"
    );
    assert!(
        error.contains("slot 2 `for tests` (the shares): 1 of the 2 shares"),
        "{error}"
    );
}

#[tokio::test]
async fn one_slot_always_stays_and_no_id_comes_twice() {
    let (mut slots, key, root) = table().await;
    let rng = SystemRng::default();
    assert!(matches!(slots.remove(1), Err(SealError::LastSlot(1))));
    assert!(matches!(slots.remove(7), Err(SealError::NoSlot(7))));
    for id in 2..=32 {
        let added = slots
            .add(HERE, &root, new(SlotKind::EnvVar), &key, &rng)
            .await
            .unwrap();
        assert_eq!(added, id);
    }
    let more = slots.add(HERE, &root, new(SlotKind::EnvVar), &key, &rng).await;
    assert!(matches!(more, Err(SealError::TooMany)));

    assert_eq!(slots.remove(32).unwrap().id(), 32);
    let mut slots = Slots::from_bytes(&slots.to_bytes().unwrap()).unwrap();
    let again = slots
        .add(HERE, &root, new(SlotKind::EnvVar), &key, &rng)
        .await
        .unwrap();
    assert_eq!(again, 33);
    slots.remove(1).unwrap();
    assert_eq!(
        slots.only(5).unwrap().iter().map(Slot::id).collect::<Vec<_>>(),
        [5]
    );
}

/// A seal that gives back another root key.
struct Liar(SealKey);

#[async_trait]
impl Seal for Liar {
    async fn wrap(&self, _: &RootKey, context: &[u8], rng: &dyn Rng) -> Result<Vec<u8>, SealFault> {
        self.0.wrap(&RootKey::generate(rng), context, rng).await
    }

    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<RootKey, SealFault> {
        self.0.unwrap(wrapped, context).await
    }
}

#[tokio::test]
async fn what_cannot_be_a_slot_is_not_added() {
    let (mut slots, _, root) = table().await;
    let rng = SystemRng::default();
    let before = slots.to_bytes().unwrap();
    let liar = Liar(SealKey::generate(&rng));
    let added = slots.add(HERE, &root, new(SlotKind::EnvVar), &liar, &rng).await;
    assert!(matches!(added, Err(SealError::Untrue)));
    for label in ["a\nb", &"x".repeat(129)] {
        let new = NewSlot {
            label: label.into(),
            ..new(SlotKind::EnvVar)
        };
        let added = slots.add(HERE, &root, new, &liar.0, &rng).await;
        assert!(matches!(added, Err(SealError::Label(_))), "{label:?}");
    }
    assert_eq!(slots.to_bytes().unwrap(), before);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `docs/formats/slots.md` shows these bytes. A table of format 1 is read, and written in format 2.
#[test]
fn the_bytes_of_format_1() {
    let bytes = minicbor::to_vec((1u8, [(1u32, 2u8, minicbor::bytes::ByteVec::from(vec![9; 72]))])).unwrap();
    assert_eq!(hex(&bytes), format!("8201818301025848{}", "09".repeat(72)));
    let slots = Slots::from_bytes(&bytes).unwrap();
    let slot = slots.slot(1).unwrap();
    assert_eq!(
        (slot.kind(), slot.label(), slot.created()),
        (&SlotKind::EnvVar, "", None)
    );
    let upgraded = format!("83020281850181{}60f65848{}", "02", "09".repeat(72));
    assert_eq!(hex(&slots.to_bytes().unwrap()), upgraded);
}

/// `docs/formats/slots.md` shows these bytes.
#[test]
fn the_bytes_of_format_2() {
    let stretch = minicbor::decode(
        &minicbor::to_vec((65536u32, 3u32, 4u32, minicbor::bytes::ByteArray::from([7; 16]))).unwrap(),
    );
    let set = minicbor::decode(
        &minicbor::to_vec((minicbor::bytes::ByteArray::from([1, 2, 3, 4]), 3u8, 5u8)).unwrap(),
    );
    let kinds = [
        SlotKind::KeyFile,
        SlotKind::EnvVar,
        SlotKind::Passphrase(stretch.unwrap()),
        SlotKind::Shares(set.unwrap()),
        SlotKind::Pkcs11(TokenKey::new("hsm", "root").unwrap()),
        SlotKind::SystemdCredential(CredentialName::new("seal").unwrap()),
    ];
    let slot = |(id, kind)| Slot {
        id,
        kind,
        label: "x".into(),
        created: Some(Timestamp::from_millis(1)),
        wrapped: vec![9],
    };
    let slots = Slots {
        format: FORMAT,
        next: 7,
        slots: (1..).zip(kinds).map(slot).collect(),
    };
    let bytes = slots.to_bytes().unwrap();
    let expected = [
        "83020786",
        "85018101617801410985028102617801410985038203",
        "841a0001000003045007070707070707070707070707070707",
        "617801410985048204",
        "8344010203040305",
        "617801410985058205",
        "836368736d64726f6f7401",
        "617801410985068206",
        "647365616c",
        "6178014109",
    ];
    assert_eq!(hex(&bytes), expected.concat());
    assert_eq!(Slots::from_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
}

#[test]
fn a_newer_format_is_named_even_when_its_fields_are_unknown() {
    let newer = minicbor::to_vec((3u8, "other", "fields")).unwrap();
    let error = Slots::from_bytes(&newer).err().unwrap();
    assert!(matches!(error, SealError::Newer(3)));
    assert!(error.to_string().contains("use a newer strongroom"), "{error}");
}

#[tokio::test]
async fn tables_that_no_version_writes_are_refused() {
    let (slots, ..) = table().await;
    let with = |change: fn(&mut Slots)| {
        let mut slots = Slots::from_bytes(&slots.to_bytes().unwrap()).unwrap();
        change(&mut slots);
        Slots::from_bytes(&slots.to_bytes().unwrap())
    };
    assert!(with(|_| ()).is_ok());
    assert!(with(|slots| slots.slots.clear()).is_err());
    assert!(with(|slots| slots.next = 1).is_err());
    assert!(with(|slots| slots.slots.push(slots.slots[0].clone())).is_err());
    assert!(with(|slots| slots.slots[0].id = 0).is_err());
    assert!(with(|slots| slots.slots[0].label = "\u{7}".into()).is_err());
    assert!(with(|slots| slots.format = 0).is_err());
}

proptest! {
    #[test]
    fn arbitrary_tables_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(Slots::from_bytes(&bytes).is_err());
    }

    #[test]
    fn a_damaged_table_is_read_or_refused(at in 0usize..100, byte in any::<u8>()) {
        let mut bytes = minicbor::to_vec((1u8, [(1u32, 2u8, minicbor::bytes::ByteVec::from(vec![9; 72]))])).unwrap();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        if let Ok(slots) = Slots::from_bytes(&bytes) {
            prop_assert_eq!(slots.iter().len(), 1);
        }
    }
}
