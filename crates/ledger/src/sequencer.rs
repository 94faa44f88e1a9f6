//! The sequencer: drains the outbox and the journal into the tree, and publishes checkpoints. `docs/formats/leaf.md`
//! says what a restart can rely on.
//!
//! A publication is staged whole in memory first. Writing it is a row of steps that may each be repeated, so that a
//! retry after a failure, and a start after a crash, are the normal run.

use std::sync::Arc;

use strongroom_base::{RequestId, Timestamp, limits};
use strongroom_storage::{Change, CommitError, OUTBOX_PLANE, Revision, Storage, Unavailable, outbox_key};
use strongroom_tlog::{BundleError, Level, NoteError, Signer, TilePath, encode_entry, leaf_hash};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::entry::Entry;
use crate::files::{CHECKPOINT, LedgerFiles};
use crate::journal::{Journal, JournalError, Pending};
use crate::leaf::{Marks, finalize};
use crate::record::{Outcome, Record};
use crate::tree::Tree;
use crate::{CheckpointRow, Shared};

/// Outbox rows deleted in one commit.
const DELETES: usize = 10_000;

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
    checkpoint_row: CheckpointRow,
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
        checkpoint_row: CheckpointRow,
        tree: Tree,
    ) -> Self {
        Self {
            shared,
            storage,
            files: Arc::new(files),
            signer,
            checkpoint_row,
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
        // When the outbox cannot be read, what the journal has is published all the same.
        let staged = self.stage().await;
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

    /// Takes what waits and makes a publication of it, unless there is one already.
    pub(crate) async fn stage(&mut self) -> Result<(), PublishError> {
        if self.staged.is_some() {
            return Ok(());
        }
        self.note_counted_refusals();
        let (outbox, scanned) = match self.scan_outbox().await {
            Ok(outbox) => (outbox, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        self.taken.extend(self.shared.journal.take());
        if !outbox.is_empty() || !self.taken.is_empty() {
            self.staged = Some(Arc::new(self.build(&outbox)?));
        }
        scanned
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
        let now = clock.now();
        let mut record = Record::open(RequestId::at(now, &**rng), "strangers.counted", now, "");
        record.counted = Some(count);
        let sealed = Entry::seal(&record, Outcome::Denied, &[], &**cipher, &**rng);
        if !sealed.is_ok_and(|entry| journal.append_now(entry).is_ok()) {
            flood.give_back(count);
        }
    }

    /// The entries of outbox rows that are not in the log, by their row's number. Rows that are in it are to be
    /// forgotten.
    async fn scan_outbox(&mut self) -> Result<Vec<Drained>, PublishError> {
        self.forget.clear();
        let (mut drained, mut bytes, mut after) = (Vec::new(), 0, None);
        loop {
            let range = vec![OUTBOX_PLANE]..vec![OUTBOX_PLANE + 1];
            let page = self
                .storage
                .scan(range, after, limits::OUTBOX_PAGE)
                .await
                .map_err(PublishError::Outbox)?;
            let is_last = page.len() < limits::OUTBOX_PAGE;
            after = page.last().map(|(key, _)| key.clone());
            for (key, row) in page {
                let number = row.revision.0;
                if key != outbox_key(row.revision) {
                    return Err(PublishError::Malformed(key));
                }
                if number <= self.tree.marks.w {
                    self.forget.push(key);
                    continue;
                }
                bytes += row.value.len();
                let entries = decode_notes(&row.value).ok_or(PublishError::Malformed(key))?;
                drained.extend(entries.into_iter().map(|entry| Drained { number, entry }));
            }
            if is_last || bytes >= limits::OUTBOX_BATCH_BYTES {
                return Ok(drained);
            }
        }
    }

    /// Grows a copy of the tree by `outbox` and the journal entries that were taken.
    fn build(&self, outbox: &[Drained]) -> Result<Staged, PublishError> {
        let mut tree = self.tree.clone();
        let old_size = tree.edge.size();
        let (mut files, mut hashes, mut leaf) = (Vec::new(), Vec::new(), Vec::new());
        for (source, entry) in merge(outbox, &self.taken) {
            source.advance(&mut tree.marks, entry.time());
            for fragment in entry.fragments() {
                leaf.clear();
                finalize(&mut leaf, tree.marks, fragment);
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
        let mut outbox: Vec<_> = outbox
            .iter()
            .map(|drained| outbox_key(Revision(drained.number)))
            .collect();
        outbox.dedup();
        Ok(Staged {
            note: tree.sign_checkpoint(&self.signer)?,
            files,
            superseded: TilePath::partials(old_size)
                .filter(|path| !path.is_in(size))
                .collect(),
            outbox,
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
        while !self.is_told || !self.forget.is_empty() {
            let row = (self.checkpoint_row)(&self.shared.position().checkpoint);
            let kept = self.forget.len().saturating_sub(DELETES);
            let deletes = self.forget.get(kept..).unwrap_or_default().to_vec();
            let change = Change {
                puts: row.into_iter().collect(),
                deletes,
                ..Change::default()
            };
            if !(change.puts.is_empty() && change.deletes.is_empty()) {
                self.storage.commit(change).await.map_err(PublishError::Commit)?;
            }
            self.forget.truncate(kept);
            self.is_told = true;
        }
        Ok(())
    }

    /// [`Sequencer::publish`] on this thread, which a test can make crash; without the last step if not `tell`.
    #[cfg(test)]
    pub(crate) async fn publish_here(&mut self, tell: bool) -> Result<(), PublishError> {
        self.stage().await?;
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

/// The entries of an outbox row: each after its length, a big-endian u32. `None` when it is anything else.
pub(crate) fn decode_notes(mut notes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !notes.is_empty() {
        let (length, rest) = notes.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (note, rest) = rest.split_at_checked(length)?;
        entries.push(Entry::decode(note).ok()?);
        notes = rest;
    }
    Some(entries)
}
