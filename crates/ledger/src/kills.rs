//! A publication that is killed between any two of its steps, a hundred times at each place and with other requests each
//! time; with losses of power; and with planted bugs, which must be found.
//!
//! A kill ends what is in memory; files and storage stay. A loss of power also takes half of each file of the log that
//! was not synced. (What it does to the journal is tested there.) Afterwards every request must be in the log once, the
//! changes in the order of their commits, and the log must verify.

use std::collections::BTreeSet;

use proptest::prelude::RngExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::Value;
use strongroom_base::{Rng as _, SystemRng};
use strongroom_storage::{OutboxKey, Storage as _};

use crate::Ledger;
use crate::testing::{Bug, House, RivalBug, close, crash_after, id_in, key, lose_power, plant};
use crate::verify::verify_each;

/// Kills at each place.
const KILLS: usize = 100;

/// Where a publication ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Before the first step: all of it is in memory.
    Staged,
    /// After so many steps of file operations, the next one half done.
    Steps(u32),
    /// Before rows of the outbox are deleted.
    Written,
}

/// The requests so far.
#[derive(Default)]
struct Requests {
    count: u32,
    /// Those that changed something, in the order of their commits.
    changes: Vec<u32>,
}

impl Requests {
    async fn come(&mut self, house: &House, ledger: &Ledger, dice: &mut TestRng, count: u32) {
        for number in self.count..self.count + count {
            if dice.random_range(0..3) == 0 {
                house.change(ledger, number).await;
                self.changes.push(number);
            } else {
                close(ledger, number..number + 1).await;
            }
            if dice.random_range(0..40) == 0 {
                ledger.shared.journal.roll_now();
            }
        }
        self.count += count;
    }

    /// What is wrong with the log.
    fn fault(&self, house: &House) -> Option<String> {
        let (mut ids, mut repeated, mut commitments) = (Vec::new(), None, BTreeSet::new());
        let verified = verify_each(&house.ledger_dir(), &key(), |leaf| {
            ids.push(id_in(leaf));
            for commitment in commitments_of(leaf) {
                if let Some(earlier) = commitments.replace(commitment) {
                    repeated = Some(earlier);
                }
            }
        });
        if let Err(error) = verified {
            return Some(error.to_string());
        }
        if let Some(commitment) = repeated {
            return Some(format!(
                "two leaves commit to the same text with one salt: {commitment}"
            ));
        }
        let changes: Vec<u32> = ids
            .iter()
            .copied()
            .filter(|id| self.changes.contains(id))
            .collect();
        ids.sort_unstable();
        if ids != Vec::from_iter(0..self.count) {
            return Some(format!("of {} requests the log has {ids:?}", self.count));
        }
        (changes != self.changes).then(|| format!("changes are in the order {changes:?}"))
    }
}

fn commitments_of(leaf: &[u8]) -> Vec<String> {
    fn texts(value: Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text),
            Value::Array(values) => values.into_iter().for_each(|value| texts(value, into)),
            Value::Object(fields) => fields.into_iter().for_each(|(_, value)| texts(value, into)),
            _ => {}
        }
    }
    let leaf: Value = serde_json::from_slice(leaf).unwrap();
    let mut found = Vec::new();
    texts(leaf["c"].clone(), &mut found);
    found
}

/// Publishes, is killed while it publishes more, starts again and goes on. Whether the kill came before the end, and
/// what is wrong then.
async fn killed_at(end: End, is_power_lost: bool, dice: &mut TestRng) -> (bool, Option<String>) {
    let house = House::in_memory();
    let mut requests = Requests::default();
    let (ledger, mut sequencer) = house.open().unwrap();
    // Some publications fill a bundle, and so supersede what is there of it.
    let is_long = dice.random_range(0..4) == 0;
    requests.count = dice.random_range(0..20) + if is_long { 240 } else { 0 };
    close(&ledger, 0..requests.count).await;
    sequencer.publish_here(true).await.unwrap();
    lose_power(false);
    let more = dice.random_range(2..20);
    requests.come(&house, &ledger, dice, more).await;

    let is_killed = match end {
        End::Staged => sequencer.stage().await.is_ok(),
        End::Steps(steps) => {
            crash_after(Some(steps));
            sequencer.publish_here(true).await.is_err()
        }
        End::Written => sequencer.publish_here(false).await.is_ok(),
    };
    crash_after(None);
    drop((ledger, sequencer));
    lose_power(is_power_lost);

    let (ledger, mut sequencer) = match house.open() {
        Err(error) => return (is_killed, Some(error.to_string())),
        Ok(opened) => opened,
    };
    requests.come(&house, &ledger, dice, 3).await;
    for _ in 0..2 {
        sequencer.publish_here(true).await.unwrap();
    }
    lose_power(false);
    let fault = match house.outbox().await {
        0 => requests.fault(&house),
        rows => Some(format!("{rows} rows of the outbox are left")),
    };
    (is_killed, fault)
}

/// The same beside another node, which now and then takes this one for dead and takes over what it left: while it is
/// about to publish, while it is dead, and once it is back.
async fn killed_beside_a_rival(end: End, bug: Option<RivalBug>, dice: &mut TestRng) -> Option<String> {
    let house = House {
        is_shared: true,
        ..House::in_memory()
    };
    let (mut requests, mut taken) = (Requests::default(), Vec::new());
    let (ledger, mut sequencer) = house.open().unwrap();
    requests.come(&house, &ledger, dice, 5).await;
    sequencer.publish_here(true).await.unwrap();
    requests.come(&house, &ledger, dice, 10).await;
    if dice.random_range(0..3) == 0 {
        sequencer.stage().await.unwrap();
        taken.extend(house.rival_takes(bug).await);
    }
    match end {
        End::Staged => drop(sequencer.stage().await),
        End::Steps(steps) => {
            crash_after(Some(steps));
            drop(sequencer.publish_here(true).await);
        }
        End::Written => drop(sequencer.publish_here(false).await),
    }
    crash_after(None);
    drop((ledger, sequencer));
    if dice.random_range(0..3) > 0 {
        taken.extend(house.rival_takes(bug).await);
    }
    let (ledger, mut sequencer) = match house.open() {
        Err(error) => return Some(error.to_string()),
        Ok(opened) => opened,
    };
    requests.come(&house, &ledger, dice, 5).await;
    sequencer.stage().await.unwrap();
    taken.extend(house.rival_takes(bug).await);
    for _ in 0..2 {
        sequencer.publish_here(true).await.unwrap();
    }
    let rows = house.storage.scan(OutboxKey::all(), None, 9).await.unwrap().len();
    let mut ids = Vec::new();
    if let Err(error) = verify_each(&house.ledger_dir(), &key(), |leaf| ids.push(id_in(leaf))) {
        return Some(error.to_string());
    }
    ids.extend(taken);
    ids.sort_unstable();
    let expected = Vec::from_iter(0..requests.count);
    (rows > 0 || ids != expected).then(|| format!("{rows} rows are left; of {expected:?} both have {ids:?}"))
}

fn dice() -> TestRng {
    let mut seed = [0; 8];
    SystemRng::default().fill(&mut seed);
    println!("seed {seed:02x?}");
    TestRng::from_seed(RngAlgorithm::ChaCha, &seed.repeat(4))
}

/// The kills that came before the end of a publication, of [`KILLS`].
async fn kills_at(end: End, dice: &mut TestRng) -> usize {
    let mut kills = 0;
    for round in 0..KILLS {
        let (is_killed, fault) = killed_at(end, round % 2 == 0, dice).await;
        assert_eq!(fault, None, "round {round}, killed at {end:?}");
        kills += usize::from(is_killed);
    }
    kills
}

#[tokio::test]
async fn a_kill_between_any_two_steps_leaves_no_gap_and_no_double() {
    let mut dice = dice();
    for end in [End::Staged, End::Written] {
        assert_eq!(kills_at(end, &mut dice).await, KILLS);
    }
    let (mut steps, mut everywhere) = (0, 0);
    loop {
        let kills = kills_at(End::Steps(steps), &mut dice).await;
        if kills == 0 {
            break;
        }
        everywhere += usize::from(kills == KILLS);
        steps += 1;
    }
    println!("{steps} steps, of which every publication has {everywhere}");
    // A tile and a bundle, their folders, the checkpoint.
    assert!(
        everywhere >= 10,
        "{everywhere} of {steps} steps were killed at {KILLS} times"
    );
}

#[tokio::test]
async fn a_kill_beside_a_node_that_takes_over_leaves_no_gap_and_no_double() {
    let mut dice = dice();
    for steps in 0..30 {
        for end in [End::Staged, End::Steps(steps), End::Written] {
            for round in 0..KILLS / 10 {
                let fault = killed_beside_a_rival(end, None, &mut dice).await;
                assert_eq!(fault, None, "round {round}, killed at {end:?}");
            }
        }
    }
}

#[tokio::test]
async fn planted_bugs_of_a_node_that_takes_over_are_found() {
    let mut dice = dice();
    for bug in [RivalBug::IgnoresClaims, RivalBug::PutsNoRow] {
        let mut tries = 0;
        while killed_beside_a_rival(End::Written, Some(bug), &mut dice)
            .await
            .is_none()
        {
            tries += 1;
            assert!(tries < KILLS, "{bug:?} is not found");
        }
    }
}

#[tokio::test]
async fn planted_bugs_are_found() {
    let mut dice = dice();
    for bug in [
        Bug::SwapsTheOutbox,
        Bug::SkipsTileSyncs,
        Bug::LeavesOneOut,
        Bug::ReusesASalt,
    ] {
        plant(Some(bug));
        let mut tries = 0;
        let found = loop {
            let end = End::Steps(dice.random_range(0..40));
            if let (_, Some(found)) = killed_at(end, true, &mut dice).await {
                break found;
            }
            tries += 1;
            assert!(tries < KILLS, "{bug:?} is not found");
        };
        plant(None);
        println!("{bug:?}: {found}");
    }
}
