//! Tiles: where the files of a log lie, and what a tile of hashes holds (c2sp.org/tlog-tiles).

use std::fmt;
use std::str::FromStr;

use crate::Hash;

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: usize = 256;

/// The highest level that the path syntax knows.
const MAX_LEVEL: u8 = 63;

/// What a file of a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Entries of the log.
    Entries,
    /// Leaf hashes at level 0; above, the tree hashes of the full tiles one level below.
    Hashes(u8),
}

/// The name of a tile or an entry bundle: `tile/<level>/<index>`, with `.p/<width>` when it is partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TilePath {
    level: Level,
    index: u64,
    /// 1 to 256.
    width: u16,
}

/// The text names no tile, or bytes are not what a tile of that name holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not the one spelling of a tile's path.
    #[error("the path is not of the form `tile/<level>/<index>[.p/<width>]`")]
    Path,
    /// The length is not 32 bytes for each hash.
    #[error("the tile's length does not fit its width")]
    Length,
}

impl TilePath {
    /// The full tile number `index` of `level`.
    #[must_use]
    pub fn full(level: Level, index: u64) -> Self {
        Self {
            level,
            index,
            width: TILE_WIDTH as u16,
        }
    }

    /// The partial tile at the right edge of `level` in a tree of `size` leaves; `None` when there is none.
    #[must_use]
    pub fn partial(level: Level, size: u64) -> Option<Self> {
        let nodes = nodes(level, size);
        let width = (nodes % TILE_WIDTH as u64) as u16;
        (width > 0).then_some(Self {
            level,
            index: nodes / TILE_WIDTH as u64,
            width,
        })
    }

    /// Every tile and bundle of a tree of `size` leaves, full ones first at each level.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        levels(size).flat_map(move |level| {
            let full = nodes(level, size) / TILE_WIDTH as u64;
            (0..full)
                .map(move |index| Self::full(level, index))
                .chain(Self::partial(level, size))
        })
    }

    /// The partial ones among [`TilePath::all`]: at most one a level.
    pub fn partials(size: u64) -> impl Iterator<Item = Self> {
        levels(size).filter_map(move |level| Self::partial(level, size))
    }

    /// Whether the tree of `size` leaves has this file. A partial tile whose successor is there is superseded,
    /// and no longer one of its files.
    #[must_use]
    pub fn is_in(&self, size: u64) -> bool {
        let full = nodes(self.level, size) / TILE_WIDTH as u64;
        (self.width() == TILE_WIDTH && self.index < full) || Self::partial(self.level, size) == Some(*self)
    }

    /// The tile that holds the leaf hashes of this bundle of entries.
    #[must_use]
    pub fn of_hashes(&self) -> Self {
        Self {
            level: Level::Hashes(0),
            ..*self
        }
    }

    /// What the file holds.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Hashes or entries in the file, 1 to 256.
    #[must_use]
    pub fn width(&self) -> usize {
        usize::from(self.width)
    }
}

/// How many hashes (or entries) stand at `level` of a tree of `size` leaves.
fn nodes(level: Level, size: u64) -> u64 {
    match level {
        Level::Entries => size,
        Level::Hashes(level) => size.checked_shr(8 * u32::from(level)).unwrap_or(0),
    }
}

/// The levels that a tree of `size` leaves has files of.
fn levels(size: u64) -> impl Iterator<Item = Level> {
    let hashes = (0..=MAX_LEVEL).map(Level::Hashes);
    [Level::Entries]
        .into_iter()
        .chain(hashes)
        .take_while(move |level| nodes(*level, size) > 0)
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Entries => f.write_str("tile/entries/")?,
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        for power in (1..=self.index.checked_ilog(1000).unwrap_or(0)).rev() {
            write!(f, "x{:03}/", self.index / 1000_u64.pow(power) % 1000)?;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.width() < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = TileError;

    fn from_str(text: &str) -> Result<Self, TileError> {
        // Reads generously, then refuses every spelling but the one that it would print.
        read(text)
            .filter(|path| path.to_string() == text)
            .ok_or(TileError::Path)
    }
}

fn read(text: &str) -> Option<TilePath> {
    let (level, place) = text.strip_prefix("tile/")?.split_once('/')?;
    let level = match level {
        "entries" => Level::Entries,
        number => Level::Hashes(number.parse().ok().filter(|level| *level <= MAX_LEVEL)?),
    };
    let (groups, width) = match place.split_once(".p/") {
        Some((groups, width)) => (
            groups,
            width.parse().ok().filter(|width| (1..=255).contains(width))?,
        ),
        None => (place, TILE_WIDTH as u16),
    };
    let index = groups.split('/').try_fold(0_u64, |index, group| {
        let group: u16 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index.checked_mul(1000)?.checked_add(u64::from(group))
    })?;
    Some(TilePath { level, index, width })
}

/// A tile of hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    path: TilePath,
    /// As many as the path's width.
    hashes: Vec<Hash>,
}

impl Tile {
    /// The tile `index` of `level` that holds `hashes`, 1 to 256.
    pub(crate) fn new(level: u8, index: u64, hashes: &[Hash]) -> Self {
        let path = TilePath {
            level: Level::Hashes(level),
            index,
            width: hashes.len() as u16,
        };
        Self {
            path,
            hashes: hashes.to_vec(),
        }
    }

    /// The tile named `path` from its file's bytes.
    ///
    /// # Errors
    /// [`TileError::Length`] unless there are 32 bytes for each hash.
    pub fn decode(path: TilePath, bytes: &[u8]) -> Result<Self, TileError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() != path.width() || !rest.is_empty() {
            return Err(TileError::Length);
        }
        Ok(Self {
            path,
            hashes: hashes.iter().copied().map(Hash).collect(),
        })
    }

    /// The bytes of its file: the hashes, one after the other.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }

    /// Its name.
    #[must_use]
    pub fn path(&self) -> TilePath {
        self.path
    }

    /// Its hashes, leftmost first.
    #[must_use]
    pub fn into_hashes(self) -> Vec<Hash> {
        self.hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_of_the_specification() {
        let path = |level, index, width| TilePath { level, index, width }.to_string();
        assert_eq!(path(Level::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path(Level::Hashes(63), 0, 1), "tile/63/000.p/1");
        assert_eq!(path(Level::Entries, 1000, 255), "tile/entries/x001/000.p/255");
        assert_eq!(path(Level::Entries, 999, 256), "tile/entries/999");
    }

    #[test]
    fn paths_that_are_refused() {
        for text in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/x001/x002",
            "tile/00/001",
            "tile/64/001",
            "tile/+0/001",
            "tile/0/001.p",
            "tile/0/001.p/",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/001.p/1/",
            "tile/0/001.p/1.p/1",
            "tile/0/+01",
            "tile/entries",
            "tile/data/001",
            "tile/0/1000",
            "/tile/0/001",
            "tile/0//001",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
        ] {
            assert_eq!(text.parse::<TilePath>(), Err(TileError::Path), "{text:?}");
        }
    }

    /// The numbers of full tiles, and the width of the partial one, at each level of hashes.
    fn shape(size: u64) -> Vec<(usize, usize)> {
        let level_of = |level| {
            let at = TilePath::all(size).filter(move |path| path.level == Level::Hashes(level));
            let (full, partial): (Vec<_>, Vec<_>) = at.partition(|path| path.width() == TILE_WIDTH);
            (full.len(), partial.first().map_or(0, TilePath::width))
        };
        (0..).map(level_of).take_while(|shape| *shape != (0, 0)).collect()
    }

    #[test]
    fn the_tiles_of_trees() {
        assert_eq!(shape(0), []);
        assert_eq!(shape(1), [(0, 1)]);
        assert_eq!(shape(256), [(1, 0), (0, 1)]);
        assert_eq!(shape(70_000), [(273, 112), (1, 17), (0, 1)]);
        assert_eq!(
            TilePath::all(70_000)
                .filter(|path| path.level == Level::Entries)
                .count(),
            274
        );
        assert_eq!(TilePath::partials(70_000).count(), 4);
        assert_eq!(TilePath::partials(u64::MAX).count(), 9);
    }

    proptest! {
        #[test]
        fn a_path_prints_and_parses(level in 0..=63u8, index: u64, width in 1..=256u16) {
            for level in [Level::Entries, Level::Hashes(level)] {
                let path = TilePath { level, index, width };
                prop_assert_eq!(path.to_string().parse(), Ok(path));
            }
        }

        #[test]
        fn what_parses_prints_the_same(text in "tile/(entries|[0-9]{1,3})/(x?[0-9]{1,3}/){0,3}[0-9]{2,4}(\\.p/[0-9]{1,3})?") {
            if let Ok(path) = text.parse::<TilePath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }

        #[test]
        fn any_text_is_no_panic(text: String) {
            let _ = text.parse::<TilePath>();
        }

        #[test]
        fn membership_agrees_with_the_listing(size in 0..2000u64, index in 0..9u64, width in 1..=256u16, level in 0..3u8) {
            for level in [Level::Entries, Level::Hashes(level)] {
                let path = TilePath { level, index, width };
                prop_assert_eq!(path.is_in(size), TilePath::all(size).any(|other| other == path));
            }
        }

        #[test]
        fn a_tile_decodes_only_at_its_width(bytes in prop::collection::vec(any::<u8>(), 0..200), width in 1..=256u16) {
            let path = TilePath { level: Level::Hashes(0), index: 0, width };
            match Tile::decode(path, &bytes) {
                Ok(tile) => prop_assert_eq!(tile.encode(), bytes),
                Err(_) => prop_assert_ne!(bytes.len(), 32 * usize::from(width)),
            }
        }
    }
}
