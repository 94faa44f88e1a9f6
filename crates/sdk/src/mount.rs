//! A mount as an engine sees it: where things go. What is there, only a [`crate::Permit`] shows.

use std::sync::Arc;

use strongroom_barrier::{Record, StorageKey, View};
use strongroom_base::{MountId, MountUid, Name, WorkspaceId};
use strongroom_storage::{Change, Revision};

use crate::Error;

/// A mount that a request may act on. Cheap to clone.
#[derive(Clone)]
pub struct Mount {
    uid: MountUid,
    path: Arc<str>,
    pub(crate) view: View,
}

impl Mount {
    /// The mount `uid` at `path`, which holds what `view` shows.
    #[must_use]
    pub fn new(uid: MountUid, path: Arc<str>, view: View) -> Self {
        Self { uid, path, view }
    }

    /// Its id on the wire.
    #[must_use]
    pub fn uid(&self) -> MountUid {
        self.uid
    }

    /// Where it is: `apps/<host>`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its id in storage keys.
    #[must_use]
    pub fn id(&self) -> MountId {
        self.view.mount()
    }

    /// Its workspace.
    #[must_use]
    pub fn workspace(&self) -> WorkspaceId {
        self.view.workspace()
    }

    /// The place beside it, for what was removed. It has the mount's path in records of requests.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self {
            view: self.view.aside(),
            ..self.clone()
        }
    }

    /// The key of the record called `name`.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn named(&self, name: &Name) -> Result<StorageKey, Error> {
        Ok(self.view.named(name)?)
    }

    /// Requires that `key` has `revision`, or no record when `None`, as `change` is committed.
    pub fn expect(&self, change: &mut Change, key: &StorageKey, revision: Option<Revision>) {
        self.view.expect(change, key, revision);
    }

    /// Adds `record` at `key` to `change`, encrypted.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn put<T: Record>(&self, change: &mut Change, key: &StorageKey, record: &T) -> Result<(), Error> {
        Ok(self.view.put(change, key, record)?)
    }

    /// Adds the removal of `key` to `change`.
    pub fn delete(&self, change: &mut Change, key: &StorageKey) {
        self.view.delete(change, key);
    }
}
