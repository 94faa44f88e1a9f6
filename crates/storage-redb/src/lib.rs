//! The embedded backend: [redb](https://docs.rs/redb) on a leash.
//!
//! One table, immediate durability, two-phase commits with quick repair, and nothing else of what redb offers: no
//! savepoints, no renamed or deleted tables, no second process. `docs/formats/redb.md` describes the bytes.

use std::fs::{File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, StorageBackend, Table, TableDefinition,
};
use strongroom_storage::{Backend, Failure, Group, KeyRange, Revision, Row};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// The row with the newest revision and no value. Storage gives the empty key to the backend.
const HEAD: &[u8] = &[];

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("the storage file is in use")]
    InUse,
    /// The file is no redb database, or another program's.
    #[error("the file is not a storage file of this program")]
    Foreign,
    /// The file was one of ours, and is no longer whole.
    #[error("the storage file is damaged")]
    Damaged(#[source] Failure),
    /// The file cannot be read or written.
    #[error("the storage file cannot be opened")]
    Io(#[from] io::Error),
}

/// A redb database as [`Backend`].
pub struct RedbBackend {
    open: Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>,
    /// `None` while it is reopened.
    current: RwLock<Option<Current>>,
}

/// An open database, and its rows as of the last group: beginning a transaction costs more than reading a row.
struct Current {
    database: Arc<Database>,
    rows: Arc<Rows>,
}

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

impl Current {
    fn of(database: Arc<Database>) -> Result<Self, redb::Error> {
        let rows = Arc::new(rows(&database)?);
        Ok(Self { database, rows })
    }
}

impl RedbBackend {
    /// Opens the database at `path`, or makes one there, with at most `cache_bytes` of pages in memory. The folder
    /// must exist.
    ///
    /// # Errors
    /// What [`OpenError`] lists. A foreign or damaged file is left as it was.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        if !path.try_exists()? {
            create(path)?;
        }
        let path = path.to_owned();
        Self::open_with(move || open_file(OpenOptions::new(), &path), cache_bytes)
    }

    /// Opens the database on the medium that `medium` gives: it is called now, and again by each
    /// [`Backend::reopen`], when the last one has been closed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with<M: StorageBackend>(
        medium: impl Fn() -> io::Result<M> + Send + Sync + 'static,
        cache_bytes: usize,
    ) -> Result<Self, OpenError> {
        let open = Box::new(move || open_database(Database::builder(), medium()?, cache_bytes));
        let current = guarded(|| Current::of(Arc::new(open()?)).map_err(open_error))?;
        Ok(Self {
            open,
            current: RwLock::new(Some(current)),
        })
    }

    /// Reads every page of the medium and compares its checksum: what else opens a database trusts what it finds.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn verify(medium: impl StorageBackend, cache_bytes: usize) -> Result<(), OpenError> {
        let mut builder = Database::builder();
        builder.set_check_integrity_on_open(true);
        guarded(|| open_database(builder, medium, cache_bytes).map(drop))
    }

    /// [`Self::verify`] of the file at `path`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn verify_file(path: &Path, cache_bytes: usize) -> Result<(), OpenError> {
        Self::verify(open_file(OpenOptions::new(), path)?, cache_bytes)
    }

    fn current<T>(&self, look: impl FnOnce(&Current) -> T) -> Result<T, Failure> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Ok(look(current.as_ref().ok_or("the database is being reopened")?))
    }

    fn set(&self, current: Option<Current>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// The rows as of now.
    fn rows(&self) -> Result<Arc<Rows>, Failure> {
        self.current(|current| current.rows.clone())
    }
}

impl Drop for RedbBackend {
    fn drop(&mut self) {
        // What was applied is durable. A panic leaves the file as a crash does.
        drop(guarded(|| {
            self.set(None);
            Ok(())
        }));
    }
}

impl Backend for RedbBackend {
    const SCANS_BLOCK: bool = true;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        self.rows()?
            .get(key)?
            .map(|bytes| decode(bytes.value()))
            .transpose()
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        let rows = self.rows()?.range::<&[u8]>(range)?.take(limit);
        rows.map(|row| {
            let (key, bytes) = row?;
            Ok((key.value().to_vec(), decode(bytes.value())?))
        })
        .collect()
    }

    fn keys(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let rows = self.rows()?.range::<&[u8]>(range)?.take(limit);
        rows.map(|row| Ok(row?.0.value().to_vec())).collect()
    }

    fn apply(&self, group: Group) -> Result<(), Failure> {
        let database = self.current(|current| current.database.clone())?;
        write(&database, &group)?;
        self.set(Some(Current::of(database)?));
        Ok(())
    }

    fn head(&self) -> Result<Revision, Failure> {
        Ok(self
            .get(HEAD)?
            .ok_or("the row of the newest revision is missing")?
            .revision)
    }

    fn reopen(&self) -> Result<(), Failure> {
        // Dropping closes the file and releases its lock, whatever transactions readers still hold; those fail.
        self.set(None);
        self.set(Some(Current::of(Arc::new((self.open)()?))?));
        Ok(())
    }
}

fn open_file(mut options: OpenOptions, path: &Path) -> io::Result<FileBackend> {
    FileBackend::new(options.read(true).write(true).open(path)?).map_err(io::Error::other)
}

/// Makes an empty database that appears at `path` whole and durable, or not at all: without power in the middle of
/// its birth redb leaves a file that it does not recognise.
fn create(path: &Path) -> Result<(), OpenError> {
    let mut unborn = path.as_os_str().to_owned();
    unborn.push(".new");
    let unborn = Path::new(&unborn);
    let mut options = OpenOptions::new();
    options.create(true).truncate(true);
    drop(open_database(
        Database::builder(),
        open_file(options, unborn)?,
        0,
    )?);
    // Not a rename: that would replace what another process has made meanwhile.
    std::fs::hard_link(unborn, path)?;
    std::fs::remove_file(unborn)?;
    // Its name is durable only once the folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok(File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?)
}

fn open_database(
    mut builder: Builder,
    medium: impl StorageBackend,
    cache_bytes: usize,
) -> Result<Database, OpenError> {
    let open = move || {
        let database = builder.set_cache_size(cache_bytes).create_with_backend(medium)?;
        if database.begin_read()?.list_tables()?.next().is_none() {
            write(
                &database,
                &Group {
                    head: Revision(0),
                    writes: [].into(),
                },
            )?;
        }
        let is_whole = rows(&database)?.get(HEAD)?.is_some();
        Ok(is_whole.then_some(database))
    };
    guarded(|| match open() {
        Ok(Some(database)) => Ok(database),
        Ok(None) => Err(OpenError::Damaged(
            "the row of the newest revision is missing".into(),
        )),
        Err(error) => Err(open_error(error)),
    })
}

/// Runs code of redb, which may panic over a file that something else has changed: also when it closes it.
fn guarded<T>(run: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(OpenError::Damaged("the engine panicked".into())))
}

fn open_error(error: redb::Error) -> OpenError {
    use redb::Error::{
        DatabaseAlreadyOpen, Io, TableDoesNotExist, TableIsMultimap, TableTypeMismatch, UpgradeRequired,
    };
    match error {
        DatabaseAlreadyOpen => OpenError::InUse,
        UpgradeRequired(_) | TableDoesNotExist(_) | TableIsMultimap(_) | TableTypeMismatch { .. } => {
            OpenError::Foreign
        }
        Io(error) if error.kind() == io::ErrorKind::InvalidData => OpenError::Foreign, // no redb file
        Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => OpenError::Io(error),
        error => OpenError::Damaged(error.into()),
    }
}

fn rows(database: &Database) -> Result<Rows, redb::Error> {
    Ok(database.begin_read()?.open_table(ROWS)?)
}

fn write(database: &Database, group: &Group) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    {
        let mut rows = transaction.open_table(ROWS)?;
        put(&mut rows, HEAD, group.head, &[])?;
        for (key, row) in &group.writes {
            match row {
                Some(row) => put(&mut rows, key, row.revision, &row.value)?,
                None => drop(rows.remove(key.as_slice())?),
            }
        }
    }
    Ok(transaction.commit()?)
}

const REVISION_BYTES: usize = size_of::<u64>();

/// Stores the revision, big-endian, and the value.
fn put(
    rows: &mut Table<'_, &[u8], &[u8]>,
    key: &[u8],
    revision: Revision,
    value: &[u8],
) -> Result<(), redb::Error> {
    let mut place = rows.insert_reserve(key, REVISION_BYTES + value.len())?;
    if let Some((head, tail)) = place.as_mut().split_at_mut_checked(REVISION_BYTES) {
        head.copy_from_slice(&revision.0.to_be_bytes());
        tail.copy_from_slice(value);
    }
    Ok(())
}

/// Reads what [`put`] stored.
fn decode(bytes: &[u8]) -> Result<Row, Failure> {
    let (revision, value) = bytes.split_first_chunk().ok_or("a stored row is too short")?;
    Ok(Row {
        value: value.to_vec(),
        revision: Revision(u64::from_be_bytes(*revision)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn reopening_does_not_wait_for_an_open_read() {
        let backend = RedbBackend::open_with(|| Ok(InMemoryBackend::new()), 0).unwrap();
        let row = Row {
            value: b"value".to_vec(),
            revision: Revision(1),
        };
        backend
            .apply(Group {
                head: Revision(1),
                writes: [(b"a".to_vec(), Some(row))].into(),
            })
            .unwrap();
        let (old, mut half_read) = (
            backend.rows().unwrap(),
            backend.rows().unwrap().range::<&[u8]>(..).unwrap(),
        );
        half_read.next().unwrap().unwrap();
        backend.reopen().unwrap();
        assert_eq!(
            backend.head().unwrap(),
            Revision(0),
            "each medium of this test is new"
        );
        drop((old, half_read));
        assert_eq!(backend.get(b"a").unwrap(), None);
    }
}
