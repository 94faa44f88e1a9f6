//! The sequencer: drains the outbox and the journal into the tree, and publishes checkpoints. `docs/formats/leaf.md`
//! says what a restart can rely on.
//!
//! A publication is staged whole in memory first. Writing it is a row of steps that may each be repeated, so that a
//! retry after a failure, and a start after a crash, are the normal run.

use std::sync::Arc;

use strongroom_base::{Timestamp, limits};
use strongroom_storage::{
    Change, CommitError, OutboxKey, Precondition, Revision, Storage, Unavailable, notes_in,
};
use strongroom_tlog::{BundleError, Level, NoteError, Signer, TilePath, encode_entry, leaf_hash};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::entry::Entry;
use crate::files::{CHECKPOINT, LedgerFiles};
use crate::journal::{Journal, JournalError, Pending};
use crate::leaf::{Marks, finalize};
use crate::record::Outcome;
use crate::tree::Tree;
use crate::{LedgerRow, Shared, counted};

/// Outbox rows deleted in one commit.
const DELETES: usize = 10_000;
/// Times that a commit is made anew because another node got in between.
const ATTEMPTS: usize = 5;

/// Why entries are not in the log yet. They are kept, and the next attempt takes them up.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The outbox cannot be read.
    #[error("the audit outbox cannot be read")]
    Outbox(#[source] Unavailable),
    /// Nothing of ours writes such a row.
    #[error("an outbox row is malformed (key {0:02x?}): storage was changed from outside")]
    Malformed(Vec<u8>),
    /// A file of the ledger cannot be written.
    #[error("the audit ledger cannot be written")]
    Files(#[from] std::io::Error),
    /// The journal cannot be synced or its segments not be deleted.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A leaf is too long for a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The checkpoint cannot be signed.
    #[error("the checkpoint cannot be signed")]
    Sign(#[from] NoteError),
    /// The outbox rows cannot be deleted.
    #[error("the outbox rows that the ledger holds cannot be deleted")]
    Commit(#[source] CommitError),
    /// The outbox rows cannot be claimed, so that another node might take them, too.
    #[error("the outbox rows of this node cannot be claimed for its ledger")]
    Claim(#[source] CommitError),
    /// A bug: the writing thread panicked.
    #[error("the audit ledger's writer panicked")]
    Panicked,
}

/// A publication, ready to be written.
pub(crate) struct Staged {
    tree: Tree,
    /// Its checkpoint, signed.
    note: String,
    /// Tiles and bundles that are new.
    files: Vec<(TilePath, Vec<u8>)>,
    /// Partial ones that they replace.
    superseded: Vec<TilePath>,
    /// Keys of the outbox rows that are in it.
    outbox: Vec<Vec<u8>>,
    /// Whether no other node can take those rows any more.
    is_claimed: bool,
}

impl Staged {
    /// Writes the publication. Every step may be repeated; each comment says what a crash before it leaves.
    pub(crate) fn write(&self, files: &LedgerFiles, journal: &Journal) -> Result<(), PublishError> {
        // Nothing new: the entries are in the journal and in the outbox. What the checkpoint covers must be durable
        // in the journal, too, or a frame lost there would give its number to another entry.
        journal.sync()?;
        // The same.
        files.write_tiles(&self.files)?;
        // Tiles, bundles and half-written files that no checkpoint covers. Opening removes them.
        files.write_note(CHECKPOINT, &self.note)?;
        // From here on the entries are in the log; the last leaf's marks say which. Before: superseded partial tiles,
        // which opening removes.
        files.remove(&self.superseded)?;
        // Journal segments whose entries are in the log. Opening skips the entries, the next publication deletes the
        // segments.
        journal.release(self.tree.marks.j)?;
        Ok(())
        // Outbox rows that are in the log. The next look at the outbox skips and deletes them.
    }
}

/// Who grows the tree. There is one for each ledger.
pub(crate) struct Sequencer {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    files: Arc<LedgerFiles>,
    signer: Signer,
    row: LedgerRow,
    /// The revision of that row as this node wrote or read it last; `Unknown` makes it be read again.
    seen: Seen,
    tree: Tree,
    /// Journal entries that are not in the log yet. They keep their room in the queue until they are.
    taken: Vec<Pending>,
    staged: Option<Arc<Staged>>,
    /// Keys of outbox rows that are in the log.
    forget: Vec<Vec<u8>>,
    /// Whether storage has the newest checkpoint.
    is_told: bool,
}

impl Sequencer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        storage: Arc<dyn Storage>,
        files: LedgerFiles,
        signer: Signer,
        row: LedgerRow,
        tree: Tree,
    ) -> Self {
        Self {
            shared,
            storage,
            files: Arc::new(files),
            signer,
            row,
            seen: Seen::Unknown,
            tree,
            taken: Vec::new(),
            staged: None,
            forget: Vec::new(),
            is_told: false,
        }
    }

    /// Publishes until told to stop (or until nobody can tell any more), then once more.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), PublishError> {
        loop {
            let stopping = tokio::select! {
                () = self.pause() => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            let published = self.publish().await;
            if stopping {
                // The journal outlives this ledger: the next one that opens on it must find them in its queue.
                self.shared.journal.give_back(std::mem::take(&mut self.taken));
                return published;
            }
            if let Err(error) = published {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the audit ledger is behind; it will be tried again");
            }
        }
    }

    /// Until something waits (a change's record is in the outbox only some time after it was asked for), and a
    /// moment for more to come.
    async fn pause(&self) {
        let _ = timeout(limits::OUTBOX_POLL.into(), self.shared.wake.notified()).await;
        sleep(limits::PUBLISH_PAUSE.into()).await;
    }

    /// Publishes what waits.
    pub(crate) async fn publish(&mut self) -> Result<(), PublishError> {
        // When the outbox cannot be read or claimed, what the journal has is published all the same.
        let staged = self.stage_and_claim().await;
        if let Some(staged) = &self.staged {
            let (staged, files) = (Arc::clone(staged), Arc::clone(&self.files));
            let shared = Arc::clone(&self.shared);
            let writing = tokio::task::spawn_blocking(move || staged.write(&files, &shared.journal));
            writing.await.map_err(|_| PublishError::Panicked)??;
            self.advance();
        }
        self.tell_storage().await?;
        staged
    }

    /// Stages a publication that no other node has any part of, or will have.
    async fn stage_and_claim(&mut self) -> Result<(), PublishError> {
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS {
            outcome = self.stage().await;
            match self.claim().await {
                Ok(()) => return outcome,
                Err(error) => {
                    // Another node may have taken some of the rows: they are looked at again.
                    self.staged = None;
                    let is_rival = matches!(error, CommitError::Conflict);
                    outcome = Err(PublishError::Claim(error));
                    if !is_rival {
                        break;
                    }
                }
            }
        }
        self.stage_of(Outbox::default())?;
        outcome
    }

    /// Says in storage, where other nodes take over what a dead one leaves, that the staged rows of the outbox go into
    /// this ledger. From then on they do, however often this node dies before they have.
    async fn claim(&mut self) -> Result<(), CommitError> {
        let Some(staged) = &self.staged else { return Ok(()) };
        if !self.row.is_shared || staged.is_claimed || staged.outbox.is_empty() {
            return Ok(());
        }
        let claimed = Revision(staged.tree.marks.w);
        self.put_row(claimed, Vec::new()).await?;
        if let Some(staged) = self.staged.as_mut().and_then(Arc::get_mut) {
            staged.is_claimed = true;
        }
        Ok(())
    }

    /// Puts the row of this ledger as a rival's commit has not changed it, with `deletes`.
    async fn put_row(&mut self, claimed: Revision, deletes: Vec<Vec<u8>>) -> Result<(), CommitError> {
        let revision = self.recall().await.map_err(CommitError::NotTried)?;
        let value = (self.row.value)(&self.shared.position().checkpoint, claimed);
        let key = self.row.key.clone();
        let change = Change {
            preconditions: vec![Precondition {
                key: key.clone(),
                revision,
            }],
            puts: vec![(key, value)],
            deletes,
            ..Change::default()
        };
        self.seen = Seen::Unknown;
        self.seen = Seen::At(Some(self.storage.commit(change).await?));
        Ok(())
    }

    /// The revision of the row of this ledger, as far as this node has seen it.
    async fn recall(&mut self) -> Result<Option<Revision>, Unavailable> {
        if let Seen::At(revision) = self.seen {
            return Ok(revision);
        }
        let revision = self.storage.get(&self.row.key).await?.map(|row| row.revision);
        self.seen = Seen::At(revision);
        Ok(revision)
    }

    /// Takes what waits and makes a publication of it, unless there is one already.
    pub(crate) async fn stage(&mut self) -> Result<(), PublishError> {
        if self.staged.is_some() {
            return Ok(());
        }
        self.note_counted_refusals();
        let (outbox, scanned) = match self.scan_outbox().await {
            Ok(outbox) => (outbox, Ok(())),
            Err(error) => (Outbox::default(), Err(error)),
        };
        self.stage_of(outbox)?;
        scanned
    }

    /// Makes a publication of `outbox` and of what waits in the journal, if that is anything.
    fn stage_of(&mut self, outbox: Outbox) -> Result<(), PublishError> {
        self.taken.extend(self.shared.journal.take());
        if !outbox.entries.is_empty() || !self.taken.is_empty() {
            self.staged = Some(Arc::new(self.build(outbox)?));
        }
        Ok(())
    }

    /// The leaf of refusals that were only counted goes the way of all others, through the journal.
    fn note_counted_refusals(&self) {
        let Shared {
            journal,
            flood,
            cipher,
            clock,
            rng,
            ..
        } = &*self.shared;
        let count = flood.take();
        if count == 0 {
            return;
        }
        let record = counted(count, &**clock, &**rng);
        let sealed = Entry::seal(&record, Outcome::Denied, &[], &**cipher, &**rng);
        if !sealed.is_ok_and(|entry| journal.append_now(entry).is_ok()) {
            flood.give_back(count);
        }
    }

    /// The entries of outbox rows that are not in the log, by their row's number. Rows that are in it are to be
    /// forgotten.
    async fn scan_outbox(&mut self) -> Result<Outbox, PublishError> {
        self.forget.clear();
        // Seen before the rows are: who takes some of them afterwards changes it.
        self.recall().await.map_err(PublishError::Outbox)?;
        let node = self.shared.node;
        let (mut outbox, mut bytes, mut after) = (Outbox::default(), 0, None);
        loop {
            let range = OutboxKey::all_of(node);
            let page = self
                .storage
                .scan(range, after, limits::OUTBOX_PAGE)
                .await
                .map_err(PublishError::Outbox)?;
            let is_last = page.len() < limits::OUTBOX_PAGE;
            after = page.last().map(|(key, _)| key.clone());
            for (key, row) in page {
                let number = row.revision.0;
                let expected = OutboxKey {
                    node,
                    revision: row.revision,
                };
                if OutboxKey::read(&key) != Some(expected) {
                    return Err(PublishError::Malformed(key));
                }
                if number <= self.tree.marks.w {
                    self.forget.push(key);
                    continue;
                }
                bytes += row.value.len();
                let Some(entries) = decode_notes(&row.value) else {
                    return Err(PublishError::Malformed(key));
                };
                let entries = entries.into_iter().map(|entry| Drained { number, entry });
                outbox.entries.extend(entries);
                outbox.keys.push(key);
            }
            if is_last || bytes >= limits::OUTBOX_BATCH_BYTES {
                return Ok(outbox);
            }
        }
    }

    /// Grows a copy of the tree by `outbox` and the journal entries that were taken.
    fn build(&self, outbox: Outbox) -> Result<Staged, PublishError> {
        let mut tree = self.tree.clone();
        let old_size = tree.edge.size();
        let (mut files, mut hashes, mut leaf) = (Vec::new(), Vec::new(), Vec::new());
        for (source, entry) in merge(&outbox.entries, &self.taken) {
            source.advance(&mut tree.marks, entry.time());
            for fragment in entry.fragments() {
                leaf.clear();
                finalize(&mut leaf, tree.marks, entry.from(), fragment);
                encode_entry(&mut tree.bundle, &leaf)?;
                hashes.push(leaf_hash(&leaf));
                let size = old_size + hashes.len() as u64;
                if size.is_multiple_of(256) {
                    let path = TilePath::full(Level::Entries, size / 256 - 1);
                    files.push((path, std::mem::take(&mut tree.bundle)));
                }
            }
        }
        let tiles = tree.edge.append(&hashes);
        let size = tree.edge.size();
        files.extend(TilePath::partial(Level::Entries, size).map(|path| (path, tree.bundle.clone())));
        files.extend(tiles.iter().map(|tile| (tile.path(), tile.encode())));
        Ok(Staged {
            note: tree.sign_checkpoint(&self.signer)?,
            files,
            superseded: TilePath::partials(old_size)
                .filter(|path| !path.is_in(size))
                .collect(),
            outbox: outbox.keys,
            is_claimed: false,
            tree,
        })
    }

    /// The staged publication is written.
    pub(crate) fn advance(&mut self) {
        let Some(staged) = self.staged.take() else { return };
        self.tree = staged.tree.clone();
        self.taken.clear();
        self.forget.extend(staged.outbox.iter().cloned());
        self.is_told = false;
        self.shared
            .set_position(self.tree.position(self.signer.verifier_key().name()));
    }

    /// Deletes outbox rows that are in the log, and stores the checkpoint with the same commit.
    async fn tell_storage(&mut self) -> Result<(), PublishError> {
        let mut attempts = ATTEMPTS;
        while !self.is_told || !self.forget.is_empty() {
            let kept = self.forget.len().saturating_sub(DELETES);
            let deletes = self.forget.get(kept..).unwrap_or_default().to_vec();
            match self.put_row(Revision(self.tree.marks.w), deletes).await {
                Err(CommitError::Conflict) if attempts > 0 => {
                    attempts -= 1;
                    continue;
                }
                told => told.map_err(PublishError::Commit)?,
            }
            self.forget.truncate(kept);
            self.is_told = true;
        }
        Ok(())
    }

    /// [`Sequencer::publish`] on this thread, which a test can make crash; without the last step if not `tell`.
    #[cfg(test)]
    pub(crate) async fn publish_here(&mut self, tell: bool) -> Result<(), PublishError> {
        self.stage_and_claim().await?;
        if let Some(staged) = self.staged.clone() {
            staged.write(&self.files, &self.shared.journal)?;
            self.advance();
        }
        if tell { self.tell_storage().await } else { Ok(()) }
    }

    #[cfg(test)]
    pub(crate) fn staged(&self) -> Option<(Arc<Staged>, Arc<LedgerFiles>)> {
        self.staged
            .clone()
            .map(|staged| (staged, Arc::clone(&self.files)))
    }
}

/// What is known of the row of a ledger.
enum Seen {
    /// It must be read.
    Unknown,
    /// This is its revision, or there is none, unless a rival has changed that.
    At(Option<Revision>),
}

/// Rows of the outbox that are not in the log.
#[derive(Default)]
struct Outbox {
    entries: Vec<Drained>,
    keys: Vec<Vec<u8>>,
}

/// An entry of the outbox row `number`.
struct Drained {
    number: u64,
    entry: Entry,
}

/// Where an entry comes from.
#[derive(Clone, Copy)]
enum Source {
    Outbox(u64),
    Journal(u64),
}

impl Source {
    /// Moves `marks` on to an entry from here of the time `time`.
    fn advance(self, marks: &mut Marks, time: Timestamp) {
        match self {
            Source::Outbox(number) => marks.w = number,
            Source::Journal(number) => marks.j = number,
        }
        marks.t = marks.t.max(time.as_millis());
    }
}

/// Merges both sources by time. Each keeps its own order, whatever its times, so that a mark covers all before it.
fn merge<'a>(outbox: &'a [Drained], journal: &'a [Pending]) -> impl Iterator<Item = (Source, &'a Entry)> {
    let mut outbox = outbox
        .iter()
        .map(|drained| (Source::Outbox(drained.number), &drained.entry))
        .peekable();
    let mut journal = journal
        .iter()
        .map(|pending| (Source::Journal(pending.number), &pending.entry))
        .peekable();
    std::iter::from_fn(move || match (outbox.peek(), journal.peek()) {
        (Some((_, change)), Some((_, other))) if other.time() < change.time() => journal.next(),
        (Some(_), _) => outbox.next(),
        (None, _) => journal.next(),
    })
}

/// The entries of an outbox row. `None` when it is anything else.
pub(crate) fn decode_notes(row: &[u8]) -> Option<Vec<Entry>> {
    let notes = notes_in(row)?.into_iter();
    notes.map(|note| Entry::decode(note).ok()).collect()
}
