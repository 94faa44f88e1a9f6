//! What an engine does without being asked.

use async_trait::async_trait;
use strongroom_barrier::{Kind, StorageKey, Stored};
use strongroom_base::{MountId, PrincipalId, SecretId, Timestamp};
use strongroom_policy::Lapse;
use strongroom_storage::Change;

use crate::{Error, IndexRow, Mount};

/// What an engine works with when nobody asks: it sees index rows and no others, and its changes have records of their
/// own.
pub struct Ground {
    mounts: Vec<Mount>,
    now: Timestamp,
}

/// A secret that is overdue, as its index row tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Its id.
    pub id: SecretId,
    /// Where it is: `apps/<host>/<name>`.
    pub path: String,
    /// Since when.
    pub due: Timestamp,
    /// Why.
    pub lapse: Lapse,
    /// Who answers for it.
    pub owner: PrincipalId,
}

/// An engine with something to do from time to time.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// A change that removes a bounded part of what is kept no longer; `None` when there is nothing to remove.
    ///
    /// # Errors
    /// When storage cannot answer.
    async fn purge(&self, ground: &Ground) -> Result<Option<Change>, Error>;

    /// What is overdue, longest first; of more than [`strongroom_base::limits::OVERDUE_COUNTED`] the first ones.
    ///
    /// # Errors
    /// When storage cannot answer.
    async fn overdue(&self, ground: &Ground) -> Result<Vec<Overdue>, Error>;
}

impl Ground {
    /// All `mounts` of a workspace, at the time `now`.
    #[must_use]
    pub fn new(mounts: Vec<Mount>, now: Timestamp) -> Self {
        Self { mounts, now }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The mount with `id`.
    #[must_use]
    pub fn mount(&self, id: MountId) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.id() == id)
    }

    /// The first index rows of `kind`, at most `limit`.
    ///
    /// # Errors
    /// When storage cannot answer or a row is damaged.
    pub async fn index<T: IndexRow>(
        &self,
        kind: Kind,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Stored<T>)>, Error> {
        match self.mounts.first() {
            Some(any) => Ok(any.view.scan(kind, &[], None, limit).await?),
            None => Ok(Vec::new()),
        }
    }
}
