//! Whether storage and ledger fit together, and what follows when the operator says that one of them, or both, were
//! restored from a backup.

use minicbor::{Decode, Encode};
use strongroom_barrier::{Barrier, Kind, Record, RootKey, View};
use strongroom_base::{RequestId, WorkspaceId};
use strongroom_identity::SLUGS;
use strongroom_ledger::{Birth, OpenedLedger, Predecessor, Record as AuditRecord, generation_of};
use strongroom_secret::Key;
use strongroom_storage::{Change, Storage};
use strongroom_tlog::{Hash, verify_consistency};

use crate::instance::LedgerFields;
use crate::superblock::Superblock;
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

/// Where the key of a generation is.
pub(crate) fn ledger_key(view: &View, generation: u32) -> strongroom_barrier::StorageKey {
    view.ordered(Kind::LedgerKey, &[&generation.to_be_bytes()])
}

/// Refuses a ledger and a storage of which one knows more of the other than there is.
pub(crate) async fn refuse_rollback(
    superblock: &Superblock,
    ledger: &OpenedLedger,
    storage: &dyn Storage,
) -> Result<(), OpenError> {
    let position = ledger.position();
    if let Some(known) = &superblock.checkpoint {
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
    /// Begins a new generation of the ledger, because the operator says that the instance was restored, and why: with
    /// one commit that says what its first leaf is. The next [`Core::open`], with the superblock that this gives, sets the
    /// log so far aside and publishes that leaf; a crash in between leaves that to a later one. Blocks on files.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed, or the fate of the commit is unknown.
    pub async fn accept_restored(
        foundations: &Foundations,
        superblock: &Superblock,
        root: &RootKey,
        reason: &str,
    ) -> Result<Superblock, OpenError> {
        let Foundations {
            data_dir,
            storage,
            journal,
            clock,
            rng,
            ..
        } = foundations;
        let barrier = Barrier::open(storage.clone(), root, rng.clone()).await?;
        let view = barrier.view(WorkspaceId::SYSTEM, SLUGS).await?;
        let before = Predecessor::of(data_dir);
        let theirs = before.origin.as_deref().and_then(generation_of).unwrap_or(0);
        let next = Superblock {
            generation: superblock.generation.max(theirs).saturating_add(1),
            checkpoint: None,
            ..superblock.clone()
        };
        let mut record = AuditRecord::open(
            RequestId::generate(&**clock, &**rng),
            "ledger.restored",
            clock.now(),
            "",
        );
        record.set_reason(reason);
        if let Some(last) = &before.checkpoint {
            record.touch(&format!("{} {} {}", last.origin, last.size, last.root));
        }
        let head = strongroom_storage::head(&**storage).await?;
        let cipher = LedgerFields(barrier);
        let birth = Birth::after(&before, &record, head, journal, &cipher, &**rng);
        let seed = Key::fill(|seed| rng.fill(seed));
        let record = LedgerKeyRecord {
            seed,
            birth: Some(birth.map_err(strongroom_ledger::LedgerError::from)?),
        };
        let mut change = Change::default();
        view.put(&mut change, &ledger_key(&view, next.generation), &record)?;
        change.puts.push(next.to_row());
        storage.commit(change).await?;
        Ok(next)
    }
}
