//! Power is lost before every step of a workload. Each time everything acknowledged must be there, and everything
//! else whole or not at all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_base::with_causes;
use strongroom_storage::{Backend as _, Failure, Group};

use crate::dice::Dice;
use crate::disk::{Disk, Image, Replay, Step, Survivors};
use crate::workload::{Rows, group, one_of, open};

/// How often one disk is used and loses its power before a new one is taken.
const LIVES: usize = 4;

/// Groups written in a life.
const GROUPS: usize = 12;

/// How to torture.
#[derive(Clone, Copy)]
pub(crate) struct Torture {
    /// The seed of the first disk; each further one has the next.
    pub(crate) seed: u64,
    /// How many losses of power to look at, at least.
    pub(crate) points: u64,
    pub(crate) bug: Option<Bug>,
}

/// A bug that a torture must find.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bug {
    /// One of so many syncs does nothing.
    SkipsSyncs(usize),
    /// A group is acknowledged before it is written.
    AcknowledgesEarly,
    /// A group is written in two commits.
    TearsGroups,
}

/// The use of a disk from one loss of power to the next.
struct Life {
    start: Image,
    trace: Vec<Step>,
    /// What was stored at the start, and after each group.
    states: Vec<Rows>,
    /// For each group after how many steps it was acknowledged.
    acknowledged: Vec<usize>,
}

impl Torture {
    /// Tortures one disk after the other, on all cores. Gives the number of losses of power that were looked at.
    ///
    /// # Errors
    /// The first thing that is wrong, with the seed of its disk.
    pub(crate) fn run(self) -> Result<u64, String> {
        let (next_seed, points) = (AtomicU64::new(self.seed), AtomicU64::new(0));
        let wrong = Mutex::new(None);
        let work = || {
            while points.load(Ordering::Relaxed) < self.points && wrong.lock().unwrap().is_none() {
                let seed = next_seed.fetch_add(1, Ordering::Relaxed);
                match self.torture_disk(seed) {
                    Ok(more) => drop(points.fetch_add(more, Ordering::Relaxed)),
                    Err(what) => {
                        *wrong.lock().unwrap() = Some(format!("STRONGROOM_TORTURE_SEED={seed}, {what}"))
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(work);
            }
        });
        wrong.into_inner().unwrap().map_or(Ok(points.into_inner()), Err)
    }

    fn torture_disk(self, seed: u64) -> Result<u64, String> {
        let (mut dice, mut points) = (Dice::new(seed), 0);
        let disk = Disk::default();
        let mut state = guarded(|| Rows::of(&open(&disk)?))?;
        let mut image = disk.live();
        for life in 0..LIVES {
            let lived = guarded(|| self.live(image, state, &mut dice))?;
            (image, state) = self
                .kill_everywhere(&lived, &mut dice, &mut points)
                .map_err(|what| format!("life {life}: {what}"))?;
        }
        Ok(points)
    }

    /// Uses a disk that has `state` on it.
    fn live(self, start: Image, state: Rows, dice: &mut Dice) -> Result<Life, Failure> {
        let disk = Disk::with(start.clone());
        let (mut states, mut acknowledged) = (vec![state.clone()], Vec::new());
        let backend = open(&disk)?;
        let mut state = state;
        for _ in 0..GROUPS {
            let before = disk.steps();
            let mut group = group(state.head, dice);
            state.apply(&group);
            if let Some(Bug::TearsGroups) = self.bug {
                let second = group.writes.split_off(&b"2"[..]);
                backend.apply(std::mem::replace(
                    &mut group,
                    Group {
                        head: state.head,
                        writes: second,
                    },
                ))?;
            }
            backend.apply(group)?;
            states.push(state.clone());
            acknowledged.push(match self.bug {
                Some(Bug::AcknowledgesEarly) => before,
                _ => disk.steps(),
            });
        }
        drop(backend); // a clean end is a part of life
        Ok(Life {
            start,
            trace: disk.take_trace(),
            states,
            acknowledged,
        })
    }

    /// Loses power before each step of `life`, in every way. Gives one of the disks that this leaves, and what is on it.
    fn kill_everywhere(
        self,
        life: &Life,
        dice: &mut Dice,
        points: &mut u64,
    ) -> Result<(Image, Rows), String> {
        let mut replay = Replay::new(&life.start, &life.trace);
        let mut next = None;
        for step in 0.. {
            let sure = life
                .acknowledged
                .iter()
                .take_while(|steps| **steps <= step)
                .count();
            let possible = &life.states[sure..life.states.len().min(sure + 2)];
            let ways = if replay.unsynced.is_empty() {
                1
            } else {
                Survivors::ALL.len()
            };
            for survivors in &Survivors::ALL[..ways] {
                *points += 1;
                let image = survivors.after(&replay.durable, &replay.unsynced, dice);
                let found = guarded(|| inspect(&Disk::with(image.clone()), possible, dice));
                let found = found.map_err(|what| format!("before step {step}, {survivors:?}: {what}"))?;
                // Each is as likely to be the one.
                if dice.below(usize::try_from(*points).unwrap()) == 0 || next.is_none() {
                    next = Some((image, found.clone()));
                }
            }
            let skips_syncs = match self.bug {
                Some(Bug::SkipsSyncs(every)) => every,
                _ => usize::MAX,
            };
            if !replay.advance(skips_syncs) {
                break;
            }
        }
        next.ok_or_else(|| "a life without a moment".to_owned())
    }
}

/// What is on `disk`, which must be one of the states `possible`, and stay so whatever happens next.
pub(crate) fn inspect<'a>(disk: &Disk, possible: &'a [Rows], dice: &mut Dice) -> Result<&'a Rows, Failure> {
    let start = disk.live();
    let backend = open(disk)?;
    let found = one_of(possible, &Rows::of(&backend)?)?;
    let recovered = disk.steps();
    let group = group(found.head, dice);
    let mut next = found.clone();
    next.apply(&group);
    backend.apply(group)?;
    let next = [found.clone(), next];
    one_of(&next[1..], &Rows::of(&backend)?)?;
    if dice.below(4) > 0 {
        return Ok(found);
    }
    // Power is lost again, while the first loss is recovered from, or in the commit after it.
    let trace = disk.take_trace();
    let step = dice.below(trace.len() + 1);
    let mut replay = Replay::new(&start, &trace[..step]);
    while replay.advance(usize::MAX) {}
    let survivors = Survivors::ALL[dice.below(Survivors::ALL.len())];
    let disk = Disk::with(survivors.after(&replay.durable, &replay.unsynced, dice));
    let possible = match step {
        _ if step == trace.len() => &next[1..],
        _ if step <= recovered => &next[..1],
        _ => &next[..],
    };
    let again = open(&disk).and_then(|backend| Rows::of(&backend));
    one_of(possible, &again?).map_err(|failure| format!("after a second loss of power: {failure}"))?;
    Ok(found)
}

/// Runs code of the engine; says what fails, or panics.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, String> {
    let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("a panic in the engine".into()));
    outcome.map_err(|failure| with_causes(&*failure))
}
