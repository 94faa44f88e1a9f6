//! The hashes of RFC 6962 §2.1, with SHA-256.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{self, Context, Digest, SHA256};

const HASH: usize = 32;

/// The hash of a leaf, a node or a tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The root of the tree without leaves: the hash of nothing.
    #[must_use]
    pub fn empty_root() -> Self {
        of_digest(&digest::digest(&SHA256, &[]))
    }
}

impl fmt::Display for Hash {
    /// Standard base64, as in checkpoints and proofs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::to_base64(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let bytes = crate::from_base64(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(HashError)
    }
}

/// The text is not the base64 of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not the base64 of a SHA-256 hash")]
pub struct HashError;

/// The hash of the leaf that holds `entry`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(entry);
    of_digest(&context.finish())
}

/// The hash of the node above `left` and `right`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut node = [1; 1 + 2 * HASH];
    let hashes = left.0.iter().chain(&right.0);
    node.iter_mut()
        .skip(1)
        .zip(hashes)
        .for_each(|(to, from)| *to = *from);
    of_digest(&digest::digest(&SHA256, &node))
}

fn of_digest(digest: &Digest) -> Hash {
    let mut out = [0; HASH];
    out.copy_from_slice(digest.as_ref());
    Hash(out)
}
