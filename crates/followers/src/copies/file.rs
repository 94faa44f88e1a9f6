//! A copy in a file. Its own end says where it goes on: what a crash tore off there is cut, and nothing else.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::line::{BEGINNING, LINE_BYTES, Place, read_line};

/// Why a file takes no lines.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileFault {
    #[error("the file cannot be read or written")]
    Io(#[from] io::Error),
    /// It holds something else, which is left as it is.
    #[error("the end of the file is no line of a copy: give another file")]
    Foreign,
    /// Another file has its name, or somebody else changed it.
    #[error("the file was moved or cut")]
    Moved,
}

/// An open file.
pub(crate) struct CopyFile {
    path: PathBuf,
    file: File,
    /// Its length.
    end: u64,
}

impl CopyFile {
    /// Opens the file at `path`, or makes it; gives the number of the leaf of the log `origin` that comes next in it,
    /// `None` when it has none of that log at its end.
    pub(crate) fn open(path: &Path, origin: &str) -> Result<(Self, Option<u64>), FileFault> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let length = file.metadata()?.len();
        let start = length.saturating_sub(2 * LINE_BYTES as u64);
        let mut tail = vec![0; usize::try_from(length - start).unwrap_or(0)];
        file.read_exact_at(&mut tail, start)?;
        let (whole, last) = end_of(&tail, start == 0).ok_or(FileFault::Foreign)?;
        let end = start + whole as u64;
        if end < length {
            file.set_len(end)?;
        }
        // What was read may come from memory that never reached the disk; the name may be new.
        file.sync_all()?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        let next = last
            .filter(|place| place.log == origin)
            .map(|place| place.index + 1);
        let path = path.to_owned();
        Ok((Self { path, file, end }, next))
    }

    /// Appends `lines`, durably. After a failure the file is to be opened again, which cuts what was half written.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<(), FileFault> {
        let (ours, named) = (self.file.metadata()?, self.path.metadata());
        let is_ours = named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
        if !is_ours || ours.len() != self.end {
            return Err(FileFault::Moved);
        }
        self.file.write_all_at(lines, self.end)?;
        self.file.sync_data()?;
        self.end += lines.len() as u64;
        Ok(())
    }
}

/// Where the whole lines of a file end of which `tail` is the end, and the last of them. `None` when it is no copy's;
/// `is_all` says whether `tail` is all of it.
fn end_of(tail: &[u8], is_all: bool) -> Option<(usize, Option<Place>)> {
    let Some(newline) = tail.iter().rposition(|byte| *byte == b'\n') else {
        // Nothing, or the beginning of a first line.
        let is_begun = tail.starts_with(BEGINNING) || BEGINNING.starts_with(tail);
        return (is_all && is_begun && tail.len() <= LINE_BYTES).then_some((0, None));
    };
    let (lines, torn) = tail.split_at(newline + 1);
    let last = tail.get(..newline)?.rsplit(|byte| *byte == b'\n').next()?;
    let place = read_line(last)?;
    (torn.len() <= LINE_BYTES).then_some((lines.len(), Some(place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    const LINES: &str = "{\"log\":\"l\",\"index\":6,\"leaf\":{}}\n{\"log\":\"l\",\"index\":7,\"leaf\":{}}\n";

    /// The next number in a file of these bytes, and what is in it then.
    fn open(bytes: &[u8]) -> (Result<Option<u64>, String>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        fs::write(&path, bytes).unwrap();
        let opened = CopyFile::open(&path, "l").map(|(_, next)| next);
        (
            opened.map_err(|fault| format!("{fault:?}")),
            fs::read(path).unwrap(),
        )
    }

    #[test]
    fn the_end_of_the_file_decides_and_a_torn_line_is_cut() {
        assert_eq!(open(b""), (Ok(None), Vec::new()));
        assert_eq!(open(LINES.as_bytes()), (Ok(Some(8)), LINES.into()));
        let first = LINES.len() / 2;
        for cut in 1..first {
            let (next, left) = open(&LINES.as_bytes()[..first + cut]);
            assert_eq!((next, left.len()), (Ok(Some(7)), first), "{cut}");
            assert_eq!(open(&LINES.as_bytes()[..cut]), (Ok(None), Vec::new()), "{cut}");
        }
        let other = LINES.replace("\"l\"", "\"older\"");
        assert_eq!(open(other.as_bytes()), (Ok(None), other.clone().into()));
        let long = format!(
            "{LINES}{}",
            LINES.replace("{}", &format!("\"{}\"", "x".repeat(65_000)))
        );
        assert_eq!(open(long.as_bytes()), (Ok(Some(8)), long.into()));
    }

    #[test]
    fn what_is_no_copy_is_left_alone() {
        for foreign in [
            "mine",
            "mine\n",
            "{\"log\":\"l\",\"index\":-1,\"leaf\":{}}\n",
            &format!("{LINES}mine\n"),
            &format!("{LINES}\n"),
            &format!("{LINES}{}", "x".repeat(LINE_BYTES + 1)),
            &"x".repeat(3 * LINE_BYTES),
        ] {
            assert_eq!(open(foreign.as_bytes()), (Err("Foreign".into()), foreign.into()));
        }
    }

    #[test]
    fn a_file_that_was_moved_or_cut_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        let open = || CopyFile::open(&path, "l").unwrap();
        let (mut file, _) = open();
        file.append(LINES.as_bytes()).unwrap();
        fs::rename(&path, dir.path().join("copy.1")).unwrap();
        assert!(matches!(file.append(LINES.as_bytes()), Err(FileFault::Moved)));
        let (mut file, next) = open();
        assert_eq!(next, None);
        file.append(LINES.as_bytes()).unwrap();
        File::create(&path).unwrap();
        assert!(matches!(file.append(LINES.as_bytes()), Err(FileFault::Moved)));
        assert_eq!(fs::read(dir.path().join("copy.1")).unwrap(), LINES.as_bytes());
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_panic(bytes: Vec<u8>, is_all: bool) {
            if let Some((end, _)) = end_of(&bytes, is_all) {
                prop_assert!(end <= bytes.len());
            }
        }
    }
}
