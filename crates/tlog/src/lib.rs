//! The transparency log as values: RFC 6962 hashing, tiles and entry bundles (c2sp.org/tlog-tiles), checkpoints
//! (c2sp.org/tlog-checkpoint), signed notes (c2sp.org/signed-note), proofs (c2sp.org/tlog-proof), and what witnesses
//! say (c2sp.org/tlog-cosignature, c2sp.org/tlog-witness).
//!
//! Invariant: no I/O, no clock, and no idea of what an entry says. What is parsed is strict: every text or file has
//! exactly one spelling, so that printing what was parsed gives the same bytes.

mod add_checkpoint;
mod bundle;
mod checkpoint;
mod cosignature;
mod hash;
mod note;
mod proof;
mod proof_file;
mod tile;
mod tree;

pub use add_checkpoint::{AddCheckpoint, Refusal};
pub use bundle::{BundleError, ENTRY_BYTES, decode_bundle, encode_entry};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use cosignature::{Cosigner, CosignerKey};
pub use hash::{Hash, HashError, leaf_hash, node_hash};
pub use note::{Note, NoteError, SignatureLine, Signer, VerifierKey};
pub use proof::{PROOF_HASHES, ProofError, ProveError, Prover, verify_consistency, verify_inclusion};
pub use proof_file::{ProofFile, ProofFileError};
pub use tile::{Level, TILE_WIDTH, Tile, TileError, TilePath};
pub use tree::Edge;

use base64::Engine as _;

/// The bytes that `text` spells in standard base64 with padding; `None` for any but the one spelling.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// `bytes` in standard base64 with padding.
fn to_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
