//! The chain of keys in memory: who loads it from storage, and how it learns that others have changed it.
//!
//! Another request, or another node, may add or drop epochs at any time. A reader learns of it when it meets a record
//! of an epoch that it does not know; a writer learns of it from the change feed, or from the conflict that its fence
//! (`rotation.rs`) runs into.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use strongroom_base::WorkspaceId;
use strongroom_storage::{Revision, Storage};

use crate::barrier::{Barrier, BarrierError};
use crate::envelope::{self, EnvelopeError, Record};
use crate::keyring::{Deks, Keyring, WorkspaceKeyRecord, WorkspaceKeys};
use crate::planes::{self, StorageKey};
use crate::xaes::Xaes;

/// The keys of an unsealed instance, as far as they are known.
pub(crate) struct Chain {
    root: RwLock<Arc<Xaes>>,
    ring: RwLock<Arc<Ring>>,
    workspaces: RwLock<HashMap<WorkspaceId, Arc<WorkspaceKeys>>>,
}

/// The keyring as it was at a revision of its row.
pub(crate) struct Ring {
    pub(crate) keyring: Keyring,
    /// `None` while the row has not been read.
    pub(crate) revision: Option<Revision>,
}

/// The row of a workspace's keys, opened.
pub(crate) struct Loaded {
    pub(crate) record: WorkspaceKeyRecord,
    pub(crate) kek: u32,
    pub(crate) revision: Revision,
}

impl Chain {
    pub(crate) fn new(root: Xaes, ring: Ring, workspaces: HashMap<WorkspaceId, Arc<WorkspaceKeys>>) -> Self {
        Self {
            root: RwLock::new(Arc::new(root)),
            ring: RwLock::new(Arc::new(ring)),
            workspaces: RwLock::new(workspaces),
        }
    }

    pub(crate) fn root(&self) -> Arc<Xaes> {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_root(&self, root: Xaes) {
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(root);
    }

    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, ring: Ring) {
        let mut known = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if known.revision < ring.revision {
            *known = Arc::new(ring);
        }
    }

    pub(crate) fn workspace(&self, workspace: WorkspaceId) -> Option<Arc<WorkspaceKeys>> {
        let workspaces = self.workspaces.read().unwrap_or_else(PoisonError::into_inner);
        workspaces.get(&workspace).cloned()
    }

    /// Keeps `keys`, unless those of the workspace have been loaded meanwhile; gives what is kept.
    fn keep(&self, workspace: WorkspaceId, keys: WorkspaceKeys) -> Arc<WorkspaceKeys> {
        let mut workspaces = self.workspaces.write().unwrap_or_else(PoisonError::into_inner);
        workspaces
            .entry(workspace)
            .or_insert_with(|| Arc::new(keys))
            .clone()
    }

    fn loaded(&self) -> Vec<WorkspaceId> {
        let workspaces = self.workspaces.read().unwrap_or_else(PoisonError::into_inner);
        workspaces.keys().copied().collect()
    }
}

/// Rows of the chain that the change feed has told of, and that have not been looked at since.
#[derive(Default)]
pub(crate) struct Stale {
    /// Whether there are any, for those who only pass by.
    any: AtomicBool,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    keyring: bool,
    workspaces: BTreeSet<WorkspaceId>,
    /// The feed has a gap: whatever is loaded.
    all: bool,
}

impl Stale {
    /// The row at `key` changed. Most are none of the chain.
    pub(crate) fn mark(&self, key: &[u8]) {
        match row_of(key) {
            Some(ChainRow::Keyring) => self.rows().keyring = true,
            Some(ChainRow::Workspace(workspace)) => drop(self.rows().workspaces.insert(workspace)),
            None => return,
        }
        self.any.store(true, Ordering::Release);
    }

    /// Any row may have changed.
    pub(crate) fn mark_all(&self) {
        self.rows().all = true;
        self.any.store(true, Ordering::Release);
    }

    fn take(&self) -> Option<Rows> {
        let is_any = self.any.swap(false, Ordering::AcqRel);
        is_any.then(|| std::mem::take(&mut *self.rows()))
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainRow {
    Keyring,
    Workspace(WorkspaceId),
}

/// Which row of the chain is at `key`.
pub(crate) fn row_of(key: &[u8]) -> Option<ChainRow> {
    match planes::read(key)? {
        planes::Clear::System(name) => row_called(name),
        _ => None,
    }
}

/// Which row of the chain has `name` in the system plane.
pub(crate) fn row_called(name: &str) -> Option<ChainRow> {
    if name == "keyring" {
        return Some(ChainRow::Keyring);
    }
    planes::keyed_by(name).map(ChainRow::Workspace)
}

pub(crate) fn keyring_key() -> StorageKey {
    planes::system("keyring")
}

/// Reads the row of the keyring and opens it with `root`.
///
/// # Errors
/// Each names the row.
pub(crate) async fn read_keyring(storage: &dyn Storage, root: &Xaes) -> Result<Ring, BarrierError> {
    let key = keyring_key();
    let row = storage.get(key.as_bytes()).await?;
    let row = row.ok_or_else(|| BarrierError::Missing("keyring".into()))?;
    let keyring: Keyring = match envelope::open(root, WorkspaceId::SYSTEM, &key, row.value) {
        Err(EnvelopeError::Aead(_)) => return Err(BarrierError::WrongRootKey),
        opened => opened.map_err(damaged("keyring"))?,
    };
    Ok(Ring {
        keyring,
        revision: Some(row.revision),
    })
}

/// What is said of a row of the chain that does not open.
fn damaged(row: impl Into<String>) -> impl FnOnce(EnvelopeError) -> BarrierError {
    move |error| BarrierError::DamagedKeys(row.into(), error)
}

impl Ring {
    /// Opens the row of a workspace's keys.
    pub(crate) fn open(
        &self,
        workspace: WorkspaceId,
        row: &StorageKey,
        sealed: Vec<u8>,
    ) -> Result<(WorkspaceKeyRecord, u32), BarrierError> {
        let name = planes::name_of_keys(workspace);
        let epoch = envelope::epoch_of(&sealed).map_err(damaged(name.clone()))?;
        let kek = self.keyring.keks.key(epoch);
        let kek = kek.ok_or_else(|| BarrierError::UnknownKek(name.clone(), epoch))??;
        let record = envelope::open(&kek, workspace, row, sealed).map_err(damaged(name))?;
        Ok((record, epoch))
    }
}

impl Barrier {
    /// The keys of `workspace`.
    pub(crate) async fn keys(&self, workspace: WorkspaceId) -> Result<Arc<WorkspaceKeys>, BarrierError> {
        if let Some(keys) = self.chain.workspace(workspace) {
            return Ok(keys);
        }
        let Loaded {
            record,
            kek,
            revision,
        } = self.load(workspace).await?;
        let keys = WorkspaceKeys::new(&record, kek, Some(revision))?;
        Ok(self.chain.keep(workspace, keys))
    }

    /// Reads the row of the keys of `workspace`. Whoever uses them knows the same from then on.
    ///
    /// # Errors
    /// Each names the row.
    pub(crate) async fn load(&self, workspace: WorkspaceId) -> Result<Loaded, BarrierError> {
        let key = planes::workspace_keys(workspace);
        let row = self.storage().get(key.as_bytes()).await?;
        let row = row.ok_or_else(|| BarrierError::Missing(planes::name_of_keys(workspace)))?;
        let opened = self.chain.ring().open(workspace, &key, row.value.clone());
        let (record, kek) = match opened {
            // Another node may have rotated.
            Err(BarrierError::UnknownKek(..)) => {
                self.reload_keyring().await?;
                self.chain.ring().open(workspace, &key, row.value)?
            }
            opened => opened?,
        };
        let revision = row.revision;
        if let Some(keys) = self.chain.workspace(workspace)
            && keys.deks().revision < Some(revision)
        {
            keys.learn(Deks::new(&record, kek, Some(revision))?);
        }
        Ok(Loaded {
            record,
            kek,
            revision,
        })
    }

    /// Learns what the row of the keys of `workspace` says now, if they are in use.
    pub(crate) async fn reload(&self, workspace: WorkspaceId) -> Result<(), BarrierError> {
        if self.chain.workspace(workspace).is_some() {
            self.load(workspace).await?;
        }
        Ok(())
    }

    /// Learns what the row of the keyring says now.
    pub(crate) async fn reload_keyring(&self) -> Result<(), BarrierError> {
        let ring = read_keyring(&**self.storage(), &self.chain.root()).await?;
        self.chain.learn(ring);
        Ok(())
    }

    /// Learns of all changes that the change feed has told of.
    pub(crate) async fn catch_up(&self) -> Result<(), BarrierError> {
        let Some(rows) = self.cache.stale.take() else {
            return Ok(());
        };
        let caught_up = self.learn_of(rows).await;
        if caught_up.is_err() {
            self.cache.stale.mark_all();
        }
        caught_up
    }

    async fn learn_of(&self, rows: Rows) -> Result<(), BarrierError> {
        if rows.keyring || rows.all {
            self.reload_keyring().await?;
        }
        let workspaces = if rows.all {
            self.chain.loaded()
        } else {
            rows.workspaces.into_iter().collect()
        };
        for workspace in workspaces {
            match self.reload(workspace).await {
                Err(BarrierError::Missing(_)) => {} // it was removed
                reloaded => reloaded?,
            }
        }
        Ok(())
    }

    /// The DEKs of `workspace`, with that of `sealed` among them if it has one.
    pub(crate) async fn deks_for(
        &self,
        keys: &WorkspaceKeys,
        workspace: WorkspaceId,
        sealed: &[u8],
    ) -> Result<Arc<Deks>, BarrierError> {
        let deks = keys.deks();
        if deks.dek(envelope::epoch_of(sealed)?).is_ok() {
            return Ok(deks);
        }
        self.reload(workspace).await?;
        Ok(keys.deks())
    }
}

/// The record in `sealed`, if one of `deks` opens it.
pub(crate) fn open<T: Record>(
    deks: &Deks,
    workspace: WorkspaceId,
    key: &StorageKey,
    sealed: Vec<u8>,
) -> Result<T, BarrierError> {
    let dek = deks.dek(envelope::epoch_of(&sealed)?)?;
    Ok(envelope::open(dek, workspace, key, sealed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_the_chain() {
        let row = |key: StorageKey| row_of(key.as_bytes());
        assert_eq!(row(keyring_key()), Some(ChainRow::Keyring));
        for workspace in [0, 1, u32::MAX].map(WorkspaceId) {
            assert_eq!(
                row(planes::workspace_keys(workspace)),
                Some(ChainRow::Workspace(workspace))
            );
        }
        for other in [
            "superblock",
            "slots",
            "workspace/",
            "workspace/01",
            "workspace/+1",
            "workspace/x",
        ] {
            assert_eq!(row(planes::system(other)), None, "{other}");
        }
        let named = planes::ordered(WorkspaceId(1), planes::Kind::Payload, &[b"keyring"]);
        assert_eq!(row(named), None);
    }
}
