//! The tree of a ledger as its checkpoint covers it: read back at start, grown by the sequencer.

use strongroom_storage::Revision;
use strongroom_tlog::{
    Checkpoint, Edge, Hash, Level, NoteError, Signer, TILE_WIDTH, TilePath, decode_bundle, leaf_hash,
};

use crate::files::{CHECKPOINT, COSIGNED, LedgerFiles};
use crate::leaf::{Leaf, Marks};
use crate::verify::{Flaw, VerifyError};
use crate::{OpenError, Position};

/// What is needed of a tree to go on with it.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    pub(crate) edge: Edge,
    /// The bytes of the partial entry bundle; empty when there is none.
    pub(crate) bundle: Vec<u8>,
    /// Of the last leaf.
    pub(crate) marks: Marks,
}

impl Tree {
    /// Reads back the tree under the checkpoint in `files`, or begins one, and removes what a crash left.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was removed from a ledger that is damaged.
    pub(crate) fn recover(files: &LedgerFiles, signer: &Signer) -> Result<Self, OpenError> {
        let Some(checkpoint) = files.checkpoint(signer.verifier_key())? else {
            refuse_tiles(files)?;
            let tree = Self::default();
            files.write_note(CHECKPOINT, &tree.sign_checkpoint(signer)?)?;
            return Ok(tree);
        };
        let tree = Self::load(files, &checkpoint)?;
        let cosigned = files.signed(COSIGNED, signer.verifier_key())?;
        if cosigned.is_some_and(|(cosigned, _)| cosigned.size > checkpoint.size) {
            return Err(VerifyError::new(COSIGNED, Flaw::NotCovered).into());
        }
        files.sweep(checkpoint.size)?;
        Ok(tree)
    }

    fn load(files: &LedgerFiles, checkpoint: &Checkpoint) -> Result<Self, VerifyError> {
        let size = checkpoint.size;
        let edge = Edge::load(size, |path| files.tile(path))?;
        if edge.root() != checkpoint.root {
            return Err(VerifyError::new(CHECKPOINT, Flaw::Root));
        }
        let Some(last) = size.checked_sub(1) else {
            return Ok(Self::default());
        };
        let partial = TilePath::partial(Level::Entries, size);
        let path = partial.unwrap_or(TilePath::full(Level::Entries, last / TILE_WIDTH as u64));
        let bundle = files.read(path)?;
        let entries = decode_bundle(&bundle).map_err(|error| VerifyError::new(path, Flaw::Bundle(error)))?;
        let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        if files.tile(path.of_hashes())?.into_hashes() != hashes {
            return Err(VerifyError::new(path, Flaw::Hashes));
        }
        let leaf = Leaf::parse(entries.last().copied().unwrap_or_default());
        let flawed = |flaw| VerifyError::new(path, Flaw::Leaf { index: last, flaw });
        let marks = leaf.map_err(flawed)?.marks();
        Ok(Self {
            edge,
            bundle: if partial.is_some() { bundle } else { Vec::new() },
            marks,
        })
    }

    /// The tree's checkpoint as a note.
    pub(crate) fn sign_checkpoint(&self, signer: &Signer) -> Result<String, NoteError> {
        let checkpoint = self.position(signer.verifier_key().name()).checkpoint;
        Ok(signer.sign(&checkpoint.to_string())?.to_string())
    }

    /// How far the log called `origin` has come.
    pub(crate) fn position(&self, origin: &str) -> Position {
        let checkpoint = Checkpoint {
            origin: origin.to_owned(),
            size: self.edge.size(),
            root: self.edge.root(),
        };
        Position {
            checkpoint,
            outbox: Revision(self.marks.w),
        }
    }
}

/// A log without a checkpoint is new only if there are no tiles either: they come after its first checkpoint.
fn refuse_tiles(files: &LedgerFiles) -> Result<(), VerifyError> {
    files.visit(&mut |name| {
        let is_tile = name.parse::<TilePath>().is_ok();
        if is_tile {
            Err(VerifyError::new(CHECKPOINT, Flaw::Missing))
        } else {
            Ok(())
        }
    })
}
