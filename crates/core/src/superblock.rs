//! The superblock: what an instance's storage says about itself, in clear, before anything is unsealed.
//!
//! It is why a store that was opened as empty, or another program's, is never taken for a fresh install.

use minicbor::{Decode, Encode};
use strongroom_barrier::{StorageKey, planes};
use strongroom_base::InstanceId;
use strongroom_storage::{Storage, Unavailable};

/// The only format of the data directory so far.
pub const FORMAT: u16 = 1;

/// Row `system/superblock`: CBOR with numbered fields.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Superblock {
    /// [`FORMAT`] of the version that wrote it.
    #[n(0)]
    pub format: u16,
    /// Whose storage it is.
    #[n(1)]
    pub instance: InstanceId,
    /// The ledger's generation: 1, and one more for each restored backup.
    #[n(2)]
    pub generation: u32,
    /// The newest checkpoint of the ledger that storage knows of.
    #[n(3)]
    pub checkpoint: Option<LastCheckpoint>,
}

/// A checkpoint of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastCheckpoint {
    /// Leaves in the tree.
    #[n(0)]
    pub size: u64,
    /// The tree's root hash.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub root: [u8; 32],
}

/// Only the format, which any version can read.
#[derive(Decode)]
struct FormatOnly {
    #[n(0)]
    format: u16,
}

/// Why a storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SuperblockError {
    /// Storage cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Another program's, or damaged beyond recognition.
    #[error("the storage has no Strongroom superblock: it is another program's, or damaged")]
    Foreign,
    /// Written by a newer version.
    #[error(
        "the storage has format {0}, and this version knows formats up to {FORMAT}: use a newer strongroom"
    )]
    Newer(u16),
}

impl Superblock {
    /// Reads the superblock of `storage`; `None` for a storage without any row.
    ///
    /// # Errors
    /// [`SuperblockError`].
    pub async fn read(storage: &dyn Storage) -> Result<Option<Self>, SuperblockError> {
        if let Some(row) = storage.get(superblock_key().as_bytes()).await? {
            return Self::from_bytes(&row.value).map(Some);
        }
        let is_empty = storage.scan(vec![0]..vec![u8::MAX], None, 1).await?.is_empty();
        if is_empty {
            Ok(None)
        } else {
            Err(SuperblockError::Foreign)
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SuperblockError> {
        let FormatOnly { format } = minicbor::decode(bytes).map_err(|_| SuperblockError::Foreign)?;
        match format {
            FORMAT => minicbor::decode(bytes).map_err(|_| SuperblockError::Foreign),
            newer => Err(SuperblockError::Newer(newer)),
        }
    }

    /// The superblock as a row to put.
    #[must_use]
    pub fn to_row(&self) -> (Vec<u8>, Vec<u8>) {
        // Encoding into a vector has no way to fail.
        (
            superblock_key().as_bytes().to_vec(),
            minicbor::to_vec(self).unwrap_or_default(),
        )
    }
}

pub(crate) fn superblock_key() -> StorageKey {
    planes::system("superblock")
}

/// The key of the row with the seal slots.
#[must_use]
pub fn slots_key() -> StorageKey {
    planes::system("slots")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn superblock() -> Superblock {
        Superblock {
            format: FORMAT,
            instance: InstanceId::from_bytes([7; 16]),
            generation: 1,
            checkpoint: Some(LastCheckpoint {
                size: 3,
                root: [9; 32],
            }),
        }
    }

    /// `docs/formats/superblock.md` shows these bytes.
    #[test]
    fn the_bytes_of_format_1() {
        let hex: String = superblock()
            .to_row()
            .1
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let expected = format!("840150{}0182035820{}", "07".repeat(16), "09".repeat(32));
        assert_eq!(hex, expected);
    }

    #[test]
    fn a_newer_format_is_named_even_when_its_fields_are_unknown() {
        let newer = minicbor::to_vec((2u16, "other", "fields")).unwrap();
        assert!(matches!(
            Superblock::from_bytes(&newer),
            Err(SuperblockError::Newer(2))
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(superblock) = Superblock::from_bytes(&bytes) {
                prop_assert_eq!(superblock.format, FORMAT);
            }
        }
    }
}
