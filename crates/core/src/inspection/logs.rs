//! The ledgers that an inspection has at hand: that of its own node, and those of other nodes that the operator gives.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_barrier::Barrier;
use strongroom_base::{InstanceId, NodeId};
use strongroom_ledger::{Log, Origin, Reader, VerifyError, verifier_key, verify};
use strongroom_storage::Storage;
use strongroom_tlog::Signer;

use crate::OpenError;
use crate::generation::FIRST_GENERATION;
use crate::instance::{ledger_key_of, origin_of};
use crate::nodes::NodeRecord;
use crate::superblock::Superblock;

/// Why a folder is not used as the ledger of a further node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotALog {
    /// There is no ledger.
    #[error("it has no ledger, or no readable `ledger.vkey`: give a node's data directory, or a copy of it")]
    Nothing,
    /// It is another's.
    #[error("its ledger is of another instance")]
    Foreign,
    /// It is the same as one before.
    #[error("it is of a node whose ledger is at hand already")]
    Twice,
    /// Its key is not the one that storage has for that node.
    #[error("it is not the newest generation of that node's ledger, or not the ledger that storage knows")]
    Key,
    /// It lacks leaves that storage knows of.
    #[error("it is older than storage: copy it again")]
    Old,
}

/// The ledgers at hand.
pub(super) struct Logs {
    /// Of the own node first.
    pub(super) logs: Vec<Log>,
    dirs: Vec<PathBuf>,
    /// The nodes whose ledgers have leaves, and are not here.
    pub(super) missing: Vec<NodeId>,
    /// Whether the ledgers tell of every change that there ever was, unless the first one began before leaves told of
    /// changes.
    pub(super) are_whole: bool,
}

impl Logs {
    /// The ledger `own` in `data_dir`, and those in the data directories `others`.
    ///
    /// # Errors
    /// [`OpenError::FurtherLedger`].
    pub(super) async fn of(
        own: Log,
        data_dir: &Path,
        others: &[PathBuf],
        superblock: &Superblock,
        storage: &dyn Storage,
        barrier: &Arc<Barrier>,
    ) -> Result<Self, OpenError> {
        let mut logs = Self {
            logs: vec![own],
            dirs: vec![data_dir.join("ledger")],
            missing: Vec::new(),
            are_whole: true,
        };
        for dir in others {
            let refused = |why| OpenError::FurtherLedger {
                dir: dir.clone(),
                why,
            };
            let origin = origin_in(dir, superblock.instance).map_err(refused)?;
            if logs.has(origin.node) {
                return Err(refused(NotALog::Twice));
            }
            let (node, _) = NodeRecord::read(storage, origin.node).await?;
            let name = origin_of(superblock.instance, &node).to_string();
            let key = ledger_key_of(barrier, &node).await?;
            let key = Signer::from_seed(&name, &key.seed)?.verifier_key().clone();
            let is_known = verifier_key(dir).is_ok_and(|given| given == key);
            let reader = Reader::new(&dir.join("ledger"), key);
            if !is_known {
                return Err(refused(NotALog::Key));
            }
            let (newest, _) = reader.checkpoint()?;
            if node.checkpoint.is_some_and(|known| known.size > newest.size) {
                return Err(refused(NotALog::Old));
            }
            logs.dirs.push(dir.join("ledger"));
            logs.logs.push(Log {
                node: origin.node,
                reader: Arc::new(reader),
            });
        }
        for node in (1..=superblock.nodes).map(NodeId) {
            let (record, _) = NodeRecord::read(storage, node).await?;
            let has_leaves = record.checkpoint.is_some_and(|checkpoint| checkpoint.size > 0);
            // Of one node, the first leaf of its log says by itself whether it tells of everything.
            logs.are_whole &= record.generation == FIRST_GENERATION || superblock.nodes == 1;
            if has_leaves && !logs.has(node) {
                logs.missing.push(node);
                logs.are_whole = false;
            }
        }
        Ok(logs)
    }

    fn has(&self, node: NodeId) -> bool {
        self.logs.iter().any(|log| log.node == node)
    }

    /// Verifies every file of each ledger.
    pub(super) fn verify(&self) -> Result<(), VerifyError> {
        for (log, dir) in self.logs.iter().zip(&self.dirs) {
            verify(dir, log.reader.key())?;
        }
        Ok(())
    }
}

/// The name that the ledger in `dir` gives itself.
fn origin_in(dir: &Path, instance: InstanceId) -> Result<Origin, NotALog> {
    let key = verifier_key(dir).map_err(|_| NotALog::Nothing)?;
    let origin: Origin = key.name().parse().map_err(|_| NotALog::Foreign)?;
    if origin.instance == instance {
        Ok(origin)
    } else {
        Err(NotALog::Foreign)
    }
}
