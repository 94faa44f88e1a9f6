//! The drill: a copy of what an instance is opened with, in memory, with one slot alone.
//!
//! Whatever is in this process besides is not used: the root key comes out of the slot, and every key of the instance is
//! opened with it.

use std::sync::Arc;

use strongroom_barrier::{Barrier, BarrierError, StorageKey, planes};
use strongroom_base::{MountId, NodeId, Rng, WorkspaceId, limits};
use strongroom_sdk::Error;
use strongroom_seal::{Given, Reach, SealError, Slot, Slots};
use strongroom_storage::{Change, Embedded, Memory, Storage, Unavailable};

use super::engine::refusal;
use crate::generation::{LedgerKeyRecord, ledger_key};
use crate::nodes::NodeRecord;
use crate::superblock::{Superblock, slots_key, superblock_key};

/// The rows that open an instance.
pub(super) struct Copy {
    storage: Arc<dyn Storage>,
    superblock: Superblock,
    slots: Slots,
    workspaces: Vec<WorkspaceId>,
    /// Of the ledger of each node.
    ledger_keys: Vec<StorageKey>,
    rows: usize,
}

impl Copy {
    /// Copies all system rows of `storage` and the keys of the ledgers; of the slots only `id`.
    pub(super) async fn with_slot_alone(storage: &dyn Storage, id: u32) -> Result<Self, Error> {
        let mut rows = Vec::new();
        // One page shows one moment, so that no rotation is seen half.
        for (key, row) in storage
            .scan(planes::system_rows(), None, limits::SYSTEM_ROWS)
            .await
            .map_err(unavailable)?
        {
            rows.push((key, row.value));
        }
        let superblock = rows.iter().find(|(key, _)| key == superblock_key().as_bytes());
        let (_, superblock) = superblock.ok_or_else(|| Error::internal("there is no superblock"))?;
        let superblock = Superblock::from_bytes(superblock).map_err(Error::internal)?;
        let mut ledger_keys = Vec::new();
        for node in (1..=superblock.nodes).map(NodeId) {
            let (node, _) = NodeRecord::read(storage, node).await.map_err(Error::internal)?;
            let key = ledger_key(node.node, node.generation);
            let row = storage.get(key.as_bytes()).await.map_err(unavailable)?;
            rows.extend(row.map(|row| (key.as_bytes().to_vec(), row.value)));
            ledger_keys.push(key);
        }

        let workspaces = rows
            .iter()
            .filter_map(|(key, _)| planes::keyed_workspace(key))
            .collect();
        let mut slots = None;
        for (key, value) in &mut rows {
            if key == slots_key().as_bytes() {
                let alone = Slots::from_bytes(value).and_then(|slots| slots.only(id));
                let alone = alone.map_err(|error| refusal(&error))?;
                *value = alone.to_bytes().map_err(Error::internal)?;
                slots = Some(alone);
            }
        }
        Ok(Self {
            superblock,
            slots: slots.ok_or_else(|| Error::internal(SealError::Slots))?,
            workspaces,
            ledger_keys,
            rows: rows.len(),
            storage: stored(rows).await?,
        })
    }

    /// Opens it as a start does, and every key in it. Gives the number of workspaces.
    pub(super) async fn open(
        &self,
        reach: &dyn Reach,
        given: &Given,
        rng: Arc<dyn Rng>,
    ) -> Result<usize, Error> {
        let opened = self.slots.open(self.superblock.instance, reach, given).await;
        let opened = opened.map_err(|error| Error::invalid("slot", format!("does not open: {error}")))?;
        let all_open = self.open_with(&opened.root, rng).await;
        all_open.map_err(|error| Error::invalid("slot", format!("opens, but not this instance: {error}")))?;
        Ok(self.workspaces.len())
    }

    async fn open_with(
        &self,
        root: &strongroom_barrier::RootKey,
        rng: Arc<dyn Rng>,
    ) -> Result<(), BarrierError> {
        let barrier = Barrier::open(self.storage.clone(), root, rng).await?;
        for workspace in &self.workspaces {
            barrier.view(*workspace, MountId(1)).await?;
        }
        let view = barrier.view(WorkspaceId::SYSTEM, MountId(1)).await?;
        for key in &self.ledger_keys {
            let record = view.get::<LedgerKeyRecord>(key).await?;
            record.ok_or_else(|| BarrierError::Missing("the ledger's key".into()))?;
        }
        Ok(())
    }

    /// The slot `id`.
    pub(super) fn slot(&self, id: u32) -> Result<&Slot, Error> {
        self.slots.slot(id).map_err(|error| refusal(&error))
    }

    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

/// A storage in memory with `rows`.
async fn stored(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Arc<dyn Storage>, Error> {
    let storage = Embedded::open(Memory::default(), Arc::new(())).map_err(unavailable)?;
    let change = Change {
        puts: rows,
        ..Change::default()
    };
    storage.commit(change).await.map_err(Error::from)?;
    Ok(Arc::new(storage))
}

fn unavailable(error: Unavailable) -> Error {
    Error::Unavailable(error.into())
}
