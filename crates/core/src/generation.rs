//! Whether storage and ledger fit together, and what follows when the operator says that one of them, or both, were
//! restored from a backup.

use minicbor::{Decode, Encode};
use strongroom_barrier::{Barrier, Kind, Record, RootKey, StorageKey, planes};
use strongroom_base::{NodeId, RequestId, WorkspaceId};
use strongroom_identity::SLUGS;
use strongroom_ledger::{Birth, OpenedLedger, Predecessor, Record as AuditRecord, generation_of};
use strongroom_secret::Key;
use strongroom_storage::{Change, Precondition, Storage};
use strongroom_tlog::{Hash, verify_consistency};

use crate::instance::LedgerFields;
use crate::nodes::{NodeRecord, node_key};
use crate::{Core, Foundations, OpenError};

/// The seed of the key that signs a generation's checkpoints.
#[derive(Encode, Decode)]
pub(crate) struct LedgerKeyRecord {
    #[cbor(n(0), with = "strongroom_barrier::cbor::key")]
    pub(crate) seed: Key,
    /// What its log begins with, if there was one before.
    #[n(1)]
    pub(crate) birth: Option<Birth>,
}

impl Record for LedgerKeyRecord {}

/// The generation that a node's first ledger is.
pub(crate) const FIRST_GENERATION: u32 = 1;

/// Where the key of a generation of a node's ledger is. Those of the first node are where they were while there could
/// be no other.
pub(crate) fn ledger_key(node: NodeId, generation: u32) -> StorageKey {
    let (number, generation) = (node.0.to_be_bytes(), generation.to_be_bytes());
    let parts: &[&[u8]] = if node == NodeId::FIRST {
        &[&generation]
    } else {
        &[&number, &generation]
    };
    planes::ordered(WorkspaceId::SYSTEM, Kind::LedgerKey, parts)
}

/// Refuses a ledger and a storage of which one knows more of the other than there is.
pub(crate) async fn refuse_rollback(
    node: &NodeRecord,
    ledger: &OpenedLedger,
    storage: &dyn Storage,
) -> Result<(), OpenError> {
    let position = ledger.position();
    if let Some(known) = &node.checkpoint {
        let newest = &position.checkpoint;
        if newest.size < known.size {
            return Err(OpenError::LedgerRolledBack {
                ledger: newest.size,
                storage: known.size,
            });
        }
        let (proof, _) = ledger.reader().prove_growth(known.size)?;
        verify_consistency(known.size, Hash(known.root), newest.size, newest.root, &proof)
            .map_err(|_| OpenError::LedgerRewritten { storage: known.size })?;
    }
    let head = strongroom_storage::head(storage).await?;
    if head < position.outbox {
        return Err(OpenError::StorageRolledBack {
            storage: head.0,
            ledger: position.outbox.0,
        });
    }
    Ok(())
}

impl Core {
    /// Begins a new generation of this node's ledger, because the operator says that the instance was restored, and
    /// why: with one commit that says what its first leaf is. The next [`Core::open`] sets the log so far aside and
    /// publishes that leaf; a crash in between leaves that to a later one. Blocks on files.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed, or the fate of the commit is unknown.
    pub async fn accept_restored(
        foundations: &Foundations,
        root: &RootKey,
        reason: &str,
    ) -> Result<(), OpenError> {
        let Foundations {
            data_dir,
            storage,
            node,
            journal,
            clock,
            rng,
            ..
        } = foundations;
        let (node, revision) = NodeRecord::read(&**storage, node.id()).await?;
        let barrier = Barrier::open(storage.clone(), root, rng.clone()).await?;
        let view = barrier.view(WorkspaceId::SYSTEM, SLUGS).await?;
        let before = Predecessor::of(data_dir);
        let theirs = before.origin.as_deref().and_then(generation_of).unwrap_or(0);
        let generation = node.generation.max(theirs).saturating_add(1);
        let mut record = AuditRecord::open(
            RequestId::generate(&**clock, &**rng),
            "ledger.restored",
            clock.now(),
            "",
        );
        record.set_reason(reason);
        if let Some(last) = &before.checkpoint {
            record.touch(format!("{} {} {}", last.origin, last.size, last.root));
        }
        let head = strongroom_storage::head(&**storage).await?;
        let cipher = LedgerFields(barrier.clone());
        let birth = Birth::after(&before, &record, head, journal, &cipher, &**rng);
        let birth = birth.map_err(strongroom_ledger::LedgerError::from)?;
        let next = NodeRecord {
            // What the log before has, published or not, no other node may take either.
            claimed: node.claimed.max(birth.drained().0),
            ..NodeRecord::new(node.node, generation)
        };
        let seed = Key::fill(|seed| rng.fill(seed));
        let record = LedgerKeyRecord {
            seed,
            birth: Some(birth),
        };
        let mut change = Change::default();
        change.preconditions.push(Precondition {
            key: node_key(node.node).as_bytes().to_vec(),
            revision: Some(revision),
        });
        view.put(&mut change, &ledger_key(next.node, next.generation), &record)?;
        change.puts.push(next.to_row());
        barrier.fence(&mut change).await?;
        storage.commit(change).await?;
        Ok(())
    }
}
