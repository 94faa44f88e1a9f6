//! The background loop that takes the steps of a rewrap, one commit after the other, and goes on where a crash ended it.

use std::sync::Arc;
use std::time::Duration;

use strongroom_barrier::{Rewrap, Stored, View};
use strongroom_base::limits;
use strongroom_sdk::{Error, Surroundings};
use tokio::sync::{Notify, watch};

use crate::internal;
use crate::lock::Fence;

/// Who takes the steps. There is one for each node; if nodes share a storage, that of the node works that has the lock.
pub(crate) struct Rewrapper {
    surroundings: Arc<Surroundings>,
    /// Of the system workspace.
    view: View,
    wake: Arc<Notify>,
    /// What each step requires; `None` while another node has the lock.
    fence: watch::Receiver<Option<Fence>>,
}

/// The walk as this node knows it.
struct Walk {
    stored: Stored<Rewrap>,
    /// Steps that changed nothing are not committed, so it may be further than what is stored.
    progress: Rewrap,
    /// Rows that the next step takes: fewer after a conflict with a write.
    rows: usize,
}

impl Rewrapper {
    pub(crate) fn new(
        surroundings: Arc<Surroundings>,
        view: View,
        wake: Arc<Notify>,
        fence: watch::Receiver<Option<Fence>>,
    ) -> Self {
        Self {
            surroundings,
            view,
            wake,
            fence,
        }
    }

    /// The walk that is not over, if there is one.
    async fn unfinished(&self) -> Result<Option<Walk>, Error> {
        let stored = self.view.get::<Rewrap>(&Rewrap::key()).await?;
        let running = stored.filter(|stored| stored.record.ended.is_none());
        Ok(running.map(|stored| Walk {
            progress: stored.record.clone(),
            stored,
            rows: limits::REWRAP_ROWS,
        }))
    }

    /// Takes the next step; gives the walk unless that was the last.
    async fn step(&self, walk: Walk, fence: &Fence) -> Result<Option<Walk>, Error> {
        let Walk {
            stored,
            progress,
            rows,
        } = walk;
        let now = self.surroundings.clock.now();
        let step = self.surroundings.barrier.rewrap(&progress, now, rows).await?;
        if step.change.puts.is_empty() && step.progress.ended.is_none() {
            return Ok(Some(Walk {
                stored,
                progress: step.progress,
                rows,
            }));
        }
        let (mut change, key) = (step.change, Rewrap::key());
        self.view.expect(&mut change, &key, Some(stored.revision));
        self.view.put(&mut change, &key, &step.progress)?;
        fence.guard(&mut change);
        let by = Some(step.progress.by);
        match internal::commit(&self.surroundings, "keys.rewrap", by, change).await {
            Ok(()) => Ok(self.unfinished().await?.map(|walk| Walk {
                rows: (rows * 2).min(limits::REWRAP_ROWS),
                ..walk
            })),
            // Some row was written meanwhile, with the newest key. With fewer rows in a step that happens less.
            Err(Error::Conflict(_)) => Ok(self.unfinished().await?.map(|walk| Walk {
                rows: (rows / 2).max(1),
                ..walk
            })),
            Err(error) => Err(error),
        }
    }

    /// Walks until the walk is over, or `stopped` says so.
    async fn work(&self, stopped: &watch::Receiver<bool>) -> Result<(), Error> {
        let mut walk = self.unfinished().await?;
        while let Some(going_on) = walk.take().filter(|_| !*stopped.borrow()) {
            let Some(fence) = self.fence.borrow().clone() else {
                return Ok(()); // another node goes on
            };
            let (began, before) = (self.surroundings.clock.monotonic(), going_on.progress.rewrapped);
            walk = self.step(going_on, &fence).await?;
            let took = self.surroundings.clock.monotonic().since(began);
            let rewrapped = walk
                .as_ref()
                .map_or(0, |walk| walk.progress.rewrapped.saturating_sub(before));
            rest(pause(took, rewrapped), stopped).await;
        }
        Ok(())
    }
}

/// How long requests have the processor and the committer to themselves after a step that `took` so long and sealed
/// anew so many rows. Looking alone is light: under load it takes its time anyway.
fn pause(took: Duration, rewrapped: u64) -> Duration {
    if rewrapped == 0 {
        took
    } else {
        Duration::from(limits::REWRAP_EVERY)
            .saturating_sub(took)
            .max(took / 4)
    }
}

async fn rest(pause: Duration, stopped: &watch::Receiver<bool>) {
    let mut stopped = stopped.clone();
    let _ = tokio::time::timeout(pause, stopped.wait_for(|stopped| *stopped)).await;
}

/// Runs until `stopped` says so.
pub(crate) async fn run(rewrapper: Rewrapper, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = rewrapper.work(&stopped).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the rewrap waits: old keys stay until it is over"
            );
        }
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = rewrapper.wake.notified() => {}
            // It failed, or another node was asked for it, or this one has got the lock.
            () = tokio::time::sleep(limits::REWRAP_LOOK.into()) => {}
        }
    }
}
