//! The growing tree. Of all its hashes only those of the partial tiles at its right edge are needed to go on.

use crate::{Hash, Level, TILE_WIDTH, Tile, TilePath, node_hash};

/// Levels of tiles in a tree of at most 2^64 leaves: a tile spans eight levels of the tree.
const LEVELS: usize = 8;

/// The right edge of a tree: its size, and at each level the hashes of the partial tile.
#[derive(Clone, Default)]
pub struct Edge {
    size: u64,
    partials: [Vec<Hash>; LEVELS],
}

impl Edge {
    /// The edge of the tree of `size` leaves, whose partial tiles `read` fetches.
    ///
    /// Nothing says that they are the right ones until [`Edge::root`] equals a root that is known.
    ///
    /// # Errors
    /// Whatever `read` fails with.
    pub fn load<E>(size: u64, mut read: impl FnMut(TilePath) -> Result<Tile, E>) -> Result<Self, E> {
        let mut edge = Self {
            size,
            ..Self::default()
        };
        for (level, partial) in (0..).zip(&mut edge.partials) {
            if let Some(path) = TilePath::partial(Level::Hashes(level), size) {
                *partial = read(path)?.into_hashes();
            }
        }
        Ok(edge)
    }

    /// Leaves of the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends leaves by their hashes. Gives every tile, full or partial, that this made or changed.
    pub fn append(&mut self, leaves: &[Hash]) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let mut hashes = leaves.to_vec();
        let mut full_tiles = self.size;
        for (level, partial) in (0..).zip(&mut self.partials) {
            if hashes.is_empty() {
                break;
            }
            full_tiles /= TILE_WIDTH as u64;
            partial.append(&mut hashes);
            let (full, rest) = partial.as_chunks::<TILE_WIDTH>();
            for (index, tile) in (full_tiles..).zip(full) {
                tiles.push(Tile::new(level, index, tile));
                hashes.push(perfect_root(tile));
            }
            if !rest.is_empty() {
                tiles.push(Tile::new(level, full_tiles + full.len() as u64, rest));
            }
            *partial = rest.to_vec();
        }
        self.size += leaves.len() as u64;
        tiles
    }

    /// The tree's root hash, RFC 6962 §2.1.
    #[must_use]
    pub fn root(&self) -> Hash {
        // The tree is a row of perfect subtrees, ever smaller to the right; they are joined from the right. A tile's
        // hashes are such subtrees, one for each bit of their number.
        let mut root = None;
        for partial in &self.partials {
            let mut rest = partial.as_slice();
            while !rest.is_empty() {
                let smallest = 1 << rest.len().trailing_zeros();
                let (left, subtree) = rest.split_at(rest.len() - smallest);
                let hash = perfect_root(subtree);
                root = Some(root.map_or(hash, |right| node_hash(&hash, &right)));
                rest = left;
            }
        }
        root.unwrap_or_else(Hash::empty_root)
    }
}

/// The root above a power of two of hashes.
pub(crate) fn perfect_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => Hash::empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&perfect_root(left), &perfect_root(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::leaf_hash;
    use proptest::prelude::*;

    /// RFC 6962 §2.1, word for word.
    fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::empty_root(),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&naive_root(left), &naive_root(right))
            }
        }
    }

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count)
            .map(|number| leaf_hash(&number.to_be_bytes()))
            .collect()
    }

    /// The roots of the trees of one to eight leaves that Certificate Transparency's own tests use.
    #[test]
    fn known_roots() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut edge = Edge::default();
        for (entry, root) in entries.iter().zip(roots) {
            edge.append(&[leaf_hash(entry)]);
            let hex: String = edge.root().0.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, root, "{} leaves", edge.size());
        }
    }

    /// Appends in batches; keeps the tiles as a directory would, without those that are superseded.
    fn grow(batches: &[usize], leaves: &[Hash]) -> (Edge, HashMap<TilePath, Tile>) {
        let (mut edge, mut files, mut rest) = (Edge::default(), HashMap::new(), leaves);
        for batch in batches {
            let (now, later) = rest.split_at((*batch).min(rest.len()));
            files.extend(edge.append(now).into_iter().map(|tile| (tile.path(), tile)));
            rest = later;
        }
        files.extend(edge.append(rest).into_iter().map(|tile| (tile.path(), tile)));
        files.retain(|path, _| path.is_in(edge.size()));
        (edge, files)
    }

    #[test]
    fn a_tree_of_70000_in_one_batch_and_in_many() {
        let leaves = leaves(70_000);
        let (edge, files) = grow(&[], &leaves);
        assert_eq!(edge.root(), naive_root(&leaves));
        let hashes: Vec<_> = TilePath::all(70_000)
            .filter(|path| path.level() != Level::Entries)
            .collect();
        assert!(hashes.iter().all(|path| files.contains_key(path)));
        assert_eq!(files.len(), hashes.len());
        assert_eq!(grow(&[65_535, 1, 1, 255, 256, 257], &leaves).1, files);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_batches_make_the_naive_tree(batches in prop::collection::vec(0..600usize, 0..6), count in 0..2000u32) {
            let leaves = leaves(count);
            let (edge, files) = grow(&batches, &leaves);
            prop_assert_eq!(edge.root(), naive_root(&leaves));
            prop_assert_eq!(&files, &grow(&[], &leaves).1);
            let loaded = Edge::load(edge.size(), |path| files.get(&path).cloned().ok_or(())).unwrap();
            prop_assert_eq!(loaded.root(), edge.root());
        }
    }
}
