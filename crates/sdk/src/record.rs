//! The audit record of a request while it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_ledger::{Ledger, Outcome, Record};
use strongroom_storage::{Change, Note};

use crate::Error;

/// A request's audit record, shared by the gate and the permit. It enters the ledger once: noted with a change, or
/// closed without one.
#[derive(Clone)]
pub struct RequestRecord(Arc<Mutex<State>>);

struct State {
    /// Gone once the ledger has it.
    record: Option<Record>,
    /// It went with a change whose fate is its own.
    noted: bool,
}

impl RequestRecord {
    /// A record that has been opened.
    #[must_use]
    pub fn new(record: Record) -> Self {
        Self(Arc::new(Mutex::new(State {
            record: Some(record),
            noted: false,
        })))
    }

    /// Adds to the record.
    pub fn add(&self, add: impl FnOnce(&mut Record)) {
        self.state().record.as_mut().map(add);
    }

    /// The record as a note of `change`, which is about to be committed.
    pub(crate) fn note(&self, ledger: &Ledger, outcome: Outcome, change: &Change) -> Result<Note, Error> {
        let mut state = self.state();
        let record = state
            .record
            .as_ref()
            .ok_or_else(|| Error::internal("the request's record is closed"))?;
        let note = ledger
            .note(record, outcome, change)
            .map_err(|error| Error::AuditUnavailable(error.into()))?;
        state.noted = true;
        Ok(note)
    }

    /// The change was refused or not tried, and so was the note with it.
    pub(crate) fn take_back(&self) {
        self.state().noted = false;
    }

    /// Writes the record of a request that changed nothing. Does nothing when the record went with a change.
    ///
    /// # Errors
    /// [`Error::AuditUnavailable`]: the answer must be withheld.
    pub async fn close(&self, ledger: &Ledger, outcome: Outcome) -> Result<(), Error> {
        let record = {
            let mut state = self.state();
            if state.noted { None } else { state.record.take() }
        };
        match record {
            Some(record) => ledger
                .close(record, outcome)
                .await
                .map_err(|error| Error::AuditUnavailable(error.into())),
            None => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
