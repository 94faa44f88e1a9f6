//! A number in a file that says whether the server is inside a commit. The page cache keeps it when the process is
//! killed, so that it can be read afterwards, too.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number: one more at each beginning and each end of a commit, so odd inside. Each server starts at zero.
pub struct Announcement {
    file: File,
    count: AtomicU64,
}

impl Announcement {
    /// Where the file of the instance in `home` is: not in its data directory, where only its own files may be.
    #[must_use]
    pub fn path_in(home: &Path) -> PathBuf {
        home.join("announcement")
    }

    /// For the server: zero from now on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn start(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.write_all_at(&0_u64.to_ne_bytes(), 0)?;
        Ok(Self {
            file,
            count: AtomicU64::new(0),
        })
    }

    /// For the server, whose committer alone calls it: `commit` runs inside.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn inside<T>(&self, commit: impl FnOnce() -> T) -> io::Result<T> {
        self.step()?;
        let done = commit();
        self.step()?;
        Ok(done)
    }

    fn step(&self) -> io::Result<()> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.file.write_all_at(&count.to_ne_bytes(), 0)
    }

    /// For whoever watches: the number in the file at `path`, as a reader of it that stays open.
    ///
    /// # Errors
    /// The file is not there.
    pub fn watch(path: &Path) -> io::Result<impl Fn() -> io::Result<u64> + use<>> {
        let file = File::open(path)?;
        Ok(move || {
            let mut count = [0; 8];
            file.read_exact_at(&mut count, 0)?;
            Ok(u64::from_ne_bytes(count))
        })
    }
}
