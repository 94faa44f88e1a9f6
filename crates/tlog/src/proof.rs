//! Proofs of RFC 6962 §2.1: that a leaf is in a tree, and that a tree continues an older one. They are made from the
//! tiles of the log and checked without them.

use std::collections::HashMap;

use crate::{Hash, Level, TILE_WIDTH, Tile, TilePath, node_hash};

/// The most hashes in a proof: one or two for each level of a tree of 2^63 leaves.
pub const PROOF_HASHES: usize = 63;

/// A proof does not show what it should, or was asked of a tree that cannot have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such leaf, or the older tree is larger than the newer.
    #[error("the tree is smaller than what is to be proved of it")]
    Range,
    /// Too many hashes, too few, or hashes that lead to another root.
    #[error("the proof does not lead to the tree's root")]
    Root,
}

/// Why no proof could be made.
#[derive(Debug, thiserror::Error)]
pub enum ProveError<E> {
    /// [`ProofError::Range`].
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A tile could not be read.
    #[error(transparent)]
    Read(E),
}

/// A tree whose tiles are read as proofs need them.
pub struct Prover<R> {
    size: u64,
    read: R,
    tiles: HashMap<TilePath, Vec<Hash>>,
}

impl<E, R: FnMut(TilePath) -> Result<Tile, E>> Prover<R> {
    /// The tree of `size` leaves, whose tiles `read` fetches; each is fetched once.
    pub fn new(size: u64, read: R) -> Self {
        Self {
            size,
            read,
            tiles: HashMap::new(),
        }
    }

    /// The audit path of leaf `index`, from its sibling upward (RFC 6962 §2.1.1).
    ///
    /// # Errors
    /// [`ProofError::Range`] when there is no such leaf, or what `read` fails with.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, ProveError<E>> {
        if index >= self.size {
            return Err(ProofError::Range.into());
        }
        let (mut start, mut end) = (0, self.size);
        let mut path = Vec::new();
        while end - start > 1 {
            let middle = start + left_size(end - start);
            let sibling = if index < middle {
                let right = middle..end;
                end = middle;
                right
            } else {
                let left = start..middle;
                start = middle;
                left
            };
            path.push(self.root(sibling.start, sibling.end)?);
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that this tree continues the one of its first `old` leaves (RFC 6962 §2.1.2). Empty when that is
    /// the empty tree or this one.
    ///
    /// # Errors
    /// [`ProofError::Range`] when `old` is larger than the tree, or what `read` fails with.
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, ProveError<E>> {
        if old > self.size {
            return Err(ProofError::Range.into());
        }
        let mut path = Vec::new();
        let (mut start, mut end) = (0, self.size);
        // The old tree is `start..old` of what is left; once that is a right part, its root is not known otherwise.
        while old > start && old < end {
            let middle = start + left_size(end - start);
            if old <= middle {
                path.push(self.root(middle, end)?);
                end = middle;
            } else {
                path.push(self.root(start, middle)?);
                start = middle;
            }
        }
        if start > 0 {
            path.push(self.root(start, end)?);
        }
        path.reverse();
        Ok(path)
    }

    /// The root of leaves `start..end`, which begin where a perfect subtree of their size could.
    fn root(&mut self, start: u64, end: u64) -> Result<Hash, ProveError<E>> {
        let size = end - start;
        if size.is_power_of_two() {
            return self.node(size.trailing_zeros(), start >> size.trailing_zeros());
        }
        let middle = start + left_size(size);
        let left = self.root(start, middle)?;
        Ok(node_hash(&left, &self.root(middle, end)?))
    }

    /// Perfect subtree number `index` of those with 2^`height` leaves.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, ProveError<E>> {
        // A tile spans eight levels, so `height / 8` fits, and the subtree's hashes lie in one tile.
        let (level, inner) = ((height / 8) as u8, height % 8);
        let first = index << inner;
        let number = first / TILE_WIDTH as u64;
        let path = Some(TilePath::full(Level::Hashes(level), number))
            .filter(|path| path.is_in(self.size))
            .or_else(|| TilePath::partial(Level::Hashes(level), self.size))
            .ok_or(ProofError::Range)?;
        if !self.tiles.contains_key(&path) {
            let tile = (self.read)(path).map_err(ProveError::Read)?;
            self.tiles.insert(path, tile.into_hashes());
        }
        let offset = (first % TILE_WIDTH as u64) as usize;
        let hashes = self
            .tiles
            .get(&path)
            .and_then(|hashes| hashes.get(offset..offset + (1 << inner)));
        Ok(crate::tree::perfect_root(hashes.ok_or(ProofError::Range)?))
    }
}

/// Checks that `leaf` is number `index` of the tree of `size` leaves under `root` (RFC 9162 §2.1.3.2).
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    index: u64,
    leaf: Hash,
    size: u64,
    root: Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Root);
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // Levels on which this node, the last, stands alone are skipped.
            let alone = if node % 2 == 0 { node.trailing_zeros() } else { 0 };
            (node, last) = (node >> alone, last >> alone);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last == 0 && hash == root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Checks that the tree of `size` leaves under `root` continues the one of `old_size` under `old_root` (RFC 9162
/// §2.1.4.2). Every tree continues the empty one.
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    old_size: u64,
    old_root: Hash,
    size: u64,
    root: Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if old_size > size {
        return Err(ProofError::Range);
    }
    if old_size == 0 || old_size == size {
        let same = if old_size == 0 {
            old_root == Hash::empty_root()
        } else {
            old_root == root
        };
        return if same && path.is_empty() {
            Ok(())
        } else {
            Err(ProofError::Root)
        };
    }
    // A perfect old tree is a node of the new one, so its root need not be in the proof.
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, path)
    } else {
        let (first, rest) = path.split_first().ok_or(ProofError::Root)?;
        (*first, rest)
    };
    let (mut node, mut last) = (old_size - 1, size - 1);
    let whole = node.trailing_ones();
    (node, last) = (node >> whole, last >> whole);
    let (mut old_hash, mut hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Root);
        }
        if node % 2 == 1 || node == last {
            (old_hash, hash) = (node_hash(sibling, &old_hash), node_hash(sibling, &hash));
            let alone = if node % 2 == 0 { node.trailing_zeros() } else { 0 };
            (node, last) = (node >> alone, last >> alone);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last == 0 && old_hash == old_root && hash == root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Leaves in the left subtree of a tree of `size` leaves, which is two or more: the largest power of two below.
fn left_size(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edge, leaf_hash};
    use proptest::prelude::*;

    struct Log {
        leaves: Vec<Hash>,
        roots: Vec<Hash>,
    }

    impl Log {
        fn of(size: u32) -> Self {
            let leaves: Vec<_> = (0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect();
            let mut edge = Edge::default();
            let mut roots = vec![edge.root()];
            for leaf in &leaves {
                edge.append(&[*leaf]);
                roots.push(edge.root());
            }
            Self { leaves, roots }
        }

        /// The tiles of the tree of the first `size` leaves, and no others.
        fn prover(&self, size: usize) -> Prover<impl FnMut(TilePath) -> Result<Tile, TilePath>> {
            let tiles: HashMap<_, _> = Edge::default()
                .append(&self.leaves[..size])
                .into_iter()
                .filter(|tile| tile.path().is_in(size as u64))
                .map(|tile| (tile.path(), tile))
                .collect();
            Prover::new(size as u64, move |path| tiles.get(&path).cloned().ok_or(path))
        }
    }

    #[test]
    fn every_proof_of_small_trees_and_no_other_claim() {
        let log = Log::of(40);
        for size in 1..=40 {
            let mut prover = log.prover(size);
            let root = log.roots[size];
            for index in 0..size {
                let path = prover.inclusion(index as u64).unwrap();
                for claimed in 0..size {
                    let verified =
                        verify_inclusion(claimed as u64, log.leaves[index], size as u64, root, &path);
                    assert_eq!(
                        verified.is_ok(),
                        claimed == index,
                        "{index} of {size} as {claimed}"
                    );
                }
            }
            for old in 0..=size {
                let path = prover.consistency(old as u64).unwrap();
                for claimed in 0..=size {
                    let verified =
                        verify_consistency(claimed as u64, log.roots[old], size as u64, root, &path);
                    assert_eq!(verified.is_ok(), claimed == old, "{old} to {size} as {claimed}");
                }
            }
        }
    }

    #[test]
    fn what_no_tree_can_prove_is_refused() {
        let log = Log::of(5);
        let mut prover = log.prover(5);
        assert!(matches!(
            prover.inclusion(5),
            Err(ProveError::Proof(ProofError::Range))
        ));
        assert!(matches!(
            prover.consistency(6),
            Err(ProveError::Proof(ProofError::Range))
        ));
        assert!(matches!(
            Prover::new(5, Err).inclusion(0),
            Err(ProveError::Read(_))
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn proofs_over_tiles_hold_and_break_with_any_bit(
            size in 1..2_000usize, at in any::<prop::sample::Index>(), old in any::<prop::sample::Index>(),
            bit in any::<prop::sample::Index>(),
        ) {
            let log = Log::of(size as u32);
            let mut prover = log.prover(size);
            let (index, old, root) = (at.index(size), old.index(size + 1), log.roots[size]);
            let mut path = prover.inclusion(index as u64).unwrap();
            let leaf = log.leaves[index];
            prop_assert_eq!(verify_inclusion(index as u64, leaf, size as u64, root, &path), Ok(()));
            let mut older = prover.consistency(old as u64).unwrap();
            prop_assert_eq!(verify_consistency(old as u64, log.roots[old], size as u64, root, &older), Ok(()));
            prop_assert!(path.len() <= PROOF_HASHES && older.len() <= PROOF_HASHES);
            for (path, is_inclusion) in [(&mut path, true), (&mut older, false)] {
                if path.is_empty() {
                    continue;
                }
                let bit = bit.index(path.len() * 256);
                path[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
                let verified = if is_inclusion {
                    verify_inclusion(index as u64, leaf, size as u64, root, path)
                } else {
                    verify_consistency(old as u64, log.roots[old], size as u64, root, path)
                };
                prop_assert_eq!(verified, Err(ProofError::Root));
            }
        }

        #[test]
        fn arbitrary_proofs_are_no_panic(index: u64, size: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
            let path: Vec<_> = hashes.into_iter().map(Hash).collect();
            let root = Hash::empty_root();
            prop_assert!(verify_inclusion(index, root, size, root, &path).is_err());
            let _ = verify_consistency(index, root, size, root, &path);
        }
    }
}
