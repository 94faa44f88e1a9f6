//! What requests leave while no ledger is open: before an instance is made, and while it is sealed. No key is at hand then,
//! so these records say nothing sensitive: what was asked for, when, and that it was refused. They wait in the journal,
//! and enter the ledger when it opens.
//!
//! Anyone may knock at a sealed instance for as long as it is sealed, so only so many of them are written; the rest is
//! counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_base::{Clock, RequestId, Rng, WorkspaceId, limits};
use strongroom_secret::SecretBytes;

use crate::entry::{Entry, FieldCipher, SealError};
use crate::flood::Flood;
use crate::journal::Journal;
use crate::record::{Outcome, Record};
use crate::{LedgerError, counted};

/// Takes records while no ledger does.
pub struct Standby {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    flood: Flood,
    /// Beyond the flood's own count.
    counted: Mutex<u64>,
    /// How many more records may be written.
    room: AtomicUsize,
}

/// There is no key.
struct NoCipher;

impl FieldCipher for NoCipher {
    fn seal(&self, _: WorkspaceId, _: RequestId, _: &[u8]) -> Result<Vec<u8>, SealError> {
        Err(SealError)
    }

    fn open(&self, _: WorkspaceId, _: RequestId, _: &[u8]) -> Result<SecretBytes, SealError> {
        Err(SealError)
    }
}

impl Standby {
    /// Writes to `journal`.
    #[must_use]
    pub fn new(journal: Arc<Journal>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self {
            journal,
            clock,
            rng,
            flood: Flood::default(),
            counted: Mutex::new(0),
            room: AtomicUsize::new(limits::STANDBY_RECORDS),
        }
    }

    /// Writes what of `record` is not sensitive. When this returns, the operating system has it. Those beyond a few a second
    /// and source, and beyond [`limits::STANDBY_RECORDS`] altogether, are counted instead.
    ///
    /// # Errors
    /// [`LedgerError`]: the answer must be withheld.
    pub fn close(&self, record: &Record, outcome: Outcome) -> Result<(), LedgerError> {
        if !self.flood.admits(&record.source, self.clock.monotonic()) {
            return Ok(());
        }
        if !self.has_room() {
            *self.counted() += 1;
            return Ok(());
        }
        let bare = Record::open(record.id, record.op, record.time, "");
        self.append(&bare, outcome)
    }

    /// Writes one leaf for those that were counted, if there is room, and makes durable what was written. Blocks on files.
    ///
    /// # Errors
    /// [`LedgerError`]; they are still counted.
    pub fn settle(&self) -> Result<(), LedgerError> {
        *self.counted() += self.flood.take();
        let count = *self.counted();
        if count > 0 && self.has_room() {
            let record = counted(count, &*self.clock, &*self.rng);
            self.append(&record, Outcome::Denied)?;
            *self.counted() -= count;
        }
        Ok(self.journal.sync()?)
    }

    /// As [`Standby::settle`], and there is room for as many as at the beginning: the ledger is about to take what was
    /// written.
    ///
    /// # Errors
    /// As [`Standby::settle`].
    pub fn relieve(&self) -> Result<(), LedgerError> {
        self.room.store(limits::STANDBY_RECORDS, Ordering::Relaxed);
        self.settle()
    }

    fn append(&self, record: &Record, outcome: Outcome) -> Result<(), LedgerError> {
        let entry = Entry::seal(record, outcome, &[], &NoCipher, &*self.rng)?;
        Ok(self.journal.append_now(entry)?)
    }

    fn has_room(&self) -> bool {
        let less = |room: usize| room.checked_sub(1);
        let taken = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok()
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, u64> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_base::{ManualClock, SystemRng, Timestamp, Ttl};

    fn knock(standby: &Standby, source: &str) {
        let id = RequestId::at(Timestamp::from_millis(1), &SystemRng::default());
        let mut record = Record::open(id, "secret.read", Timestamp::from_millis(1), source);
        record.set_reason("nobody must read this");
        record.touch("apps/unnamed/A");
        standby.close(&record, Outcome::Unavailable).unwrap();
    }

    fn bytes_of(folder: &std::path::Path) -> Vec<u8> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect()
    }

    #[test]
    fn so_many_are_written_without_what_is_sensitive_and_the_rest_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let clock = Arc::new(ManualClock::default());
        let standby = Standby::new(journal.clone(), clock.clone(), Arc::new(SystemRng::default()));
        // Each second so many sources that each has a record of its own.
        let (per_second, mut sent) = (limits::REFUSAL_SOURCES, 0);
        while sent < limits::STANDBY_RECORDS + per_second {
            for source in 0..per_second {
                knock(&standby, &format!("192.0.2.{source}"));
                sent += 1;
            }
            clock.advance(Ttl::from_secs(1));
        }
        (0..7).for_each(|_| knock(&standby, "198.51.100.1"));
        standby.settle().unwrap();
        let mut waiting = journal.take();
        assert_eq!(waiting.len(), limits::STANDBY_RECORDS);
        standby.relieve().unwrap();
        waiting.extend(journal.take());
        assert_eq!(waiting.len(), limits::STANDBY_RECORDS + 1);
        let last: Vec<u8> = waiting
            .last()
            .unwrap()
            .entry
            .fragments()
            .flatten()
            .copied()
            .collect();
        let counted = sent + 7 - limits::STANDBY_RECORDS;
        let expected = format!(r#""op":"strangers.counted","outcome":"denied","n":{counted},"#);
        assert!(String::from_utf8_lossy(&last).contains(&expected), "{expected}");

        let bytes = bytes_of(folder.path());
        let written = String::from_utf8_lossy(&bytes);
        assert!(written.contains(r#""op":"secret.read","outcome":"unavailable","part":1"#));
        for sensitive in ["192.0.2", "nobody must", "apps/", "\"c\"", "sealed"] {
            assert!(!written.contains(sensitive), "{sensitive}");
        }
        knock(&standby, "203.0.113.9");
        assert_eq!(journal.take().len(), 1, "there is room again");
    }
}
