//! The journal: entries of requests that changed nothing, on their way to the log. `docs/formats/journal.md` has the
//! bytes. A frame is written before its request is answered; what is in a published tree is deleted, whole segments
//! at a time. The same entries wait in memory, so that the sequencer never reads a file.
//!
//! What was written since the last sync may be lost with the power, in any part and any order. So each sync leaves a
//! *mark* behind what it made durable, by which a start tells such a tail from damage.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_base::limits;
use strongroom_storage::Companion;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::yield_now;

use crate::entry::Entry;
use crate::files::{remove, sync_dir};

/// How every segment begins.
const MAGIC: &[u8; 8] = b"srjrnl2\n";
/// How segments begin that have no marks. They are read, and never written to.
const MAGIC_1: &[u8; 8] = b"srjrnl1\n";
/// Bytes of a frame before its body: length u32, CRC-32 u32, sequence number u64.
pub(crate) const FRAME_HEADER: usize = 16;
/// Memory that is kept for the next write. Most need less.
const FRAMES_KEPT: usize = 64 << 10;

/// Why the journal does not open, or does not take an entry.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refuses.
    #[error("the audit journal cannot be read or written")]
    Io(#[from] io::Error),
    /// Bytes that were once written are changed or gone, and more follow. Nothing was cut off.
    #[error("the audit journal's segment `{segment}` is damaged at byte {offset}")]
    Damaged {
        /// The file's name.
        segment: String,
        /// Where the first damaged frame begins.
        offset: usize,
    },
    /// Entries that the ledger has not are no longer there, or the journal is older than the ledger.
    #[error("the audit journal lacks entry {expected}, which comes next in the ledger")]
    Missing {
        /// The sequence number that the ledger continues with.
        expected: u64,
    },
    /// What is on disk is unknown since a sync failed. A restart reads what is there.
    #[error("a sync of the audit journal failed: restart the server")]
    SyncFailed,
}

impl JournalError {
    /// The error of a write once more, for each of those that shared it.
    fn again(&self) -> Self {
        match self {
            Self::Io(error) => Self::Io(match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => error.kind().into(),
            }),
            Self::Damaged { segment, offset } => Self::Damaged {
                segment: segment.clone(),
                offset: *offset,
            },
            Self::Missing { expected } => Self::Missing { expected: *expected },
            Self::SyncFailed => Self::SyncFailed,
        }
    }
}

/// The open journal.
pub struct Journal {
    dir: PathBuf,
    inner: Mutex<Inner>,
    /// Room in the queue, in bytes.
    room: Arc<Semaphore>,
}

struct Inner {
    file: Arc<File>,
    /// The first sequence numbers of the segments, oldest first; the last one is `file`.
    segments: VecDeque<u64>,
    /// Where the next frame goes in `file`.
    offset: u64,
    /// Bytes of a failed write lie behind `offset`.
    torn: bool,
    /// The sequence number of the next frame.
    next: u64,
    /// Frames below this number are durable, and a mark says so unless it could not be written.
    synced: u64,
    sync_failed: bool,
    queue: VecDeque<Pending>,
    /// Entries that the next write takes.
    waiting: Vec<Waiting>,
    /// Empty between writes: the memory for the frames of one.
    frames: Vec<u8>,
}

/// An entry that is not written yet, and whose request waits.
struct Waiting {
    entry: Entry,
    room: Option<OwnedSemaphorePermit>,
    written: oneshot::Sender<Result<(), JournalError>>,
}

/// An entry that waits for the sequencer. It takes its room in the queue until it is dropped.
pub(crate) struct Pending {
    pub(crate) number: u64,
    pub(crate) entry: Entry,
    _room: Option<OwnedSemaphorePermit>,
}

/// Makes durable what was appended. For the storage committer, which calls it before each commit.
#[derive(Clone)]
pub struct JournalSync(Arc<Journal>);

impl Companion for JournalSync {
    fn sync(&self) -> io::Result<()> {
        self.0.sync().map_err(io::Error::other)
    }
}

impl Journal {
    /// Opens the journal in `dir`, which is made if there is none. What a crash left at the end of frames that were not
    /// durable is cut off.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Io`].
    pub fn open(dir: &Path) -> Result<Arc<Self>, JournalError> {
        fs::create_dir_all(dir)?;
        let mut segments = segments(dir)?;
        if segments.is_empty() {
            create_segment(dir, 1)?;
            segments.push_back(1);
        }
        let (mut queue, mut offset, mut is_old) = (VecDeque::new(), 0, false);
        // INVARIANT: segments are not empty; zero is never used.
        let (mut next, last) = (
            segments.front().copied().unwrap_or(0),
            segments.back().copied().unwrap_or(0),
        );
        for first in &segments {
            let path = segment_path(dir, *first);
            let bytes = fs::read(&path)?;
            let decoded = decode(&bytes, *first);
            let damaged = |offset| JournalError::Damaged {
                segment: segment_name(*first),
                offset,
            };
            // Only the last segment can be torn: the others were synced before their successor was made.
            if *first != next || decoded.is_damaged || (decoded.good < bytes.len() && *first != last) {
                return Err(damaged(decoded.good));
            }
            for body in decoded.bodies {
                let entry = Entry::decode(body).map_err(|_| damaged(decoded.good))?;
                queue.push_back(Pending {
                    number: next,
                    entry,
                    _room: None,
                });
                next = next.saturating_add(1);
            }
            (offset, is_old) = (decoded.good, bytes.starts_with(MAGIC_1));
            cut_tail(&path, offset, bytes.len())?;
        }
        let file = Arc::new(OpenOptions::new().write(true).open(segment_path(dir, last))?);
        // What was read may come from memory that never reached the disk.
        file.sync_all()?;
        let mut inner = Inner {
            file,
            segments,
            offset: offset as u64,
            torn: false,
            next,
            synced: next,
            sync_failed: false,
            queue,
            waiting: Vec::new(),
            frames: Vec::new(),
        };
        if is_old || offset == 0 {
            inner.begin_segment(dir)?;
        } else if next > last {
            inner.mark();
        }
        let room = Arc::new(Semaphore::new(limits::JOURNAL_QUEUE_BYTES));
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            inner: Mutex::new(inner),
            room,
        }))
    }

    /// The handle that makes appended entries durable.
    #[must_use]
    pub fn sync_handle(self: &Arc<Self>) -> JournalSync {
        JournalSync(Arc::clone(self))
    }

    /// Appends `entry`: it is handed to the operating system when this returns. Waits while the queue is full.
    ///
    /// Requests that end at the same time share a write: the first lets the others come this far, and then writes for
    /// all.
    pub(crate) async fn append(&self, entry: Entry) -> Result<(), JournalError> {
        let bytes = entry.frame_len().min(limits::JOURNAL_QUEUE_BYTES);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        // The semaphore is never closed, so this only fails by waiting.
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.ok();
        let (written, outcome) = oneshot::channel();
        let is_first = self.lock().join(Waiting { entry, room, written });
        if is_first {
            let write = WriteAtDrop(self);
            yield_now().await;
            drop(write);
        }
        // INVARIANT: whoever is first writes, and tells everyone of it.
        let untold = |_| Err(io::Error::other("nobody wrote the entry").into());
        outcome.await.unwrap_or_else(untold)
    }

    /// Appends `entry` without waiting for room: for the sequencer, which is who makes room.
    pub(crate) fn append_now(&self, entry: Entry) -> Result<(), JournalError> {
        self.lock().write_all([(entry, None)])
    }

    /// Makes durable what was appended before this call; cheap when all of it is.
    ///
    /// # Errors
    /// Once a sync has failed, always: the kernel may have dropped the pages, and a second sync would then succeed
    /// without having written them.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        let (file, upto) = {
            let inner = self.lock();
            inner.usable()?;
            if inner.synced == inner.next {
                return Ok(());
            }
            (Arc::clone(&inner.file), inner.next)
        };
        let synced = file.sync_data();
        let mut inner = self.lock();
        match synced {
            Ok(()) if upto > inner.synced => {
                inner.synced = upto;
                inner.mark();
            }
            Ok(()) => {}
            Err(_) => inner.sync_failed = true,
        }
        Ok(synced?)
    }

    /// Forgets entries up to number `drained`, which are in the ledger.
    ///
    /// # Errors
    /// [`JournalError::Missing`] when what comes after `drained` is not all there.
    pub(crate) fn resume_after(&self, drained: u64) -> Result<(), JournalError> {
        let mut inner = self.lock();
        let expected = drained + 1;
        if inner.next < expected || inner.segments.front().is_none_or(|first| *first > expected) {
            return Err(JournalError::Missing { expected });
        }
        inner.queue.retain(|pending| pending.number > drained);
        // What another ledger took from this journal and lost is on disk all the same: a restart reads it again.
        let first = inner.queue.front().map_or(inner.next, |first| first.number);
        if first != expected {
            return Err(JournalError::Missing { expected });
        }
        Ok(())
    }

    /// The number nearest to `drained` that [`Journal::resume_after`] takes.
    pub(crate) fn nearest(&self, drained: u64) -> u64 {
        let inner = self.lock();
        let last = inner.next.saturating_sub(1);
        let first = inner
            .segments
            .front()
            .map_or(last, |first| first.saturating_sub(1));
        drained.clamp(first.min(last), last)
    }

    /// Takes every entry that waits, in order.
    pub(crate) fn take(&self) -> Vec<Pending> {
        self.lock().queue.drain(..).collect()
    }

    /// Puts what was taken and did not enter the log before all that waits.
    pub(crate) fn give_back(&self, taken: Vec<Pending>) {
        let mut inner = self.lock();
        for pending in taken.into_iter().rev() {
            inner.queue.push_front(pending);
        }
    }

    /// Starts a new segment when this one is large, and deletes segments without any entry after `drained`.
    pub(crate) fn release(&self, drained: u64) -> Result<(), JournalError> {
        let mut inner = self.lock();
        if inner.offset >= limits::JOURNAL_SEGMENT_BYTES {
            self.roll(&mut inner)?;
        }
        while inner.segments.get(1).is_some_and(|second| *second <= drained + 1) {
            if let Some(first) = inner.segments.front() {
                remove(&segment_path(&self.dir, *first))?;
            }
            inner.segments.pop_front();
        }
        Ok(())
    }

    /// Appends wait meanwhile: the old segment must be durable before the new one exists, and it nearly is.
    fn roll(&self, inner: &mut Inner) -> Result<(), JournalError> {
        inner.usable()?;
        if let Err(error) = inner.file.sync_data() {
            inner.sync_failed = true;
            return Err(error.into());
        }
        Ok(inner.begin_segment(&self.dir)?)
    }

    #[cfg(test)]
    pub(crate) fn roll_now(&self) {
        self.roll(&mut self.lock()).unwrap();
    }

    #[cfg(test)]
    pub(crate) fn break_file(&self) {
        self.lock().file = Arc::new(File::open(&self.dir).unwrap());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the entries that wait, also when the request that was to do it is gone: the others' wait on.
struct WriteAtDrop<'j>(&'j Journal);

impl Drop for WriteAtDrop<'_> {
    fn drop(&mut self) {
        self.0.lock().write_waiting();
    }
}

impl Inner {
    /// Adds `waiting` to those that the next write takes; whether it is the first of them.
    fn join(&mut self, waiting: Waiting) -> bool {
        self.waiting.push(waiting);
        self.waiting.len() == 1
    }

    /// Writes the entries that wait, and tells their requests.
    fn write_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (entries, callers): (Vec<_>, Vec<_>) = waiting
            .map(|waiting| ((waiting.entry, waiting.room), waiting.written))
            .unzip();
        let outcome = self.write_all(entries);
        for caller in callers {
            // It may be gone.
            let _ = caller.send(match &outcome {
                Ok(()) => Ok(()),
                Err(error) => Err(error.again()),
            });
        }
    }

    /// Writes `entries` in one piece, all or none, and queues them for the sequencer.
    fn write_all(
        &mut self,
        entries: impl IntoIterator<Item = (Entry, Option<OwnedSemaphorePermit>)>,
    ) -> Result<(), JournalError> {
        let mut frames = std::mem::take(&mut self.frames);
        let number = |(number, (mut entry, room)): (u64, (Entry, _))| {
            fill_header(entry.frame_mut(), number);
            frames.extend_from_slice(entry.frame_mut());
            Pending {
                number,
                entry,
                _room: room,
            }
        };
        let pending: Vec<_> = (self.next..).zip(entries).map(number).collect();
        let written = self.write(&frames);
        frames.clear();
        frames.shrink_to(FRAMES_KEPT);
        self.frames = frames;
        written?;
        self.next += pending.len() as u64;
        self.queue.extend(pending);
        Ok(())
    }

    fn usable(&self) -> Result<(), JournalError> {
        if self.sync_failed {
            Err(JournalError::SyncFailed)
        } else {
            Ok(())
        }
    }

    /// Goes on in a new segment; all frames so far are durable.
    fn begin_segment(&mut self, dir: &Path) -> io::Result<()> {
        let first = self.next;
        self.file = Arc::new(create_segment(dir, first)?);
        self.synced = first;
        self.offset = segment_head(first).len() as u64;
        if self.segments.back() != Some(&first) {
            self.segments.push_back(first);
        }
        Ok(())
    }

    /// Writes that frames below `synced` are durable. Without the mark they are all the same, and only damage to them
    /// would be told from a torn tail no more.
    fn mark(&mut self) {
        let _ = self.write(&mark(self.synced));
    }

    /// Writes `frame` whole, or leaves the file as it was. When not even that works, the next write tries again.
    fn write(&mut self, frame: &[u8]) -> Result<(), JournalError> {
        self.usable()?;
        if self.torn {
            self.file.set_len(self.offset)?;
            self.torn = false;
        }
        if let Err(error) = self.file.write_all_at(frame, self.offset) {
            self.torn = self.file.set_len(self.offset).is_err();
            return Err(error.into());
        }
        self.offset += frame.len() as u64;
        Ok(())
    }
}

/// What the bytes of a segment hold.
struct Decoded<'a> {
    bodies: Vec<&'a [u8]>,
    /// Where the whole frames end.
    good: usize,
    /// A frame that was durable is not whole: this is no torn tail.
    is_damaged: bool,
}

/// Reads the segment whose first frame has number `first`.
fn decode(bytes: &[u8], first: u64) -> Decoded<'_> {
    let has_marks = !bytes.starts_with(MAGIC_1);
    let Some(mut rest) = bytes.strip_prefix(MAGIC).or(bytes.strip_prefix(MAGIC_1)) else {
        // A crash while a segment is made leaves a part of its first bytes.
        return Decoded {
            bodies: Vec::new(),
            good: 0,
            is_damaged: !segment_head(first).starts_with(bytes) && !MAGIC_1.starts_with(bytes),
        };
    };
    let mut bodies = Vec::new();
    let mut next = first;
    while let Some(frame) = split_frame(rest) {
        match frame.number {
            number if frame.is_mark() && number <= next => {}
            number if !frame.is_mark() && number == next => {
                bodies.push(frame.body);
                next = next.saturating_add(1);
            }
            _ => break,
        }
        rest = frame.rest;
    }
    // More frames than this do not fit behind the bad one, so a number beyond is chance.
    let last = next.saturating_add((rest.len() / FRAME_HEADER) as u64);
    // Frames behind the bad one may be there although it was not durable, but for a mark that says it was.
    let tells_of_damage = |at: usize| {
        let number = rest.get(at + 8..).and_then(|number| number.first_chunk());
        number.is_some_and(|number| (next..=last).contains(&u64::from_be_bytes(*number)))
            && rest
                .get(at..)
                .and_then(split_frame)
                .is_some_and(|frame| !has_marks || frame.is_mark() && frame.number > next)
    };
    let is_damaged = (0..rest.len()).any(tells_of_damage);
    Decoded {
        bodies,
        good: bytes.len() - rest.len(),
        is_damaged,
    }
}

struct Frame<'a> {
    number: u64,
    body: &'a [u8],
    rest: &'a [u8],
}

impl Frame<'_> {
    /// Whether it says that all frames below its number are durable. (An entry is never empty.)
    fn is_mark(&self) -> bool {
        self.body.is_empty()
    }
}

/// The whole frame at the front of `bytes`.
fn split_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (length, after) = bytes.split_first_chunk::<4>()?;
    let (crc, after) = after.split_first_chunk::<4>()?;
    let (number, after) = after.split_first_chunk::<8>()?;
    let (body, rest) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let whole = crc_of(length, number, body) == u32::from_be_bytes(*crc);
    whole.then_some(Frame {
        number: u64::from_be_bytes(*number),
        body,
        rest,
    })
}

/// Writes the header of the frame `number` before its body.
fn fill_header(frame: &mut [u8], number: u64) {
    let Some((header, body)) = frame.split_first_chunk_mut::<FRAME_HEADER>() else {
        return;
    };
    // INVARIANT: an entry is far below 4 GiB; a request's paths are bounded by the size of its body.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let number = number.to_be_bytes();
    let crc = crc_of(&length, &number, body).to_be_bytes();
    let fields = length.into_iter().chain(crc).chain(number);
    header
        .iter_mut()
        .zip(fields)
        .for_each(|(byte, field)| *byte = field);
}

/// The mark that frames below `number` are durable.
fn mark(number: u64) -> [u8; FRAME_HEADER] {
    let mut frame = [0; FRAME_HEADER];
    fill_header(&mut frame, number);
    frame
}

/// How the segment begins whose first frame has number `first`.
fn segment_head(first: u64) -> Vec<u8> {
    [&MAGIC[..], &mark(first)].concat()
}

fn crc_of(length: &[u8; 4], number: &[u8; 8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(number);
    hasher.update(body);
    hasher.finalize()
}

/// A segment's file name: the number of its first frame in 16 hexadecimal digits, so that names sort like numbers.
fn segment_name(first: u64) -> String {
    format!("{first:016x}")
}

fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(segment_name(first))
}

/// The first numbers of the segments in `dir`, in order.
fn segments(dir: &Path) -> io::Result<VecDeque<u64>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let first = name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok());
        match first.filter(|first| *first > 0 && name == *segment_name(*first)) {
            Some(first) => segments.push(first),
            None => tracing::warn!(
                ?name,
                "a file in the audit journal is none of its segments; it is left alone"
            ),
        }
    }
    segments.sort_unstable();
    Ok(segments.into())
}

/// Makes an empty segment, durably.
fn create_segment(dir: &Path, first: u64) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(segment_path(dir, first))?;
    file.write_all_at(&segment_head(first), 0)?;
    file.sync_all()?;
    sync_dir(dir)?;
    Ok(file)
}

/// Cuts off the bytes behind `good`, which a crash left of a write that was never answered for.
fn cut_tail(path: &Path, good: usize, length: usize) -> io::Result<()> {
    if good == length {
        return Ok(());
    }
    tracing::warn!(segment = %path.display(), offset = good, bytes = length - good, "a torn entry at the journal's end is cut off");
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(good as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, entry_ids};
    use proptest::prelude::*;

    fn journal(dir: &Path, entries: std::ops::Range<u32>) -> Arc<Journal> {
        let journal = Journal::open(dir).unwrap();
        for number in entries {
            journal.append_now(entry(number)).unwrap();
        }
        journal
    }

    fn numbers(journal: &Journal) -> Vec<u64> {
        journal.take().iter().map(|pending| pending.number).collect()
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        drop(journal(dir.path(), 0..3));
        let journal = journal(dir.path(), 3..5);
        let pending = journal.take();
        assert_eq!(
            pending.iter().map(|pending| pending.number).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5]
        );
        assert_eq!(
            entry_ids(pending.iter().map(|pending| &pending.entry)),
            [0, 1, 2, 3, 4]
        );
    }

    #[test]
    fn a_torn_tail_is_cut_off_wherever_it_tore() {
        let dir = tempfile::tempdir().unwrap();
        drop(journal(dir.path(), 0..2));
        let path = segment_path(dir.path(), 1);
        let whole = fs::read(&path).unwrap();
        let head = segment_head(1).len();
        let one = head + (whole.len() - head) / 2;
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let kept = u64::from(length >= one);
            assert_eq!(
                numbers(&journal(dir.path(), 0..1)),
                Vec::from_iter(1..=kept + 1),
                "{length}"
            );
        }
        // A file may have grown before its bytes came.
        for zeros in [1, 16, 100] {
            fs::write(&path, [&whole[..], &vec![0; zeros]].concat()).unwrap();
            assert_eq!(numbers(&journal(dir.path(), 0..0)), [1, 2], "{zeros} zeros");
        }
    }

    #[test]
    fn damage_in_the_middle_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let durable = journal(dir.path(), 0..3);
        durable.sync().unwrap();
        durable.append_now(entry(3)).unwrap();
        drop(durable);
        let path = segment_path(dir.path(), 1);
        let whole = fs::read(&path).unwrap();
        let head = segment_head(1).len();
        let frame = (whole.len() - head - FRAME_HEADER) / 4;
        for at in (0..head + 3 * frame).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let error = Journal::open(dir.path()).err().unwrap();
            assert!(matches!(error, JournalError::Damaged { .. }), "{at}: {error}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is cut off");
        }
        // A whole frame that is gone is as bad.
        fs::write(&path, [&whole[..head], &whole[head + frame..]].concat()).unwrap();
        assert!(matches!(
            Journal::open(dir.path()),
            Err(JournalError::Damaged { .. })
        ));
    }

    /// A file of which the power cut has kept each sector or lost it since it was synced.
    fn after_power_loss(durable: &[u8], written: &[u8], kept: &[bool], length: usize) -> Vec<u8> {
        const SECTOR: usize = 512;
        let length = length.clamp(durable.len(), written.len());
        let mut bytes = durable.to_vec();
        bytes.resize(length, 0);
        for (number, sector) in bytes.chunks_mut(SECTOR).enumerate() {
            if kept.get(number % kept.len()).is_some_and(|kept| *kept) {
                let at = number * SECTOR;
                sector.copy_from_slice(&written[at..at + sector.len()]);
            }
        }
        bytes
    }

    #[test]
    fn a_segment_of_version_1_is_followed_by_one_with_marks() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment_path(dir.path(), 1), MAGIC_1).unwrap();
        assert_eq!(numbers(&journal(dir.path(), 0..2)), [1, 2]);
        assert!(fs::read(segment_path(dir.path(), 1)).unwrap().starts_with(MAGIC));
        let mut frame = entry(0).frame_mut().to_vec();
        fill_header(&mut frame, 1);
        fs::write(segment_path(dir.path(), 1), [&MAGIC_1[..], &frame].concat()).unwrap();
        assert_eq!(numbers(&journal(dir.path(), 1..2)), [1, 2]);
        assert_eq!(segments(dir.path()).unwrap(), [1, 2]);
    }

    #[test]
    fn a_missing_segment_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), 0..2);
        journal.roll_now();
        journal.append_now(entry(2)).unwrap();
        journal.roll_now();
        drop(journal);
        assert_eq!(numbers(&Journal::open(dir.path()).unwrap()), [1, 2, 3]);
        fs::remove_file(segment_path(dir.path(), 3)).unwrap();
        assert!(matches!(
            Journal::open(dir.path()),
            Err(JournalError::Damaged { .. })
        ));
    }

    #[test]
    fn segments_go_when_all_that_is_in_them_is_published() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), 0..2);
        journal.roll_now();
        journal.append_now(entry(2)).unwrap();
        journal.release(1).unwrap();
        assert!(segment_path(dir.path(), 1).exists());
        journal.release(2).unwrap();
        assert!(!segment_path(dir.path(), 1).exists());
        journal.release(3).unwrap();
        drop(journal);
        // The last segment stays, and with it the numbering.
        let journal = Journal::open(dir.path()).unwrap();
        assert!(matches!(
            journal.resume_after(1),
            Err(JournalError::Missing { expected: 2 })
        ));
        assert!(matches!(
            journal.resume_after(4),
            Err(JournalError::Missing { expected: 5 })
        ));
        journal.resume_after(2).unwrap();
        assert_eq!(numbers(&journal), [3]);
        journal.resume_after(3).unwrap();
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_and_the_next_one_works() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), 0..1);
        let path = segment_path(dir.path(), 1);
        let good = fs::read(&path).unwrap();
        let writable = std::mem::replace(&mut journal.lock().file, Arc::new(File::open(&path).unwrap()));
        assert!(matches!(journal.append_now(entry(1)), Err(JournalError::Io(_))));
        // As if half of the frame had been written, and cutting it off had failed, too.
        writable.write_all_at(&[7; 40], good.len() as u64).unwrap();
        assert!(journal.lock().torn);
        journal.lock().file = writable;
        journal.append_now(entry(2)).unwrap();
        assert!(fs::read(&path).unwrap().starts_with(&good));
        drop(journal);
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(
            entry_ids(journal.take().iter().map(|pending| &pending.entry)),
            [0, 2]
        );
    }

    #[tokio::test]
    async fn a_full_queue_makes_appends_wait() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let hold = journal
            .room
            .clone()
            .try_acquire_many_owned(limits::JOURNAL_QUEUE_BYTES as u32)
            .unwrap();
        let appending = tokio::spawn({
            let journal = Arc::clone(&journal);
            async move { journal.append(entry(0)).await }
        });
        tokio::task::yield_now().await;
        assert!(!appending.is_finished() && numbers(&journal).is_empty());
        drop(hold);
        appending.await.unwrap().unwrap();
        let taken = journal.take();
        assert!(journal.room.available_permits() < limits::JOURNAL_QUEUE_BYTES);
        drop(taken);
        assert_eq!(journal.room.available_permits(), limits::JOURNAL_QUEUE_BYTES);
    }

    /// Has `count` requests append at the same time on this thread, and drops the first `gone` before they are done.
    async fn append_together(journal: &Journal, count: u32, gone: usize) -> Vec<Result<(), JournalError>> {
        let mut appends: Vec<_> = (0..count)
            .map(|number| Box::pin(journal.append(entry(number))))
            .collect();
        for append in &mut appends {
            assert!(poll_once(append.as_mut()).await.is_none());
        }
        let mut outcomes = Vec::new();
        for append in appends.split_off(gone) {
            drop(std::mem::take(&mut appends));
            outcomes.push(append.await);
        }
        outcomes
    }

    /// What one poll of `future` gives.
    async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn requests_that_end_together_share_a_write_and_its_failure() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let outcomes = append_together(&journal, 20, 0).await;
        assert!(outcomes.len() == 20 && outcomes.iter().all(Result::is_ok));

        let writable = Arc::clone(&journal.lock().file);
        journal.break_file();
        let outcomes = append_together(&journal, 20, 0).await;
        assert!(outcomes.len() == 20 && outcomes.iter().all(Result::is_err));
        journal.lock().file = writable;
        journal.append(entry(20)).await.unwrap();
        assert_eq!(numbers(&journal), (1..=21).collect::<Vec<_>>());
        drop(journal);
        let journal = Journal::open(dir.path()).unwrap();
        let taken = journal.take();
        assert_eq!(
            entry_ids(taken.iter().map(|pending| &pending.entry)),
            (0..=20).collect::<Vec<_>>()
        );
    }

    #[tokio::test]
    async fn who_waits_for_a_request_that_is_gone_is_written_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let outcomes = append_together(&journal, 5, 2).await;
        assert!(outcomes.len() == 3 && outcomes.iter().all(Result::is_ok));
        assert_eq!(numbers(&journal), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_failed_sync_is_not_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), 0..1);
        let sync = journal.sync_handle();
        sync.sync().unwrap();
        journal.append_now(entry(1)).unwrap();
        let (unsyncable, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        journal.lock().file = Arc::new(File::from(std::os::fd::OwnedFd::from(unsyncable)));
        assert!(sync.sync().is_err());
        journal.lock().file = Arc::new(
            OpenOptions::new()
                .write(true)
                .open(segment_path(dir.path(), 1))
                .unwrap(),
        );
        assert!(sync.sync().is_err());
        assert!(matches!(
            journal.append_now(entry(2)),
            Err(JournalError::SyncFailed)
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever a power cut keeps of what was not synced: what was is there, and what is there is what was written.
        /// And whatever is damaged of what was synced: it is named.
        #[test]
        fn a_power_cut_is_told_from_damage(
            before in 0..6u32,
            synced in 1..6u32,
            after in 0..12u32,
            kept in prop::collection::vec(any::<bool>(), 1..24),
            length in 0..20_000usize,
            flipped in 0..10_000usize,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = segment_path(dir.path(), 1);
            let open = journal(dir.path(), 0..before);
            open.sync().unwrap();
            for number in before..before + synced {
                open.append_now(entry(number)).unwrap();
            }
            let durable = fs::read(&path).unwrap();
            open.sync().unwrap();
            for number in 0..after {
                open.append_now(entry(before + synced + number)).unwrap();
            }
            drop(open);
            let written = fs::read(&path).unwrap();

            fs::write(&path, after_power_loss(&durable, &written, &kept, length)).unwrap();
            let found = numbers(&Journal::open(dir.path()).unwrap());
            let (least, most) = (u64::from(before + synced), u64::from(before + synced + after));
            prop_assert!((least..=most).contains(&(found.len() as u64)), "{} of {least} to {most}", found.len());
            prop_assert_eq!(&found, &Vec::from_iter(1..=found.len() as u64));
            // What is found is durable now, and can be gone on with.
            drop(journal(dir.path(), 0..1));
            prop_assert_eq!(numbers(&Journal::open(dir.path()).unwrap()).len(), found.len() + 1);

            let mut damaged = written.clone();
            damaged[flipped % durable.len()] ^= 1;
            fs::write(&path, &damaged).unwrap();
            let is_named = matches!(Journal::open(dir.path()), Err(JournalError::Damaged { .. }));
            prop_assert!(is_named);
            prop_assert_eq!(fs::read(&path).unwrap(), damaged);
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes: Vec<u8>, first: u64, with_magic: bool) {
            let bytes = if with_magic { [MAGIC, &bytes[..]].concat() } else { bytes };
            let decoded = decode(&bytes, first);
            prop_assert!(decoded.good <= bytes.len());
            let _ = Entry::decode(&bytes);
        }

        #[test]
        fn frames_decode_as_they_were_written(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
            first in 1..u64::MAX / 2,
            cut in 0..60usize,
        ) {
            let mut bytes = MAGIC.to_vec();
            for (number, body) in (first..).zip(&bodies) {
                let mut frame = [&[0; FRAME_HEADER], &body[..]].concat();
                fill_header(&mut frame, number);
                bytes.extend(frame);
            }
            let decoded = decode(&bytes, first);
            prop_assert_eq!((&decoded.bodies, decoded.good), (&bodies.iter().map(Vec::as_slice).collect(), bytes.len()));
            let torn = decode(&bytes[..bytes.len() - cut.min(bytes.len())], first);
            prop_assert!(!torn.is_damaged);
            prop_assert_eq!(&torn.bodies[..], &decoded.bodies[..torn.bodies.len()]);
        }
    }
}
