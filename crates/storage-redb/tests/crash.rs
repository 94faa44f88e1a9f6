//! Power fails at every write and sync of a workload, under the real engine on a simulated disk; or one of them
//! fails and power later. What was acknowledged must be there afterwards, and nothing may be there in part.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "fixtures of tests may panic"
)]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use redb::StorageBackend;
use strongroom_storage::{Change, CommitError, Embedded, OUTBOX_PLANE, Revision, Storage};
use strongroom_storage_redb::RedbBackend;

/// A disk with a volatile cache: what was written since the last sync may or may not survive a loss of power.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platters>>);

#[derive(Debug, Default)]
struct Platters {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// What happened since the last sync.
    unsynced: Vec<Step>,
    /// Writes and syncs until the fault.
    left: Option<u64>,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Fault {
    #[default]
    PowerLoss,
    /// One write or sync fails. As with Linux, what a failed sync should have made durable still reads as written,
    /// but never becomes durable unless it is written again.
    OneError,
    /// Planted bug: the disk acknowledges syncs without doing them. The power fails all the same.
    IgnoredSyncs,
}

#[derive(Clone, Debug)]
enum Step {
    SetLen(usize),
    Write(usize, Vec<u8>),
}

impl Step {
    fn replay(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => bytes.resize(*len, 0),
            Self::Write(offset, data) => {
                bytes.resize(bytes.len().max(offset + data.len()), 0);
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
        }
    }
}

/// Which of the unsynced steps survive a loss of power.
#[derive(Clone, Copy, Debug)]
enum Survive {
    None,
    All,
    /// Some, chosen from this seed.
    Some(u64),
}

impl Disk {
    /// A disk with an empty database and a fault after so many steps.
    fn failing_after(steps: u64, fault: Fault) -> Self {
        let disk = Self::default();
        drop(disk.open().unwrap());
        let mut platters = disk.0.lock().unwrap();
        (platters.left, platters.fault) = (Some(steps), fault);
        drop(platters);
        disk
    }

    /// The disk after the power came back.
    fn power_cycled(&self, survive: Survive) -> Self {
        let platters = self.0.lock().unwrap();
        let mut bytes = platters.durable.clone();
        let mut random = match survive {
            Survive::None => 0,
            Survive::All => u64::MAX,
            Survive::Some(seed) => seed,
        };
        for step in &platters.unsynced {
            if let Survive::Some(_) = survive {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
            }
            if random >> 63 == 1 {
                step.replay(&mut bytes);
            }
        }
        let (live, durable) = (bytes.clone(), bytes);
        Self(Arc::new(Mutex::new(Platters {
            live,
            durable,
            ..Platters::default()
        })))
    }

    fn open(&self) -> io::Result<Embedded<RedbBackend>> {
        let disk = self.clone();
        let backend = RedbBackend::open_with(move || Ok(disk.clone()), 1 << 20).map_err(io::Error::other)?;
        Embedded::open(backend, Arc::new(())).map_err(io::Error::other)
    }

    fn step(&self, step: Step) -> io::Result<()> {
        let mut platters = self.0.lock().unwrap();
        platters.count_down()?;
        step.replay(&mut platters.live);
        platters.unsynced.push(step);
        Ok(())
    }
}

impl Platters {
    fn count_down(&mut self) -> io::Result<()> {
        match self.left {
            None => return Ok(()),
            Some(0) if self.fault == Fault::OneError => self.left = None,
            Some(0) => {}
            Some(left) => {
                self.left = Some(left - 1);
                return Ok(());
            }
        }
        Err(io::Error::other("planted"))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let platters = self.0.lock().unwrap();
        let found = platters
            .live
            .get(offset..offset + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(Step::SetLen(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let platters = &mut *self.0.lock().unwrap();
        let counted = platters.count_down();
        if platters.fault == Fault::IgnoredSyncs {
            return counted;
        }
        let steps = platters
            .unsynced
            .iter()
            .filter(|step| counted.is_ok() || matches!(step, Step::SetLen(_)));
        if counted.is_ok() || platters.fault == Fault::OneError {
            steps.for_each(|step| step.replay(&mut platters.durable));
            platters.unsynced.clear();
        }
        counted
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Step::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}

/// Rounds of the workload, and changes that are committed at once in each.
const ROUNDS: u32 = 6;
const AT_ONCE: u32 = 3;

/// Change `n` writes its name at two keys of its own and at one that all share, and removes a row of another.
fn change(n: u32) -> Change {
    let name = n.to_string().into_bytes();
    let keys = [format!("left {n}"), format!("right {n}"), "shared".to_owned()];
    Change {
        puts: keys.map(|key| (key.into_bytes(), name.clone())).into(),
        deletes: n
            .checked_sub(AT_ONCE)
            .map(|old| format!("right {old}").into_bytes())
            .into_iter()
            .collect(),
        note: Some(name),
        ..Change::default()
    }
}

/// What became of a run.
struct Run {
    /// Changes that were acknowledged, with their revisions.
    acknowledged: BTreeMap<u32, Revision>,
    /// Some changes failed.
    failed: bool,
    /// Open still, so that no clean end makes up for what is missing.
    _storage: Option<Embedded<RedbBackend>>,
}

async fn workload(disk: &Disk) -> Run {
    let (mut acknowledged, mut failed) = (BTreeMap::new(), false);
    let Ok(storage) = disk.open() else {
        return Run {
            acknowledged,
            failed: true,
            _storage: None,
        };
    };
    for round in 0..ROUNDS {
        let numbers = round * AT_ONCE..(round + 1) * AT_ONCE;
        let outcomes = join_all(numbers.clone().map(|n| storage.commit(change(n)))).await;
        for (n, outcome) in numbers.zip(outcomes) {
            match outcome {
                Ok(revision) => drop(acknowledged.insert(n, revision)),
                Err(CommitError::Unknown(_)) => failed = true,
                Err(error) => panic!("{error}"),
            }
        }
        // Goes on as soon as it can, which it never can without power.
        while failed && storage.get(b"shared").await.is_err() {
            if disk.0.lock().unwrap().left == Some(0) {
                return Run {
                    acknowledged,
                    failed,
                    _storage: Some(storage),
                };
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Run {
        acknowledged,
        failed,
        _storage: Some(storage),
    }
}

/// Opens `disk` and says what is wrong with it after `run`.
async fn inspect(disk: &Disk, run: &Run) -> Result<(), String> {
    let storage = disk
        .open()
        .map_err(|error| format!("{error}: {:?}", error.get_ref()))?;
    let rows = storage
        .scan(vec![]..vec![u8::MAX], None, usize::MAX)
        .await
        .map_err(|error| error.to_string())?;
    let rows = rows.into_iter().collect::<BTreeMap<_, _>>();
    let row = |key: String| rows.get(key.as_bytes());
    let mut notes = rows
        .range(vec![OUTBOX_PLANE]..vec![OUTBOX_PLANE + 1])
        .map(|(_, row)| row.value.as_slice())
        .collect::<Vec<_>>()
        .concat();
    let mut newest = None;
    for n in 0..ROUNDS * AT_ONCE {
        let (left, right) = (row(format!("left {n}")), row(format!("right {n}")));
        if let Some(revision) = run.acknowledged.get(&n)
            && left.is_none_or(|row| row.revision != *revision)
        {
            return Err(format!("lost: acknowledged change {n} is {left:?}"));
        }
        let removed = row(format!("left {}", n + AT_ONCE)).is_some();
        if right != left.filter(|_| !removed) {
            return Err(format!("torn: {left:?} and {right:?} of {n}, removed: {removed}"));
        }
        let note = [
            &(n.to_string().len() as u32).to_be_bytes(),
            n.to_string().as_bytes(),
        ]
        .concat();
        let at = notes.windows(note.len()).position(|window| window == note);
        if at.is_some() != left.is_some() {
            return Err(format!("torn: note of {n} at {at:?}, its row {left:?}"));
        }
        at.map(|at| notes.drain(at..at + note.len()));
        newest = newest.max(left.map(|row| (row.revision, row.value.clone())));
    }
    if !notes.is_empty() {
        return Err(format!("torn: notes without changes: {notes:?}"));
    }
    let shared = row("shared".to_owned()).map(|row| (row.revision, row.value.clone()));
    if shared != newest {
        return Err(format!(
            "torn: the shared row is {shared:?}, the newest {newest:?}"
        ));
    }
    let next = storage
        .commit(change(1000))
        .await
        .map_err(|error| error.to_string())?;
    let expect = Revision(newest.map_or(1, |(revision, _)| revision.0 + 1));
    if next != expect {
        return Err(format!("torn: {next:?} instead of {expect:?}"));
    }
    Ok(())
}

/// Plants `fault` after 0, 1, 2 … steps until the workload needs no more, and inspects each wreck.
async fn crash_everywhere(fault: Fault) -> Result<u64, String> {
    for steps in 0.. {
        let disk = Disk::failing_after(steps, fault);
        let run = workload(&disk).await;
        for survive in [
            Survive::None,
            Survive::All,
            Survive::Some(steps),
            Survive::Some(!steps),
        ] {
            let wreck = disk.power_cycled(survive);
            inspect(&wreck, &run)
                .await
                .map_err(|what| format!("after {steps} steps, {survive:?}: {what}"))?;
        }
        if !run.failed {
            return Ok(steps);
        }
    }
    unreachable!("the workload ends")
}

#[tokio::test]
async fn a_loss_of_power_at_any_step_loses_nothing_acknowledged_and_tears_nothing() {
    let steps = crash_everywhere(Fault::PowerLoss).await.unwrap();
    assert!(
        steps > u64::from(4 * ROUNDS),
        "a workload of {steps} steps proves little"
    );
}

#[tokio::test]
async fn after_an_error_at_any_step_storage_goes_on_and_then_survives_a_loss_of_power() {
    crash_everywhere(Fault::OneError).await.unwrap();
}

#[tokio::test]
async fn planted_bug_a_disk_that_ignores_syncs_is_found() {
    let found = crash_everywhere(Fault::IgnoredSyncs).await.unwrap_err();
    assert!(found.contains("lost: acknowledged"), "{found}");
}
