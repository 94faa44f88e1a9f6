//! Which slots opened when they were last tried.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last trial of each slot that was tried since the start.
#[derive(Debug, Default)]
pub struct SlotHealth(Mutex<BTreeMap<u32, bool>>);

impl SlotHealth {
    /// Each slot that was tried, and whether it opened.
    #[must_use]
    pub fn all(&self) -> Vec<(u32, bool)> {
        self.trials().iter().map(|(id, is_ok)| (*id, *is_ok)).collect()
    }

    pub(super) fn of(&self, id: u32) -> Option<bool> {
        self.trials().get(&id).copied()
    }

    pub(super) fn tried(&self, id: u32, is_ok: bool) {
        self.trials().insert(id, is_ok);
    }

    /// Forgets the slots for which `is_there` is false.
    pub(super) fn keep(&self, is_there: impl Fn(u32) -> bool) {
        self.trials().retain(|id, _| is_there(*id));
    }

    fn trials(&self) -> MutexGuard<'_, BTreeMap<u32, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
