//! Proof files (c2sp.org/tlog-proof): all that shows, without the log, that an entry is in it.

use std::fmt;
use std::str::FromStr;

use crate::{
    Checkpoint, CheckpointError, Hash, Note, NoteError, PROOF_HASHES, ProofError, VerifierKey, from_base64,
    leaf_hash, to_base64, verify_inclusion,
};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// An inclusion proof and the checkpoint that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// Bytes that travel with the proof and that it says nothing about. Ours has the entry here.
    pub extra: Option<Vec<u8>>,
    /// The entry's number in the log.
    pub index: u64,
    /// The audit path, from the leaf's sibling upward.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

/// Why a proof file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// Not the one spelling of a proof of version 1.
    #[error("the file is not a strict `{HEADER}`")]
    Malformed,
    /// The checkpoint's note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The checkpoint's text.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of another log than the key's.
    #[error("the checkpoint is of another log than the key's")]
    Origin,
    /// The entry is not in the tree where the proof says.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl ProofFile {
    /// Checks that `entry` is in the log of `key`, as of the checkpoint that this gives.
    ///
    /// # Errors
    /// [`ProofFileError`].
    pub fn verify(&self, entry: &[u8], key: &VerifierKey) -> Result<Checkpoint, ProofFileError> {
        let checkpoint: Checkpoint = self.checkpoint.verify(key)?.parse()?;
        if checkpoint.origin != key.name() {
            return Err(ProofFileError::Origin);
        }
        verify_inclusion(
            self.index,
            leaf_hash(entry),
            checkpoint.size,
            checkpoint.root,
            &self.path,
        )?;
        Ok(checkpoint)
    }
}

impl fmt::Display for ProofFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", to_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", hash)?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for ProofFile {
    type Err = ProofFileError;

    fn from_str(text: &str) -> Result<Self, ProofFileError> {
        // Reads generously, then refuses every spelling but the one that it would print.
        let proof = read(text)?.ok_or(ProofFileError::Malformed)?;
        if proof.to_string() == text {
            Ok(proof)
        } else {
            Err(ProofFileError::Malformed)
        }
    }
}

fn read(text: &str) -> Result<Option<ProofFile>, NoteError> {
    let Some((head, note)) = text.split_once("\n\n") else {
        return Ok(None);
    };
    let checkpoint = Note::parse(note.as_bytes())?;
    Ok(read_head(head).map(|(extra, index, path)| ProofFile {
        extra,
        index,
        path,
        checkpoint,
    }))
}

/// What stands above the checkpoint.
fn read_head(head: &str) -> Option<(Option<Vec<u8>>, u64, Vec<Hash>)> {
    let mut lines = head.split('\n').skip(1).peekable();
    let extra = match lines.next_if(|line| line.starts_with("extra ")) {
        Some(line) => Some(from_base64(line.strip_prefix("extra ")?)?),
        None => None,
    };
    let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
    let path = lines
        .take(PROOF_HASHES + 1)
        .map(|line: &str| line.parse().ok())
        .collect::<Option<Vec<_>>>()?;
    (path.len() <= PROOF_HASHES).then_some((extra, index, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edge, Prover, Signer, Tile, TilePath};
    use proptest::prelude::*;
    use strongroom_secret::Key;

    fn proof(size: u64, index: u64) -> (ProofFile, VerifierKey, Vec<u8>) {
        let signer = Signer::from_seed("i/1/1", &Key::fill(|seed| *seed = [7; 32])).unwrap();
        let mut edge = Edge::default();
        let leaves: Vec<_> = (0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        let tiles = edge.append(&leaves);
        let read = |path: TilePath| tiles.iter().find(|tile| tile.path() == path).cloned().ok_or(path);
        let path = Prover::new(size, |path| -> Result<Tile, TilePath> { read(path) })
            .inclusion(index)
            .unwrap();
        let checkpoint = Checkpoint {
            origin: "i/1/1".into(),
            size,
            root: edge.root(),
        };
        let checkpoint = signer.sign(&checkpoint.to_string()).unwrap();
        let entry = index.to_be_bytes().to_vec();
        let file = ProofFile {
            extra: Some(entry.clone()),
            index,
            path,
            checkpoint,
        };
        (file, signer.verifier_key().clone(), entry)
    }

    #[test]
    fn the_file_of_the_second_of_three() {
        let (file, key, entry) = proof(3, 1);
        let text = file.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..3], [HEADER, "extra AAAAAAAAAAE=", "index 1"]);
        assert_eq!((lines[5], lines[6], lines[7]), ("", "i/1/1", "3"));
        let read: ProofFile = text.parse().unwrap();
        assert_eq!(read.verify(&entry, &key).unwrap().size, 3);
        assert_eq!(
            read.verify(b"another", &key),
            Err(ProofFileError::Proof(ProofError::Root))
        );
        let other = Signer::from_seed("i/2/1", &Key::fill(|seed| *seed = [7; 32])).unwrap();
        assert!(read.verify(&entry, other.verifier_key()).is_err());
    }

    #[test]
    fn files_that_are_refused() {
        let text = proof(3, 1).0.to_string();
        let head = text.find("\n\n").unwrap();
        for (from, to) in [
            (HEADER, "c2sp.org/tlog-proof@v2"),
            ("index 1", "index 01"),
            ("index 1", "index +1"),
            ("index 1", "index one"),
            ("index 1\n", ""),
            ("extra AAAAAAAAAAE=", "extra AAAAAAAAAAE"),
            ("extra AAAAAAAAAAE=", "extra AAAAAAAAAAE=\nextra AAAAAAAAAAE="),
            ("index 1", "index 1\r"),
            ("index 1\n", "index 1\nAAAA\n"),
            (&text[head..], ""),
            (&text[head..], "\n"),
        ] {
            assert!(text.replacen(from, to, 1).parse::<ProofFile>().is_err(), "{to:?}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), xor in 1..=255u8) {
            let (file, key, entry) = proof(5, 3);
            let file = ProofFile { extra: None, ..file };
            let mut bytes = file.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= xor;
            let read = String::from_utf8(bytes).ok().and_then(|text| text.parse::<ProofFile>().ok());
            prop_assert!(read.is_none_or(|read| read.verify(&entry, &key).is_err()));
        }

        #[test]
        fn any_text_is_no_panic(text: String) {
            let _ = text.parse::<ProofFile>();
            let _ = format!("{HEADER}\n{text}").parse::<ProofFile>();
        }
    }
}
