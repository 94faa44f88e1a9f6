//! An operation of the disk fails, or that and all after it. Storage must answer what is right or that it is
//! unavailable, come back when the disk does, and lose nothing acknowledged, even if power is lost next.

use std::sync::Arc;
use std::time::Duration;

use strongroom_storage::{Backend as _, Change, CommitError, Embedded, Failure, Group, Storage, Unavailable};

use crate::dice::Dice;
use crate::disk::{Disk, Fault, Image, Replay, Step, Survivors};
use crate::power::{guarded, inspect};
use crate::workload::{Rows, group, one_of, open};

/// Groups written to the disk while it is well, and then while it fails.
const GROUPS: usize = 12;

/// How often storage is asked whether it is back.
const PATIENCE: usize = 20_000;

/// A disk at the end of its use.
struct Wreck {
    trace: Vec<Step>,
    /// What may be on it.
    possible: Vec<Rows>,
}

impl Wreck {
    fn of(disk: &Disk, possible: Vec<Rows>) -> Self {
        let trace = disk.take_trace();
        Self { trace, possible }
    }
}

/// Lets each operation of a workload fail, one after the other. Gives their number.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn fail_everywhere(seed: u64, is_lasting: bool) -> Result<u64, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (start, state) = guarded(|| used_disk(seed))?;
    for left in 0.. {
        let disk = Disk::with(start.clone());
        disk.plant(Fault { left, is_lasting });
        let wreck = runtime.block_on(use_disk(&disk, &state, seed));
        let wreck = wreck.map_err(|failure| format!("operation {left} fails: {failure}"))?;
        if disk.is_spared() {
            return Ok(left);
        }
        let mut replay = Replay::new(&start, &wreck.trace);
        while replay.advance(usize::MAX) {}
        for survivors in Survivors::ALL {
            let dice = &mut Dice::new(left);
            let disk = Disk::with(survivors.after(&replay.durable, &replay.unsynced, dice));
            guarded(|| inspect(&disk, &wreck.possible, dice).map(drop))
                .map_err(|what| format!("operation {left} fails, then power, {survivors:?}: {what}"))?;
        }
    }
    Err("the workload never ends".to_owned())
}

fn used_disk(seed: u64) -> Result<(Image, Rows), Failure> {
    let (disk, dice) = (Disk::default(), &mut Dice::new(seed));
    let backend = open(&disk)?;
    for _ in 0..GROUPS {
        backend.apply(group(backend.head()?, dice))?;
    }
    let state = Rows::of(&backend)?;
    drop(backend);
    Ok((disk.live(), state))
}

/// Uses `disk`, which has `state` on it, to the end or until it fails for good.
async fn use_disk(disk: &Disk, state: &Rows, seed: u64) -> Result<Wreck, Failure> {
    let mut possible = vec![state.clone()];
    let backend = match open(disk) {
        Err(_) if disk.fails() => return Ok(Wreck::of(disk, possible)),
        Err(_) => open(disk)?,
        Ok(backend) => backend,
    };
    let Ok(storage) = Embedded::open(backend, Arc::new(())) else {
        return Ok(Wreck::of(disk, possible));
    };
    let dice = &mut Dice::new(!seed);
    for _ in 0..GROUPS {
        let state = possible.swap_remove(0);
        possible = write(&storage, disk, state, dice).await?;
        if disk.fails() {
            break;
        }
    }
    // Before storage is closed: what is missing must not be made up for by a clean end.
    Ok(Wreck::of(disk, possible))
}

/// Writes a group upon `state`. Gives what may be stored then; one state unless the disk fails for good.
async fn write(
    storage: &dyn Storage,
    disk: &Disk,
    state: Rows,
    dice: &mut Dice,
) -> Result<Vec<Rows>, Failure> {
    let group = group(state.head, dice);
    let mut next = state.clone();
    next.apply(&group);
    let possible = match storage.commit(change(group)).await {
        Ok(revision) if revision == next.head => vec![next],
        Err(CommitError::NotTried(_)) => vec![state],
        Err(CommitError::Unknown(_)) => vec![state, next],
        outcome => return Err(format!("a commit ends with {outcome:?}").into()),
    };
    for _ in 0..PATIENCE {
        match stored(storage).await {
            Ok(found) => return Ok(vec![one_of(&possible, &found)?.clone()]),
            Err(_) if disk.fails() => return Ok(possible),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    Err("storage does not come back".into())
}

fn change(group: Group) -> Change {
    let mut change = Change::default();
    for (key, row) in group.writes {
        match row {
            Some(row) => change.puts.push((key, row.value)),
            None => change.deletes.push(key),
        }
    }
    change
}

async fn stored(storage: &dyn Storage) -> Result<Rows, Unavailable> {
    let rows = storage.scan(vec![]..vec![u8::MAX], None, usize::MAX).await?;
    Ok(Rows::new(strongroom_storage::head(storage).await?, rows))
}
