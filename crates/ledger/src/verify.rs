//! The offline verifier: recomputes every file of a ledger from its entries, and needs no key but the public one.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::Path;

use strongroom_base::{RequestId, Timestamp};
use strongroom_tlog::{
    BundleError, Checkpoint, CheckpointError, CosignerKey, Edge, Hash, Level, Note, NoteError, ProveError,
    Prover, TileError, TilePath, VerifierKey, decode_bundle, leaf_hash, verify_consistency,
};

use crate::files::{CHECKPOINT, COSIGNED, LedgerFiles, checkpoint_of};
use crate::leaf::{Leaf, LeafFlaw, Marks, RequestFields};
use crate::reader::{ReadError, Reader};

/// What a verified ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// Leaves in the log.
    pub size: u64,
    /// The root hash of its tree.
    pub root: Hash,
    /// Requests in the log; one that touched much has several leaves.
    pub requests: u64,
    /// The time of the first leaf.
    pub first: Option<Timestamp>,
    /// The time of the last leaf.
    pub last: Option<Timestamp>,
    /// The checkpoint that witnesses have cosigned, which this ledger continues, and its note. Who cosigned it is for
    /// the caller to verify.
    pub cosigned: Option<(Checkpoint, Note)>,
}

impl Report {
    /// Those of `witnesses` that have cosigned the cosigned checkpoint, each once, with the time.
    ///
    /// # Errors
    /// [`VerifyError`] when a cosignature by one of them is wrong.
    pub fn cosigners<'w>(
        &self,
        witnesses: &'w [CosignerKey],
    ) -> Result<Vec<(&'w CosignerKey, Timestamp)>, VerifyError> {
        let mut cosigners: Vec<(&CosignerKey, Timestamp)> = Vec::new();
        let Some((_, note)) = &self.cosigned else {
            return Ok(cosigners);
        };
        for witness in witnesses {
            match witness.verify(note) {
                Ok(_) if cosigners.iter().any(|(known, _)| *known == witness) => {}
                Ok(seconds) => {
                    let time = Timestamp::from_millis(seconds.saturating_mul(1000));
                    cosigners.push((witness, time));
                }
                Err(NoteError::Unsigned) => {}
                Err(error) => return Err(VerifyError::new(COSIGNED, Flaw::Note(error))),
            }
        }
        Ok(cosigners)
    }
}

/// A file of a ledger is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("ledger file `{file}` {flaw}")]
pub struct VerifyError {
    /// The file's name below the ledger's directory.
    pub file: String,
    /// What is wrong with it.
    pub flaw: Flaw,
}

impl VerifyError {
    pub(crate) fn new(file: impl fmt::Display, flaw: Flaw) -> Self {
        Self {
            file: file.to_string(),
            flaw,
        }
    }
}

impl From<io::Error> for VerifyError {
    /// A directory cannot be listed.
    fn from(error: io::Error) -> Self {
        Self::new(".", Flaw::Io(error))
    }
}

/// What can be wrong with a file of a ledger.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// The operating system's error.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// The tree needs it.
    #[error("is missing")]
    Missing,
    /// No log has a file of this name.
    #[error("is unknown: no ledger has such a file")]
    Unknown,
    /// A partial tile whose successor is there, or a file beyond the checkpoint.
    #[error("does not belong to the tree of the checkpoint: it is superseded or not covered")]
    NotCovered,
    /// The checkpoint is not a note that the key signed.
    #[error("is refused: {0}")]
    Note(NoteError),
    /// The signed text is no checkpoint.
    #[error("is no checkpoint: {0}")]
    Checkpoint(CheckpointError),
    /// The checkpoint is another log's.
    #[error("is of an origin that is not the key's name")]
    Origin,
    /// The root hash is not that of the entries.
    #[error("has a root hash that the entries do not have")]
    Root,
    /// A tile of the wrong length.
    #[error("is no tile: {0}")]
    Tile(TileError),
    /// A tile whose hashes are not those of the entries.
    #[error("has hashes that the entries do not have")]
    Hashes,
    /// A bundle that is not strictly encoded.
    #[error("is no entry bundle: {0}")]
    Bundle(BundleError),
    /// A bundle with more or fewer entries than its name says.
    #[error("has not as many entries as its name says")]
    Width,
    /// A leaf that is not as it should be.
    #[error("holds leaf {index}, which {flaw}")]
    Leaf {
        /// The leaf's index in the log.
        index: u64,
        /// What is wrong with it.
        flaw: LeafFlaw,
    },
}

/// Verifies the ledger in `dir` (a copy of `DATA/ledger`) against its public key: the checkpoint's signature and
/// origin; that the files are exactly those of its tree; every tile and the root, recomputed from the entries; that
/// every leaf is strictly encoded, time and watermarks never decrease, the parts of a request are together, and no two
/// requests have one id; and that the tree continues that of the cosigned checkpoint.
///
/// Reads one bundle at a time; of earlier ones it keeps 16 bytes a request.
///
/// # Errors
/// [`VerifyError`] about the first file that is wrong.
pub fn verify(dir: &Path, key: &VerifierKey) -> Result<Report, VerifyError> {
    verify_each(dir, key, |_| ())
}

/// Why a ledger is not shown to continue an older checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum SinceError {
    /// The older checkpoint is not one that the key signed.
    #[error("the older checkpoint {0}")]
    Older(Flaw),
    /// The ledger has fewer leaves than it had.
    #[error("the ledger shrank: it has {size} leaves, and had {older} at the older checkpoint")]
    Shrunk {
        /// Leaves at the older checkpoint.
        older: u64,
        /// Leaves now.
        size: u64,
    },
    /// The leaves that the older checkpoint covers are no longer the same.
    #[error("the ledger was rewritten: its first {older} leaves are not those of the older checkpoint")]
    Rewritten {
        /// Leaves at the older checkpoint.
        older: u64,
    },
    /// A file of the ledger.
    #[error(transparent)]
    Ledger(#[from] ReadError),
}

/// Verifies that the ledger in `dir` continues the tree of `older`, a checkpoint of its as it was once published (a
/// signed note), with the consistency proof of RFC 6962 §2.1.2. It relies on the ledger's tiles, which [`verify`]
/// checks. Gives the older checkpoint.
///
/// # Errors
/// [`SinceError`].
pub fn verify_since(dir: &Path, key: &VerifierKey, older: &[u8]) -> Result<Checkpoint, SinceError> {
    let older = Note::parse(older)
        .map_err(Flaw::Note)
        .and_then(|note| checkpoint_of(&note, key))
        .map_err(SinceError::Older)?;
    let reader = Reader::new(dir, key.clone());
    let (proof, note) = reader.prove_growth(older.size).map_err(|error| match error {
        ReadError::Range { size, asked } => SinceError::Shrunk { older: asked, size },
        error @ ReadError::Damaged(_) => error.into(),
    })?;
    let newest =
        checkpoint_of(&note, key).map_err(|flaw| ReadError::from(VerifyError::new(CHECKPOINT, flaw)))?;
    verify_consistency(older.size, older.root, newest.size, newest.root, &proof)
        .map_err(|_| SinceError::Rewritten { older: older.size })?;
    Ok(older)
}

/// [`verify`], and calls `each` with every leaf.
pub(crate) fn verify_each(
    dir: &Path,
    key: &VerifierKey,
    mut each: impl FnMut(&[u8]),
) -> Result<Report, VerifyError> {
    let files = LedgerFiles::new(dir.to_owned());
    let missing = || VerifyError::new(CHECKPOINT, Flaw::Missing);
    let checkpoint = files.checkpoint(key)?.ok_or_else(missing)?;
    refuse_stray_files(&files, checkpoint.size)?;

    let mut edge = Edge::default();
    let mut leaves = Leaves::default();
    for path in TilePath::all(checkpoint.size).take_while(|path| path.level() == Level::Entries) {
        let bundle = files.read(path)?;
        let entries = decode_bundle(&bundle).map_err(|error| VerifyError::new(path, Flaw::Bundle(error)))?;
        if entries.len() != path.width() {
            return Err(VerifyError::new(path, Flaw::Width));
        }
        for entry in &entries {
            let flawed = |(index, flaw)| VerifyError::new(path, Flaw::Leaf { index, flaw });
            leaves.follow(entry).map_err(flawed)?;
            each(entry);
        }
        let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        // Of the partial tiles on the way only the last ones, which the tree still has, are files.
        for tile in edge
            .append(&hashes)
            .iter()
            .filter(|tile| tile.path().is_in(checkpoint.size))
        {
            if files.read(tile.path())? != tile.encode() {
                return Err(VerifyError::new(tile.path(), Flaw::Hashes));
            }
        }
    }
    if edge.root() != checkpoint.root {
        return Err(VerifyError::new(CHECKPOINT, Flaw::Root));
    }
    let cosigned = verify_cosigned(&files, key, &checkpoint)?;
    leaves.report(checkpoint, cosigned)
}

/// The cosigned checkpoint, whose tree that of `newest` continues.
fn verify_cosigned(
    files: &LedgerFiles,
    key: &VerifierKey,
    newest: &Checkpoint,
) -> Result<Option<(Checkpoint, Note)>, VerifyError> {
    let Some((cosigned, note)) = files.signed(COSIGNED, key)? else {
        return Ok(None);
    };
    let proof = Prover::new(newest.size, |path| files.tile(path)).consistency(cosigned.size);
    let proof = proof.map_err(|error| match error {
        ProveError::Proof(_) => VerifyError::new(COSIGNED, Flaw::NotCovered),
        ProveError::Read(error) => error,
    })?;
    verify_consistency(cosigned.size, cosigned.root, newest.size, newest.root, &proof)
        .map_err(|_| VerifyError::new(COSIGNED, Flaw::Root))?;
    Ok(Some((cosigned, note)))
}

/// Refuses whatever is not a file of the tree of `size` leaves. (Reading the tree finds what is missing.)
fn refuse_stray_files(files: &LedgerFiles, size: u64) -> Result<(), VerifyError> {
    files.visit(&mut |name| match name.parse::<TilePath>() {
        Ok(path) if !path.is_in(size) => Err(VerifyError::new(name, Flaw::NotCovered)),
        Err(_) if ![CHECKPOINT, COSIGNED].contains(&name) => Err(VerifyError::new(name, Flaw::Unknown)),
        _ => Ok(()),
    })
}

/// What the verifier remembers of the leaves so far.
#[derive(Default)]
struct Leaves {
    size: u64,
    first: Option<Timestamp>,
    marks: Marks,
    ids: HashSet<[u8; 16]>,
    /// The request whose parts are not all there yet, and the number of the next.
    unfinished: Option<(RequestFields, u32)>,
}

impl Leaves {
    fn follow(&mut self, bytes: &[u8]) -> Result<(), (u64, LeafFlaw)> {
        let index = self.size;
        self.check(bytes).map_err(|flaw| (index, flaw))?;
        self.size += 1;
        Ok(())
    }

    fn check(&mut self, bytes: &[u8]) -> Result<(), LeafFlaw> {
        let leaf = Leaf::parse(bytes)?;
        let (before, marks) = (self.marks, leaf.marks());
        if marks.t < before.t || marks.w < before.w || marks.j < before.j {
            return Err(LeafFlaw::WentBack);
        }
        let place = leaf.place();
        match self.unfinished.take() {
            Some((fields, next)) if fields != leaf.request_fields() || next != place.part => {
                return Err(LeafFlaw::Parts);
            }
            None if place.part != 1 => return Err(LeafFlaw::Parts),
            None => self.meet(leaf.id())?,
            Some(_) => {}
        }
        if place.part < place.parts {
            self.unfinished = Some((leaf.request_fields(), place.part + 1));
        }
        self.first.get_or_insert(Timestamp::from_millis(marks.t));
        self.marks = marks;
        Ok(())
    }

    fn meet(&mut self, id: &str) -> Result<(), LeafFlaw> {
        let id: RequestId = id.parse().map_err(|_| LeafFlaw::Encoding)?;
        if self.ids.insert(*id.as_bytes()) {
            Ok(())
        } else {
            Err(LeafFlaw::Repeated)
        }
    }

    fn report(
        self,
        checkpoint: Checkpoint,
        cosigned: Option<(Checkpoint, Note)>,
    ) -> Result<Report, VerifyError> {
        // The leaves of a request are published together.
        if self.unfinished.is_some() {
            let flaw = Flaw::Leaf {
                index: self.size.saturating_sub(1),
                flaw: LeafFlaw::Parts,
            };
            return Err(VerifyError::new(CHECKPOINT, flaw));
        }
        Ok(Report {
            origin: checkpoint.origin,
            size: self.size,
            root: checkpoint.root,
            requests: self.ids.len() as u64,
            first: self.first,
            last: self.first.map(|_| Timestamp::from_millis(self.marks.t)),
            cosigned,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::finalize;
    use crate::testing::entry;

    #[test]
    fn nothing_goes_back() {
        let leaf = |number, t, w, j| {
            let mut leaf = Vec::new();
            let entry = entry(number);
            entry
                .fragments()
                .for_each(|fragment| finalize(&mut leaf, Marks { t, w, j }, None, fragment));
            leaf
        };
        for ((t, w, j), expected) in [
            ((5, 5, 5), Ok(())),
            ((6, 7, 8), Ok(())),
            ((4, 5, 5), Err((1, LeafFlaw::WentBack))),
            ((5, 4, 5), Err((1, LeafFlaw::WentBack))),
            ((5, 5, 4), Err((1, LeafFlaw::WentBack))),
        ] {
            let mut leaves = Leaves::default();
            leaves.follow(&leaf(1, 5, 5, 5)).unwrap();
            assert_eq!(leaves.follow(&leaf(2, t, w, j)), expected, "{t} {w} {j}");
        }
    }
}
