//! The contract suite on memory; and on memory with planted bugs, each of which it must find.

#![expect(clippy::unwrap_used, reason = "fixtures of tests may panic")]

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_storage::{
    Backend, Change, Changes, CommitError, Embedded, Failure, Group, KeyRange, Memory, Revision, Row,
    Storage, Unavailable, contract, is_outbox,
};

fn memory() -> Embedded<Memory> {
    Embedded::open(Memory::default(), Arc::new(())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    contract::check(async || memory()).await.unwrap();
}

/// A bug below the committer, in how a group is written.
#[derive(Clone, Copy)]
enum Miswrites {
    /// The values of a group's first two rows are exchanged.
    SwapsTwoRows,
    /// A reader can see the first half of a group without the second.
    InTwoHalves,
    DropsTheNotes,
    KeepsDeletedRows,
}

struct Miswriting(Miswrites, Memory);

impl Backend for Miswriting {
    const SCANS_BLOCK: bool = false;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        self.1.get(key)
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        self.1.scan(range, limit)
    }

    fn apply(&self, mut group: Group) -> Result<(), Failure> {
        match self.0 {
            Miswrites::SwapsTwoRows => {
                let mut rows = group.writes.values_mut().flatten();
                if let (Some(one), Some(other)) = (rows.next(), rows.next()) {
                    std::mem::swap(&mut one.value, &mut other.value);
                }
            }
            Miswrites::InTwoHalves => {
                let middle = group.writes.keys().nth(group.writes.len() / 2).cloned().unwrap();
                let second = group.writes.split_off(&middle);
                self.1.apply(Group {
                    head: group.head,
                    writes: group.writes,
                })?;
                std::thread::sleep(Duration::from_millis(2));
                group.writes = second;
            }
            Miswrites::DropsTheNotes => group.writes.retain(|key, _| !is_outbox(key)),
            Miswrites::KeepsDeletedRows => group.writes.retain(|_, row| row.is_some()),
        }
        self.1.apply(group)
    }

    fn head(&self) -> Result<Revision, Failure> {
        self.1.head()
    }

    fn reopen(&self) -> Result<(), Failure> {
        self.1.reopen()
    }
}

/// A bug in or above the committer.
#[derive(Clone, Copy)]
enum Misjudges {
    DropsPreconditions,
    NotesTwice,
    ScansFromTheStart,
    ForgetsDeletedKeys,
}

struct Misjudging(Misjudges, Embedded<Memory>);

#[async_trait]
impl Storage for Misjudging {
    async fn get(&self, key: &[u8]) -> Result<Option<Row>, Unavailable> {
        self.1.get(key).await
    }

    async fn scan(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, Unavailable> {
        let after = after.filter(|_| !matches!(self.0, Misjudges::ScansFromTheStart));
        self.1.scan(range, after, limit).await
    }

    async fn commit(&self, mut change: Change) -> Result<Revision, CommitError> {
        if matches!(self.0, Misjudges::DropsPreconditions) {
            change.preconditions.clear();
        }
        let mut notes = change.notes.clone();
        notes.retain(|_| matches!(self.0, Misjudges::NotesTwice));
        let revision = self.1.commit(change).await?;
        if !notes.is_empty() {
            self.1
                .commit(Change {
                    notes,
                    ..Change::default()
                })
                .await?;
        }
        Ok(revision)
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Unavailable> {
        let mut changes = self.1.changes(after, limit).await?;
        if let (Misjudges::ForgetsDeletedKeys, Changes::Page { keys, .. }) = (self.0, &mut changes) {
            for key in std::mem::take(keys) {
                if self.1.get(&key).await?.is_some() {
                    keys.push(key);
                }
            }
        }
        Ok(changes)
    }
}

/// Checks that the suite finds that `planted` breaks `clause`.
async fn check<S: Storage>(clause: &str, planted: impl AsyncFn() -> S) {
    let violation = contract::check(planted).await.unwrap_err();
    assert_eq!(violation.clause, clause, "{violation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bugs_planted_below_the_committer_are_found() {
    for (bug, clause) in [
        (Miswrites::SwapsTwoRows, "a_row_is_what_was_last_put"),
        (Miswrites::InTwoHalves, "readers_see_whole_changes"),
        (
            Miswrites::DropsTheNotes,
            "notes_reach_the_outbox_once_and_in_order",
        ),
        (Miswrites::KeepsDeletedRows, "a_row_is_what_was_last_put"),
    ] {
        let open = || Embedded::open(Miswriting(bug, Memory::default()), Arc::new(())).unwrap();
        check(clause, async || open()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bugs_planted_above_the_committer_are_found() {
    for (bug, clause) in [
        (
            Misjudges::DropsPreconditions,
            "preconditions_are_judged_by_revision",
        ),
        (Misjudges::NotesTwice, "notes_reach_the_outbox_once_and_in_order"),
        (Misjudges::ScansFromTheStart, "scans_are_ordered_and_bounded"),
        (Misjudges::ForgetsDeletedKeys, "followers_miss_nothing"),
    ] {
        check(clause, async || Misjudging(bug, memory())).await;
    }
}
