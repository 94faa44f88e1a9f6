//! The audit ledger: what a request leaves ([`Record`]), how it reaches the transparency log, and the offline verifier
//! ([`verify`]). `docs/formats/leaf.md` and `docs/formats/journal.md` have the bytes.
//!
//! A request that changes something commits its record with the change: [`Ledger::note`] gives the bytes. Any other
//! request ends with [`Ledger::close`], which appends to the journal. The sequencer drains both into the tree.
//!
//! Invariant: nothing sensitive reaches a file or storage but committed to and sealed, and a value of a secret not at all.

mod entry;
mod fields;
mod files;
mod flood;
mod generation;
mod hmac;
mod journal;
#[cfg(test)]
mod kills;
mod leaf;
mod origin;
mod reader;
mod record;
mod replay;
mod rows;
mod sequencer;
mod standby;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod witness;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_base::{Clock, NodeId, RequestId, Rng};
use strongroom_storage::{Change, Note, OutboxKey, Revision, Storage, notes_in};
use strongroom_tlog::{Checkpoint, NoteError, Signer};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use entry::{FieldCipher, Salts, SealError, SealedFields};
pub use fields::{Disclosure, DisclosureError, FieldName, Fields, LeafFacts};
pub use generation::{Birth, Predecessor, generation_of};
pub use journal::{Journal, JournalError, JournalSync};
pub use leaf::LeafFlaw;
pub use origin::{NoOrigin, Origin};
pub use reader::{Published, ReadError, Reader, verifier_key};
pub use record::{Outcome, Record};
pub use replay::{Log, ReplayError, Stand, Told, replay};
pub use rows::{RowDigest, RowMark, row_digest};
pub use sequencer::PublishError;
pub use standby::Standby;
pub use verify::{Flaw, Report, SinceError, VerifyError, verify, verify_since};
pub use witness::{Witness, WitnessError};

use entry::Entry;
pub use files::replace_file;
use files::{LedgerFiles, sync_dir, write_aside};
use flood::Flood;
use generation::set_aside;
use sequencer::Sequencer;
use tree::Tree;

/// The name of the file of the log's public key.
pub(crate) const VKEY: &str = "ledger.vkey";

/// What storage keeps of a ledger: for its newest checkpoint, and the newest outbox row that goes into this ledger and
/// no other.
pub type LedgerRowValue = Box<dyn Fn(&Checkpoint, Revision) -> Vec<u8> + Send + Sync>;

/// The row in which storage keeps what it knows of a ledger. It is put in the commit that deletes outbox rows, and only
/// if nobody else has put it meanwhile.
pub struct LedgerRow {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: LedgerRowValue,
    /// Whether other nodes may take rows of this node's outbox into their ledgers. Then they put this row, too.
    pub is_shared: bool,
}

/// What a ledger is opened with.
pub struct Config {
    /// `DATA`: the ledger is in `ledger/`, its public key in `ledger.vkey`.
    pub data_dir: PathBuf,
    /// The log's key. Its name is the log's origin.
    pub signer: Signer,
    /// What the log begins with if it is not begun and follows another, which is set aside.
    pub birth: Option<Birth>,
    /// The journal, opened before storage because storage syncs it.
    pub journal: Arc<Journal>,
    /// Whose outbox is drained.
    pub storage: Arc<dyn Storage>,
    /// Which node's.
    pub node: NodeId,
    /// What storage keeps of this ledger.
    pub row: LedgerRow,
    /// Encrypts the sensitive fields, and opens them.
    pub cipher: Arc<dyn FieldCipher>,
    /// The time of leaves that only count.
    pub clock: Arc<dyn Clock>,
    /// Entry keys.
    pub rng: Arc<dyn Rng>,
}

/// Why the ledger does not open. It is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refuses.
    #[error("the audit ledger cannot be opened")]
    Io(#[from] io::Error),
    /// A file that is needed to go on is not what its checkpoint says.
    #[error("the audit ledger is damaged")]
    Damaged(#[from] VerifyError),
    /// The journal does not continue where the ledger ends.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// `ledger.vkey` is not the public key of the signer.
    #[error("`ledger.vkey` is another key's: this is the ledger of another instance, node or generation")]
    Key,
    /// The first checkpoint cannot be signed.
    #[error("the first checkpoint cannot be signed")]
    Sign(#[from] NoteError),
}

/// Why a request has no record, so that its answer must be withheld.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The sensitive fields cannot be encrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The journal takes nothing.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// How far the published log has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The newest checkpoint. Storage that remembers a larger one is ahead of this ledger: the ledger is old.
    pub checkpoint: Checkpoint,
    /// The newest change whose record is in the log. Storage below this revision is old.
    pub outbox: Revision,
}

/// What requests and the sequencer share.
struct Shared {
    node: NodeId,
    journal: Arc<Journal>,
    flood: Flood,
    cipher: Arc<dyn FieldCipher>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// Something waits, or soon will.
    wake: Notify,
    position: watch::Sender<Position>,
}

impl Shared {
    fn position(&self) -> Position {
        self.position.borrow().clone()
    }

    fn set_position(&self, position: Position) {
        self.position.send_replace(position);
    }
}

/// A ledger that is open and whole at its edge, but not growing yet: whether ledger and storage fit together, or one
/// of them was rolled back, is for the caller to judge first.
pub struct OpenedLedger {
    shared: Arc<Shared>,
    reader: Arc<Reader>,
    sequencer: Sequencer,
}

impl OpenedLedger {
    /// How far the log has come.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared.position()
    }

    /// The published log.
    #[must_use]
    pub fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader)
    }

    /// [`Ledger::note`], before the ledger grows.
    ///
    /// # Errors
    /// [`LedgerError::Seal`].
    pub fn note(&self, record: &Record, outcome: Outcome, change: &Change) -> Result<Note, LedgerError> {
        let Shared {
            node, cipher, rng, ..
        } = &*self.shared;
        Ok(note(*node, record, outcome, change, &**cipher, &**rng)?)
    }

    /// Starts the sequencer on the current Tokio runtime.
    #[must_use]
    pub fn start(self) -> Arc<Ledger> {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(self.sequencer.run(stopped));
        Arc::new(Ledger {
            shared: self.shared,
            reader: self.reader,
            stop,
            task: Mutex::new(Some(task)),
        })
    }
}

/// The note for a change that the ledger of `node` is to take: the record of a request whose `change` is about to be
/// committed as it is.
///
/// # Errors
/// [`SealError`].
pub fn note(
    node: NodeId,
    record: &Record,
    outcome: Outcome,
    change: &Change,
    cipher: &dyn FieldCipher,
    rng: &dyn Rng,
) -> Result<Note, SealError> {
    let rows: Vec<_> = RowMark::of(change).collect();
    let bytes = Entry::seal(record, outcome, &rows, cipher, rng)?.into_bytes();
    Ok(Note { node, bytes })
}

/// The notes that take the records in the outbox row `row` of another node, which has `value`, into the ledger of
/// `node`; `None` when it is none of our rows.
#[must_use]
pub fn take_over(node: NodeId, row: OutboxKey, value: &[u8]) -> Option<Vec<Note>> {
    let notes = notes_in(value)?.into_iter();
    notes
        .map(|note| {
            let bytes = Entry::drained(note, row).ok()?;
            Some(Note { node, bytes })
        })
        .collect()
}

/// The growing ledger of one node.
pub struct Ledger {
    shared: Arc<Shared>,
    reader: Arc<Reader>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<Result<(), PublishError>>>>,
}

impl Ledger {
    /// Opens the ledger, or makes an empty one. Reads its edge back and checks it against the signed checkpoint,
    /// removes what a crash left, and skips journal entries that are in it. Blocks on files.
    ///
    /// # Errors
    /// [`OpenError`]; the ledger is not touched when it is damaged.
    pub fn open(config: Config) -> Result<OpenedLedger, OpenError> {
        let Config {
            data_dir,
            signer,
            birth,
            journal,
            storage,
            node,
            row,
            cipher,
            clock,
            rng,
        } = config;
        let dir = data_dir.join("ledger");
        if let (Some(_), Ok(key)) = (&birth, verifier_key(&data_dir))
            && key != *signer.verifier_key()
        {
            set_aside(&data_dir, &key)?;
        }
        fs::create_dir_all(&dir)?;
        write_verifier_key(&data_dir, &signer)?;
        let reader = Arc::new(Reader::new(&dir, signer.verifier_key().clone()));
        let files = LedgerFiles::new(dir);
        let mut tree = Tree::recover(&files, &signer)?;
        if let Some(birth) = birth.filter(|_| tree.edge.size() == 0) {
            tree = birth.publish(tree, &files, &signer)?;
        }
        journal.resume_after(tree.marks.j)?;
        let position = tree.position(signer.verifier_key().name());
        let shared = Arc::new(Shared {
            node,
            journal,
            flood: Flood::default(),
            cipher,
            clock,
            rng,
            wake: Notify::new(),
            position: watch::Sender::new(position),
        });
        let sequencer = Sequencer::new(Arc::clone(&shared), storage, files, signer, row, tree);
        Ok(OpenedLedger {
            shared,
            reader,
            sequencer,
        })
    }

    /// The note for [`Change::notes`]: the record of a request whose `change` is about to be committed as it is. The
    /// request's outcome is known by then, as the record exists only if the change does.
    ///
    /// A request that has noted its record must not close it as well, not even when the fate of the commit is
    /// unknown: the log would hold its id twice.
    ///
    /// # Errors
    /// [`LedgerError::Seal`].
    pub fn note(&self, record: &Record, outcome: Outcome, change: &Change) -> Result<Note, LedgerError> {
        let Shared {
            node, cipher, rng, ..
        } = &*self.shared;
        let note = note(*node, record, outcome, change, &**cipher, &**rng)?;
        self.shared.wake.notify_one();
        Ok(note)
    }

    /// Makes the ledger look at the outbox soon.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Writes the record of a request that changed nothing. When this returns, the operating system has it; it is
    /// durable with the next commit of storage, and at most a second later. Waits while too many are waiting.
    ///
    /// Requests of unknown callers beyond a few a second and source are counted instead, into one leaf.
    ///
    /// # Errors
    /// [`LedgerError`]: the answer must be withheld.
    pub async fn close(&self, record: Record, outcome: Outcome) -> Result<(), LedgerError> {
        let shared = &self.shared;
        if record.is_anonymous() && !shared.flood.admits(&record.source, shared.clock.monotonic()) {
            shared.wake.notify_one();
            return Ok(());
        }
        shared.journal.append(self.seal(&record, outcome, &[])?).await?;
        shared.wake.notify_one();
        Ok(())
    }

    /// How far the published log has come.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared.position()
    }

    /// Waits until the published log is larger than `size` leaves.
    pub async fn grown_beyond(&self, size: u64) {
        let mut position = self.shared.position.subscribe();
        // An error would be that the sender is gone, and `self` holds it.
        let _ = position
            .wait_for(|position| position.checkpoint.size > size)
            .await;
    }

    /// What opens the sensitive fields of leaves.
    #[must_use]
    pub fn cipher(&self) -> &dyn FieldCipher {
        &*self.shared.cipher
    }

    /// The published log of this node.
    #[must_use]
    pub fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader)
    }

    /// Publishes what waits and stops the sequencer. What is closed later waits in the journal for the next start.
    ///
    /// # Errors
    /// [`PublishError`] when something still waits; it is safe where it is.
    pub async fn shutdown(&self) -> Result<(), PublishError> {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        match task {
            Some(task) => task.await.map_err(|_| PublishError::Panicked)?,
            None => Ok(()),
        }
    }

    fn seal(&self, record: &Record, outcome: Outcome, rows: &[RowMark]) -> Result<Entry, SealError> {
        Entry::seal(record, outcome, rows, &*self.shared.cipher, &*self.shared.rng)
    }
}

/// The record that stands for `count` requests of strangers.
fn counted(count: u64, clock: &dyn Clock, rng: &dyn Rng) -> Record {
    let now = clock.now();
    let mut record = Record::open(RequestId::at(now, rng), "strangers.counted", now, "");
    record.counted = Some(count);
    record
}

/// Writes the public key to `ledger.vkey`, or sees that it is there already.
fn write_verifier_key(data_dir: &Path, signer: &Signer) -> Result<(), OpenError> {
    let path = data_dir.join(VKEY);
    let line = format!("{}\n", signer.verifier_key());
    match fs::read(&path) {
        Ok(written) if written == line.as_bytes() => Ok(()),
        Ok(_) => Err(OpenError::Key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_aside(&path, line.as_bytes())?;
            Ok(sync_dir(data_dir)?)
        }
        Err(error) => Err(error.into()),
    }
}
