//! The superblock: what an instance's storage says about itself, in clear, before anything is unsealed.
//!
//! It is why a store that was opened as empty, or another program's, is never taken for a fresh install.

use minicbor::{Decode, Encode};
use strongroom_barrier::{StorageKey, planes};
use strongroom_base::{InstanceId, NodeId};
use strongroom_storage::{Change, CommitError, Precondition, Revision, Storage, Unavailable};

use crate::nodes::NodeRecord;

/// The format that this version writes. Format 1 knew one node only, and is brought up to date.
pub const FORMAT: u16 = 2;

/// Row `system/superblock`: CBOR with numbered fields.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Superblock {
    /// [`FORMAT`] of the version that wrote it.
    #[n(0)]
    pub format: u16,
    /// Whose storage it is.
    #[n(1)]
    pub instance: InstanceId,
    /// Nodes that have joined so far; they are numbered from 1.
    #[n(2)]
    pub nodes: u32,
}

/// What format 1 had: the ledger's part is now in the node's own row.
#[derive(Decode)]
struct Format1 {
    #[n(1)]
    instance: InstanceId,
    #[n(2)]
    generation: u32,
    #[n(3)]
    checkpoint: Option<LastCheckpoint>,
}

/// The superblock of a storage, of any format that this version knows.
#[derive(Clone, Debug)]
pub struct Found {
    superblock: Superblock,
    revision: Revision,
    /// Of a format 1: the only node.
    only_node: Option<NodeRecord>,
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
    /// It cannot be brought up to date.
    #[error("the storage cannot be brought to format {FORMAT}")]
    Migrate(#[from] CommitError),
}

impl Found {
    /// The instance.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        self.superblock.instance
    }

    /// The superblock in the newest format, after one commit if it was of an earlier one. The seal should be open: who
    /// cannot open it should not change anything.
    ///
    /// # Errors
    /// [`SuperblockError`]; nothing was changed, or the fate of the commit is unknown.
    pub async fn migrate(self, storage: &dyn Storage) -> Result<Superblock, SuperblockError> {
        let Some(node) = &self.only_node else {
            return Ok(self.superblock);
        };
        let change = Change {
            preconditions: vec![Precondition {
                key: superblock_key().as_bytes().to_vec(),
                revision: Some(self.revision),
            }],
            puts: vec![self.superblock.to_row(), node.to_row()],
            ..Change::default()
        };
        match storage.commit(change).await {
            // Another server has done it at the same moment.
            Err(CommitError::Conflict) => {
                let row = storage.get(superblock_key().as_bytes()).await?;
                Superblock::from_bytes(&row.ok_or(SuperblockError::Foreign)?.value)
            }
            committed => committed.map(|_| self.superblock).map_err(Into::into),
        }
    }
}

impl Superblock {
    /// That of a new instance, with its first node.
    #[must_use]
    pub fn new(instance: InstanceId) -> Self {
        Self {
            format: FORMAT,
            instance,
            nodes: NodeId::FIRST.0,
        }
    }

    /// Reads the superblock of `storage`; `None` for a storage without any row.
    ///
    /// # Errors
    /// [`SuperblockError`].
    pub async fn find(storage: &dyn Storage) -> Result<Option<Found>, SuperblockError> {
        if let Some(row) = storage.get(superblock_key().as_bytes()).await? {
            let (superblock, only_node) = Self::of_any_format(&row.value)?;
            return Ok(Some(Found {
                superblock,
                revision: row.revision,
                only_node,
            }));
        }
        let is_empty = storage.scan(vec![0]..vec![u8::MAX], None, 1).await?.is_empty();
        if is_empty {
            Ok(None)
        } else {
            Err(SuperblockError::Foreign)
        }
    }

    /// Reads one of the newest format.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SuperblockError> {
        match Self::of_any_format(bytes)? {
            (superblock, None) => Ok(superblock),
            (_, Some(_)) => Err(SuperblockError::Foreign),
        }
    }

    /// Reads one, and of format 1 also the only node's record.
    fn of_any_format(bytes: &[u8]) -> Result<(Self, Option<NodeRecord>), SuperblockError> {
        let foreign = |_| SuperblockError::Foreign;
        let FormatOnly { format } = minicbor::decode(bytes).map_err(foreign)?;
        match format {
            FORMAT => Ok((minicbor::decode(bytes).map_err(foreign)?, None)),
            1 => {
                let old: Format1 = minicbor::decode(bytes).map_err(foreign)?;
                let node = NodeRecord {
                    checkpoint: old.checkpoint,
                    ..NodeRecord::new(NodeId::FIRST, old.generation)
                };
                Ok((Self::new(old.instance), Some(node)))
            }
            0 => Err(SuperblockError::Foreign),
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
    use std::sync::Arc;
    use strongroom_storage::{Embedded, Memory};

    const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);

    /// `docs/formats/superblock.md` shows these bytes.
    #[test]
    fn the_bytes_of_format_2() {
        let (_, value) = Superblock::new(INSTANCE).to_row();
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("830250{}01", "07".repeat(16)));
        assert_eq!(Superblock::from_bytes(&value).unwrap(), Superblock::new(INSTANCE));
    }

    #[tokio::test]
    async fn format_1_is_brought_up_to_date_in_one_commit() {
        let old = [
            &[0x84, 1, 0x50][..],
            &[7; 16],
            &[3, 0x82, 3, 0x58, 0x20],
            &[9; 32],
        ]
        .concat();
        let storage = Embedded::open(Memory::default(), Arc::new(())).unwrap();
        let key = superblock_key().as_bytes().to_vec();
        let change = Change {
            puts: vec![(key, old)],
            ..Change::default()
        };
        storage.commit(change).await.unwrap();
        let found = Superblock::find(&storage).await.unwrap().unwrap();
        assert_eq!(found.instance(), INSTANCE);
        // Looking changes nothing.
        assert_eq!(strongroom_storage::head(&storage).await.unwrap(), Revision(1));
        let rival = found.clone();
        let superblock = found.migrate(&storage).await.unwrap();
        assert_eq!(superblock, Superblock::new(INSTANCE));
        assert_eq!(strongroom_storage::head(&storage).await.unwrap(), Revision(2));
        let (node, revision) = NodeRecord::read(&storage, NodeId::FIRST).await.unwrap();
        let expected = NodeRecord {
            checkpoint: Some(LastCheckpoint {
                size: 3,
                root: [9; 32],
            }),
            ..NodeRecord::new(NodeId::FIRST, 3)
        };
        assert_eq!((node, revision), (expected, Revision(2)));
        let again = Superblock::find(&storage).await.unwrap().unwrap();
        assert_eq!(again.migrate(&storage).await.unwrap(), superblock);
        assert_eq!(strongroom_storage::head(&storage).await.unwrap(), Revision(2));
        assert_eq!(
            rival.migrate(&storage).await.unwrap(),
            superblock,
            "once is enough"
        );
        assert_eq!(strongroom_storage::head(&storage).await.unwrap(), Revision(2));
    }

    #[test]
    fn a_newer_format_is_named_even_when_its_fields_are_unknown() {
        let newer = minicbor::to_vec((FORMAT + 1, "other", "fields")).unwrap();
        assert!(matches!(
            Superblock::from_bytes(&newer),
            Err(SuperblockError::Newer(3))
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok((superblock, _)) = Superblock::of_any_format(&bytes) {
                prop_assert_eq!(superblock.format, FORMAT);
            }
        }
    }
}
