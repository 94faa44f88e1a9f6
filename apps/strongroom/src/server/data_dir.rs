//! The data directory: whose it is, who has it open, and what lies where.
//!
//! | entry | what |
//! |---|---|
//! | `lock` | held while a server runs |
//! | `strongroom.redb` | storage, unless a database is |
//! | `node` | which node of which instance the directory is of |
//! | `slots.bak` | a copy of the seal slots |
//! | `slots.bak.other` | a copy of them that storage did not agree with at a start |
//! | `journal/` | audit records on their way into the ledger |
//! | `ledger/`, `ledger.vkey` | the ledger and its public key |
//! | `copies/` | how far the copies of the ledger have come |
//! | `generations/` | ledgers that were set aside after a restore, and their public keys |
//! | `reserve` | room for when the disk is full |

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use strongroom_base::{InstanceId, NodeId};
use strongroom_ledger::Origin;

use super::reserve::RESERVE;

/// The storage file.
pub(super) const STORAGE: &str = "strongroom.redb";
/// The copy of the seal slots.
const SLOTS: &str = "slots.bak";
/// A copy that did not agree with storage.
const OTHER_SLOTS: &str = "slots.bak.other";
/// The file that says which node a directory is of.
const NODE: &str = "node";
/// The folder of the ledger.
pub(super) const LEDGER: &str = "ledger";

/// Everything that may lie in a data directory; the last is what a file system's root has of its own.
const ENTRIES: [&str; 12] = [
    "lock",
    STORAGE,
    NODE,
    SLOTS,
    OTHER_SLOTS,
    "journal",
    LEDGER,
    "ledger.vkey",
    "copies",
    "generations",
    RESERVE,
    "lost+found",
];

/// What a crash leaves of an entry that was being written. It is overwritten when the entry is written again.
const UNFINISHED: [&str; 4] = [
    "strongroom.redb.new",
    "node.new",
    "slots.bak.new",
    "ledger.vkey.tmp",
];

/// A data directory that this process alone has open.
pub(super) struct DataDir {
    path: PathBuf,
    /// The lock ends with the file.
    _lock: File,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The file system refuses.
    #[error("cannot use the data directory `{}`", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// Another server runs on it.
    #[error("another server is running on the data directory `{}`: stop it first, or give another --data", .0.display())]
    InUse(PathBuf),
    /// It holds something else.
    #[error("`{}` is not a Strongroom data directory: it holds `{found}`; give an empty or new one as --data", .path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// An entry that is not ours.
        found: String,
    },
    /// It does not say readably which node it is of.
    #[error(
        "the file `node` in the data directory `{}` is damaged: it is one line, <instance>/<node>, as `ledger.vkey` \
         begins",
        .0.display()
    )]
    Node(PathBuf),
}

/// Which node of which instance a data directory is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) instance: InstanceId,
    pub(super) node: NodeId,
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.instance, self.node)
    }
}

impl Seat {
    /// Reads the one line of the file `node`; `None` when it is anything else.
    fn read(text: &str) -> Option<Self> {
        let (instance, node) = text.strip_suffix('\n')?.split_once('/')?;
        let seat = Self {
            instance: instance.parse().ok()?,
            node: NodeId(node.parse().ok()?),
        };
        (format!("{seat}\n") == text).then_some(seat)
    }
}

impl DataDir {
    /// Opens the directory at `path`, making it if it is not there.
    ///
    /// # Errors
    /// [`DataDirError`]; nothing was changed.
    pub(super) fn open(path: &Path) -> Result<Self, DataDirError> {
        let io = |error| DataDirError::Io(path.to_owned(), error);
        create_private_dir(path).map_err(io)?;
        for entry in fs::read_dir(path).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            if !ENTRIES.iter().chain(&UNFINISHED).any(|known| name == *known) {
                let found = name.to_string_lossy().into_owned();
                return Err(DataDirError::Foreign {
                    path: path.to_owned(),
                    found,
                });
            }
        }
        let mut options = OpenOptions::new();
        let lock = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"));
        let lock = lock.map_err(io)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(DataDirError::InUse(path.to_owned())),
            Err(error) => return Err(io(error.into())),
        }
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn storage(&self) -> PathBuf {
        self.path.join(STORAGE)
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    pub(super) fn verifier_key(&self) -> PathBuf {
        self.path.join("ledger.vkey")
    }

    /// Which node this directory is of: what its file says, or of an earlier version's, the name of its ledger.
    ///
    /// # Errors
    /// [`DataDirError::Node`].
    pub(super) fn seat(&self) -> Result<Option<Seat>, DataDirError> {
        match fs::read_to_string(self.path.join(NODE)) {
            Ok(text) => {
                let damaged = || DataDirError::Node(self.path.clone());
                Seat::read(&text).ok_or_else(damaged).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.seat_of_ledger()),
            Err(error) => Err(DataDirError::Io(self.path.clone(), error)),
        }
    }

    fn seat_of_ledger(&self) -> Option<Seat> {
        let key = strongroom_ledger::verifier_key(&self.path).ok()?;
        let Origin { instance, node, .. } = key.name().parse().ok()?;
        Some(Seat { instance, node })
    }

    /// Keeps in the directory which node it is of.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub(super) fn take_seat(&self, seat: Seat) -> Result<(), DataDirError> {
        let (path, line) = (self.path.join(NODE), format!("{seat}\n"));
        if fs::read_to_string(&path).is_ok_and(|written| written == line) {
            return Ok(());
        }
        write_private(&path, line.as_bytes()).map_err(|error| DataDirError::Io(self.path.clone(), error))
    }

    /// Whether an instance was made here once, whatever storage says now.
    pub(super) fn was_an_instance(&self) -> bool {
        self.slots_copy().exists() || self.path.join("ledger/tile").exists() || self.path.join(NODE).exists()
    }

    /// Removes what a first start left that ended before its commit: an empty ledger under a key that nobody has.
    pub(super) fn discard_unfinished_start(&self) -> Result<(), DataDirError> {
        let io = |error| DataDirError::Io(self.path.clone(), error);
        let ledger = self.path.join(LEDGER);
        if ledger.exists() {
            fs::remove_dir_all(ledger).map_err(io)?;
        }
        match fs::remove_file(self.verifier_key()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io(error)),
            _ => Ok(()),
        }
    }

    /// Sets the copy of the seal slots aside if it is not that of `slots`, and gives what was in it.
    pub(super) fn set_other_slots_aside(&self, slots: &[u8]) -> Result<Option<Vec<u8>>, DataDirError> {
        let io = |error| DataDirError::Io(self.path.clone(), error);
        match fs::read(self.slots_copy()) {
            Ok(copy) if copy == slots => Ok(None),
            Ok(other) => {
                fs::rename(self.slots_copy(), self.other_slots()).map_err(io)?;
                Ok(Some(other))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(error)),
        }
    }

    /// Keeps a copy of the seal slots beside storage.
    pub(super) fn copy_slots(&self, slots: &[u8]) -> Result<(), DataDirError> {
        copy_slots(&self.path, slots).map_err(|error| DataDirError::Io(self.path.clone(), error))
    }

    fn slots_copy(&self) -> PathBuf {
        self.path.join(SLOTS)
    }

    /// Where a copy is kept that storage does not agree with.
    pub(super) fn other_slots(&self) -> PathBuf {
        self.path.join(OTHER_SLOTS)
    }
}

/// Keeps a copy of the seal slots in the data directory `path`.
pub(super) fn copy_slots(path: &Path, slots: &[u8]) -> io::Result<()> {
    let copy = path.join(SLOTS);
    if fs::read(&copy).is_ok_and(|copy| copy == slots) {
        return Ok(());
    }
    write_private(&copy, slots)
}

/// Makes the directory `path` and those above it, each its owner's alone; one that is there stays as it is.
pub(super) fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes `bytes` to `path`, readable by its owner only, whole or not at all, and durably.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let aside = path.with_added_extension("new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse(_))));
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn a_directory_with_other_things_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(
            matches!(DataDir::open(folder.path()), Err(DataDirError::Foreign { found, .. }) if found == "thesis.tex")
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing was added"
        );
    }

    #[test]
    fn what_a_crash_leaves_half_written_does_not_keep_a_server_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        for unfinished in UNFINISHED {
            fs::write(folder.path().join(unfinished), "half").unwrap();
        }
        let data_dir = DataDir::open(folder.path()).unwrap();
        data_dir.copy_slots(b"slots").unwrap();
        assert_eq!(fs::read(data_dir.slots_copy()).unwrap(), b"slots");
    }

    #[test]
    fn a_directory_knows_which_node_it_is_of() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        assert_eq!(data_dir.seat().unwrap(), None);
        let seat = Seat {
            instance: InstanceId::from_bytes([7; 16]),
            node: NodeId(12),
        };
        data_dir.take_seat(seat).unwrap();
        let file = folder.path().join(NODE);
        let line = "07070707-0707-0707-0707-070707070707/12\n";
        assert_eq!(fs::read_to_string(&file).unwrap(), line);
        assert_eq!(data_dir.seat().unwrap(), Some(seat));
        assert!(data_dir.was_an_instance());
        for damaged in [
            "",
            "\n",
            line.trim_end(),
            &line.replace("/12", "/012"),
            &line.replace('/', ""),
        ] {
            fs::write(&file, damaged).unwrap();
            assert!(
                matches!(data_dir.seat(), Err(DataDirError::Node(_))),
                "{damaged:?}"
            );
        }
    }

    #[test]
    fn a_private_file_replaces_an_open_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
