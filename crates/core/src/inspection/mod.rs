//! An instance at rest, looked at as a whole by its operator: nothing runs in it, and nothing of it is changed but what
//! every start puts in order after a crash.

mod atlas;
mod check;
mod logs;
mod scrub;

use std::path::PathBuf;
use std::sync::Arc;

use strongroom_auth_password::Passwords;
use strongroom_barrier::{Barrier, BarrierError, RootKey};
use strongroom_base::{MountId, WorkspaceId};
use strongroom_identity::{Directory, Invitations, SLUGS, Sessions};
use strongroom_ledger::{Log, ReplayError, VerifyError, replay};
use strongroom_sdk::RowKeeper;
use strongroom_storage::{Storage, Unavailable};

use crate::instance::{InstanceRows, LedgerFields, Unlocked, unlock};
use crate::mounts::{MountRows, PATHS};
use crate::superblock::Superblock;
use crate::{Foundations, OpenError};

use atlas::Atlas;
pub use atlas::RowName;
pub use check::{Check, Misfit, Misfitting};
use logs::Logs;
pub use logs::NotALog;
pub use scrub::{Cited, Fault, Finding, Scrub};

/// Why an instance cannot be looked at to the end.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// The ledger is not intact, so that nothing can be compared with it.
    #[error(transparent)]
    Ledger(#[from] VerifyError),
    /// What the ledger says of changes does not open.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The keys of a workspace.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// Storage cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// An instance at rest, unsealed.
pub struct Inspection {
    storage: Arc<dyn Storage>,
    logs: Logs,
    cipher: LedgerFields,
    atlas: Atlas,
    keepers: Vec<Box<dyn RowKeeper>>,
}

impl Inspection {
    /// Opens the instance that `superblock` describes with its root key. Unlike a start it takes storage and ledger
    /// that do not fit together: saying so is its purpose. `engines` tell of the rows that are not this crate's;
    /// `others` are the data directories of other nodes, or copies of them, whose ledgers are to be used as well.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        foundations: Foundations,
        superblock: &Superblock,
        root: &RootKey,
        engines: Vec<Box<dyn RowKeeper>>,
        others: &[PathBuf],
    ) -> Result<Self, OpenError> {
        let Unlocked { barrier, ledger, .. } = unlock(&foundations, superblock, root).await?;
        let Foundations {
            data_dir,
            storage,
            node,
            ..
        } = foundations;
        let own = Log {
            node: node.id(),
            reader: ledger.reader(),
        };
        let logs = Logs::of(own, &data_dir, others, superblock, &*storage, &barrier).await?;
        let atlas = Atlas::of(barrier.clone()).await?;
        for workspace in atlas
            .workspaces()
            .chain([WorkspaceId::SYSTEM, WorkspaceId::DEFAULT])
        {
            load_keys(&barrier, workspace).await?;
        }
        Ok(Self {
            storage,
            logs,
            keepers: keepers(&barrier, engines).await?,
            cipher: LedgerFields(barrier),
            atlas,
        })
    }

    /// Verifies the ledger, and compares storage with it: see [`Scrub`].
    ///
    /// # Errors
    /// [`InspectionError`].
    pub async fn scrub(&self) -> Result<Scrub, InspectionError> {
        self.logs.verify()?;
        scrub::scrub(&*self.storage, &self.logs, &self.cipher, &self.atlas).await
    }

    /// Verifies the ledger, and reads every row, leaf and outbox record: see [`Check`].
    ///
    /// # Errors
    /// [`InspectionError`].
    pub async fn check(&self) -> Result<Check, InspectionError> {
        self.logs.verify()?;
        let mut leaves = 0;
        replay(&self.logs.logs, &*self.storage, &self.cipher, |_| leaves += 1).await?;
        check::check(&*self.storage, &self.keepers, &self.atlas, leaves).await
    }
}

/// Loads the keys under which the leaves of `workspace` are sealed.
async fn load_keys(barrier: &Arc<Barrier>, workspace: WorkspaceId) -> Result<(), BarrierError> {
    barrier.view(workspace, MountId(0)).await.map(drop)
}

/// All who store rows: `engines`, and the rooms of every instance.
async fn keepers(
    barrier: &Arc<Barrier>,
    engines: Vec<Box<dyn RowKeeper>>,
) -> Result<Vec<Box<dyn RowKeeper>>, BarrierError> {
    let slugs = barrier.view(WorkspaceId::SYSTEM, SLUGS).await?;
    let directory = Directory::new(slugs.clone());
    let mut keepers = engines;
    keepers.push(Box::new(Sessions::new(slugs.clone())));
    keepers.push(Box::new(Invitations::new(slugs.clone())));
    keepers.push(Box::new(directory.clone()));
    keepers.push(Box::new(Passwords::new(slugs, directory)));
    keepers.push(Box::new(MountRows(
        barrier.view(WorkspaceId::SYSTEM, PATHS).await?,
    )));
    keepers.push(Box::new(InstanceRows));
    keepers.push(Box::new(barrier.clone()));
    Ok(keepers)
}
