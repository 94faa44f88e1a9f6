//! Rotation and rewrap through the gate: who may, what they leave in the ledger, that requests go on meanwhile, and that
//! a stop between any two commits is made up for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_barrier::{BarrierError, RootKey};
use strongroom_base::limits;
use strongroom_core::OpenError;
use strongroom_core::audit::{LeafStart, ReadLeaves};
use strongroom_core::keys::{Keys, KeysShown, RotateKeys, ShowKeys, StartRewrap};
use strongroom_engine_static::ops::ListSecrets;
use strongroom_policy::Capability;
use strongroom_sdk::{Error, Op, Permit, Target};
use strongroom_storage::{
    Backend as _, Change, CommitError, Embedded, Memory, Revision, Row, Storage, Unavailable,
};

use crate::house::House;
use crate::inspection::house;
use crate::meddled::{Meddled, Meddler};
use crate::tampering::{overwrite, rows, save};

/// The key epochs of all rows that DEKs seal, with how many there are.
fn epochs(rows: &[(Vec<u8>, Row)]) -> BTreeMap<u32, usize> {
    let mut epochs = BTreeMap::new();
    for (_, row) in rows.iter().filter(|(key, _)| matches!(key[0], 2 | 3)) {
        let epoch = u32::from_be_bytes(row.value[1..5].try_into().unwrap());
        *epochs.entry(epoch).or_default() += 1;
    }
    epochs
}

async fn is_rewrapped(house: &House, admin: &str) -> bool {
    let shown = house.call(admin, ShowKeys).await.unwrap();
    shown.rewrap.unwrap().ended.is_some()
}

async fn rewrap(house: &House, admin: &str) -> KeysShown {
    house.call(admin, StartRewrap).await.unwrap();
    while !is_rewrapped(house, admin).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.call(admin, ShowKeys).await.unwrap()
}

#[tokio::test]
async fn an_admin_rotates_and_rewraps_and_nothing_old_is_left() {
    let (house, memory) = house().await;
    let admin = house.log_in("admin").await;
    for number in 0..20 {
        let length = if number % 5 == 0 { 20_000 } else { 20 };
        save(&house, &admin, &format!("n/{number}"), "v".repeat(length)).await;
    }
    let keys = house.call(&admin, ShowKeys).await.unwrap();
    assert_eq!((keys.kek_epochs, keys.rewrap), (vec![1], None));

    let rotated = house.call(&admin, RotateKeys).await.unwrap();
    assert_eq!(rotated.kek_epoch, 2);
    save(&house, &admin, "n/0", "new".to_owned()).await;
    let mixed = epochs(&rows(&memory));
    assert!(mixed[&1] > 20 && mixed[&2] > 0, "{mixed:?}");

    let keys = rewrap(&house, &admin).await;
    assert_eq!(keys.kek_epochs, [2]);
    let progress = keys.rewrap.unwrap();
    assert!(
        progress.rewrapped >= mixed[&1] as u64 && progress.unreadable == 0,
        "{progress:?}"
    );
    assert_eq!(epochs(&rows(&memory)).into_keys().collect::<Vec<_>>(), [2]);

    // A second one has nothing to do.
    let again = rewrap(&house, &admin).await.rewrap.unwrap();
    assert_eq!((again.rows, again.rewrapped), (0, 0));

    let leaves = ReadLeaves {
        start: LeafStart::Index(0),
        limit: None,
        wait: false,
    };
    while house
        .call(&admin, clone(&leaves))
        .await
        .unwrap()
        .leaves
        .is_empty()
    {}
    let house = house.reopened(|| ()).await.unwrap();
    let page = house.call(&admin, leaves).await.unwrap();
    let count = |op: &str| page.leaves.iter().filter(|leaf| leaf.facts.op == op).count();
    assert_eq!((count("keys.rotate"), count("keys.rewrap_start")), (1, 2));
    let walks = count("keys.rewrap");
    assert!((3..12).contains(&walks), "one for each commit: {walks}");

    let (inspection, _dir) = house.rest().await;
    let scrub = inspection.scrub().await.unwrap();
    assert_eq!((&scrub.findings[..], scrub.untold), (&[][..], 0));
    let check = inspection.check().await.unwrap();
    assert!(check.findings.is_empty(), "{:?}", check.findings);
}

fn clone(op: &ReadLeaves) -> ReadLeaves {
    ReadLeaves { ..*op }
}

#[tokio::test]
async fn nobody_else_may() {
    let (house, memory) = house().await;
    let alice = house.register("alice").await;
    let before = rows(&memory).len();
    let denied = |outcome: Option<Error>| assert!(matches!(outcome, Some(Error::Denied(_))), "{outcome:?}");
    denied(house.call(&alice, RotateKeys).await.err());
    denied(house.call(&alice, StartRewrap).await.err());
    denied(house.call(&alice, ShowKeys).await.err());
    assert_eq!(rows(&memory).len(), before);
    let stranger = house.call("nobody", RotateKeys).await;
    assert!(matches!(stranger, Err(Error::Unauthenticated(_))));
}

/// Commits only as often as a test allows.
struct Budget(AtomicI64);

#[async_trait]
impl Meddler for Budget {
    async fn commit(&self, storage: &Embedded<Memory>, change: Change) -> Result<Revision, CommitError> {
        // What the ledger does is another story.
        let is_of_request = !change.notes.is_empty();
        if is_of_request && self.0.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(CommitError::NotTried(Unavailable("the power is out".into())));
        }
        storage.commit(change).await
    }
}

const PLENTY: i64 = 1 << 40;

#[tokio::test]
async fn a_rewrap_that_is_stopped_between_any_two_commits_goes_on() {
    let storage = Meddled::by(Budget(AtomicI64::new(PLENTY)));
    let allow = |commits| storage.meddler.0.store(commits, Ordering::SeqCst);
    let mut house = House::on(storage.clone()).await;
    let admin = house.log_in("admin").await;
    let long = "long".repeat(limits::INLINE_VALUE_BYTES);
    for number in 0..3 {
        save(&house, &admin, &format!("n/{number}"), format!("short {number}")).await;
        save(&house, &admin, &format!("long/{number}"), long.clone()).await;
    }
    house.call(&admin, RotateKeys).await.unwrap();
    allow(1); // that of the request that starts it
    house.call(&admin, StartRewrap).await.unwrap();
    let mut stops = 0;
    loop {
        // It runs into the end of what is allowed, or to its own end.
        while storage.meddler.0.load(Ordering::SeqCst) >= 0 && !is_rewrapped(&house, &admin).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if is_rewrapped(&house, &admin).await {
            break;
        }
        stops += 1;
        house = house.reopened(|| allow(1)).await.unwrap();
    }
    assert!((4..30).contains(&stops), "{stops}");
    allow(PLENTY);
    let keys = house.call(&admin, ShowKeys).await.unwrap();
    assert_eq!(keys.kek_epochs, [2]);
    let rows = storage.scan(vec![2]..vec![4], None, usize::MAX).await.unwrap();
    assert_eq!(epochs(&rows).into_keys().collect::<Vec<_>>(), [2]);
    let listed = house.call(&admin, ListSecrets::default()).await.unwrap();
    assert_eq!(listed.secrets.len(), 6);
    let (inspection, _dir) = house.rest().await;
    assert_eq!(inspection.scrub().await.unwrap().findings, []);
    assert!(inspection.check().await.unwrap().findings.is_empty());
}

/// Reads and writes while keys rotate and everything is sealed anew, again and again: none of them fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_on_meanwhile() {
    let (house, memory) = house().await;
    let admin = house.log_in("admin").await;
    let house = Arc::new(house);
    let rotating = {
        let (house, admin) = (house.clone(), admin.clone());
        tokio::spawn(async move {
            for _ in 0..4 {
                house.call(&admin, RotateKeys).await.unwrap();
                rewrap(&house, &admin).await;
            }
        })
    };
    let mut writers = Vec::new();
    for writer in 0..4 {
        let (house, admin) = (house.clone(), admin.clone());
        writers.push(tokio::spawn(async move {
            for number in 0.. {
                save(
                    &house,
                    &admin,
                    &format!("{writer}/{}", number % 30),
                    number.to_string(),
                )
                .await;
                let names = vec![format!("{writer}/{}", number % 30)];
                let list = ListSecrets {
                    names: Some(names),
                    ..ListSecrets::default()
                };
                let listed = house.call(&admin, list).await.unwrap();
                let value = listed.secrets[0].value.expose();
                assert_eq!(value, number.to_string().as_bytes());
                if number % 10 == 0 && house.call(&admin, ShowKeys).await.unwrap().kek_epochs == [5] {
                    return;
                }
            }
        }));
    }
    rotating.await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(epochs(&rows(&memory)).into_keys().collect::<Vec<_>>(), [5]);
    let house = Arc::into_inner(house).unwrap();
    let (inspection, _dir) = house.rest().await;
    assert_eq!(inspection.scrub().await.unwrap().findings, []);
    assert!(inspection.check().await.unwrap().findings.is_empty());
}

/// What the change of a root key will be: here the slots hold it in clear.
struct ReplaceRoot {
    fails: bool,
}

impl Op for ReplaceRoot {
    type Engine = Keys;
    type Outcome = ();
    const NAME: &'static str = "keys.rekey";
    const CAPABILITY: Capability = Capability::Operate;

    fn target(&self) -> Target {
        Target::Instance
    }

    async fn run(self, engine: &Keys, permit: &Permit) -> Result<(), Error> {
        let wrap = |root: &RootKey, slots: Vec<u8>| {
            assert!(!slots.is_empty(), "what was stored");
            if self.fails {
                return Err(Error::Conflict("a slot does not open".into()));
            }
            Ok(root.expose().to_vec())
        };
        engine.replace_root(permit, wrap).await
    }
}

#[tokio::test]
async fn a_new_root_key_takes_over_at_once_and_opens_the_next_start() {
    let (mut house, memory) = house().await;
    let admin = house.log_in("admin").await;
    save(&house, &admin, "n", "value".to_owned()).await;
    let before = rows(&memory);
    let refused = house.call(&admin, ReplaceRoot { fails: true }).await;
    assert!(matches!(refused, Err(Error::Conflict(_))));
    assert_eq!(rows(&memory), before);

    for _ in 0..2 {
        house.call(&admin, ReplaceRoot { fails: false }).await.unwrap();
        // The running instance has the new one.
        house.call(&admin, RotateKeys).await.unwrap();
    }
    save(&house, &admin, "n", "newer".to_owned()).await;
    let slots = memory.get(&[&[1], &b"slots"[..]].concat()).unwrap().unwrap();
    house.set_root(&slots.value);
    let house = house.reopened(|| ()).await.unwrap();
    let keys = house.call(&admin, ShowKeys).await.unwrap();
    assert_eq!(keys.kek_epochs, [1, 2, 3]);
    let (inspection, _dir) = house.rest().await;
    assert_eq!(inspection.scrub().await.unwrap().findings, []);
}

/// Rows that hold keys are missing or damaged at a start: it says which, and leaves everything as it is.
#[tokio::test]
async fn damaged_keys_are_named_at_the_start_and_nothing_is_changed() {
    for (name, word) in [
        ("keyring", "keyring"),
        ("workspace/0", "workspace/0"),
        ("workspace/1", "workspace/1"),
    ] {
        for is_missing in [true, false] {
            let (house, memory) = house().await;
            let key = [&[1], name.as_bytes()].concat();
            let meddle = || {
                let mut row = memory.get(&key).unwrap().unwrap();
                *row.value.last_mut().unwrap() ^= 1;
                overwrite(&memory, [(key.clone(), Some(row).filter(|_| !is_missing))]);
            };
            let mut before = Vec::new();
            let opened = house
                .reopened(|| {
                    meddle();
                    before = rows(&memory);
                })
                .await;
            let Err(OpenError::Barrier(error)) = opened else {
                panic!("{name} was missed")
            };
            let told = error.to_string();
            assert!(told.contains(&format!("`{word}`")), "{told}");
            assert_eq!(is_missing, matches!(error, BarrierError::Missing(_)), "{told}");
            assert_eq!(rows(&memory), before);
        }
    }
}
