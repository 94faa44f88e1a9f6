//! Storage inside this process: any [`Backend`] under the grouping committer, a thread of its own.
//!
//! Only the committer writes, so staging a group needs no lock. Readers go to the backend directly and never wait
//! for it. Whatever fails or panics in the backend poisons the storage: it answers [`Unavailable`] until the
//! committer has reopened the backend and read back what is really there.

use std::error::Error;
use std::ops::{Bound, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_base::limits;
use tokio::sync::oneshot;

use crate::answers::{Answer, refuse, settle};
use crate::queue::{Queue, Waiting};
use crate::recent::Recent;
use crate::stage::{Group, Stage};
use crate::sync::{AtomicU64, thread};
use crate::{Change, Changes, CommitError, Revision, Row, Storage, Unavailable};

/// Why a backend failed, for the operator's log.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Where a scan begins and ends.
pub type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// What one embedded engine does. Keys are never empty: the empty key is the backend's own.
pub trait Backend: Send + Sync + 'static {
    /// Whether a scan may wait for a disk, so that it needs a thread that may block.
    const SCANS_BLOCK: bool;

    /// The row at `key`, as of the last group applied.
    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure>;

    /// At most `limit` rows within `range`, in key order, as of one moment. The range is not inverted.
    fn scan(&self, range: (Bound<&[u8]>, Bound<&[u8]>), limit: usize)
    -> Result<Vec<(Vec<u8>, Row)>, Failure>;

    /// The keys of the rows that [`Self::scan`] gives.
    fn keys(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let rows = self.scan(range, limit)?;
        Ok(rows.into_iter().map(|(key, _)| key).collect())
    }

    /// Writes `group`, atomically and durably when it returns. After an error nothing is called but
    /// [`Self::reopen`], so a failed sync is never tried again.
    fn apply(&self, group: Group) -> Result<(), Failure>;

    /// The newest revision that is durable.
    fn head(&self) -> Result<Revision, Failure>;

    /// Gives up whatever is open and starts again from what is durable. Must not wait for readers.
    fn reopen(&self) -> Result<(), Failure>;
}

/// What must be durable no later than a group: the audit journal.
pub trait Companion: Send + Sync + 'static {
    /// Makes durable what was given to the companion before this call.
    ///
    /// # Errors
    /// The group is then not written.
    fn sync(&self) -> std::io::Result<()>;
}

/// No companion.
impl Companion for () {
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A backend as [`Storage`]. Dropping it commits what waits, then ends the committer.
pub struct Embedded<B: Backend> {
    shared: Arc<Shared<B>>,
    committer: Option<thread::JoinHandle<()>>,
}

struct Shared<B> {
    backend: B,
    companion: Arc<dyn Companion>,
    queue: Queue,
    recent: Recent,
    /// How often the backend failed and was reopened: odd while it has failed.
    health: AtomicU64,
}

/// Failures that the backend does not name itself.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("storage failed and is being reopened")]
    Poisoned,
    #[error("a panic in storage")]
    Panic,
    #[error("storage went back to revision {0:?}: acknowledged changes are gone")]
    WentBack(Revision),
}

impl<B: Backend> Embedded<B> {
    /// Starts the committer over `backend`.
    ///
    /// # Errors
    /// The backend cannot tell its revision, or there is no thread to be had.
    pub fn open(backend: B, companion: Arc<dyn Companion>) -> Result<Self, Unavailable> {
        let head = guarded(|| backend.head()).map_err(Unavailable)?;
        let (queue, recent, health) = (Queue::new(), Recent::new(head), AtomicU64::new(0));
        let shared = Arc::new(Shared {
            backend,
            companion,
            queue,
            recent,
            health,
        });
        let of_thread = Arc::clone(&shared);
        let committer = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || of_thread.run())
            .map_err(|error| Unavailable(error.into()))?;
        Ok(Self {
            shared,
            committer: Some(committer),
        })
    }
}

impl<B: Backend> Drop for Embedded<B> {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(committer) = self.committer.take() {
            let _ = committer.join(); // an error would be a panic, which the panic hook has told
        }
    }
}

#[async_trait]
impl<B: Backend> Storage for Embedded<B> {
    async fn get(&self, key: &[u8]) -> Result<Option<Row>, Unavailable> {
        self.shared.get(key)
    }

    fn get_now(&self, key: &[u8]) -> Option<Result<Option<Row>, Unavailable>> {
        Some(self.shared.get(key))
    }

    async fn scan(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, Unavailable> {
        self.scan_with(range, after, move |backend, bounds| backend.scan(bounds, limit))
            .await
    }

    async fn keys(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, Unavailable> {
        self.scan_with(range, after, move |backend, bounds| backend.keys(bounds, limit))
            .await
    }

    async fn commit(&self, change: Change) -> Result<Revision, CommitError> {
        let size = change.size()?;
        self.shared.healthy().map_err(CommitError::NotTried)?;
        let (answer, outcome) = oneshot::channel();
        self.shared.queue.push(Waiting { change, size, answer }).await;
        outcome.await.map_err(|error| Unavailable(error.into()))?
    }

    fn is_unchanged_since(&self, after: Revision) -> bool {
        !self.shared.has_failed() && self.shared.recent.head() == after
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Unavailable> {
        self.shared.healthy()?;
        Ok(self.shared.recent.after(after, limit))
    }
}

impl<B: Backend> Embedded<B> {
    async fn scan_with<T: Send + 'static>(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        scan: impl FnOnce(&B, KeyRange<'_>) -> Result<Vec<T>, Failure> + Send + 'static,
    ) -> Result<Vec<T>, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let scan = move || match bounds(&range, after.as_deref()) {
            Some(bounds) => shared.read(|backend| scan(backend, bounds)),
            None => Ok(Vec::new()),
        };
        if !B::SCANS_BLOCK {
            return scan();
        }
        tokio::task::spawn_blocking(scan)
            .await
            .map_err(|error| Unavailable(error.into()))?
    }
}

/// The keys of `range` behind `after`, without the empty one; `None` when there can be none.
fn bounds<'a>(range: &'a Range<Vec<u8>>, after: Option<&'a [u8]>) -> Option<KeyRange<'a>> {
    let (start, end) = (range.start.as_slice(), range.end.as_slice());
    let after = after.unwrap_or_default();
    let lower = if after >= start {
        Bound::Excluded(after)
    } else {
        Bound::Included(start)
    };
    (start.max(after) < end).then_some((lower, Bound::Excluded(end)))
}

/// Runs backend code; a panic is one more way to fail.
fn guarded<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // Unwind safety: after a failure the backend is reopened before anyone looks at it again.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(Cause::Panic.into()))
}

impl<B: Backend> Shared<B> {
    /// The number of reopenings so far, unless the backend has failed.
    fn healthy(&self) -> Result<u64, Unavailable> {
        let health = self.health.load(Ordering::Acquire);
        if health.is_multiple_of(2) {
            Ok(health)
        } else {
            Err(Unavailable(Cause::Poisoned.into()))
        }
    }

    fn has_failed(&self) -> bool {
        self.healthy().is_err()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Unavailable> {
        if key.is_empty() {
            return Ok(None);
        }
        self.read(|backend| backend.get(key))
    }

    /// Reads without waiting for the committer. A failure poisons too: engines refuse everything after one.
    fn read<T>(&self, look: impl FnOnce(&B) -> Result<T, Failure>) -> Result<T, Unavailable> {
        let health = self.healthy()?;
        guarded(|| look(&self.backend)).map_err(|failure| {
            self.poison(health, &*failure);
            Unavailable(failure)
        })
    }

    /// Marks the backend as failed and wakes the committer to reopen it, unless that has happened since it was
    /// `health`: a read that outlived the database it began on says nothing about the new one.
    fn poison(&self, health: u64, cause: &(dyn Error + Send + Sync + 'static)) {
        let (set, unchanged) = (Ordering::AcqRel, Ordering::Acquire);
        if self
            .health
            .compare_exchange(health, health + 1, set, unchanged)
            .is_ok()
        {
            tracing::error!(
                cause = cause as &dyn Error,
                "storage failed; it answers unavailable until reopened"
            );
            self.queue.wake();
        }
    }

    /// The committer thread.
    fn run(&self) {
        loop {
            let group = self.queue.next_group(|| self.has_failed());
            match self.healthy() {
                Ok(_) if group.is_empty() => return,
                Ok(health) => self.commit_group(group, health),
                Err(unavailable) => {
                    refuse(answers_of(group), unavailable.0);
                    if !self.recover() {
                        return;
                    }
                }
            }
        }
    }

    fn commit_group(&self, group: Vec<Waiting>, health: u64) {
        // Its failure leaves storage untouched and well; the companion keeps its own account of it.
        if let Err(failure) = guarded(|| Ok(self.companion.sync()?)) {
            return refuse(answers_of(group), failure);
        }
        let (changes, answers): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|waiting| (waiting.change, waiting.answer))
            .unzip();
        let (revisions, staged) = match guarded(|| self.stage(changes)) {
            Ok(staged) => staged,
            Err(failure) => {
                self.poison(health, &*failure);
                return refuse(answers, failure);
            }
        };
        let written = staged.map_or(Ok(()), |group| guarded(|| self.write(group)));
        if let Err(failure) = &written {
            self.poison(health, &**failure);
        }
        settle(answers, revisions, written);
    }

    /// Makes a group of `changes`, if there is anything to write; gives each one's revision, `None` for a conflict.
    fn stage(&self, changes: Vec<Change>) -> Result<(Vec<Option<Revision>>, Option<Group>), Failure> {
        let stored = |key: &[u8]| Ok(self.backend.get(key)?.map(|row| row.revision));
        let mut stage = Stage::new(self.recent.head());
        let revisions = changes
            .into_iter()
            .map(|change| stage.add(change, stored))
            .collect::<Result<_, _>>()?;
        Ok((revisions, stage.finish()))
    }

    fn write(&self, group: Group) -> Result<(), Failure> {
        let (head, keys) = (group.head, group.writes.keys().cloned().collect::<Vec<_>>());
        self.backend.apply(group)?;
        self.recent.publish(head, keys.into_iter());
        Ok(())
    }

    /// Reopens the backend, however long that takes; false when the storage is closed before it succeeds.
    fn recover(&self) -> bool {
        let mut pause = Duration::from(limits::REOPEN_PAUSE);
        while let Err(failure) = guarded(|| self.reopen()) {
            tracing::warn!(cause = &*failure as &dyn Error, "storage could not be reopened");
            if self.queue.closed_within(pause) {
                return false;
            }
            refuse(answers_of(self.queue.next_group(|| true)), Cause::Poisoned.into());
            pause = (pause * 2).min(limits::REOPEN_PAUSE_MAX.into());
        }
        tracing::info!("storage is open again");
        true
    }

    fn reopen(&self) -> Result<(), Failure> {
        self.backend.reopen()?;
        let head = self.backend.head()?;
        if head < self.recent.head() {
            return Err(Cause::WentBack(head).into());
        }
        // The group whose fate was unknown may be there: followers must not miss its keys.
        self.recent.reset(head);
        self.health.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

fn answers_of(group: Vec<Waiting>) -> impl Iterator<Item = Answer> {
    group.into_iter().map(|waiting| waiting.answer)
}
