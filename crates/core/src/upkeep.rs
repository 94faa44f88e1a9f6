//! The background loop of what engines do without being asked: purging what was removed long ago, and telling what is
//! overdue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_base::{MountId, Slug, Timestamp, WorkspaceId, limits};
use strongroom_policy::Lapse;
use strongroom_sdk::{Error, Ground, Mount, MountTable, Overdue, Surroundings, Upkeep};
use tokio::sync::watch;

use crate::internal;
use crate::lock::Fence;
use crate::mounts::Mounts;

/// A secret that is overdue, for those who are told: nothing of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverdueSecret {
    /// Its id.
    pub id: String,
    /// Where it is: `apps/<host>/<name>`.
    pub path: String,
    /// Since when.
    pub due: Timestamp,
    /// Why.
    pub lapse: Lapse,
    /// The slug of who answers for it, if somebody does.
    pub owner: Option<Slug>,
}

/// All that is overdue; of more than [`limits::OVERDUE_COUNTED`] the longest overdue.
pub type OverdueList = Arc<Vec<OverdueSecret>>;

/// What the loop works with.
pub(crate) struct Upkeeper {
    surroundings: Arc<Surroundings>,
    mounts: Arc<Mounts>,
    engines: Vec<Arc<dyn Upkeep>>,
    /// What is required of what is done once; `None` while another node does that.
    fence: watch::Receiver<Option<Fence>>,
    overdue: watch::Sender<OverdueList>,
    /// The same for those who are to be told once, not by each node.
    to_tell: watch::Sender<OverdueList>,
}

impl Upkeeper {
    pub(crate) fn new(
        surroundings: Arc<Surroundings>,
        mounts: Arc<Mounts>,
        engines: Vec<Arc<dyn Upkeep>>,
        fence: watch::Receiver<Option<Fence>>,
    ) -> Self {
        Self {
            surroundings,
            mounts,
            engines,
            fence,
            overdue: watch::Sender::default(),
            to_tell: watch::Sender::default(),
        }
    }

    /// What is overdue, as of this node's last look.
    pub(crate) fn overdue(&self) -> watch::Receiver<OverdueList> {
        self.overdue.subscribe()
    }

    /// What is overdue, as of the last look of the node that does what is done once.
    pub(crate) fn to_tell(&self) -> watch::Receiver<OverdueList> {
        self.to_tell.subscribe()
    }

    /// Runs until `stopped` says so.
    pub(crate) async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut fence = self.fence.clone();
        loop {
            let is_for_others = fence.borrow_and_update().is_none();
            if let Err(error) = self.tend().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "removed secrets are not purged, nor overdue ones told, until the next look"
                );
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(Duration::from(limits::UPKEEP_EVERY)) => {}
                // It became this node's work.
                Ok(_) = fence.wait_for(Option::is_some), if is_for_others => {}
            }
        }
    }

    /// Does what is due.
    pub(crate) async fn tend(&self) -> Result<(), Error> {
        let fence = self.fence.borrow().clone();
        let any = self.mounts.by_id(WorkspaceId::DEFAULT, MountId(1)).await?;
        let mut all = Vec::new();
        for engine in &self.engines {
            let now = self.surroundings.clock.now();
            let ground = Ground::new(any.clone(), self.mounts.clone(), now);
            for overdue in engine.overdue(&ground).await? {
                all.push(self.named(overdue).await?);
            }
            let Some(fence) = &fence else {
                continue;
            };
            while let Some(mut change) = engine.purge(&ground).await? {
                fence.guard(&mut change);
                match internal::commit(&self.surroundings, "secret.purge", None, change).await {
                    // Somebody has had one back, or another node does this now.
                    Err(Error::Conflict(_)) => break,
                    done => done?,
                }
            }
        }
        let all = Arc::new(all);
        if fence.is_some() {
            publish(&self.to_tell, all.clone());
        }
        publish(&self.overdue, all);
        Ok(())
    }

    async fn named(&self, overdue: Overdue) -> Result<OverdueSecret, Error> {
        let owner = self.surroundings.directory.by_id(overdue.owner).await?;
        Ok(OverdueSecret {
            id: overdue.id.to_string(),
            path: overdue.path,
            due: overdue.due,
            lapse: overdue.lapse,
            owner: owner.map(|owner| owner.record.slug.clone()),
        })
    }
}

/// Tells of `all` where that is something new.
fn publish(to: &watch::Sender<OverdueList>, all: OverdueList) {
    to.send_if_modified(|known| {
        let is_new = *known != all;
        *known = all;
        is_new
    });
}

#[async_trait]
impl MountTable for Mounts {
    /// INVARIANT: engines have work in the default workspace only.
    async fn find(&self, id: MountId) -> Result<Mount, Error> {
        self.by_id(WorkspaceId::DEFAULT, id).await
    }
}
