//! What an engine does without being asked.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_barrier::{Kind, StorageKey, Stored};
use strongroom_base::{MountId, PrincipalId, SecretId, Timestamp};
use strongroom_policy::Lapse;
use strongroom_storage::Change;

use crate::{Error, IndexRow, Mount};

/// What an engine works with when nobody asks: it sees index rows and no others, and its changes have records of their
/// own.
pub struct Ground {
    any: Mount,
    mounts: Arc<dyn MountTable>,
    now: Timestamp,
}

/// Where mounts are found.
#[async_trait]
pub trait MountTable: Send + Sync {
    /// The mount with `id`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; when storage cannot answer.
    async fn find(&self, id: MountId) -> Result<Mount, Error>;
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
    /// The workspace that `any` is a mount of, with its `mounts`, at the time `now`.
    #[must_use]
    pub fn new(any: Mount, mounts: Arc<dyn MountTable>, now: Timestamp) -> Self {
        Self { any, mounts, now }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The mount with `id`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; when storage cannot answer.
    pub async fn mount(&self, id: MountId) -> Result<Mount, Error> {
        self.mounts.find(id).await
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
        Ok(self.any.view.scan(kind, &[], None, limit).await?)
    }
}
