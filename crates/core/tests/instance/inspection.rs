//! An instance at rest: what its operator is told of rows that somebody has put back, removed, or moved, and that
//! nothing is said of one that was only used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::RngExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use strongroom_base::{Rng as _, SystemRng, Ttl, limits};
use strongroom_core::inspection::{Fault, Finding, Inspection, Misfit, Misfitting, RowName};
use strongroom_engine_static::ops::{RemoveSecrets, SaveSecret, SaveSecrets};
use strongroom_policy::Lists;
use strongroom_secret::SecretText;
use strongroom_storage::{Embedded, Memory, Row};

use crate::house::House;
use crate::tampering::{Open, overwrite, rows, save};

/// What the keys of sessions begin with: plane, workspace, kind.
const SESSIONS: &[u8] = &[3, 0, 0, 0, 0, 3];

pub(crate) async fn house() -> (House, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    let storage = Embedded::open(Open(memory.clone()), Arc::new(())).unwrap();
    (House::on(Arc::new(storage)).await, memory)
}

async fn remove(house: &House, token: &str, name: &str) {
    let names = vec![name.to_owned()];
    house.call(token, RemoveSecrets { names }).await.unwrap();
}

async fn findings(inspection: &Inspection) -> Vec<Finding> {
    inspection.scrub().await.unwrap().findings
}

/// What is found when the row at each of `keys` is made to be what is given with it, for a moment.
async fn found_with(
    inspection: &Inspection,
    memory: &Memory,
    now: &BTreeMap<Vec<u8>, Row>,
    rows: Vec<(Vec<u8>, Option<Row>)>,
) -> Vec<Finding> {
    let right: Vec<_> = rows
        .iter()
        .map(|(key, _)| (key.clone(), now.get(key).cloned()))
        .collect();
    overwrite(memory, rows);
    let found = findings(inspection).await;
    overwrite(memory, right);
    found
}

#[tokio::test]
async fn every_row_that_is_not_as_the_ledger_says_is_found_and_named() {
    let (house, memory) = house().await;
    let alice = house.register("alice").await;
    let long = |text: &str| text.repeat(limits::INLINE_VALUE_BYTES);
    for name in ["alice/a", "alice/b", "alice/gone"] {
        save(&house, &alice, name, "first".to_owned()).await;
    }
    save(&house, &alice, "alice/long", long("first")).await;
    house.clock.advance(Ttl::from_hours(2)); // her session is renewed
    let before: BTreeMap<_, _> = rows(&memory).into_iter().collect();
    save(&house, &alice, "alice/a", "second".to_owned()).await;
    save(&house, &alice, "alice/long", long("second")).await;
    remove(&house, &alice, "alice/gone").await;
    let (inspection, _dir) = house.rest().await;
    let now: BTreeMap<_, _> = rows(&memory).into_iter().collect();
    assert_eq!(findings(&inspection).await, []);

    // What the node writes for itself.
    let own = [&b"\x01superblock"[..], b"\x01node/1"];
    assert!(own.iter().all(|key| now.contains_key(*key)));
    let told = || now.iter().filter(|(key, _)| !own.contains(&key.as_slice()));
    let (mut older, mut names) = (0, Vec::new());
    for (key, row) in told() {
        if let Some(old) = before.get(key).filter(|old| old.value != row.value) {
            older += 1;
            let changes = vec![(key.clone(), Some(old.clone()))];
            let found = found_with(&inspection, &memory, &now, changes).await;
            assert!(
                matches!(
                    &found[..],
                    [Finding {
                        fault: Fault::Older(_),
                        ..
                    }]
                ),
                "{found:?}"
            );
        }
        let found = found_with(&inspection, &memory, &now, vec![(key.clone(), None)]).await;
        let [finding] = &found[..] else {
            panic!("{key:?}: {found:?}")
        };
        assert_eq!(finding.fault, Fault::Missing);
        assert!(finding.last.is_some());
        names.push(finding.row.to_string());
    }
    assert!(older >= 3, "two secrets and a session: {older}");
    for name in ["a", "b", "long"] {
        let name = format!("`apps/unnamed/alice/{name}` of workspace 1");
        assert!(names.contains(&name), "{name}: {names:?}");
    }

    let gone: Vec<_> = before.iter().filter(|(key, _)| !now.contains_key(*key)).collect();
    assert!(gone.len() >= 2, "a secret and its index row");
    for (key, row) in gone {
        let changes = vec![(key.clone(), Some(row.clone()))];
        let found = found_with(&inspection, &memory, &now, changes).await;
        assert!(
            matches!(
                &found[..],
                [Finding {
                    fault: Fault::Deleted,
                    ..
                }]
            ),
            "{found:?}"
        );
        if matches!(found[0].row, RowName::Named { .. }) {
            assert_eq!(
                found[0].row.to_string(),
                "`apps/unnamed/alice/gone` of workspace 1"
            );
        }
    }

    let told: Vec<_> = told().collect();
    for pair in told.windows(2) {
        let [(one, of_one), (other, _)] = pair else {
            continue;
        };
        let moved = vec![
            ((*other).clone(), Some((*of_one).clone())),
            ((*one).clone(), None),
        ];
        let found = found_with(&inspection, &memory, &now, moved).await;
        assert!(
            matches!(
                &found[..],
                [
                    Finding {
                        fault: Fault::Moved(_),
                        ..
                    },
                    Finding {
                        fault: Fault::Missing,
                        ..
                    }
                ]
            ),
            "{found:?}"
        );
        let stray = [one.as_slice(), b"stray"].concat();
        let found = found_with(&inspection, &memory, &now, vec![(stray, Some((*of_one).clone()))]).await;
        assert!(
            matches!(
                &found[..],
                [Finding {
                    fault: Fault::Moved(_),
                    ..
                }]
            ),
            "{found:?}"
        );
        let mut altered = (*of_one).clone();
        altered.value.push(0);
        let found = found_with(&inspection, &memory, &now, vec![((*one).clone(), Some(altered))]).await;
        assert!(
            matches!(
                &found[..],
                [Finding {
                    fault: Fault::Altered,
                    ..
                }]
            ),
            "{found:?}"
        );
    }
    assert_eq!(findings(&inspection).await, []);
}

/// A thousand random requests, with sessions that are renewed and that end, leave nothing to find.
#[tokio::test]
async fn nothing_is_said_of_an_instance_that_was_only_used() {
    let mut seed = [0; 8];
    SystemRng::default().fill(&mut seed);
    println!("seed {seed:02x?}");
    let seed = seed.repeat(4);
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let (house, memory) = house().await;
    let mut token = house.log_in("admin").await;
    for _ in 0..1_000 {
        let name = format!("n/{}", rng.random_range(0..40));
        match rng.random_range(0..100) {
            0 => token = house.log_in("admin").await,
            1 => house.clock.advance(Ttl::from_hours(2)),
            2..70 => save(&house, &token, &name, "v".repeat(rng.random_range(0..50))).await,
            70..80 => save(&house, &token, &name, "v".repeat(rng.random_range(8_000..9_000))).await,
            // One that is not there is refused.
            _ => drop(house.call(&token, RemoveSecrets { names: vec![name] }).await),
        }
    }
    house.clock.advance(limits::SESSION_ABSOLUTE);
    while rows(&memory).iter().any(|(key, _)| key.starts_with(SESSIONS)) {
        tokio::time::sleep(Duration::from_millis(100)).await; // until they are swept away
    }
    let (inspection, _dir) = house.rest().await;
    let scrub = inspection.scrub().await.unwrap();
    assert_eq!((&scrub.findings[..], scrub.untold), (&[][..], 0));
    assert!(scrub.rows > 20 && scrub.leaves >= 1_000, "{scrub:?}");
    let check = inspection.check().await.unwrap();
    assert!(check.findings.is_empty(), "{:?}", check.findings);
    // The check also reads what the node writes for itself: the superblock, and its own row.
    assert_eq!((check.rows, check.leaves), (scrub.rows + 2, scrub.leaves));
}

/// What a check finds when the row at `key` is `row` for a moment.
async fn misfits_with(
    inspection: &Inspection,
    memory: &Memory,
    now: &BTreeMap<Vec<u8>, Row>,
    (key, row): (&[u8], Option<Row>),
) -> Vec<Misfitting> {
    overwrite(memory, [(key.to_vec(), row)]);
    let found = inspection.check().await.unwrap().findings;
    overwrite(memory, [(key.to_vec(), now.get(key).cloned())]);
    found
}

#[tokio::test]
async fn every_row_that_does_not_open_or_does_not_fit_is_found_and_named() {
    let (house, memory) = house().await;
    let alice = house.register("alice").await;
    let long = "long".repeat(limits::INLINE_VALUE_BYTES);
    for value in ["first", "second", &long] {
        save(&house, &alice, "alice/a", value.to_owned()).await;
    }
    let before: BTreeMap<_, _> = rows(&memory).into_iter().collect();
    let entry = SaveSecret {
        host: None,
        name: "alice/a".to_owned(),
        value: Some(SecretText::new("third".to_owned())),
        lists: Lists {
            readers: Some(vec!["alice".to_owned(), "later".to_owned()]),
            ..Lists::default()
        },
    };
    house
        .call(&alice, SaveSecrets { entries: vec![entry] })
        .await
        .unwrap();
    let (inspection, _dir) = house.rest().await;
    let now: BTreeMap<_, _> = rows(&memory).into_iter().collect();
    let check = inspection.check().await.unwrap();
    assert!(check.findings.is_empty(), "{:?}", check.findings);

    let mut silent = Vec::new();
    for (key, row) in &now {
        let mut altered = row.clone();
        altered.value.push(0);
        let found = misfits_with(&inspection, &memory, &now, (key, Some(altered))).await;
        let is_read_at_opening = [&b"keyring"[..], b"slots", b"superblock"]
            .iter()
            .any(|name| key.ends_with(name));
        let is_unreadable = |misfitting: &Misfitting| matches!(misfitting.misfit, Misfit::Unreadable(_));
        assert!(
            is_read_at_opening || found.iter().any(is_unreadable),
            "{key:02x?}: {found:?}"
        );
        let found = misfits_with(&inspection, &memory, &now, (key, None)).await;
        if found.is_empty() {
            silent.push(key[..6.min(key.len())].to_vec());
        }
    }
    // Rows that no other tells of: only the scrub misses them. (System rows: an instance does not open without them.)
    let (system, others): (Vec<_>, Vec<_>) = silent.into_iter().partition(|key| key[0] == 1);
    assert_eq!(system.len(), 6, "{system:02x?}");
    let ordered = |kind| vec![3, 0, 0, 0, 0, kind];
    assert_eq!(others, [ordered(2), ordered(2), ordered(7), ordered(8)]);

    // A row as it was, a row that is back, and rows that nobody writes.
    let named = now.keys().find(|key| key[..5] == [2, 0, 0, 0, 1]).unwrap();
    let found = misfits_with(&inspection, &memory, &now, (named, before.get(named).cloned())).await;
    assert!(
        matches!(&found[..], [Misfitting { row, misfit: Misfit::Orphan }]
            if row.to_string().starts_with("by principal row")),
        "the row of the reader who came later: {found:?}"
    );
    let payload = now.keys().find(|key| key[..6] == [3, 0, 0, 0, 1, 16]).unwrap();
    let found = misfits_with(&inspection, &memory, &now, (payload, None)).await;
    assert!(
        matches!(&found[..], [Misfitting { row, misfit: Misfit::Lacks(RowName::Ordered { .. }) }]
            if row.to_string() == "`apps/unnamed/alice/a` of workspace 1"),
        "{found:?}"
    );
    let mount = now.keys().find(|key| key[..6] == [3, 0, 0, 0, 0, 6]).unwrap();
    let found = misfits_with(&inspection, &memory, &now, (mount, None)).await;
    assert!(
        found
            .iter()
            .any(|misfitting| matches!(misfitting.misfit, Misfit::Needs(_))),
        "{found:?}"
    );
    let row = now[named].clone();
    for foreign in [&[3, 0, 0, 0, 0, 99][..], &[9], &[1, b'x']] {
        let found = misfits_with(&inspection, &memory, &now, (foreign, Some(row.clone()))).await;
        assert!(
            matches!(
                &found[..],
                [Misfitting {
                    misfit: Misfit::Unknown,
                    ..
                }]
            ),
            "{foreign:?}: {found:?}"
        );
    }
    let check = inspection.check().await.unwrap();
    assert!(check.findings.is_empty(), "{:?}", check.findings);
}
