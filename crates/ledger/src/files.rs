//! The ledger's directory: `checkpoint`, `tile/…` and `tile/entries/…` as tlog-tiles has them, `checkpoint.cosigned`, and
//! nothing else.
//! Every file is written aside, synced and renamed, so that a name never stands for half a file.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use strongroom_tlog::{Checkpoint, Note, Tile, TilePath, VerifierKey};

use crate::verify::{Flaw, VerifyError};

/// The name of the checkpoint's file.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// The name of the file of a checkpoint that witnesses have cosigned.
pub(crate) const COSIGNED: &str = "checkpoint.cosigned";
/// What a file that is being written ends with.
const ASIDE: &str = ".tmp";

/// The directory of one log.
pub(crate) struct LedgerFiles {
    dir: PathBuf,
}

impl LedgerFiles {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The newest checkpoint, verified; `None` when there is none.
    pub(crate) fn checkpoint(&self, key: &VerifierKey) -> Result<Option<Checkpoint>, VerifyError> {
        Ok(self.signed(CHECKPOINT, key)?.map(|(checkpoint, _)| checkpoint))
    }

    /// The checkpoint in the file `name`, which the log signed, and its note; `None` when there is no such file.
    pub(crate) fn signed(
        &self,
        name: &str,
        key: &VerifierKey,
    ) -> Result<Option<(Checkpoint, Note)>, VerifyError> {
        let flawed = |flaw| VerifyError::new(name, flaw);
        let bytes = match fs::read(self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| flawed(Flaw::Io(error)))?,
        };
        let note = Note::parse(&bytes).map_err(|error| flawed(Flaw::Note(error)))?;
        let checkpoint = checkpoint_of(&note, key).map_err(flawed)?;
        Ok(Some((checkpoint, note)))
    }

    /// The tile of hashes at `path`.
    pub(crate) fn tile(&self, path: TilePath) -> Result<Tile, VerifyError> {
        let bytes = self.read(path)?;
        Tile::decode(path, &bytes).map_err(|error| VerifyError::new(path, Flaw::Tile(error)))
    }

    /// The bytes at `path`.
    pub(crate) fn read(&self, path: TilePath) -> Result<Vec<u8>, VerifyError> {
        fs::read(self.dir.join(path.to_string())).map_err(|error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            VerifyError::new(path, if missing { Flaw::Missing } else { Flaw::Io(error) })
        })
    }

    /// Writes tiles and bundles, durably.
    pub(crate) fn write_tiles(&self, tiles: &[(TilePath, Vec<u8>)]) -> io::Result<()> {
        let mut dirs = BTreeSet::from([self.dir.clone()]);
        for (path, bytes) in tiles {
            let path = self.dir.join(path.to_string());
            let above = path.ancestors().skip(1).take_while(|dir| *dir != self.dir);
            dirs.extend(above.map(Path::to_owned));
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            write_aside(&path, bytes)?;
        }
        dirs.iter().try_for_each(|dir| sync_dir(dir))
    }

    /// Replaces the note in the file `name`, durably.
    pub(crate) fn write_note(&self, name: &str, note: &str) -> io::Result<()> {
        write_aside(&self.dir.join(name), note.as_bytes())?;
        sync_dir(&self.dir)
    }

    /// Deletes partial tiles, and the directories that are empty without them.
    pub(crate) fn remove(&self, tiles: &[TilePath]) -> io::Result<()> {
        for path in tiles {
            let path = self.dir.join(path.to_string());
            remove(&path)?;
            // Fails while the next partial tile is in there.
            let _ = path.parent().map(fs::remove_dir);
        }
        Ok(())
    }

    /// Deletes what the checkpoint of a tree of `size` does not cover: what a crash left.
    pub(crate) fn sweep(&self, size: u64) -> io::Result<()> {
        self.visit(&mut |name| {
            let is_debris = match name.parse::<TilePath>() {
                Ok(path) => !path.is_in(size),
                Err(_) => name.ends_with(ASIDE),
            };
            if is_debris {
                tracing::info!(file = name, "a file that no checkpoint covers is removed");
                return remove(&self.dir.join(name));
            }
            Ok(())
        })
    }

    /// Calls `visitor` with the name of everything in the directory that is no directory itself.
    pub(crate) fn visit<E: From<io::Error>>(
        &self,
        visitor: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        visit(&self.dir, "", visitor)
    }
}

/// The checkpoint in `note`, if the log of `key` signed it.
pub(crate) fn checkpoint_of(note: &Note, key: &VerifierKey) -> Result<Checkpoint, Flaw> {
    let text = note.verify(key).map_err(Flaw::Note)?;
    let checkpoint: Checkpoint = text.parse().map_err(Flaw::Checkpoint)?;
    if checkpoint.origin == key.name() {
        Ok(checkpoint)
    } else {
        Err(Flaw::Origin)
    }
}

fn visit<E: From<io::Error>>(
    dir: &Path,
    prefix: &str,
    visitor: &mut impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // A name that is not UTF-8 is none of ours; with its odd bytes replaced it still is none.
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            visit(&entry.path(), &format!("{name}/"), visitor)?;
        } else {
            visitor(&name)?;
        }
    }
    Ok(())
}

/// Writes `bytes` to `path`: under another name first, then, when they are durable, under its own.
pub(crate) fn write_aside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(ASIDE);
    let mut file = File::create(&aside)?;
    #[cfg(test)]
    crate::testing::written(path);
    #[cfg(test)]
    crate::testing::crash_point(|| file.write_all(&bytes[..bytes.len() / 2]))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    #[cfg(test)]
    crate::testing::synced(path);
    #[cfg(test)]
    crate::testing::crash_point(|| Ok(()))?;
    fs::rename(aside, path)
}

/// Replaces the file at `path`, or makes it: whole or not at all, and durably.
///
/// # Errors
/// Those of the file system; the file is then as it was.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_aside(path, bytes)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")))
}

/// Deletes the file at `path`, unless that happened already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    crate::testing::crash_point(|| Ok(()))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(test)]
    crate::testing::crash_point(|| Ok(()))?;
    File::open(dir)?.sync_all()
}
