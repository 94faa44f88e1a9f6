//! Two nodes for a while, and nodes with planted bugs until they are found.
//!
//! `STRONGROOM_CLUSTER_SECONDS` is how long (five minutes: `cargo xtask torture --cluster 300`), `STRONGROOM_CLUSTER_SEED`
//! repeats what is done to the nodes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use strongroom_cluster::node::Bug;
use strongroom_cluster::{Options, run};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn options(seed: u64, seconds: u64, bug: Option<Bug>) -> Options {
    Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_strongroom-register-node")),
        length: Duration::from_secs(seconds),
        seed,
        bug,
    }
}

fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(()) >> 32
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_two_nodes_some_order_explains_what_was_seen() -> Result<()> {
    let seed = number("STRONGROOM_CLUSTER_SEED").unwrap_or_else(random);
    let seconds = number("STRONGROOM_CLUSTER_SECONDS").unwrap_or(20);
    println!("STRONGROOM_CLUSTER_SEED={seed} STRONGROOM_CLUSTER_SECONDS={seconds}");
    let report = run(&options(seed, seconds, None)).await?;
    println!("{report:?}");
    let happened = [report.kills, report.pauses, report.cuts, report.outages];
    ensure!(happened.iter().all(|times| *times > 0), "{report:?}");
    ensure!(report.values > 50 && report.unknown > 0, "{report:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_planted_bugs_are_found() -> Result<()> {
    for bug in Bug::ALL {
        let mut found = None;
        for attempt in 0..6 {
            if let Err(violation) = run(&options(attempt, 5, Some(bug))).await {
                found = Some(violation);
                break;
            }
        }
        let violation = found.map(|violation| format!("{violation:#}"));
        println!("{bug:?}: {violation:?}");
        let text = violation.unwrap_or_default();
        let expected: &[&str] = match bug {
            Bug::DropsPreconditions => &["an update was lost"],
            Bug::TakesUnknownForDone => &[
                "it is of the past",
                "an update was lost",
                "the chain ends with",
                "not both",
            ],
            Bug::RemembersReads => &["it is of the past"],
            Bug::DropsNotes => &["written or noted, but not both"],
        };
        ensure!(
            expected.iter().any(|text_of| text.contains(text_of)),
            "{bug:?}: {text}"
        );
    }
    Ok(())
}
