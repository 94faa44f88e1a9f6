//! A disk with a volatile cache. It remembers every step, so that it can be told afterwards what a loss of power before
//! any of them would have left: all that was synced, and of the rest any part.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::dice::Dice;

const PAGE: usize = 4096;

/// The smallest part of a write that a disk writes whole.
pub(crate) const SECTOR: usize = 512;

/// What is on a disk. A copy shares the pages that neither writes to.
#[derive(Clone, Default)]
pub(crate) struct Image {
    len: usize,
    /// `None` is a page of zeros.
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
}

impl Image {
    fn read(&self, offset: usize, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (page, within, part) in parts(offset, out.len()) {
            let (len, zeros) = (part.len(), [0; PAGE]);
            let source = self.pages[page].as_deref().unwrap_or(&zeros);
            out[part].copy_from_slice(&source[within..within + len]);
        }
        Ok(())
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        for (page, within, part) in parts(offset, data.len()) {
            let target = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(target)[within..within + part.len()].copy_from_slice(&data[part]);
        }
    }

    fn set_len(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(PAGE), None);
        if len < self.len && !len.is_multiple_of(PAGE) {
            self.write(len, &vec![0; PAGE - len % PAGE]); // they are zeros if it grows again
        }
        self.len = len;
    }

    /// Does what is left of `step`. A write behind the end has lost the step that moved the end.
    fn replay(&mut self, step: Fragment<'_>) {
        match step {
            Fragment::SetLen(len) => self.set_len(len),
            Fragment::Write(offset, data) => {
                let room = self.len.saturating_sub(offset);
                self.write(offset, &data[..room.min(data.len())]);
            }
        }
    }
}

/// Cuts a range of bytes at the ends of pages: the page, where in it, and which of the bytes.
fn parts(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (page, within) = ((offset + done) / PAGE, (offset + done) % PAGE);
        let part = done..len.min(done + PAGE - within);
        done = part.end;
        (!part.is_empty()).then_some((page, within, part))
    })
}

/// What was asked of a disk.
#[derive(Clone)]
pub(crate) enum Step {
    SetLen(usize),
    Write(usize, Arc<[u8]>),
    Sync,
    /// As with Linux, what it should have made durable still reads as written, but never becomes durable unless it is
    /// written again.
    FailedSync,
}

/// A part of a step that reaches the disk whole or not at all.
#[derive(Clone, Copy)]
enum Fragment<'a> {
    SetLen(usize),
    Write(usize, &'a [u8]),
}

/// Cuts `steps` at every multiple of `unit` bytes.
fn fragments<'a>(steps: &'a [Step], unit: usize) -> Vec<Fragment<'a>> {
    let mut fragments = Vec::new();
    for step in steps {
        match step {
            Step::SetLen(len) => fragments.push(Fragment::SetLen(*len)),
            Step::Write(offset, data) => {
                let (mut offset, mut rest) = (*offset, &**data);
                while !rest.is_empty() {
                    let (one, more) = rest.split_at(rest.len().min(unit - offset % unit));
                    fragments.push(Fragment::Write(offset, one));
                    (offset, rest) = (offset + one.len(), more);
                }
            }
            Step::Sync | Step::FailedSync => {}
        }
    }
    fragments
}

/// What of the steps since the last sync survives a loss of power.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survivors {
    Nothing,
    Everything,
    /// What came first; the write in the middle is torn.
    First,
    /// All but one of the parts of so many bytes.
    AllBut(usize),
    /// One of the parts of so many bytes.
    Only(usize),
    /// Each part of so many bytes, or not.
    Half(usize),
}

/// A write is not torn.
const WHOLE: usize = usize::MAX;

impl Survivors {
    pub(crate) const ALL: [Self; 10] = [
        Self::Nothing,
        Self::Everything,
        Self::First,
        Self::AllBut(SECTOR),
        Self::AllBut(WHOLE),
        Self::Only(SECTOR),
        Self::Only(WHOLE),
        Self::Half(SECTOR),
        Self::Half(PAGE),
        Self::Half(WHOLE),
    ];

    /// What a disk that had `durable` on it has after power was lost, with `unsynced` in its cache.
    pub(crate) fn after(self, durable: &Image, unsynced: &[Step], dice: &mut Dice) -> Image {
        let mut image = durable.clone();
        let unit = match self {
            Self::AllBut(unit) | Self::Only(unit) | Self::Half(unit) => unit,
            Self::Nothing | Self::Everything | Self::First => SECTOR,
        };
        let fragments = fragments(unsynced, unit);
        let chosen = dice.below(fragments.len().max(1));
        for (number, fragment) in fragments.into_iter().enumerate() {
            let survives = match self {
                Self::Nothing => false,
                Self::Everything => true,
                Self::First => number < chosen,
                Self::AllBut(_) => number != chosen,
                Self::Only(_) => number == chosen,
                Self::Half(_) => dice.below(2) == 0,
            };
            if survives {
                image.replay(fragment);
            }
        }
        image
    }
}

/// A disk in use. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    live: Image,
    trace: Vec<Step>,
    fault: Option<Fault>,
}

/// Something that goes wrong, once `left` operations have gone well.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) left: u64,
    /// The operations after it fail as well.
    pub(crate) is_lasting: bool,
}

impl Disk {
    pub(crate) fn with(live: Image) -> Self {
        Self(Arc::new(Mutex::new(State {
            live,
            ..State::default()
        })))
    }

    pub(crate) fn plant(&self, fault: Fault) {
        self.lock().fault = Some(fault);
    }

    /// Whether an operation would fail now.
    pub(crate) fn fails(&self) -> bool {
        self.lock().fault.is_some_and(|fault| fault.left == 0)
    }

    /// Whether the fault is yet to come.
    pub(crate) fn is_spared(&self) -> bool {
        self.lock().fault.is_some_and(|fault| fault.left > 0)
    }

    /// What is on the disk, were everything synced.
    pub(crate) fn live(&self) -> Image {
        self.lock().live.clone()
    }

    pub(crate) fn steps(&self) -> usize {
        self.lock().trace.len()
    }

    /// The steps so far; they are forgotten.
    pub(crate) fn take_trace(&self) -> Vec<Step> {
        std::mem::take(&mut self.lock().trace)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// Counts an operation, which may be the one that fails.
    fn count(&mut self) -> io::Result<()> {
        let Some(fault) = &mut self.fault else {
            return Ok(());
        };
        if fault.left > 0 {
            fault.left -= 1;
            return Ok(());
        }
        if !fault.is_lasting {
            self.fault = None;
        }
        Err(io::Error::other("planted"))
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        self.live.write(offset, data);
        self.trace.push(Step::Write(offset, data.into()));
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Disk")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.lock();
        state.count()?;
        Ok(state.live.len as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.count()?;
        state.live.read(usize::try_from(offset).unwrap(), out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.count()?;
        let len = usize::try_from(len).unwrap();
        state.live.set_len(len);
        state.trace.push(Step::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.lock();
        let counted = state.count();
        state.trace.push(match counted {
            Ok(()) => Step::Sync,
            Err(_) => Step::FailedSync,
        });
        counted
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut state, offset) = (self.lock(), usize::try_from(offset).unwrap());
        let counted = state.count();
        let written = match counted {
            Ok(()) => data.len(),
            Err(_) => data.len() / 2,
        };
        state.write(offset, &data[..written]);
        counted
    }
}

/// What of a trace is durable, and what is not yet, step by step.
pub(crate) struct Replay<'a> {
    pub(crate) durable: Image,
    pub(crate) unsynced: Vec<Step>,
    steps: std::slice::Iter<'a, Step>,
    syncs: usize,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(start: &Image, trace: &'a [Step]) -> Self {
        Self {
            durable: start.clone(),
            unsynced: Vec::new(),
            steps: trace.iter(),
            syncs: 0,
        }
    }

    /// Takes the next step; false when there is none. Of `skips_syncs` syncs (a planted bug) one does nothing.
    pub(crate) fn advance(&mut self, skips_syncs: usize) -> bool {
        let Some(step) = self.steps.next() else {
            return false;
        };
        let failed = match step {
            Step::SetLen(_) | Step::Write(..) => {
                self.unsynced.push(step.clone());
                return true;
            }
            Step::Sync => false,
            Step::FailedSync => true,
        };
        self.syncs += 1;
        if self.syncs.is_multiple_of(skips_syncs) {
            return true;
        }
        let unsynced = std::mem::take(&mut self.unsynced);
        let durable = fragments(&unsynced, WHOLE)
            .into_iter()
            .filter(|fragment| !failed || matches!(fragment, Fragment::SetLen(_)));
        durable.for_each(|fragment| self.durable.replay(fragment));
        true
    }
}
