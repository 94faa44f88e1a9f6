//! The seal slots of an instance: rivals that change them, slots that were exchanged, and what the drill proves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use strongroom_barrier::{RootKey, planes};
use strongroom_base::{InstanceId, SystemRng};
use strongroom_core::slots::{
    AddSlot, CheckSlots, DrillSlot, ListSlots, NewKind, RemoveSlot, SealSlots, Verdict,
};
use strongroom_core::superblock::slots_key;
use strongroom_sdk::Error;
use strongroom_seal::{Given, NewSlot, Reach, Seal, SealKey, SlotKind, Slots, Unreached};
use strongroom_secret::SecretText;
use strongroom_storage::{Change, Embedded, Memory, Storage};

use crate::house::House;

/// Where the keys of slots are in a test; one for each that was prepared.
#[derive(Default)]
pub(crate) struct Pocket {
    keys: Mutex<BTreeMap<u32, Arc<SealKey>>>,
    /// Acts while the next slot is prepared: another node is faster.
    rival: Mutex<Option<Rival>>,
}

/// A node that puts `slots` into storage.
struct Rival {
    storage: Arc<dyn Storage>,
    slots: Vec<u8>,
}

#[async_trait]
impl Reach for Pocket {
    async fn prepare(&self, _: InstanceId, id: u32, _: &SlotKind) -> Result<(), Unreached> {
        let key = SealKey::generate(&SystemRng::default());
        self.keys.lock().unwrap().insert(id, Arc::new(key));
        let rival = self.rival.lock().unwrap().take();
        if let Some(Rival { storage, slots }) = rival {
            storage.commit(put(slots)).await.unwrap();
        }
        Ok(())
    }

    fn place(&self, _: InstanceId, _: u32, kind: &SlotKind) -> String {
        kind.opens_by()
    }

    async fn reach(
        &self,
        _: InstanceId,
        id: u32,
        kind: &SlotKind,
        given: &Given,
    ) -> Result<Arc<dyn Seal>, Unreached> {
        if let SlotKind::Shares(set) = kind {
            return Ok(Arc::new(given.share_key(set)?));
        }
        let key = self.keys.lock().unwrap().get(&id).cloned();
        Ok(key.ok_or(Unreached::NoKey)?)
    }
}

fn put(slots: Vec<u8>) -> Change {
    Change {
        puts: vec![(slots_key().as_bytes().to_vec(), slots)],
        ..Change::default()
    }
}

/// A table with one slot, a key file that `pocket` keeps.
pub(crate) async fn first_slot(instance: InstanceId, root: &RootKey, pocket: &Pocket) -> Slots {
    let kind = SlotKind::KeyFile;
    pocket.prepare(instance, 1, &kind).await.unwrap();
    let seal = pocket.reach(instance, 1, &kind, &Given::default()).await.unwrap();
    let new = NewSlot {
        kind,
        label: "first".to_owned(),
        created: Default::default(),
    };
    Slots::create(instance, root, new, &*seal, &SystemRng::default())
        .await
        .unwrap()
}

async fn house() -> (House, Arc<dyn Storage>, String) {
    let storage: Arc<dyn Storage> = Arc::new(Embedded::open(Memory::default(), Arc::new(())).unwrap());
    let house = House::on(storage.clone()).await;
    let admin = house.log_in("admin").await;
    (house, storage, admin)
}

async fn slots_of(storage: &dyn Storage) -> Vec<u8> {
    storage.get(slots_key().as_bytes()).await.unwrap().unwrap().value
}

fn key_file() -> AddSlot {
    AddSlot {
        kind: NewKind::KeyFile,
        label: String::new(),
    }
}

#[tokio::test]
async fn slots_that_somebody_changed_meanwhile_are_not_overwritten() {
    let (house, storage, admin) = house().await;
    let before = slots_of(&*storage).await;
    house.call(&admin, key_file()).await.unwrap();
    let theirs = slots_of(&*storage).await;
    storage.commit(put(before)).await.unwrap();

    let (storage_of_rival, slots) = (storage.clone(), theirs.clone());
    *house.pocket.rival.lock().unwrap() = Some(Rival {
        storage: storage_of_rival,
        slots,
    });
    let refused = house.call(&admin, key_file()).await.err().unwrap();
    assert!(matches!(refused, Error::Conflict(_)), "{refused}");
    assert_eq!(slots_of(&*storage).await, theirs);
}

#[tokio::test]
async fn the_copy_follows_each_change_and_nothing_else() {
    let (house, storage, admin) = house().await;
    let copies = || house.copies.lock().unwrap().clone();
    assert!(house.call(&admin, RemoveSlot { id: 1 }).await.is_err());
    assert!(copies().is_empty());
    house.call(&admin, key_file()).await.unwrap();
    assert_eq!(copies(), [slots_of(&*storage).await]);
    house.call(&admin, RemoveSlot { id: 1 }).await.unwrap();
    assert_eq!(copies()[1..], [slots_of(&*storage).await]);
}

#[tokio::test]
async fn a_slot_with_another_root_key_is_found_by_trial_and_by_drill() {
    let (house, storage, admin) = house().await;
    // Somebody who writes storage puts in a slot of a root key of their own.
    let other = RootKey::generate(&SystemRng::default());
    let foreign = first_slot(house.instance, &other, &house.pocket).await;
    storage.commit(put(foreign.to_bytes().unwrap())).await.unwrap();

    let check = CheckSlots {
        id: None,
        given: None,
    };
    let checks = house.call(&admin, check).await.unwrap();
    assert_eq!(
        checks[0].verdict,
        Verdict::Fails("it gives another root key".to_owned())
    );
    let drill = DrillSlot { id: 1, given: None };
    let refused = house.call(&admin, drill).await.err().unwrap().to_string();
    assert!(refused.contains("opens, but not this instance"), "{refused}");
    let list = house.call(&admin, ListSlots).await.unwrap();
    assert_eq!(list[0].is_ok, Some(false));
}

#[tokio::test]
async fn a_root_key_that_was_replaced_gets_no_slot() {
    let (house, storage, admin) = house().await;
    let (_other, elsewhere, _) = self::house().await;
    // Another node replaced the root key: the keyring no longer opens by the one that this one has in memory.
    let keyring = planes::system("keyring").as_bytes().to_vec();
    let row = elsewhere.get(&keyring).await.unwrap().unwrap();
    let change = Change {
        puts: vec![(keyring, row.value)],
        ..Change::default()
    };
    storage.commit(change).await.unwrap();
    let before = slots_of(&*storage).await;
    let refused = house.call(&admin, key_file()).await.err().unwrap().to_string();
    assert!(refused.contains("the root key was replaced"), "{refused}");
    assert_eq!(slots_of(&*storage).await, before);
}

#[tokio::test]
async fn a_drill_takes_the_slot_alone_and_a_trial_what_was_given() {
    let (house, _, admin) = house().await;
    let shares = AddSlot {
        kind: NewKind::Shares { needed: 2, shares: 3 },
        label: "paper".to_owned(),
    };
    let added = house.call(&admin, shares).await.unwrap();
    assert_eq!((added.slot.id, added.shares.len()), (2, 3));
    let given = |shares: &[SecretText]| {
        let lines: Vec<_> = shares.iter().map(SecretText::expose).collect();
        Some(SecretText::new(lines.join("\n")))
    };
    let drill = |given| DrillSlot { id: 2, given };
    let drilled = house
        .call(&admin, drill(given(&added.shares[1..])))
        .await
        .unwrap();
    assert_eq!((drilled.slot.id, drilled.workspaces), (2, 2));
    // The key file is at hand, and must not help.
    for (given, why) in [
        (None, "no shares were given"),
        (given(&added.shares[..1]), "1 of the 2 shares"),
    ] {
        let refused = house.call(&admin, drill(given)).await.err().unwrap().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    let check = |given| CheckSlots { id: None, given };
    let verdicts = |checks: Vec<strongroom_core::slots::SlotCheck>| {
        checks.into_iter().map(|check| check.verdict).collect::<Vec<_>>()
    };
    let without = house.call(&admin, check(None)).await.unwrap();
    assert_eq!(verdicts(without), [Verdict::Opens, Verdict::NotTried]);
    let with = house.call(&admin, check(given(&added.shares))).await.unwrap();
    assert_eq!(verdicts(with), [Verdict::Opens, Verdict::Opens]);
}

/// What a test needs of the slots' engine.
pub(crate) type Copies = Arc<Mutex<Vec<Vec<u8>>>>;

/// The engine of the slots of `instance`.
pub(crate) fn engine(
    instance: InstanceId,
    root: RootKey,
    storage: Arc<dyn Storage>,
    pocket: Arc<Pocket>,
    copies: Copies,
) -> SealSlots {
    SealSlots::new(strongroom_core::slots::SealParts {
        instance,
        root,
        opened_by: 1,
        storage,
        reach: pocket,
        rng: Arc::new(SystemRng::default()),
        copy: Arc::new(move |slots: &[u8]| {
            copies.lock().unwrap().push(slots.to_vec());
            Ok(())
        }),
    })
}
