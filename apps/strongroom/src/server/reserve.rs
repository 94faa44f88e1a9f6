//! The reserve: a file that takes room on the disk of the data directory from the first start on, and gives it back when
//! the disk is nearly full. What must go on then has that room: removals, and the audit records of all that is answered.
//!
//! Storage, journal and ledger lie on the same disk, so what is free there is what each of them can have.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use strongroom_base::limits;
use strongroom_core::{Room, Space};

/// The name of its file.
pub(super) const RESERVE: &str = "reserve";

/// The reserve of a data directory.
pub(super) struct Reserve {
    path: PathBuf,
    dir: PathBuf,
    space: Arc<Space>,
}

/// Watches the disk until it is dropped.
pub(super) struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reserve {
    /// The reserve in the data directory `dir`, made if there is room for it.
    ///
    /// # Errors
    /// The disk cannot be looked at.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(RESERVE);
        let is_there = fs::metadata(&path).is_ok_and(|file| file.len() == limits::RESERVE_BYTES);
        let space = Arc::new(Space::default());
        space.set(if is_there { Room::Plenty } else { Room::Scarce }, 0);
        let reserve = Self {
            path,
            dir: dir.to_owned(),
            space,
        };
        reserve.look()?;
        Ok(reserve)
    }

    /// What the instance goes by.
    pub(super) fn space(&self) -> Arc<Space> {
        self.space.clone()
    }

    /// Looks at the disk from now on.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn watch(self) -> io::Result<Watch> {
        let (stop, stopped) = channel();
        let watch = move || {
            while stopped.recv_timeout(limits::SPACE_EVERY.into()) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = self.look() {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the disk of the data directory cannot be looked at");
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("reserve".to_owned())
            .spawn(watch)?;
        Ok(Watch {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Looks at the disk once, and frees or makes the reserve.
    fn look(&self) -> io::Result<()> {
        let disk = statvfs(&self.dir)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let before = self.space.room();
        let mut room = before.after(free);
        match (before, room) {
            (Room::Plenty, Room::Scarce) => fs::remove_file(&self.path)?,
            (_, Room::Plenty) if before != Room::Plenty => {
                if let Err(error) = make(&self.path) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the reserve on the disk cannot be made");
                    room = before;
                }
            }
            _ => {}
        }
        self.space.set(room, free);
        if room != before {
            tell(room, free);
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // an error would be a panic, which the panic hook has told
        }
    }
}

fn tell(room: Room, free_bytes: u64) {
    match room {
        Room::Plenty => tracing::info!(free_bytes, "the disk has room: everything is stored"),
        Room::Scarce => tracing::error!(
            free_bytes,
            "the disk is nearly full: reads and removals go on, everything else is refused until there is room"
        ),
        Room::None => tracing::error!(
            free_bytes,
            "the disk is full: nothing is answered until there is room for audit records"
        ),
    }
}

/// Makes the file, with all its room taken; or leaves none.
fn make(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let made = match fallocate(&file, FallocateFlags::empty(), 0, limits::RESERVE_BYTES) {
        Err(rustix::io::Errno::OPNOTSUPP) => fill(&file),
        made => Ok(made?),
    };
    made.inspect_err(|_| drop(fs::remove_file(path)))
}

/// For file systems that cannot give room but for bytes.
fn fill(mut file: &File) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(limits::RESERVE_BYTES), &mut file)?;
    file.sync_all()
}
