//! The real engine on a simulated disk: power is lost before every step of a workload, or single operations fail.
//! `cargo xtask torture` does it for longer, and from any seed.
//!
//! | planted bug | found as |
//! |---|---|
//! | every sync, or some, are skipped | lost groups, or a damaged file |
//! | a group is acknowledged before it is written | a lost group |
//! | a group is written in two commits | a torn group |
//!
//! Commits in one phase, or without quick repair, are no bugs that a loss of power alone shows: the engine then verifies
//! every checksum of what it finds. What two phases add, that a commit is whole before anything points to it, is what the
//! skipped syncs take away.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "fixtures of tests may panic"
)]

mod dice;
mod disk;
mod errors;
mod power;
mod workload;

use crate::errors::fail_everywhere;
use crate::power::{Bug, Torture};

/// Losses of power that each run of the tests looks at.
const POINTS: u64 = 100_000;

/// The number in an environment variable, or `default`.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn a_loss_of_power_at_any_step_loses_nothing_acknowledged_and_tears_nothing() {
    let (seed, points) = (
        setting("STRONGROOM_TORTURE_SEED", 1),
        setting("STRONGROOM_TORTURE_POINTS", POINTS),
    );
    let points = Torture {
        seed,
        points,
        bug: None,
    }
    .run()
    .unwrap();
    println!("power was lost {points} times, from seed {seed} on");
}

#[test]
fn planted_bugs_are_found() {
    for (bug, how) in [
        (Bug::SkipsSyncs(1), ["lost", "damaged"]),
        (Bug::SkipsSyncs(2), ["lost", "damaged"]),
        (Bug::SkipsSyncs(3), ["lost", "damaged"]),
        (Bug::SkipsSyncs(7), ["lost", "damaged"]),
        (Bug::AcknowledgesEarly, ["lost", "lost"]),
        (Bug::TearsGroups, ["torn", "torn"]),
    ] {
        let torture = Torture {
            seed: 1,
            points: POINTS,
            bug: Some(bug),
        };
        let found = torture.run().unwrap_err();
        assert!(how.iter().any(|word| found.contains(word)), "{bug:?}: {found}");
    }
}

#[test]
fn whichever_operation_fails_storage_goes_on_and_then_survives_a_loss_of_power() {
    let operations = fail_everywhere(1, false).unwrap();
    assert!(
        operations > 200,
        "a workload of {operations} operations proves little"
    );
}

#[test]
fn whichever_operation_is_the_last_nothing_wrong_is_read_and_nothing_acknowledged_lost() {
    fail_everywhere(2, true).unwrap();
}
