//! The committer: how changes become groups, and what happens when the backend or the companion fails.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "fixtures of tests may panic"
)]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use futures::poll;
use strongroom_base::{NodeId, limits};
use strongroom_storage::{
    Backend, Change, Changes, CommitError, Companion, Embedded, Failure, Group, KeyRange, Memory, Note,
    OutboxKey, Precondition, Revision, Row, Storage,
};

/// Memory that fails when told to, and remembers how it was used.
#[derive(Default)]
struct Rigged {
    memory: Memory,
    /// What the next apply does instead of writing.
    fault: Mutex<Option<Fault>>,
    reads_fail: AtomicBool,
    /// Whether it refuses to be reopened.
    broken: AtomicBool,
    reopens: AtomicUsize,
    /// The number of writes in each group.
    groups: Mutex<Vec<usize>>,
}

enum Fault {
    Error,
    Panic,
    /// The group is written, but the engine says that it failed: a lost acknowledgement.
    AfterWriting,
    /// The storage is that of yesterday when it is opened again.
    GoesBack,
}

struct Handle(Arc<Rigged>);

impl Backend for Handle {
    const SCANS_BLOCK: bool = true;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        if self.0.reads_fail.swap(false, Ordering::SeqCst) {
            return Err("the disk cannot be read".into());
        }
        self.0.memory.get(key)
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        self.0.memory.scan(range, limit)
    }

    fn apply(&self, group: Group) -> Result<(), Failure> {
        self.0.groups.lock().unwrap().push(group.writes.len());
        let fault = self.0.fault.lock().unwrap().take();
        match fault {
            None => self.0.memory.apply(group),
            Some(Fault::Error) => Err("the disk is full".into()),
            Some(Fault::Panic) => panic!("planted"),
            Some(Fault::AfterWriting) => self.0.memory.apply(group).and(Err("the sync failed".into())),
            Some(Fault::GoesBack) => {
                self.0.memory.apply(Group {
                    head: Revision(0),
                    writes: [].into(),
                })?;
                Err("the disk was exchanged".into())
            }
        }
    }

    fn head(&self) -> Result<Revision, Failure> {
        self.0.memory.head()
    }

    fn reopen(&self) -> Result<(), Failure> {
        self.0.reopens.fetch_add(1, Ordering::SeqCst);
        if self.0.broken.load(Ordering::SeqCst) {
            Err("still broken".into())
        } else {
            Ok(())
        }
    }
}

/// A companion that holds the committer back while the gate is closed: what is committed meanwhile is one group.
#[derive(Default)]
struct Gate {
    closed: AtomicBool,
    fails: AtomicBool,
    syncs: AtomicUsize,
}

impl Companion for Gate {
    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        while self.closed.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.fails.load(Ordering::SeqCst) {
            Err(io::Error::other("the journal is full"))
        } else {
            Ok(())
        }
    }
}

struct Fixture {
    rigged: Arc<Rigged>,
    gate: Arc<Gate>,
    storage: Arc<Embedded<Handle>>,
}

impl Fixture {
    fn new() -> Self {
        let (rigged, gate) = (Arc::new(Rigged::default()), Arc::new(Gate::default()));
        let storage = Arc::new(Embedded::open(Handle(Arc::clone(&rigged)), Arc::clone(&gate) as _).unwrap());
        Self {
            rigged,
            gate,
            storage,
        }
    }

    /// Commits `first` alone, and then the others in one go, while the committer is busy with it.
    async fn commit(&self, first: Change, others: Vec<Change>) -> Vec<Result<Revision, CommitError>> {
        self.gate.closed.store(true, Ordering::SeqCst);
        let before = self.gate.syncs.load(Ordering::SeqCst);
        let mut commits = vec![self.storage.commit(first)];
        assert!(poll!(commits[0].as_mut()).is_pending());
        while self.gate.syncs.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        for change in others {
            let mut commit = self.storage.commit(change);
            assert!(poll!(commit.as_mut()).is_pending());
            commits.push(commit);
            tokio::task::yield_now().await; // a task may only do so much before it yields
        }
        self.gate.closed.store(false, Ordering::SeqCst);
        join_all(commits).await
    }

    fn plant(&self, fault: Fault) {
        *self.rigged.fault.lock().unwrap() = Some(fault);
    }

    fn groups(&self) -> Vec<usize> {
        std::mem::take(&mut self.rigged.groups.lock().unwrap())
    }

    /// Waits until the storage answers again.
    async fn reopened(&self) {
        while self.storage.get(b"any").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn put(key: &str) -> Change {
    Change {
        puts: vec![(key.into(), b"value".to_vec())],
        ..Change::default()
    }
}

fn when(key: &str, revision: Option<u64>, change: Change) -> Change {
    let precondition = Precondition {
        key: key.into(),
        revision: revision.map(Revision),
    };
    Change {
        preconditions: vec![precondition],
        ..change
    }
}

fn noted(note: &str, change: Change) -> Change {
    Change {
        notes: vec![Note {
            node: NodeId::FIRST,
            bytes: note.into(),
        }],
        ..change
    }
}

/// Revisions as numbers, 0 for a conflict.
fn revisions(outcomes: &[Result<Revision, CommitError>]) -> Vec<u64> {
    let number = |outcome: &Result<Revision, CommitError>| match outcome {
        Ok(revision) => revision.0,
        Err(CommitError::Conflict) => 0,
        Err(error) => panic!("{error}"),
    };
    outcomes.iter().map(number).collect()
}

#[tokio::test]
async fn a_group_is_one_write_in_which_later_changes_see_earlier_ones() {
    let fixture = Fixture::new();
    let delete = |key: &str| Change {
        deletes: vec![key.into()],
        ..Change::default()
    };
    let group = vec![
        noted("two", when("a", None, put("a"))),
        noted("lost", when("a", None, put("a"))),
        noted("three", when("a", Some(2), put("b"))),
        when("b", Some(3), delete("a")),
        noted("five", when("a", None, put("c"))),
    ];
    let outcomes = fixture.commit(put("first"), group).await;
    assert_eq!(revisions(&outcomes), [1, 2, 0, 3, 4, 5]);
    // The group writes a (removed), b, c and its outbox row.
    assert_eq!(fixture.groups(), [1, 4]);
    let outbox = fixture
        .storage
        .get(
            &OutboxKey {
                node: NodeId::FIRST,
                revision: Revision(5),
            }
            .to_bytes(),
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(outbox.value, b"\0\0\0\x03two\0\0\0\x05three\0\0\0\x04five");
    assert_eq!(outbox.revision, Revision(5));
    assert_eq!(
        fixture.storage.get(b"b").await.unwrap().unwrap().revision,
        Revision(3)
    );
    assert_eq!(fixture.storage.get(b"a").await.unwrap(), None);
}

#[tokio::test]
async fn a_group_of_refused_changes_writes_nothing() {
    let fixture = Fixture::new();
    let refused = || noted("lost", when("a", Some(7), put("a")));
    let outcomes = fixture.commit(refused(), vec![refused(), refused()]).await;
    assert_eq!(revisions(&outcomes), [0, 0, 0]);
    assert!(fixture.groups().is_empty());
}

#[tokio::test]
async fn a_group_has_bounds() {
    let fixture = Fixture::new();
    let keys = (0..limits::GROUP_OPS + 1).map(|n| put(&n.to_string())).collect();
    fixture.commit(put("first"), keys).await;
    assert_eq!(fixture.groups(), [1, limits::GROUP_OPS, 1]);
    let half = |key: &str| Change {
        puts: vec![(key.into(), vec![0; limits::GROUP_BYTES / 2])],
        ..Change::default()
    };
    fixture
        .commit(put("first"), vec![half("a"), put("b"), half("c"), put("d")])
        .await;
    assert_eq!(fixture.groups(), [1, 2, 2]);
}

#[tokio::test]
async fn a_full_queue_makes_callers_wait_and_loses_none() {
    let fixture = Fixture::new();
    let callers = (0..3 * limits::COMMIT_QUEUE_OPS).map(|n| put(&n.to_string()));
    let outcomes = fixture.commit(put("first"), callers.collect()).await;
    assert_eq!(revisions(&outcomes).len(), 3 * limits::COMMIT_QUEUE_OPS + 1);
    assert!(
        fixture
            .groups()
            .into_iter()
            .all(|writes| writes <= limits::GROUP_OPS)
    );
}

#[tokio::test]
async fn a_failed_write_fails_its_whole_group_and_reopens_the_backend() {
    for fault in [Fault::Error, Fault::Panic] {
        let fixture = Fixture::new();
        fixture.storage.commit(put("before")).await.unwrap();
        fixture.plant(fault);
        fixture.rigged.broken.store(true, Ordering::SeqCst);
        let outcomes = fixture
            .commit(put("a"), vec![put("b"), when("a", Some(9), put("c"))])
            .await;
        // The fault takes the first group; the second one finds the storage poisoned. Neither writes.
        assert!(
            matches!(outcomes[0], Err(CommitError::Unknown(_))),
            "{outcomes:?}"
        );
        for outcome in &outcomes[1..] {
            assert!(matches!(outcome, Err(CommitError::NotTried(_))), "{outcome:?}");
        }
        assert!(fixture.storage.get(b"before").await.is_err());
        assert!(fixture.storage.scan(vec![]..vec![9], None, 9).await.is_err());
        assert!(fixture.storage.changes(Revision(1), 9).await.is_err());
        assert!(matches!(
            fixture.storage.commit(put("d")).await,
            Err(CommitError::NotTried(_))
        ));
        fixture.rigged.broken.store(false, Ordering::SeqCst);
        fixture.reopened().await;
        assert_eq!(fixture.groups().len(), 2, "a failed write is not tried again");
        assert_eq!(fixture.storage.commit(put("after")).await.unwrap(), Revision(2));
    }
}

#[tokio::test]
async fn a_write_that_happened_after_all_is_kept_and_followers_start_again() {
    let fixture = Fixture::new();
    let seen = fixture.storage.commit(put("before")).await.unwrap();
    fixture.plant(Fault::AfterWriting);
    assert!(matches!(
        fixture.storage.commit(put("a")).await,
        Err(CommitError::Unknown(_))
    ));
    fixture.reopened().await;
    assert_eq!(
        fixture.storage.get(b"a").await.unwrap().unwrap().revision,
        Revision(2)
    );
    let changes = fixture.storage.changes(seen, 9).await.unwrap();
    assert_eq!(changes, Changes::Compacted { head: Revision(2) });
    assert_eq!(fixture.storage.commit(put("b")).await.unwrap(), Revision(3));
}

#[tokio::test]
async fn storage_that_lost_acknowledged_changes_stays_unavailable() {
    let fixture = Fixture::new();
    fixture.storage.commit(put("before")).await.unwrap();
    fixture.plant(Fault::GoesBack);
    assert!(fixture.storage.commit(put("a")).await.is_err());
    while fixture.rigged.reopens.load(Ordering::SeqCst) < 3 {
        assert!(fixture.storage.get(b"before").await.is_err());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn of_a_failed_group_only_what_was_in_it_may_have_been_written() {
    let fixture = Fixture::new();
    fixture.plant(Fault::AfterWriting);
    let refused = when("a", Some(9), put("first")); // so that the fault is for the group
    let outcomes = fixture
        .commit(refused, vec![put("a"), when("a", None, put("b"))])
        .await;
    assert!(matches!(outcomes[0], Err(CommitError::Conflict)), "{outcomes:?}");
    assert!(
        matches!(outcomes[1], Err(CommitError::Unknown(_))),
        "{outcomes:?}"
    );
    assert!(
        matches!(outcomes[2], Err(CommitError::NotTried(_))),
        "{outcomes:?}"
    );
    fixture.reopened().await;
    assert!(fixture.storage.get(b"a").await.unwrap().is_some());
    assert_eq!(fixture.storage.get(b"b").await.unwrap(), None);
}

#[tokio::test]
async fn a_change_that_could_not_be_judged_was_not_tried() {
    let fixture = Fixture::new();
    fixture.rigged.reads_fail.store(true, Ordering::SeqCst);
    let outcome = fixture.storage.commit(when("a", None, put("a"))).await;
    assert!(matches!(outcome, Err(CommitError::NotTried(_))), "{outcome:?}");
    assert!(fixture.groups().is_empty());
    fixture.reopened().await;
}

#[tokio::test]
async fn a_failed_read_reopens_the_backend() {
    let fixture = Fixture::new();
    fixture.rigged.reads_fail.store(true, Ordering::SeqCst);
    assert!(fixture.storage.get(b"a").await.is_err());
    fixture.reopened().await;
    fixture.storage.commit(put("a")).await.unwrap();
}

#[tokio::test]
async fn without_its_companion_a_group_is_not_written() {
    let fixture = Fixture::new();
    fixture.gate.fails.store(true, Ordering::SeqCst);
    let outcome = fixture.storage.commit(put("a")).await;
    assert!(matches!(outcome, Err(CommitError::NotTried(_))), "{outcome:?}");
    assert!(fixture.groups().is_empty());
    assert_eq!(fixture.storage.get(b"a").await.unwrap(), None);
    fixture.gate.fails.store(false, Ordering::SeqCst);
    assert_eq!(fixture.storage.commit(put("a")).await.unwrap(), Revision(1));
}

#[tokio::test]
async fn what_waits_is_committed_before_the_storage_is_gone() {
    let fixture = Fixture::new();
    fixture.gate.closed.store(true, Ordering::SeqCst);
    let callers = (0..9).map(|n| {
        let storage = Arc::clone(&fixture.storage);
        tokio::spawn(async move { storage.commit(put(&n.to_string())).await })
    });
    let callers = callers.collect::<Vec<_>>();
    for _ in 0..99 {
        tokio::task::yield_now().await;
    }
    callers.iter().for_each(|caller| caller.abort()); // they stop waiting; their changes do not
    assert!(try_join_all(callers).await.is_err());
    fixture.gate.closed.store(false, Ordering::SeqCst);
    drop(fixture.storage);
    assert_eq!(fixture.rigged.memory.head().unwrap(), Revision(9));
}

#[tokio::test]
async fn after_a_restart_the_past_is_forgotten() {
    let fixture = Fixture::new();
    let old = fixture.storage.commit(put("a")).await.unwrap();
    let head = fixture.storage.commit(put("b")).await.unwrap();
    drop(fixture.storage);
    let storage = Embedded::open(Handle(fixture.rigged), Arc::new(())).unwrap();
    assert_eq!(
        storage.changes(old, 9).await.unwrap(),
        Changes::Compacted { head }
    );
    assert_eq!(
        storage.changes(head, 9).await.unwrap(),
        Changes::Page {
            keys: vec![],
            upto: head
        }
    );
}
