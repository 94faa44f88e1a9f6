//! The suite that every [`Storage`] passes. It reports a [`Violation`] instead of panicking, so that storage with a
//! planted bug can be shown to fail it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_base::{NodeId, limits};
use tokio::task::JoinSet;

use crate::{Change, Changes, CommitError, Note, OutboxKey, Precondition, Revision, Row, Storage, notes_in};

/// A clause of the contract that a storage breaks.
#[derive(Debug, thiserror::Error)]
#[error("{clause}: {what}")]
pub struct Violation {
    /// The name of the clause.
    pub clause: &'static str,
    /// What was seen.
    pub what: String,
}

/// Checks every clause, each on a storage of its own that `fresh` gives: empty, and nobody else's.
///
/// # Errors
/// The first clause that does not hold.
pub async fn check<S: Storage>(fresh: impl AsyncFn() -> S) -> Result<(), Violation> {
    macro_rules! check {
        ($($clause:ident)*) => {$(
            if let Err(Broken(what)) = $clause(Arc::new(fresh().await)).await {
                return Err(Violation { clause: stringify!($clause), what });
            }
        )*};
    }
    check! {
        a_row_is_what_was_last_put
        every_change_has_its_own_revision
        preconditions_are_judged_by_revision
        a_refused_change_writes_nothing
        one_of_many_rivals_wins
        a_counter_loses_no_count
        readers_see_whole_changes
        scans_are_ordered_and_bounded
        notes_reach_the_outbox_once_and_in_order
        each_node_has_an_outbox_of_its_own
        followers_miss_nothing
        a_foreign_revision_is_compacted
        what_is_too_large_is_refused
        malformed_changes_are_refused
    }
    Ok(())
}

/// What a clause saw that should not be, or an error where there should be none.
struct Broken(String);

impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(Broken(format!($($what)+)));
        }
    };
}

type Shared = Arc<dyn Storage>;

/// Rivals, writers and rounds where a clause needs many.
const MANY: u64 = 40;

fn put(key: &str, value: &str) -> Change {
    Change {
        puts: vec![(key.into(), value.into())],
        ..Change::default()
    }
}

fn delete(key: &str) -> Change {
    Change {
        deletes: vec![key.into()],
        ..Change::default()
    }
}

fn when(key: &str, revision: Option<Revision>, change: Change) -> Change {
    Change {
        preconditions: vec![Precondition {
            key: key.into(),
            revision,
        }],
        ..change
    }
}

fn noted(note: &str, change: Change) -> Change {
    noted_by(NodeId::FIRST, note, change)
}

fn noted_by(node: NodeId, note: &str, change: Change) -> Change {
    Change {
        notes: vec![Note {
            node,
            bytes: note.into(),
        }],
        ..change
    }
}

async fn value(storage: &Shared, key: &str) -> Result<Option<String>, Broken> {
    let row = storage.get(key.as_bytes()).await?;
    Ok(row.map(|row| String::from_utf8_lossy(&row.value).into_owned()))
}

async fn keys(
    storage: &Shared,
    range: (&str, &str),
    after: Option<&str>,
    limit: usize,
) -> Result<String, Broken> {
    let after = after.map(|key| key.as_bytes().to_vec());
    let range = range.0.into()..range.1.into();
    let rows = storage.scan(range.clone(), after.clone(), limit).await?;
    let keys: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
    ensure!(
        storage.keys(range, after, limit).await? == keys,
        "keys that are not those of the rows"
    );
    let texts: Vec<_> = keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
    Ok(texts.join(" "))
}

/// Whether `change` is refused for a precondition; any other failure is an error.
async fn conflicts(storage: &Shared, change: Change) -> Result<bool, Broken> {
    match storage.commit(change).await {
        Ok(_) => Ok(false),
        Err(CommitError::Conflict) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

async fn a_row_is_what_was_last_put(storage: Shared) -> Result<(), Broken> {
    ensure!(value(&storage, "a").await?.is_none(), "a row before any put");
    ensure!(storage.get(b"").await?.is_none(), "a row at the empty key");
    for expect in ["one", "two", ""] {
        let revision = storage.commit(put("a", expect)).await?;
        let found = storage.get(b"a").await?;
        let expect = Some(Row {
            value: expect.into(),
            revision,
        });
        ensure!(found == expect, "{found:?} instead of {expect:?}");
        if let Some(now) = storage.get_now(b"a") {
            let now = now?;
            ensure!(now == expect, "{now:?} at once instead of {expect:?}");
        }
        let before = Revision(revision.0 - 1);
        ensure!(!storage.is_unchanged_since(before), "a change that is denied");
    }
    let puts = ["b", "c", "d"].map(|key| (key.into(), key.into())).to_vec();
    storage.commit(Change { puts, ..delete("a") }).await?;
    storage.commit(delete("never there")).await?;
    ensure!(value(&storage, "a").await?.is_none(), "a row after its delete");
    for key in ["b", "c", "d"] {
        let found = value(&storage, key).await?;
        ensure!(
            found.as_deref() == Some(key),
            "{key} was put with two others, and is {found:?}"
        );
    }
    Ok(())
}

async fn every_change_has_its_own_revision(storage: Shared) -> Result<(), Broken> {
    let mut last = Revision(0);
    for _ in 0..3 {
        let revision = storage.commit(put("a", "")).await?;
        ensure!(revision > last, "{revision:?} follows {last:?}");
        last = revision;
    }
    let mut writers = JoinSet::new();
    for n in 0..MANY {
        let storage = Arc::clone(&storage);
        writers.spawn(async move {
            let key = n.to_string();
            let revision = storage.commit(put(&key, "")).await?;
            let row = storage.get(key.as_bytes()).await?;
            Ok::<_, CommitError>((revision, row.map(|row| row.revision)))
        });
    }
    let mut seen = BTreeSet::new();
    while let Some(writer) = writers.join_next().await {
        let (revision, stored) = writer??;
        ensure!(revision > last, "{revision:?} is given again after {last:?}");
        ensure!(
            stored == Some(revision),
            "a row says {stored:?}, its change {revision:?}"
        );
        ensure!(seen.insert(revision), "{revision:?} is given twice");
    }
    Ok(())
}

async fn preconditions_are_judged_by_revision(storage: Shared) -> Result<(), Broken> {
    let absent = when("a", None, put("a", "1"));
    ensure!(
        !conflicts(&storage, absent).await?,
        "absence of an absent row does not hold"
    );
    let Some(first) = storage.get(b"a").await? else {
        return Err(Broken("no row".into()));
    };
    ensure!(
        conflicts(&storage, when("a", None, put("a", "2"))).await?,
        "absence of a present row holds"
    );
    ensure!(
        !conflicts(&storage, when("a", Some(first.revision), put("a", "1"))).await?,
        "the revision fails"
    );
    let stale = when("a", Some(first.revision), put("a", "2"));
    ensure!(
        conflicts(&storage, stale).await?,
        "an old revision holds, since the value is equal"
    );
    storage.commit(delete("a")).await?;
    ensure!(
        conflicts(&storage, when("a", Some(first.revision), put("a", "2"))).await?,
        "a deleted row holds"
    );
    ensure!(
        !conflicts(&storage, when("a", None, put("b", "1"))).await?,
        "absence of a deleted row fails"
    );
    Ok(())
}

async fn a_refused_change_writes_nothing(storage: Shared) -> Result<(), Broken> {
    let before = storage.commit(put("kept", "1")).await?;
    let change = Change {
        puts: vec![("new".into(), vec![])],
        deletes: vec!["kept".into()],
        ..Change::default()
    };
    let refused = noted("note", when("kept", None, change));
    ensure!(conflicts(&storage, refused).await?, "the precondition holds");
    ensure!(value(&storage, "new").await?.is_none(), "it put a row");
    ensure!(value(&storage, "kept").await?.is_some(), "it deleted a row");
    ensure!(outbox(&storage).await?.is_empty(), "it left a note");
    let changes = storage.changes(before, 9).await?;
    ensure!(
        changes
            == Changes::Page {
                keys: vec![],
                upto: before
            },
        "it left {changes:?}"
    );
    Ok(())
}

async fn one_of_many_rivals_wins(storage: Shared) -> Result<(), Broken> {
    let mut rivals = JoinSet::new();
    for n in 0..MANY {
        let storage = Arc::clone(&storage);
        rivals.spawn(async move {
            let name = n.to_string();
            let lost = conflicts(&storage, when("lock", None, put("lock", &name))).await?;
            Ok::<_, Broken>((!lost).then_some(name))
        });
    }
    let mut winners = Vec::new();
    while let Some(rival) = rivals.join_next().await {
        winners.extend(rival??);
    }
    let holder = value(&storage, "lock").await?;
    ensure!(
        winners.len() == 1 && holder.as_ref() == winners.first(),
        "{winners:?} won, {holder:?} holds"
    );
    Ok(())
}

async fn a_counter_loses_no_count(storage: Shared) -> Result<(), Broken> {
    const COUNTERS: u64 = 4;
    let mut tasks = JoinSet::new();
    for _ in 0..COUNTERS {
        let storage = Arc::clone(&storage);
        tasks.spawn(async move {
            for _ in 0..MANY / COUNTERS {
                while !count_once(&storage).await? {}
            }
            Ok::<_, Broken>(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let count = value(&storage, "count").await?;
    ensure!(count == Some(MANY.to_string()), "{count:?} after {MANY} counts");
    Ok(())
}

/// Adds one to the counter, unless someone else got in between.
async fn count_once(storage: &Shared) -> Result<bool, Broken> {
    let row = storage.get(b"count").await?;
    let count = row
        .as_ref()
        .map_or(Ok(0), |row| String::from_utf8_lossy(&row.value).parse::<u64>())?;
    let next = put("count", &(count + 1).to_string());
    Ok(!conflicts(storage, when("count", row.map(|row| row.revision), next)).await?)
}

async fn readers_see_whole_changes(storage: Shared) -> Result<(), Broken> {
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_pairs(Arc::clone(&storage), Arc::clone(&done)));
    for n in 0..MANY {
        let half = n.to_string().into_bytes();
        let puts = vec![(b"left".to_vec(), half.clone()), (b"right".to_vec(), half)];
        storage
            .commit(Change {
                puts,
                ..Change::default()
            })
            .await?;
    }
    done.store(true, Ordering::Release);
    reader.await?
}

async fn read_pairs(storage: Shared, done: Arc<AtomicBool>) -> Result<(), Broken> {
    while !done.load(Ordering::Acquire) {
        let rows = storage.scan(b"l".to_vec()..b"s".to_vec(), None, 9).await?;
        let whole = match rows.as_slice() {
            [] => true,
            [(_, left), (_, right)] => left == right,
            _ => false,
        };
        ensure!(whole, "half a change: {rows:?}");
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn scans_are_ordered_and_bounded(storage: Shared) -> Result<(), Broken> {
    for key in ["c", "a", "bb", "\u{7f}", "b", "d"] {
        storage.commit(put(key, key)).await?;
    }
    storage.commit(delete("d")).await?;
    for (range, after, limit, expect) in [
        (("", "\u{7f}\u{7f}"), None, 9, "a b bb c \u{7f}"),
        (("a", "c"), None, 9, "a b bb"),
        (("a", "c"), None, 2, "a b"),
        (("a", "c"), None, 0, ""),
        (("a", "c"), Some("b"), 1, "bb"),
        (("a", "c"), Some("ba"), 9, "bb"),
        (("b", "c"), Some("a"), 9, "b bb"),
        (("a", "c"), Some("c"), 9, ""),
        (("b", "b"), None, 9, ""),
        (("c", "a"), None, 9, ""),
    ] {
        let found = keys(&storage, range, after, limit).await?;
        ensure!(
            found == expect,
            "{range:?} after {after:?}, at most {limit}: {found:?}"
        );
    }
    let rows = storage.scan(b"a".to_vec()..b"z".to_vec(), None, 9).await?;
    for (key, row) in rows {
        ensure!(
            storage.get(&key).await?.as_ref() == Some(&row),
            "a scan and a get differ"
        );
    }
    Ok(())
}

/// All notes in the outbox of `node`, each with its row's key.
async fn outbox_of(storage: &Shared, node: NodeId) -> Result<Vec<(OutboxKey, String)>, Broken> {
    let rows = storage.scan(OutboxKey::all_of(node), None, usize::MAX).await?;
    let mut notes = Vec::new();
    for (key, row) in rows {
        let expect = OutboxKey {
            node,
            revision: row.revision,
        };
        ensure!(
            OutboxKey::read(&key) == Some(expect),
            "an outbox row of {:?} at {key:?}",
            row.revision
        );
        let Some(found) = notes_in(&row.value) else {
            return Err(Broken("a torn note".into()));
        };
        notes.extend(
            found
                .iter()
                .map(|note| (expect, String::from_utf8_lossy(note).into_owned())),
        );
    }
    Ok(notes)
}

async fn outbox(storage: &Shared) -> Result<Vec<(OutboxKey, String)>, Broken> {
    outbox_of(storage, NodeId::FIRST).await
}

async fn notes_reach_the_outbox_once_and_in_order(storage: Shared) -> Result<(), Broken> {
    let mut writers = JoinSet::new();
    for n in 0..MANY {
        let storage = Arc::clone(&storage);
        writers.spawn(async move {
            let note = n.to_string();
            // One in four loses to the first of them, one in five has no note.
            let change = if n % 4 == 0 {
                when("lock", None, put("lock", ""))
            } else {
                put(&note, "")
            };
            let change = if n % 5 == 0 { change } else { noted(&note, change) };
            let has_note = !change.notes.is_empty();
            match storage.commit(change).await {
                Ok(revision) => Ok(has_note.then_some((revision, note))),
                Err(CommitError::Conflict) => Ok(None),
                Err(error) => Err(error),
            }
        });
    }
    let mut expect = BTreeMap::new();
    while let Some(writer) = writers.join_next().await {
        expect.extend(writer??);
    }
    let found = outbox(&storage).await?;
    ensure!(
        found.iter().map(|(_, note)| note).eq(expect.values()),
        "{found:?} instead of {expect:?}"
    );
    for ((key, note), revision) in found.iter().zip(expect.keys()) {
        ensure!(
            key.revision >= *revision,
            "note {note} is in the row of a group before it"
        );
    }
    // The sequencer empties it.
    let deletes: BTreeSet<_> = found.into_iter().map(|(key, _)| key.to_bytes()).collect();
    storage
        .commit(Change {
            deletes: deletes.into_iter().collect(),
            ..Change::default()
        })
        .await?;
    ensure!(outbox(&storage).await?.is_empty(), "a deleted row is still there");
    Ok(())
}

async fn each_node_has_an_outbox_of_its_own(storage: Shared) -> Result<(), Broken> {
    let mut notes: Vec<_> = (1..=3).map(NodeId).collect();
    notes.push(NodeId(2));
    let notes = notes.into_iter().zip(["one", "two", "three", "four"]);
    let change = Change {
        notes: notes
            .map(|(node, note)| Note {
                node,
                bytes: note.into(),
            })
            .collect(),
        ..put("a", "")
    };
    let first = storage.commit(change).await?;
    let second = storage.commit(noted_by(NodeId(2), "five", put("a", ""))).await?;
    for (node, expect) in [
        (1, vec![(first, "one")]),
        (2, vec![(first, "two"), (first, "four"), (second, "five")]),
        (3, vec![(first, "three")]),
        (4, vec![]),
    ] {
        let found = outbox_of(&storage, NodeId(node)).await?;
        let found: Vec<_> = found
            .iter()
            .map(|(key, note)| (key.revision, note.as_str()))
            .collect();
        ensure!(found == expect, "the outbox of node {node} is {found:?}");
    }
    Ok(())
}

async fn followers_miss_nothing(storage: Shared) -> Result<(), Broken> {
    storage.commit(put("kept", "")).await?;
    let start = storage.commit(put("gone", "")).await?;
    let mirror = all(&storage).await?;
    let done = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn(follow(Arc::clone(&storage), start, mirror, Arc::clone(&done)));
    let mut writers = JoinSet::new();
    for n in 0..MANY {
        let storage = Arc::clone(&storage);
        writers.spawn(async move {
            let key = (n % 7).to_string();
            let change = if n % 3 == 0 {
                delete(&key)
            } else {
                put(&key, &n.to_string())
            };
            storage
                .commit(if n % 2 == 0 { noted("note", change) } else { change })
                .await
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    storage.commit(delete("gone")).await?;
    done.store(true, Ordering::Release);
    let (mirror, stored) = (follower.await??, all(&storage).await?);
    ensure!(mirror == stored, "{mirror:?} instead of {stored:?}");
    Ok(())
}

async fn all(storage: &Shared) -> Result<BTreeMap<Vec<u8>, Row>, Broken> {
    Ok(storage
        .scan(vec![]..vec![u8::MAX], None, usize::MAX)
        .await?
        .into_iter()
        .collect())
}

/// Brings `mirror` up to date with what changes after `seen`, until nothing has changed since `done`.
async fn follow(
    storage: Shared,
    mut seen: Revision,
    mut mirror: BTreeMap<Vec<u8>, Row>,
    done: Arc<AtomicBool>,
) -> Result<BTreeMap<Vec<u8>, Row>, Broken> {
    loop {
        let last = done.load(Ordering::Acquire);
        let is_unchanged = storage.is_unchanged_since(seen);
        let Changes::Page { keys, upto } = storage.changes(seen, 3).await? else {
            return Err(Broken("a few changes were too many to remember".into()));
        };
        ensure!(
            !(last && is_unchanged) || keys.is_empty(),
            "changes that were denied"
        );
        if last && keys.is_empty() && upto == seen {
            return Ok(mirror);
        }
        ensure!(upto >= seen, "{upto:?} after {seen:?}");
        for key in keys {
            match storage.get(&key).await? {
                Some(row) => mirror.insert(key, row),
                None => mirror.remove(&key),
            };
        }
        seen = upto;
        tokio::task::yield_now().await;
    }
}

async fn a_foreign_revision_is_compacted(storage: Shared) -> Result<(), Broken> {
    let head = storage.commit(put("a", "")).await?;
    let changes = storage.changes(Revision(head.0 + 1000), 9).await?;
    ensure!(changes == Changes::Compacted { head }, "{changes:?}");
    Ok(())
}

async fn what_is_too_large_is_refused(storage: Shared) -> Result<(), Broken> {
    let sized = |size: usize| Change {
        puts: vec![(b"a".to_vec(), vec![0; size - 1])],
        ..Change::default()
    };
    let over = storage.commit(sized(limits::GROUP_BYTES + 1)).await;
    ensure!(
        matches!(over, Err(CommitError::TooLarge)),
        "one byte too many gives {over:?}"
    );
    ensure!(value(&storage, "a").await?.is_none(), "it is there all the same");
    storage.commit(sized(limits::GROUP_BYTES)).await?;
    let length = storage.get(b"a").await?.map(|row| row.value.len());
    ensure!(
        length == Some(limits::GROUP_BYTES - 1),
        "the largest value has {length:?} bytes"
    );
    Ok(())
}

async fn malformed_changes_are_refused(storage: Shared) -> Result<(), Broken> {
    let row = |key: &[u8]| (key.to_vec(), b"value".to_vec());
    let change = Change::default;
    for (why, malformed) in [
        (
            "an empty key is put",
            Change {
                puts: vec![row(b"a"), row(b"")],
                ..change()
            },
        ),
        (
            "an empty key is deleted",
            Change {
                deletes: vec![vec![]],
                ..change()
            },
        ),
        ("an empty key is required", when("", None, put("a", ""))),
        (
            "a key is put twice",
            Change {
                puts: vec![row(b"a"), row(b"a")],
                ..change()
            },
        ),
        (
            "a key is deleted twice",
            Change {
                deletes: vec![b"a".to_vec(), b"a".to_vec()],
                ..change()
            },
        ),
        (
            "a key is put and deleted",
            Change {
                deletes: vec![b"a".to_vec()],
                ..put("a", "")
            },
        ),
        (
            "an outbox row is put",
            Change {
                puts: vec![row(&OutboxKey {
                    node: NodeId::FIRST,
                    revision: Revision(1),
                }
                .to_bytes())],
                ..change()
            },
        ),
    ] {
        let outcome = storage.commit(malformed).await;
        ensure!(
            matches!(outcome, Err(CommitError::Malformed)),
            "{why}: {outcome:?}"
        );
    }
    let stored = all(&storage).await?;
    ensure!(stored.is_empty(), "a refused change wrote {stored:?}");
    Ok(())
}
