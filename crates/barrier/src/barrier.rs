//! The barrier of an unsealed instance.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use strongroom_base::{MountId, Rng, WorkspaceId, limits};
use strongroom_secret::{SecretBuffer, SecretBytes};
use strongroom_storage::{Change, Revision, Storage, Unavailable};

use crate::cache::Cache;
use crate::chain::{self, Chain, Ring, keyring_key, read_keyring};
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
    /// The root key is not this instance's, or was replaced while this process ran; or the row is damaged.
    #[error(
        "the root key does not open the row `keyring`: the key is another instance's or was replaced, or the row is \
         damaged"
    )]
    WrongRootKey,
    /// A row that holds keys is no such row.
    #[error("the row `{0}`, which holds keys, is damaged: restore the storage from a backup")]
    DamagedKeys(String, #[source] EnvelopeError),
    /// A workspace's keys are wrapped by a KEK that is not there.
    #[error(
        "the row `{0}` is wrapped by KEK epoch {1}, which the row `keyring` does not have: one of the two was put back to \
         an older state"
    )]
    UnknownKek(String, u32),
    /// The keyring is full.
    #[error(
        "the keys were rotated {} times since the last rewrap: finish a rewrap, which drops those that nothing uses",
        limits::KEY_EPOCHS - 1
    )]
    TooManyEpochs,
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
    pub(crate) chain: Chain,
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
        let (key, root) = (keyring_key(), root.xaes()?);
        let sealed = envelope::seal(&root, 0, WorkspaceId::SYSTEM, &key, &keyring, &*rng)?;
        change.puts.push((key.as_bytes().to_vec(), sealed));
        let epoch = keyring.keks.newest();
        let kek = keyring.keks.key(epoch).ok_or(AeadError)??;
        let mut loaded = HashMap::new();
        for &workspace in workspaces {
            let key = planes::workspace_keys(workspace);
            let record = WorkspaceKeyRecord::generate(&*rng);
            let sealed = envelope::seal(&kek, epoch, workspace, &key, &record, &*rng)?;
            change.puts.push((key.as_bytes().to_vec(), sealed));
            loaded.insert(workspace, Arc::new(WorkspaceKeys::new(&record, epoch, None)?));
        }
        let ring = Ring {
            keyring,
            revision: None,
        };
        Ok(Arc::new(Self {
            storage,
            chain: Chain::new(root, ring, loaded),
            cache: Cache::new(Revision::default()),
            rng,
        }))
    }

    /// Opens the keyring of `storage` with `root`.
    ///
    /// # Errors
    /// [`BarrierError::WrongRootKey`] for another instance's root key; when the storage lacks a keyring, or that is
    /// damaged.
    pub async fn open(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        rng: Arc<dyn Rng>,
    ) -> Result<Arc<Self>, BarrierError> {
        let root = root.xaes()?;
        // What changes from here on is followed.
        let head = strongroom_storage::head(&*storage).await?;
        let ring = read_keyring(&*storage, &root).await?;
        Ok(Arc::new(Self {
            storage,
            chain: Chain::new(root, ring, HashMap::new()),
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
        self.chain
            .workspace(workspace)
            .or_else(|| self.chain.workspace(WorkspaceId::SYSTEM))
            .ok_or(AeadError)
    }

    pub(crate) async fn get<T: Record>(
        &self,
        keys: &WorkspaceKeys,
        workspace: WorkspaceId,
        key: &StorageKey,
    ) -> Result<Option<(T, Revision)>, BarrierError> {
        let row = match self.storage.get_now(key.as_bytes()) {
            Some(row) => row?,
            None => self.storage.get(key.as_bytes()).await?,
        };
        let Some(row) = row else { return Ok(None) };
        let deks = self.deks_for(keys, workspace, &row.value).await?;
        let record = chain::open(&deks, workspace, key, row.value)?;
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
        let mut opened = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let key = StorageKey::from_bytes(key);
            let deks = self.deks_for(keys, workspace, &row.value).await?;
            let record = chain::open(&deks, workspace, &key, row.value)?;
            opened.push((key, record, row.revision));
        }
        Ok(opened)
    }

    pub(crate) fn seal<T: Record>(
        &self,
        keys: &WorkspaceKeys,
        workspace: WorkspaceId,
        key: &StorageKey,
        record: &T,
    ) -> Result<Vec<u8>, BarrierError> {
        let deks = keys.deks();
        let (epoch, dek) = deks.newest()?;
        Ok(envelope::seal(dek, epoch, workspace, key, record, &*self.rng)?)
    }

    pub(crate) fn rng(&self) -> &dyn Rng {
        &*self.rng
    }
}
