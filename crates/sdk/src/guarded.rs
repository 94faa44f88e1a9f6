//! Rows and the decisions about them.

use std::ops::Deref;

use strongroom_barrier::{Named, Record, StorageKey, Stored};
use strongroom_base::{PrincipalId, Timestamp};
use strongroom_policy::{Lapse, Lists};
use strongroom_storage::Revision;

/// A record with permission lists of its own.
pub trait Protected: Record {
    /// The lists.
    fn lists(&self) -> &Lists;
    /// Who answers for it.
    fn owner(&self) -> PrincipalId;
    /// Why it is overdue at `now`, if it is.
    fn lapse(&self, _now: Timestamp) -> Option<Lapse> {
        None
    }
}

/// A record that only says where another one is: it holds its name and ids, and never a value.
pub trait IndexRow: Named {}

/// A row that was loaded and that nobody has decided about. Only [`crate::Permit::open`] looks inside.
pub struct Guarded<T> {
    pub(crate) key: StorageKey,
    pub(crate) stored: Stored<T>,
}

/// A row that a decision opened.
pub struct Opened<T> {
    pub(crate) key: StorageKey,
    pub(crate) stored: Stored<T>,
}

impl<T> Opened<T> {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> &StorageKey {
        &self.key
    }

    /// The revision whose lists were judged: the precondition of a change that replaces it.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.stored.revision
    }

    /// The record itself.
    #[must_use]
    pub fn into_record(self) -> T {
        self.stored.record
    }
}

impl<T> Deref for Opened<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.stored.record
    }
}
