//! A view: one mount of one workspace, in clear. It is all that an engine ever sees of the storage.

use std::sync::Arc;

use strongroom_base::{MountId, Name, WorkspaceId};
use strongroom_storage::{Change, Precondition, Revision};

use crate::barrier::{Barrier, BarrierError};
use crate::envelope::Record;
use crate::keyring::WorkspaceKeys;
use crate::listing::{Entries, Shape};
use crate::planes::{self, Kind, StorageKey};
use crate::source::{self, Children, Named, Names};

/// One mount of one workspace. Cheap to clone.
#[derive(Clone)]
pub struct View {
    pub(crate) barrier: Arc<Barrier>,
    pub(crate) keys: Arc<WorkspaceKeys>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) mount: MountId,
}

/// A record and the revision that wrote it, for the precondition of a change that replaces it.
pub struct Stored<T> {
    /// The record.
    pub record: T,
    /// The revision.
    pub revision: Revision,
}

/// A folder of a view: the root, or what a prefix of segments names.
#[derive(Clone)]
pub struct Folder(Vec<u8>);

/// One child of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The last segment of its name.
    pub segment: String,
    /// Whether a record has this name.
    pub is_record: bool,
    /// Whether there are names below this one.
    pub is_folder: bool,
}

impl View {
    /// The workspace.
    #[must_use]
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// The mount.
    #[must_use]
    pub fn mount(&self) -> MountId {
        self.mount
    }

    /// The view of the place beside the mount ([`MountId::aside`]).
    #[must_use]
    pub fn aside(&self) -> Self {
        Self {
            mount: self.mount.aside(),
            ..self.clone()
        }
    }

    /// The key of the record named `name`.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn named(&self, name: &Name) -> Result<StorageKey, BarrierError> {
        let mut folder = self.root();
        for segment in name.segments() {
            folder = self.folder(folder, segment)?;
        }
        Ok(StorageKey::from_bytes(folder.0))
    }

    /// The key of an ordered record; `parts` are clear in storage.
    #[must_use]
    pub fn ordered(&self, kind: Kind, parts: &[&[u8]]) -> StorageKey {
        planes::ordered(self.workspace, kind, parts)
    }

    /// The folder that holds all names of the mount.
    #[must_use]
    pub fn root(&self) -> Folder {
        Folder(planes::mount_prefix(self.workspace, self.mount))
    }

    /// The folder `segment` of `folder`.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn folder(&self, folder: Folder, segment: &str) -> Result<Folder, BarrierError> {
        let mut key = folder.0;
        self.keys.names.push(&mut key, segment)?;
        Ok(Folder(key))
    }

    /// The record at `key`.
    ///
    /// # Errors
    /// [`BarrierError::Damaged`] when it does not open there.
    pub async fn get<T: Record>(&self, key: &StorageKey) -> Result<Option<Stored<T>>, BarrierError> {
        let found = self.barrier.get(&self.keys, self.workspace, key).await?;
        Ok(found.map(|(record, revision)| Stored { record, revision }))
    }

    /// The record at `key`, kept decoded in memory until it changes. For records that every request needs, and that
    /// hold no secret.
    ///
    /// # Errors
    /// As [`View::get`].
    pub async fn cached<T: Record>(&self, key: &StorageKey) -> Result<Option<Arc<Stored<T>>>, BarrierError> {
        let before = self.barrier.cache.follow(&**self.barrier.storage()).await?;
        if let Some(kept) = self.barrier.cache.record(key.as_bytes()) {
            return Ok(Some(kept));
        }
        let Some(stored) = self.get(key).await? else {
            return Ok(None);
        };
        let stored = Arc::new(stored);
        self.barrier
            .cache
            .keep_record(&before, key.as_bytes(), stored.clone());
        Ok(Some(stored))
    }

    /// Ordered records of `kind` whose key goes on with `prefix`, in key order: the rest of each key, and the record.
    /// At most `limit`, behind `after` (a key of this scan) if given.
    ///
    /// # Errors
    /// As [`View::get`].
    pub async fn scan<T: Record>(
        &self,
        kind: Kind,
        prefix: &[u8],
        after: Option<&StorageKey>,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Stored<T>)>, BarrierError> {
        let range = planes::under(self.ordered(kind, &[prefix]).as_bytes());
        let after = after.map(|key| key.as_bytes().to_vec());
        let rows = self
            .barrier
            .scan(&self.keys, self.workspace, range, after, limit)
            .await?;
        Ok(rows
            .into_iter()
            .map(|(key, record, revision)| (key, Stored { record, revision }))
            .collect())
    }

    /// The keys of all ordered records of `kind`, unopened.
    ///
    /// # Errors
    /// When storage cannot answer.
    pub async fn keys(&self, kind: Kind) -> Result<Vec<StorageKey>, BarrierError> {
        let range = planes::under(self.ordered(kind, &[]).as_bytes());
        let keys = self.barrier.storage().keys(range, None, usize::MAX).await?;
        Ok(keys.into_iter().map(StorageKey::from_bytes).collect())
    }

    /// The children of `folder` behind `after`, in byte order, at most `limit`.
    ///
    /// # Errors
    /// [`BarrierError::FolderTooLarge`] above 1,000,000 children.
    pub async fn list(
        &self,
        folder: &Folder,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, BarrierError> {
        let source = Children {
            view: self,
            folder: &folder.0,
        };
        self.barrier.cache.follow(&**self.barrier.storage()).await?;
        let page = |entries: &Entries| {
            let page = entries.page(after, limit);
            page.map(|(segment, shape)| Child::new(segment, shape)).collect()
        };
        self.barrier.cache.listings.read(&folder.0, &source, page).await
    }

    /// The names in the ordered records of `kind` whose key is `prefix` and an id, behind `after`, in the order of their
    /// segments' bytes, at most `limit`.
    ///
    /// # Errors
    /// As [`View::get`].
    pub async fn names<T: Named>(
        &self,
        kind: Kind,
        prefix: &[u8],
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Name>, BarrierError> {
        let prefix = self.ordered(kind, &[prefix]);
        let source = Names::<T>::new(self, &prefix);
        self.barrier.cache.follow(&**self.barrier.storage()).await?;
        let after = after.map(source::text_of);
        let page = |entries: &Entries| {
            let page = entries.page(after.as_deref(), limit);
            page.map(|(text, _)| source::name_of(text)).collect()
        };
        let listings = &self.barrier.cache.listings;
        listings.read(prefix.as_bytes(), &source, page).await
    }

    /// Requires that `key` has `revision`, or no record when `None`, as `change` is committed.
    pub fn expect(&self, change: &mut Change, key: &StorageKey, revision: Option<Revision>) {
        change.preconditions.push(Precondition {
            key: key.as_bytes().to_vec(),
            revision,
        });
    }

    /// Adds `record` at `key` to `change`, encrypted.
    ///
    /// # Errors
    /// When the provider fails.
    pub fn put<T: Record>(
        &self,
        change: &mut Change,
        key: &StorageKey,
        record: &T,
    ) -> Result<(), BarrierError> {
        let sealed = self.barrier.seal(&self.keys, self.workspace, key, record)?;
        change.puts.push((key.as_bytes().to_vec(), sealed));
        Ok(())
    }

    /// Adds the removal of `key` to `change`.
    pub fn delete(&self, change: &mut Change, key: &StorageKey) {
        change.deletes.push(key.as_bytes().to_vec());
    }
}

impl Child {
    fn new(segment: &str, shape: Shape) -> Self {
        Self {
            segment: segment.to_owned(),
            is_record: shape.is_record,
            is_folder: shape.is_folder,
        }
    }
}
