//! How far a copy has come: `DATA/copies/<name>`, one line, `<log> <number of the next leaf>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use strongroom_ledger::replace_file;

/// How far a copy of the log `log` has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) log: String,
    /// The number of the leaf that comes next.
    pub(super) next: u64,
}

/// The file of a cursor.
#[derive(Clone)]
pub(super) struct CursorFile(PathBuf);

impl CursorFile {
    /// That of the copy called `name`, in `dir`.
    pub(super) fn new(dir: &Path, name: &str) -> Self {
        Self(dir.join(name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The cursor, `None` before the first.
    pub(super) fn read(&self) -> io::Result<Option<Cursor>> {
        match fs::read_to_string(&self.0) {
            Ok(text) => parse(&text)
                .map(Some)
                .ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps `cursor` durably.
    pub(super) fn write(&self, cursor: &Cursor) -> io::Result<()> {
        if let Some(dir) = self.0.parent() {
            fs::create_dir_all(dir)?;
        }
        replace_file(&self.0, format!("{} {}\n", cursor.log, cursor.next).as_bytes())
    }
}

fn parse(text: &str) -> Option<Cursor> {
    let (log, next) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    Some(Cursor {
        log: log.to_owned(),
        next: next.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_kept_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = CursorFile::new(&dir.path().join("copies"), "siem");
        assert_eq!(file.read().unwrap(), None);
        let cursor = Cursor {
            log: "instance/1/1".into(),
            next: 12,
        };
        file.write(&cursor).unwrap();
        assert_eq!(fs::read(file.path()).unwrap(), b"instance/1/1 12\n");
        assert_eq!(file.read().unwrap(), Some(cursor));
        fs::write(file.path(), "instance/1/1 1").unwrap();
        assert!(file.read().is_err(), "half a line is none");
    }

    proptest! {
        #[test]
        fn any_text_is_no_panic(text in ".{0,20} ?[0-9]{0,22}\n?") {
            let _ = parse(&text);
        }
    }
}
