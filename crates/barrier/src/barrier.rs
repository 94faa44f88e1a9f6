//! The barrier of an unsealed instance.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, RwLock};

use strongroom_base::{MountId, Rng, WorkspaceId};
use strongroom_secret::{SecretBuffer, SecretBytes};
use strongroom_storage::{Change, Revision, Storage, Unavailable};

use crate::cache::Cache;
use crate::envelope::{self, EnvelopeError, Record};
use crate::keyring::{Keyring, RootKey, WorkspaceKeyRecord, WorkspaceKeys};
use crate::planes::{self, StorageKey};
use crate::view::View;
use crate::xaes::{AeadError, NONCE_BYTES, TAG_BYTES};

/// Why a record cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// Storage cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// What is stored is not what was stored.
    #[error("a stored record is damaged or was moved")]
    Damaged(#[from] EnvelopeError),
    /// The instance has no such row, and cannot be without.
    #[error("the storage lacks `{0}`")]
    Missing(String),
    /// The root key is not this instance's.
    #[error("the root key does not open the keyring")]
    WrongRootKey,
    /// More children than a folder may have.
    #[error("the folder has more children than can be listed")]
    FolderTooLarge,
}

impl From<AeadError> for BarrierError {
    fn from(error: AeadError) -> Self {
        Self::Damaged(error.into())
    }
}

/// Encrypts what goes to storage and decrypts what comes from it. One for each instance, while it is unsealed.
pub struct Barrier {
    storage: Arc<dyn Storage>,
    pub(crate) keyring: Keyring,
    workspaces: RwLock<HashMap<WorkspaceId, Arc<WorkspaceKeys>>>,
    pub(crate) cache: Cache,
    rng: Arc<dyn Rng>,
}

impl Barrier {
    /// The barrier of a new instance with `workspaces`, whose keys, wrapped by `root`, are added to `change`. Nothing
    /// else can be read back before that change is committed.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn create(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        workspaces: &[WorkspaceId],
        rng: Arc<dyn Rng>,
        change: &mut Change,
    ) -> Result<Arc<Self>, BarrierError> {
        let keyring = Keyring::generate(&*rng);
        let key = keyring_key();
        let sealed = envelope::seal(&root.xaes()?, 0, WorkspaceId::SYSTEM, &key, &keyring, &*rng)?;
        change.puts.push((key.as_bytes().to_vec(), sealed));
        let (epoch, kek) = keyring.newest()?;
        let mut loaded = HashMap::new();
        for &workspace in workspaces {
            let key = workspace_key(workspace);
            let record = WorkspaceKeyRecord::generate(&*rng);
            let sealed = envelope::seal(&kek, epoch, workspace, &key, &record, &*rng)?;
            change.puts.push((key.as_bytes().to_vec(), sealed));
            loaded.insert(workspace, Arc::new(WorkspaceKeys::new(&record)?));
        }
        let cache = Cache::new(Revision::default());
        Ok(Arc::new(Self {
            storage,
            keyring,
            workspaces: RwLock::new(loaded),
            cache,
            rng,
        }))
    }

    /// Opens the keyring of `storage` with `root`.
    ///
    /// # Errors
    /// [`BarrierError::WrongRootKey`] for another instance's root key, and when the storage lacks a keyring.
    pub async fn open(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        rng: Arc<dyn Rng>,
    ) -> Result<Arc<Self>, BarrierError> {
        let key = keyring_key();
        let row = storage
            .get(key.as_bytes())
            .await?
            .ok_or_else(|| BarrierError::Missing("keyring".into()))?;
        let keyring = match envelope::open(&root.xaes()?, WorkspaceId::SYSTEM, &key, row.value) {
            Err(EnvelopeError::Aead(_)) => return Err(BarrierError::WrongRootKey),
            opened => opened?,
        };
        let head = strongroom_storage::head(&*storage).await?;
        Ok(Arc::new(Self {
            storage,
            keyring,
            workspaces: RwLock::default(),
            cache: Cache::new(head),
            rng,
        }))
    }

    /// The storage below.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// A view of `mount` in `workspace`.
    ///
    /// # Errors
    /// When the workspace's keys cannot be had.
    pub async fn view(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        mount: MountId,
    ) -> Result<View, BarrierError> {
        let keys = self.keys(workspace).await?;
        Ok(View {
            barrier: self.clone(),
            keys,
            workspace,
            mount,
        })
    }

    /// Encrypts ledger fields under the ledger key of `workspace`, bound to `context`: nonce ‖ ciphertext ‖ tag.
    ///
    /// # Errors
    /// When the keys of the workspace are not loaded: no request of it can have come this far.
    pub fn seal_ledger_fields(
        &self,
        workspace: WorkspaceId,
        context: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, AeadError> {
        let keys = self.ledger_keys(workspace)?;
        let mut nonce = [0; NONCE_BYTES];
        self.rng.fill(&mut nonce);
        let mut out = Vec::with_capacity(NONCE_BYTES + plaintext.len() + TAG_BYTES);
        out.extend(nonce);
        out.extend_from_slice(plaintext);
        let body = out.get_mut(NONCE_BYTES..).ok_or(AeadError)?;
        let tag = keys.ledger.seal(&nonce, context, body)?;
        out.extend(tag);
        Ok(out)
    }

    /// Decrypts what [`Barrier::seal_ledger_fields`] gave for the same workspace and context.
    ///
    /// # Errors
    /// When it was sealed for others, or was changed.
    pub fn open_ledger_fields(
        &self,
        workspace: WorkspaceId,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<SecretBytes, AeadError> {
        let keys = self.ledger_keys(workspace)?;
        let (nonce, body) = sealed.split_first_chunk().ok_or(AeadError)?;
        let mut opened = SecretBuffer::with_capacity(body.len());
        opened.extend(body);
        let plaintext = keys.ledger.open(nonce, context, opened.expose_mut())?;
        Ok(SecretBytes::new(plaintext.to_vec()))
    }

    fn ledger_keys(&self, workspace: WorkspaceId) -> Result<Arc<WorkspaceKeys>, AeadError> {
        self.loaded(workspace)
            .or_else(|| self.loaded(WorkspaceId::SYSTEM))
            .ok_or(AeadError)
    }

    pub(crate) async fn get<T: Record>(
        &self,
        keys: &WorkspaceKeys,
        workspace: WorkspaceId,
        key: &StorageKey,
    ) -> Result<Option<(T, Revision)>, BarrierError> {
        let Some(row) = self.storage.get(key.as_bytes()).await? else {
            return Ok(None);
        };
        let record = open(keys, workspace, key, row.value)?;
        Ok(Some((record, row.revision)))
    }

    pub(crate) async fn scan<T: Record>(
        &self,
        keys: &WorkspaceKeys,
        workspace: WorkspaceId,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(StorageKey, T, Revision)>, BarrierError> {
        let rows = self.storage.scan(range, after, limit).await?;
        rows.into_iter()
            .map(|(key, row)| {
                let key = StorageKey::from_bytes(key);
                let record = open(keys, workspace, &key, row.value)?;
                Ok((key, record, row.revision))
            })
            .collect()
    }

    pub(crate) fn seal<T: Record>(
        &self,
        keys: &WorkspaceKeys,
        workspace: WorkspaceId,
        key: &StorageKey,
        record: &T,
    ) -> Result<Vec<u8>, BarrierError> {
        let (epoch, dek) = keys.newest()?;
        Ok(envelope::seal(dek, epoch, workspace, key, record, &*self.rng)?)
    }

    fn loaded(&self, workspace: WorkspaceId) -> Option<Arc<WorkspaceKeys>> {
        let workspaces = self
            .workspaces
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        workspaces.get(&workspace).cloned()
    }

    pub(crate) async fn keys(&self, workspace: WorkspaceId) -> Result<Arc<WorkspaceKeys>, BarrierError> {
        if let Some(keys) = self.loaded(workspace) {
            return Ok(keys);
        }
        let key = workspace_key(workspace);
        let row = self.storage.get(key.as_bytes()).await?;
        let row =
            row.ok_or_else(|| BarrierError::Missing(format!("the keys of workspace {}", workspace.0)))?;
        let kek = self.keyring.kek(envelope::epoch_of(&row.value)?)?;
        let record: WorkspaceKeyRecord = envelope::open(&kek, workspace, &key, row.value)?;
        let keys = Arc::new(WorkspaceKeys::new(&record)?);
        let mut workspaces = self
            .workspaces
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        workspaces.insert(workspace, keys.clone());
        Ok(keys)
    }
}

pub(crate) fn open<T: Record>(
    keys: &WorkspaceKeys,
    workspace: WorkspaceId,
    key: &StorageKey,
    sealed: Vec<u8>,
) -> Result<T, BarrierError> {
    let dek = keys.dek(envelope::epoch_of(&sealed)?)?;
    Ok(envelope::open(dek, workspace, key, sealed)?)
}

fn keyring_key() -> StorageKey {
    planes::system("keyring")
}

fn workspace_key(workspace: WorkspaceId) -> StorageKey {
    planes::workspace_keys(workspace)
}
