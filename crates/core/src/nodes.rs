//! The nodes of an instance: servers that share its storage, each with a data directory, a journal and a ledger of its own.
//! This file has the rows that storage keeps of them, and how another node joins. `docs/formats/node.md` has the bytes.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use strongroom_barrier::{Barrier, RootKey, StorageKey, planes};
use strongroom_base::{Clock, NodeId, RequestId, Rng, WorkspaceId, limits};
use strongroom_identity::SLUGS;
use strongroom_ledger::{Outcome, Record as AuditRecord};
use strongroom_secret::Key;
use strongroom_storage::{Change, CommitError, Precondition, Revision, Storage, Unavailable};

use crate::generation::{FIRST_GENERATION, LedgerKeyRecord, ledger_key};
use crate::instance::LedgerFields;
use crate::superblock::{LastCheckpoint, Superblock, superblock_key};
use crate::{Core, OpenError};

/// Times that a node tries to join while others do, too.
const JOIN_ATTEMPTS: usize = 20;

/// Which node of its instance this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The only one: nobody else can reach its storage.
    Only,
    /// One of those that share storage.
    OneOf(NodeId),
}

impl Node {
    /// Its number.
    #[must_use]
    pub fn id(self) -> NodeId {
        match self {
            Self::Only => NodeId::FIRST,
            Self::OneOf(id) => id,
        }
    }

    /// Whether others may serve the same instance.
    #[must_use]
    pub fn is_shared(self) -> bool {
        matches!(self, Self::OneOf(_))
    }
}

/// Row `node/<number>`: what storage says of a node's ledger, in clear.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct NodeRecord {
    /// Its number.
    #[n(0)]
    pub(crate) node: NodeId,
    /// Its ledger's generation: 1, and one more for each restored backup.
    #[n(1)]
    pub(crate) generation: u32,
    /// Rows of its outbox up to this revision go into its own ledger, and nobody else may take them.
    #[n(2)]
    pub(crate) claimed: u64,
    /// The newest checkpoint of its ledger that storage knows of.
    #[n(3)]
    pub(crate) checkpoint: Option<LastCheckpoint>,
}

impl NodeRecord {
    /// That of a node whose ledger of `generation` is not begun.
    pub(crate) fn new(node: NodeId, generation: u32) -> Self {
        Self {
            node,
            generation,
            claimed: 0,
            checkpoint: None,
        }
    }

    /// Reads a value; `None` when it is anything but the one spelling of a record.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let record: Self = minicbor::decode(bytes).ok()?;
        (record.to_bytes() == bytes).then_some(record)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Encoding into a vector has no way to fail.
        minicbor::to_vec(self).unwrap_or_default()
    }

    /// The record as a row to put.
    pub(crate) fn to_row(&self) -> (Vec<u8>, Vec<u8>) {
        (node_key(self.node).as_bytes().to_vec(), self.to_bytes())
    }

    /// The record of `node` in `storage`, and the revision of its row.
    ///
    /// # Errors
    /// [`OpenError::NoNode`] when there is none.
    pub(crate) async fn read(storage: &dyn Storage, node: NodeId) -> Result<(Self, Revision), OpenError> {
        let row = storage.get(node_key(node).as_bytes()).await?;
        let row = row.ok_or(OpenError::NoNode(node))?;
        let record = Self::from_bytes(&row.value).filter(|record| record.node == node);
        Ok((record.ok_or(OpenError::NoNode(node))?, row.revision))
    }
}

/// Where the record of a node is.
pub(crate) fn node_key(node: NodeId) -> StorageKey {
    planes::system(&format!("node/{node}"))
}

/// The row that a node puts again and again while it lives.
pub(crate) fn alive_key(node: NodeId) -> StorageKey {
    planes::system(&format!("alive/{node}"))
}

/// The row of the lock under which what must be done once is done.
pub(crate) fn lock_key() -> StorageKey {
    planes::system("lock/chores")
}

/// Whether the row at `key` is one that nodes write for themselves, and no request does.
pub(crate) fn is_bookkeeping(key: &[u8]) -> bool {
    let begins = |name: &str| key.starts_with(planes::system(name).as_bytes());
    key == superblock_key().as_bytes() || key == lock_key().as_bytes() || begins("node/") || begins("alive/")
}

impl Core {
    /// Makes a further node of the instance in `storage`, with one commit; gives its number.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed, or the fate of the commit is unknown: then there may be a node that never
    /// starts, and does no harm.
    pub async fn join(
        storage: &Arc<dyn Storage>,
        root: &RootKey,
        clock: &dyn Clock,
        rng: &Arc<dyn Rng>,
    ) -> Result<NodeId, OpenError> {
        let barrier = Barrier::open(storage.clone(), root, rng.clone()).await?;
        let view = barrier.view(WorkspaceId::SYSTEM, SLUGS).await?;
        let cipher = LedgerFields(barrier.clone());
        for _ in 0..JOIN_ATTEMPTS {
            let row = storage.get(superblock_key().as_bytes()).await?;
            let row = row.ok_or_else(lost_superblock)?;
            let superblock = Superblock::from_bytes(&row.value)?;
            let node = NodeId(superblock.nodes.saturating_add(1));
            if node.0 > limits::NODES {
                return Err(OpenError::TooManyNodes);
            }
            let mut change = Change {
                preconditions: vec![Precondition {
                    key: superblock_key().as_bytes().to_vec(),
                    revision: Some(row.revision),
                }],
                ..Change::default()
            };
            let joined = Superblock {
                nodes: node.0,
                ..superblock
            };
            change.puts.push(joined.to_row());
            change.puts.push(NodeRecord::new(node, FIRST_GENERATION).to_row());
            let seed = Key::fill(|seed| rng.fill(seed));
            let key = LedgerKeyRecord { seed, birth: None };
            view.put(&mut change, &ledger_key(node, FIRST_GENERATION), &key)?;
            let fence = barrier.fence(&mut change).await?;
            let id = RequestId::generate(clock, &**rng);
            let record = AuditRecord::open(id, "node.join", clock.now(), "");
            let note = strongroom_ledger::note(node, &record, Outcome::Ok, &change, &cipher, &**rng);
            change
                .notes
                .push(note.map_err(strongroom_ledger::LedgerError::from)?);
            match storage.commit(change).await {
                Ok(_) => return Ok(node),
                // Another node has joined, or keys were rotated.
                Err(CommitError::Conflict) => drop(barrier.has_moved(&fence).await?),
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Conflict.into())
    }
}

fn lost_superblock() -> OpenError {
    OpenError::Unavailable(Unavailable("the superblock is gone".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> NodeRecord {
        NodeRecord {
            claimed: 7,
            checkpoint: Some(LastCheckpoint {
                size: 3,
                root: [9; 32],
            }),
            ..NodeRecord::new(NodeId(2), 1)
        }
    }

    /// `docs/formats/node.md` shows these bytes.
    #[test]
    fn the_bytes_of_a_node() {
        let (key, value) = record().to_row();
        assert_eq!(key, b"\x01node/2");
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("840201078203{}{}", "5820", "09".repeat(32)));
        assert_eq!(NodeRecord::from_bytes(&value), Some(record()));
        assert_eq!(NodeRecord::from_bytes(&[&value[..], &[0]].concat()), None);
    }

    #[test]
    fn bookkeeping_is_told_from_what_requests_write() {
        let keys = [
            superblock_key(),
            node_key(NodeId(7)),
            alive_key(NodeId(1)),
            lock_key(),
        ];
        assert!(keys.iter().all(|key| is_bookkeeping(key.as_bytes())));
        for name in ["slots", "keyring", "workspace/1", "node", "lock/other"] {
            assert!(!is_bookkeeping(planes::system(name).as_bytes()), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_the_one_spelling(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(record) = NodeRecord::from_bytes(&bytes) {
                prop_assert_eq!(record.to_bytes(), bytes);
            }
        }
    }
}
