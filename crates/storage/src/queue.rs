//! The queue between the callers and the committer: bounded, in order, taken a group at a time.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use strongroom_base::limits;
use tokio::sync::Semaphore;

use crate::Change;
use crate::answers::Answer;
use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// A change whose caller waits.
pub struct Waiting {
    /// The change.
    pub change: Change,
    /// [`Change::size`] of it.
    pub size: usize,
    /// Where its outcome goes.
    pub answer: Answer,
}

/// How many of those that are `waiting`, from the first on, go into one group.
pub fn fitting<'w>(waiting: impl IntoIterator<Item = &'w Waiting>) -> usize {
    let mut bytes = 0;
    let fits = |waiting: &&Waiting| {
        bytes += waiting.size;
        bytes <= limits::GROUP_BYTES
    };
    waiting
        .into_iter()
        .take(limits::GROUP_OPS)
        .take_while(fits)
        .count()
}

pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    room: Semaphore,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let room = Semaphore::new(limits::COMMIT_QUEUE_OPS);
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            room,
        }
    }

    /// Adds `waiting` once there is room.
    pub(crate) async fn push(&self, waiting: Waiting) {
        // Nobody closes the semaphore; if someone did, the caller would see its answer dropped.
        let Ok(room) = self.room.acquire().await else {
            return;
        };
        room.forget(); // `take_group` gives it back
        self.lock().waiting.push_back(waiting);
        self.changed.notify_one();
    }

    /// Waits until something waits, `urgent` holds (looked at after each [`Self::wake`]) or the queue is closed,
    /// and takes what may go into one group. Empty: nothing waits.
    ///
    /// It never waits to fill a group. But where callers are kept from running by this thread alone, they get to add
    /// their changes first: else each would have syncs almost for itself, with the others in line behind it.
    pub(crate) fn next_group(&self, urgent: impl Fn() -> bool) -> Vec<Waiting> {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed && !urgent();
        let waited = self.changed.wait_while(self.lock(), idle);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner).waiting.len();
        for _ in 0..limits::GROUP_YIELDS {
            thread::yield_now();
            let before = std::mem::replace(&mut waiting, self.lock().waiting.len());
            if waiting == before {
                break;
            }
        }
        let mut state = self.lock();
        let group = state.take_group();
        self.room.add_permits(group.len());
        group
    }

    /// Waits for `pause`, or until the queue is closed: true.
    pub(crate) fn closed_within(&self, pause: Duration) -> bool {
        let open = |state: &mut State| !state.closed;
        let waited = self.changed.wait_timeout_while(self.lock(), pause, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Makes [`Self::next_group`] look at `urgent` again.
    pub(crate) fn wake(&self) {
        drop(self.lock()); // the committer is either before its look, or asleep: it cannot miss this
        self.changed.notify_one();
    }

    /// Ends the committer's waiting. What is in the queue can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_group(&mut self) -> Vec<Waiting> {
        let ops = fitting(&self.waiting);
        self.waiting.drain(..ops).collect()
    }
}
