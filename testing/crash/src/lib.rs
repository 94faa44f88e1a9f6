//! The real server, killed with `kill -9` inside its commits over and over, on one data directory.
//!
//! `strongroom-crashable` is the server with one thing between storage and its committer: it announces in a file when
//! a commit begins and ends ([`Announcement`]). The loop ([`run`]) keeps eight writers at it over HTTP, kills it, starts
//! it again and compares what is there with what was answered. The rules that it checks by are plain code over values:
//! [`history`] for what is stored, [`ledger`] for what is recorded. What breaks one is a [`Violation`] with the name of
//! the rule, so that the same loop over a server with a planted bug can be shown to find it.
//!
//! # Planted bugs, and where a suite finds each
//!
//! | bug | found by |
//! |---|---|
//! | skip a sync | here: [`Bug::SkipsASync`]; under loss of power: `crates/storage-redb/tests/torture`; of the journal: `crates/storage/src/schedules.rs` |
//! | drop a precondition | `crates/core/tests/instance/preconditions.rs`; in the contract of storage: `crates/storage/tests/contract.rs`; under every kind of schedule: `crates/storage/src/schedules.rs` |
//! | reorder two rows | `crates/core/tests/instance/tampering.rs`; in the contract of storage: `crates/storage/tests/contract.rs` |
//! | append a leaf twice | here: [`Bug::NotesTwice`]; by the sequencer: `crates/ledger/src/tests.rs` |
//! | drop a leaf | here: [`Bug::DropsNotes`] |
//! | swap the order of the outbox | `crates/ledger/src/kills.rs` |
//! | a leaf that is not covered | `crates/ledger/src/kills.rs` |
//! | a checkpoint over leaves that are not synced | `crates/ledger/src/kills.rs` |
//! | reuse a salt | `crates/ledger/src/kills.rs` |
//! | tear a commit | here: [`Bug::TearsCommits`]; under loss of power: `crates/storage-redb/tests/torture`; for readers: `crates/storage/tests/contract.rs` |
//! | acknowledge before the commit | under loss of power: `crates/storage-redb/tests/torture` |

mod aim;
mod announcement;
mod backend;
mod dice;
pub mod history;
pub mod ledger;
mod rounds;
mod site;
mod writer;

pub use announcement::Announcement;
pub use backend::{Bug, Watched};
pub use rounds::{Options, Report, run};

/// A rule that a server broke.
#[derive(Debug, thiserror::Error)]
#[error("{rule}: {what}")]
pub struct Violation {
    /// The name of the rule.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self {
            rule,
            what: what.into(),
        }
    }
}
