//! The loop over the server as it is, and over servers with bugs.

use std::path::PathBuf;

use anyhow::{Context, Result};
use strongroom_base::{Rng, SystemRng};
use strongroom_crash::{Bug, Options, Violation, history, ledger, run};

fn number(variable: &str) -> Result<Option<u64>> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().context(format!("{variable} is no number")))
        .transpose()
}

fn options() -> Result<Options> {
    let seed =
        number("STRONGROOM_CRASH_SEED")?.unwrap_or_else(|| u64::from_ne_bytes(SystemRng::default().array()));
    let rounds = number("STRONGROOM_CRASH_ROUNDS")?.unwrap_or(100);
    Ok(Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_strongroom-crashable")),
        rounds: u32::try_from(rounds)?,
        ledger_every: 10,
        seed,
        bug: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_commits_it_loses_nothing_and_records_everything() {
    let options = options().unwrap();
    println!("STRONGROOM_CRASH_SEED={}", options.seed);
    let report = run(&options).await.unwrap();
    println!("{report:?}");
    assert_eq!(report.kills, options.rounds);
    assert!(
        2 * report.inside >= report.kills,
        "too few kills fell inside a commit: {report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_bugs_are_found() {
    for (bug, ledger_every, rule) in [
        (
            Bug::SkipsASync,
            u32::MAX,
            Some(history::ACKNOWLEDGED_WRITES_ARE_KEPT),
        ),
        (Bug::TearsCommits, 1, None), // where it is torn decides which rule breaks first
        (Bug::DropsNotes, 1, Some(ledger::EVERY_ANSWER_HAS_ITS_LEAF)),
        (Bug::NotesTwice, 1, Some(ledger::THE_LEDGER_VERIFIES)),
    ] {
        let options = Options {
            rounds: 30,
            ledger_every,
            bug: Some(bug),
            ..options().unwrap()
        };
        println!("{bug:?}: STRONGROOM_CRASH_SEED={}", options.seed);
        let error = run(&options).await.unwrap_err();
        let violation = error
            .downcast_ref::<Violation>()
            .unwrap_or_else(|| panic!("{bug:?}: {error:#}"));
        println!("{violation}");
        assert!(
            rule.is_none_or(|rule| violation.rule == rule),
            "{bug:?}: {violation}"
        );
    }
}
