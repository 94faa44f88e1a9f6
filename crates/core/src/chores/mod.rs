//! What a node does by itself, without any request. What must be done once is done by the node that has the lock.

pub(crate) mod heart;

mod drain;
mod expiry;

use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{Monotonic, limits};
use strongroom_identity::Sessions;
use strongroom_sdk::{Error, Surroundings};
use strongroom_storage::{Change, CommitError, Precondition, Revision, Storage, Unavailable};
use tokio::sync::{Notify, watch};

use crate::lock::{Fence, Lock, Move, Sight};
use crate::nodes::{Node, lock_key};

use drain::Graves;

/// The work of one node.
pub(crate) struct Chores {
    surroundings: Arc<Surroundings>,
    sessions: Sessions,
    node: Node,
    lock: Lock,
    graves: Graves,
    /// What others of this node work under that is done once; `None` while another node has the lock.
    fence: watch::Sender<Option<Fence>>,
    /// Wakes the rewrapper.
    wake: Arc<Notify>,
    /// When what has expired was cleaned up last.
    swept: Option<Monotonic>,
}

impl Chores {
    pub(crate) fn new(
        surroundings: Arc<Surroundings>,
        sessions: Sessions,
        node: Node,
        wake: Arc<Notify>,
    ) -> Self {
        let fence = Some(Fence::NONE).filter(|_| !node.is_shared());
        Self {
            fence: watch::Sender::new(fence),
            wake,
            surroundings,
            sessions,
            node,
            lock: Lock::default(),
            graves: Graves::default(),
            swept: None,
        }
    }

    /// What is to be required of work that is done once; `None` while it is not for this node to do.
    pub(crate) fn fence(&self) -> watch::Receiver<Option<Fence>> {
        self.fence.subscribe()
    }

    /// Runs until `stopped` says so, then lets others have the lock.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let pause = Duration::from(if self.node.is_shared() {
            limits::LOCK_RENEW
        } else {
            limits::EXPIRY_EVERY
        });
        loop {
            let is_over = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => true,
                () = tokio::time::sleep(pause) => false,
            };
            if is_over {
                return self.release().await;
            }
            if let Err(error) = self.turn().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what is done in the background waits for the next time"
                );
            }
        }
    }

    /// Does what is to be done, if it is for this node to do.
    async fn turn(&mut self) -> Result<(), Error> {
        let Node::OneOf(own) = self.node else {
            return expiry::sweep(&self.surroundings, &self.sessions, &Fence::NONE).await;
        };
        // All watch: whoever gets the lock then knows at once who is dead.
        let dead = self.graves.look(&self.surroundings, own).await?;
        let renewed = self.renew().await;
        self.fence.send_replace(self.lock.fence());
        renewed?;
        let Some(fence) = self.lock.fence() else {
            return Ok(());
        };
        // A walk that another node began, or that was left when its node died.
        self.wake.notify_one();
        drain::drain(&self.surroundings, own, &dead, &fence).await?;
        let now = self.surroundings.clock.monotonic();
        let every = Duration::from(limits::EXPIRY_EVERY);
        if self.swept.is_none_or(|swept| now.since(swept) >= every) {
            self.swept = Some(now);
            expiry::sweep(&self.surroundings, &self.sessions, &fence).await?;
        }
        Ok(())
    }

    /// Takes the lock, keeps it, or sees that another has it.
    async fn renew(&mut self) -> Result<(), Error> {
        let sight = look_at(&self.surroundings, lock_key().as_bytes()).await?;
        let Move::Put(expected) = self.lock.next(sight) else {
            return Ok(());
        };
        let key = lock_key().as_bytes().to_vec();
        let value = minicbor::to_vec([self.node.id()]).unwrap_or_default();
        let change = Change {
            preconditions: required(&key, expected),
            puts: vec![(key, value)],
            ..Change::default()
        };
        match self.surroundings.storage.commit(change).await {
            Ok(revision) => self.lock.has_put(Some(revision)),
            Err(CommitError::Conflict) => {} // a rival was faster
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Gives the lock up, if this node has it, so that nobody need wait for that.
    async fn release(&self) {
        let Some(required) = self.lock.fence().and_then(|fence| fence.precondition().cloned()) else {
            return;
        };
        let change = Change {
            deletes: vec![required.key.clone()],
            preconditions: vec![required],
            ..Change::default()
        };
        // If it fails, others get the lock when its time is over.
        let _ = self.surroundings.storage.commit(change).await;
    }
}

/// Looks at the row at `key`.
async fn look_at(surroundings: &Surroundings, key: &[u8]) -> Result<Sight, Unavailable> {
    let clock = &surroundings.clock;
    let asked = clock.monotonic();
    let row = surroundings.storage.get(key).await?;
    Ok(Sight {
        revision: row.map(|row| row.revision),
        asked,
        answered: clock.monotonic(),
    })
}

/// That the row at `key` has `revision`.
fn required(key: &[u8], revision: Option<Revision>) -> Vec<Precondition> {
    vec![Precondition {
        key: key.to_vec(),
        revision,
    }]
}

/// Whether nobody has taken over the lock since `fence` was got.
async fn holds(storage: &dyn Storage, fence: &Fence) -> Result<bool, Unavailable> {
    let Some(required) = fence.precondition() else {
        return Ok(true);
    };
    let row = storage.get(&required.key).await?;
    Ok(row.map(|row| row.revision) == required.revision)
}
