//! Rotation: new keys for what is written from now on. A new KEK enters the keyring at once; a workspace gets a new DEK
//! with its next write, in the same commit.
//!
//! Every write has a *fence*: the precondition that the row of its workspace's keys is still what the write was sealed
//! by. So no record of an old epoch can appear behind a rewrap, and no DEK is dropped that a write on its way uses.

use strongroom_base::{WorkspaceId, limits};
use strongroom_storage::{Change, Precondition, Revision};

use crate::barrier::{Barrier, BarrierError};
use crate::chain::{ChainRow, Loaded, Ring, keyring_key, read_keyring, row_of};
use crate::envelope;
use crate::keyring::{Deks, RootKey, WorkspaceKeyRecord};
use crate::planes::{self, StorageKey};
use crate::xaes::Xaes;

/// What a change was sealed with.
#[derive(Debug, Default)]
pub struct Fence {
    /// The workspaces that it writes to, and the revisions of their keys.
    keys: Vec<(WorkspaceId, Option<Revision>)>,
    /// Rows of the chain of keys that it writes itself.
    writes: Vec<ChainRow>,
}

impl Barrier {
    /// Adds a KEK to the keyring in `change`, which then requires that nobody else has done so meanwhile. Gives its epoch.
    ///
    /// # Errors
    /// [`BarrierError::TooManyEpochs`]; when the keyring cannot be had.
    pub async fn rotate(&self, change: &mut Change) -> Result<u32, BarrierError> {
        let Ring {
            mut keyring,
            revision,
        } = read_keyring(&**self.storage(), &self.chain.root()).await?;
        if keyring.keks.numbers().len() >= limits::KEY_EPOCHS {
            return Err(BarrierError::TooManyEpochs);
        }
        let epoch = keyring.keks.add(self.rng());
        self.put_keyring(change, &Ring { keyring, revision })?;
        Ok(epoch)
    }

    /// Seals the keyring in `change` under a new root key, which the caller wraps in seal slots in the same change; once
    /// that is committed, [`Barrier::adopt_root`] follows.
    ///
    /// # Errors
    /// When the keyring cannot be had.
    pub async fn new_root(&self, change: &mut Change) -> Result<RootKey, BarrierError> {
        let ring = read_keyring(&**self.storage(), &self.chain.root()).await?;
        let root = RootKey::generate(self.rng());
        self.put_keyring_under(&root.xaes()?, change, &ring)?;
        Ok(root)
    }

    /// Goes on with `root`, if that is what the keyring is sealed under: also after a commit of unknown fate.
    ///
    /// # Errors
    /// [`BarrierError::WrongRootKey`] if it is not.
    pub async fn adopt_root(&self, root: &RootKey) -> Result<(), BarrierError> {
        let root = root.xaes()?;
        read_keyring(&**self.storage(), &root).await?;
        self.chain.set_root(root);
        self.reload_keyring().await
    }

    /// The epochs of the KEKs, oldest first.
    ///
    /// # Errors
    /// When the keyring cannot be had.
    pub async fn kek_epochs(&self) -> Result<Vec<u32>, BarrierError> {
        self.catch_up().await?;
        Ok(self.chain.ring().keyring.keks.numbers())
    }

    /// Binds `change` to the keys of the workspaces that it writes to, as the last step before its commit. What was
    /// sealed before a rotation is sealed anew, and the first change after one brings its workspace a new DEK.
    ///
    /// # Errors
    /// When keys cannot be had; [`envelope::EnvelopeError::Epoch`] for what was sealed so long ago that its key is gone.
    pub async fn fence(&self, change: &mut Change) -> Result<Fence, BarrierError> {
        self.catch_up().await?;
        let mut fence = Fence::default();
        for workspace in written(change) {
            self.fence_workspace(&mut fence, change, workspace).await?;
        }
        fence.writes = change.puts.iter().filter_map(|(key, _)| row_of(key)).collect();
        Ok(fence)
    }

    /// After a conflict: whether keys of `fence` have changed, so that a fence around the same change is another one.
    ///
    /// # Errors
    /// When they cannot be had.
    pub async fn has_moved(&self, fence: &Fence) -> Result<bool, BarrierError> {
        let mut has_moved = false;
        for (workspace, revision) in &fence.keys {
            self.reload(*workspace).await?;
            has_moved |= self.keys(*workspace).await?.deks().revision != *revision;
        }
        Ok(has_moved)
    }

    /// After a commit: learns of the keys that came with it.
    pub async fn settle(&self, fence: &Fence) {
        for row in &fence.writes {
            let learnt = match row {
                ChainRow::Keyring => self.reload_keyring().await,
                ChainRow::Workspace(workspace) => self.reload(*workspace).await,
            };
            if learnt.is_err() {
                self.cache.stale.mark_all(); // the next change learns of them
            }
        }
    }

    async fn fence_workspace(
        &self,
        fence: &mut Fence,
        change: &mut Change,
        workspace: WorkspaceId,
    ) -> Result<(), BarrierError> {
        let keys = self.keys(workspace).await?;
        if keys.deks().revision.is_none() {
            self.reload(workspace).await?;
        }
        let mut added = None;
        if !writes_keys(change, workspace) && self.is_due(keys.deks().kek) {
            let loaded = self.load(workspace).await?;
            if self.is_due(loaded.kek) {
                added = Some(self.extend(change, workspace, loaded)?);
            }
        }
        let known = keys.deks();
        if !writes_keys(change, workspace) {
            change.preconditions.push(Precondition {
                key: planes::workspace_keys(workspace).as_bytes().to_vec(),
                revision: known.revision,
            });
        }
        fence.keys.push((workspace, known.revision));
        let newest = added.as_ref().unwrap_or(&known).newest()?;
        for (key, value) in &mut change.puts {
            if planes::workspace_of(key) != Some(workspace) || envelope::epoch_of(value)? == newest.0 {
                continue;
            }
            *value = self.reseal(&known, newest, workspace, key, std::mem::take(value))?;
        }
        Ok(())
    }

    /// Whether a workspace whose keys are wrapped by the KEK of epoch `kek` gets a new DEK.
    pub(crate) fn is_due(&self, kek: u32) -> bool {
        kek < self.chain.ring().keyring.keks.newest()
    }

    /// Adds a DEK to `workspace` in `change`.
    pub(crate) fn extend(
        &self,
        change: &mut Change,
        workspace: WorkspaceId,
        loaded: Loaded,
    ) -> Result<Deks, BarrierError> {
        let Loaded {
            mut record, revision, ..
        } = loaded;
        record.deks.add(self.rng());
        let kek = self.chain.ring().keyring.keks.newest();
        self.put_keys(change, workspace, &record, (kek, revision))?;
        Ok(Deks::new(&record, kek, None)?)
    }

    /// Puts the keys of `workspace` into `change`, wrapped by the KEK of an epoch; it then requires that the row is still
    /// of a revision.
    pub(crate) fn put_keys(
        &self,
        change: &mut Change,
        workspace: WorkspaceId,
        record: &WorkspaceKeyRecord,
        (epoch, revision): (u32, Revision),
    ) -> Result<(), BarrierError> {
        let key = planes::workspace_keys(workspace);
        let kek = self.chain.ring().keyring.keks.key(epoch);
        let kek = kek.ok_or_else(|| BarrierError::Missing("keyring".into()))??;
        let sealed = envelope::seal(&kek, epoch, workspace, &key, record, self.rng())?;
        replace(change, &key, Some(revision), sealed);
        Ok(())
    }

    /// Puts the keyring into `change`, which then requires that it is still what was read.
    pub(crate) fn put_keyring(&self, change: &mut Change, ring: &Ring) -> Result<(), BarrierError> {
        self.put_keyring_under(&self.chain.root(), change, ring)
    }

    fn put_keyring_under(&self, root: &Xaes, change: &mut Change, ring: &Ring) -> Result<(), BarrierError> {
        let key = keyring_key();
        let sealed = envelope::seal(root, 0, WorkspaceId::SYSTEM, &key, &ring.keyring, self.rng())?;
        replace(change, &key, ring.revision, sealed);
        Ok(())
    }

    /// `sealed`, the value at `key`, sealed anew with `newest` of the DEKs.
    pub(crate) fn reseal(
        &self,
        known: &Deks,
        newest: (u32, &Xaes),
        workspace: WorkspaceId,
        key: &[u8],
        sealed: Vec<u8>,
    ) -> Result<Vec<u8>, envelope::EnvelopeError> {
        let from = known.dek(envelope::epoch_of(&sealed)?)?;
        let key = StorageKey::from_bytes(key.to_vec());
        envelope::reseal(from, newest, workspace, &key, sealed, self.rng())
    }
}

fn replace(change: &mut Change, key: &StorageKey, revision: Option<Revision>, sealed: Vec<u8>) {
    let key = key.as_bytes().to_vec();
    change.preconditions.push(Precondition {
        key: key.clone(),
        revision,
    });
    change.puts.push((key, sealed));
}

/// The workspaces whose DEKs seal something of `change`.
fn written(change: &Change) -> Vec<WorkspaceId> {
    let mut workspaces = Vec::new();
    for workspace in change
        .puts
        .iter()
        .filter_map(|(key, _)| planes::workspace_of(key))
    {
        if !workspaces.contains(&workspace) {
            workspaces.push(workspace);
        }
    }
    workspaces
}

/// Whether `change` replaces the keys of `workspace` itself.
fn writes_keys(change: &Change, workspace: WorkspaceId) -> bool {
    let row = Some(ChainRow::Workspace(workspace));
    change.puts.iter().any(|(key, _)| row_of(key) == row)
}
