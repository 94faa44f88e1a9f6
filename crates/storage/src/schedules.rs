//! The committer under schedules that shuttle chooses, at random or by PCT (Burckhardt et al., "A randomized scheduler
//! with probabilistic guarantees of finding bugs"). It also finds that somebody waits for ever.
//!
//! Planted bugs that it must find: a dropped precondition, a skipped sync of the companion, two notes that are exchanged.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use futures::FutureExt;
use futures::future::join;
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};
use strongroom_base::NodeId;

use crate::sync::{AtomicU64, Mutex, thread};
use crate::{
    Backend, Change, CommitError, Companion, Embedded, Failure, Group, KeyRange, Memory, Note, Precondition,
    Revision, Row, Storage, is_outbox, notes_in,
};

/// Schedules of each kind for each fault.
const SCHEDULES: usize = 300;
/// Orderings that a bug may need, as PCT counts.
const DEPTH: usize = 3;
const STACK_BYTES: usize = 1 << 18;

const WRITERS: usize = 3;
const CHANGES: usize = 2;
const COUNT: &[u8] = b"count";

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The companion's sync of this number fails.
    Sync(u64),
    /// The write of this number fails.
    Write(u64),
    /// The write of this number says that it failed, but is there.
    Answer(u64),
}

#[derive(Clone, Copy, Debug)]
enum Bug {
    DropsPreconditions,
    SkipsSyncs,
    ExchangesNotes,
}

/// Memory and a journal that fail when they are to.
#[derive(Default)]
struct World {
    memory: Memory,
    fault: Option<Fault>,
    bug: Option<Bug>,
    syncs: AtomicU64,
    writes: AtomicU64,
    /// Entries of the journal, and how many of them are durable.
    journaled: AtomicU64,
    durable: AtomicU64,
    /// A change was written whose entry in the journal was not durable.
    is_ahead: AtomicU64,
}

struct Shared(Arc<World>);

impl Companion for Shared {
    fn sync(&self) -> std::io::Result<()> {
        let (world, number) = (&self.0, self.0.syncs.fetch_add(1, SeqCst));
        if matches!(world.fault, Some(Fault::Sync(fails)) if fails == number) {
            return Err(std::io::Error::other("planted"));
        }
        if !matches!(world.bug, Some(Bug::SkipsSyncs)) {
            world.durable.store(world.journaled.load(SeqCst), SeqCst);
        }
        Ok(())
    }
}

impl Backend for Shared {
    const SCANS_BLOCK: bool = false;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        self.0.memory.get(key)
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        self.0.memory.scan(range, limit)
    }

    fn apply(&self, mut group: Group) -> Result<(), Failure> {
        let (world, number) = (&self.0, self.0.writes.fetch_add(1, SeqCst));
        let durable = world.durable.load(SeqCst);
        let is_change = |key: &[u8]| key != COUNT && !is_outbox(key);
        let mut changes = group.writes.iter().filter(|(key, _)| is_change(key));
        if changes.any(|(_, row)| row.as_ref().is_some_and(|row| number_in(&row.value) > durable)) {
            world.is_ahead.store(1, SeqCst);
        }
        if let Some(Bug::ExchangesNotes) = world.bug {
            let outbox = group.writes.iter_mut().filter(|(key, _)| is_outbox(key));
            for (_, row) in outbox {
                let mut notes = notes_in(&row.as_ref().unwrap().value).unwrap();
                notes.reverse();
                let value = notes.iter().flat_map(|note| with_length(note)).collect();
                row.as_mut().unwrap().value = value;
            }
        }
        match world.fault {
            Some(Fault::Write(fails)) if fails == number => return Err("planted".into()),
            Some(Fault::Answer(fails)) if fails == number => {
                world.memory.apply(group)?;
                return Err("planted".into());
            }
            _ => {}
        }
        world.memory.apply(group)
    }

    fn head(&self) -> Result<Revision, Failure> {
        self.0.memory.head()
    }

    fn reopen(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn number_in(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().unwrap())
}

fn with_length(note: &[u8]) -> Vec<u8> {
    [&u32::try_from(note.len()).unwrap().to_be_bytes(), note].concat()
}

/// A row named `name` and a note of the same name, which are there only if the journal has an entry.
fn change(world: &World, name: &str) -> Change {
    let entry = world.journaled.fetch_add(1, SeqCst) + 1;
    Change {
        puts: vec![(name.into(), entry.to_be_bytes().into())],
        notes: vec![Note {
            node: NodeId::FIRST,
            bytes: name.into(),
        }],
        ..Change::default()
    }
}

/// What became of the changes of all writers, by name.
type Outcomes = Vec<(String, Result<Revision, CommitError>)>;

/// Makes a change that counts itself, and tries again when another was counted at the same time.
async fn count(storage: &dyn Storage, world: &World, name: &str) -> Result<Revision, CommitError> {
    loop {
        let Ok(row) = storage.get(COUNT).await else {
            thread::yield_now();
            continue;
        };
        let (count, revision) = row.map_or((0, None), |row| (number_in(&row.value), Some(row.revision)));
        let mut change = change(world, name);
        change.puts.push((COUNT.into(), (count + 1).to_be_bytes().into()));
        if !matches!(world.bug, Some(Bug::DropsPreconditions)) {
            let key = COUNT.to_vec();
            change.preconditions.push(Precondition { key, revision });
        }
        match storage.commit(change).await {
            Err(CommitError::Conflict) => {}
            outcome => return outcome,
        }
    }
}

/// The life of a storage that some use at once; everything that must hold at its end is checked.
fn live(fault: Option<Fault>, bug: Option<Bug>) {
    let world = Arc::new(World {
        fault,
        bug,
        ..World::default()
    });
    let companion = Arc::new(Shared(world.clone()));
    let storage = Arc::new(Embedded::open(Shared(world.clone()), companion).unwrap());
    let outcomes = Arc::new(Mutex::new(Outcomes::new()));
    let writers = (0..WRITERS).map(|writer| {
        let (world, storage, outcomes) = (world.clone(), storage.clone(), outcomes.clone());
        thread::spawn(move || {
            let name = |number| format!("{writer} counts {number}");
            for name in (0..CHANGES).map(name) {
                let outcome = block_on(count(&*storage, &world, &name));
                outcomes.lock().unwrap().push((name, outcome));
            }
            // Two changes that wait together keep their order; a caller that leaves takes nothing along.
            let [first, second, left] = ["first", "second", "left"].map(|word| format!("{writer} {word}"));
            let _ = storage.commit(change(&world, &left)).now_or_never();
            let (one, other) = block_on(join(
                storage.commit(change(&world, &first)),
                storage.commit(change(&world, &second)),
            ));
            if let (Ok(one), Ok(other)) = (&one, &other) {
                assert!(one < other, "{first} and {second} were exchanged");
            }
            outcomes.lock().unwrap().extend([(first, one), (second, other)]);
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.join().unwrap();
    }
    drop(storage);
    let outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
    assert_eq!(outcomes.len(), WRITERS * (CHANGES + 2), "answers");
    check(&world, &outcomes);
}

fn check(world: &World, outcomes: &Outcomes) {
    assert_eq!(
        world.is_ahead.load(SeqCst),
        0,
        "a group was written before the journal was synced"
    );
    for (name, outcome) in outcomes {
        let row = world.memory.get(name.as_bytes()).unwrap();
        match outcome {
            Ok(revision) => assert_eq!(row.map(|row| row.revision), Some(*revision), "{name}"),
            Err(CommitError::NotTried(_)) => assert_eq!(row, None, "{name}"),
            Err(CommitError::Unknown(_)) => assert!(world.fault.is_some(), "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    let rows = world.memory.scan(all, usize::MAX).unwrap();
    let (outbox, mut rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(key, _)| is_outbox(key));
    let counted = rows
        .iter()
        .position(|(key, _)| key == COUNT)
        .map(|place| rows.remove(place));
    let counts = rows
        .iter()
        .filter(|(key, _)| key.windows(6).any(|word| word == b"counts"));
    let counted = counted.map_or(0, |(_, row)| number_in(&row.value));
    assert_eq!(counted, counts.count() as u64, "a count is missing");
    rows.sort_by_key(|(_, row)| row.revision);
    let names: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
    let notes: Vec<_> = outbox
        .iter()
        .flat_map(|(_, row)| notes_in(&row.value).unwrap())
        .collect();
    assert_eq!(names, notes, "the rows in their order, and the notes in theirs");
    if world.fault.is_none() {
        assert_eq!(
            names.len(),
            WRITERS * (CHANGES + 3),
            "a change without a caller is missing"
        );
    }
}

/// Runs [`live`] under many schedules.
fn schedule(fault: Option<Fault>, bug: Option<Bug>) {
    fn run(scheduler: impl Scheduler + 'static, fault: Option<Fault>, bug: Option<Bug>) {
        let mut config = Config::new();
        config.stack_size = STACK_BYTES;
        Runner::new(scheduler, config).run(move || live(fault, bug));
    }
    run(RandomScheduler::new(SCHEDULES), fault, bug);
    run(PctScheduler::new(DEPTH, SCHEDULES), fault, bug);
}

#[test]
fn no_schedule_loses_an_answer_a_change_or_an_order() {
    schedule(None, None);
}

#[test]
fn no_schedule_makes_a_fault_lose_an_answer_a_change_or_an_order() {
    for number in 0..3 {
        for fault in [Fault::Sync(number), Fault::Write(number), Fault::Answer(number)] {
            schedule(Some(fault), None);
        }
    }
}

#[test]
fn planted_bugs_are_found() {
    for (bug, expected) in [
        (Bug::DropsPreconditions, "a count is missing"),
        (Bug::SkipsSyncs, "before the journal was synced"),
        (Bug::ExchangesNotes, "the notes in theirs"),
    ] {
        let panic = catch_unwind(|| schedule(None, Some(bug))).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains(expected), "{bug:?}: {text}");
    }
}
