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
    overdue: watch::Sender<OverdueList>,
}

impl Upkeeper {
    pub(crate) fn new(
        surroundings: Arc<Surroundings>,
        mounts: Arc<Mounts>,
        engines: Vec<Arc<dyn Upkeep>>,
    ) -> Self {
        Self {
            surroundings,
            mounts,
            engines,
            overdue: watch::Sender::default(),
        }
    }

    /// What is overdue, as of the last look.
    pub(crate) fn overdue(&self) -> watch::Receiver<OverdueList> {
        self.overdue.subscribe()
    }

    /// Runs until `stopped` says so.
    pub(crate) async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.tend().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "removed secrets are not purged, nor overdue ones told, until the next look"
                );
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(Duration::from(limits::UPKEEP_EVERY)) => {}
            }
        }
    }

    /// Does what is due.
    pub(crate) async fn tend(&self) -> Result<(), Error> {
        let any = self.mounts.by_id(WorkspaceId::DEFAULT, MountId(1)).await?;
        let mut all = Vec::new();
        for engine in &self.engines {
            let now = self.surroundings.clock.now();
            let ground = Ground::new(any.clone(), self.mounts.clone(), now);
            for overdue in engine.overdue(&ground).await? {
                all.push(self.named(overdue).await?);
            }
            while let Some(change) = engine.purge(&ground).await? {
                match internal::commit(&self.surroundings, "secret.purge", None, change).await {
                    // Somebody has had one back.
                    Err(Error::Conflict(_)) => break,
                    done => done?,
                }
            }
        }
        let all = Arc::new(all);
        self.overdue.send_if_modified(|known| {
            let is_new = *known != all;
            *known = all;
            is_new
        });
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

#[async_trait]
impl MountTable for Mounts {
    /// INVARIANT: engines have work in the default workspace only.
    async fn find(&self, id: MountId) -> Result<Mount, Error> {
        self.by_id(WorkspaceId::DEFAULT, id).await
    }
}
