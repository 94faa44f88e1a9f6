//! A view: one mount of one workspace, in clear. It is all that an engine ever sees of the storage.

use std::sync::Arc;

use strongroom_base::{MountId, Name, WorkspaceId, limits};
use strongroom_storage::{Change, Precondition, Revision};

use crate::barrier::{Barrier, BarrierError};
use crate::envelope::Record;
use crate::keyring::WorkspaceKeys;
use crate::planes::{self, Kind, StorageKey};

/// Rows read at once while a folder is listed.
const PAGE: usize = 1_000;

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
        let rows = self.barrier.storage().scan(range, None, usize::MAX).await?;
        Ok(rows
            .into_iter()
            .map(|(key, _)| StorageKey::from_bytes(key))
            .collect())
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
        let children = self.children(folder).await?;
        let start = after.map_or(0, |after| {
            children.partition_point(|child| child.segment.as_str() <= after)
        });
        Ok(children.iter().skip(start).take(limit).cloned().collect())
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

    async fn children(&self, folder: &Folder) -> Result<Arc<[Child]>, BarrierError> {
        let before = self.barrier.cache.follow(&**self.barrier.storage()).await?;
        if let Some(children) = self.barrier.cache.folder(&folder.0) {
            return Ok(children);
        }
        let tokens = self.tokens(folder).await?;
        let segments = self
            .keys
            .names
            .reveal(&folder.0, tokens.iter().map(|child| &*child.token))?;
        let mut children: Vec<Child> = segments
            .into_iter()
            .zip(tokens)
            .map(|(segment, child)| Child {
                segment,
                is_record: child.is_record,
                is_folder: child.is_folder,
            })
            .collect();
        children.sort_unstable_by(|a, b| a.segment.cmp(&b.segment));
        let children: Arc<[Child]> = children.into();
        self.barrier
            .cache
            .keep_folder(&before, &folder.0, children.clone());
        Ok(children)
    }

    /// The tokens of the children of `folder`, each once, in token order. Below a child that is a folder itself, the
    /// scan leaps to the next child at the end of each page.
    async fn tokens(&self, folder: &Folder) -> Result<Vec<TokenChild>, BarrierError> {
        let mut children: Vec<TokenChild> = Vec::new();
        let mut range = planes::under(&folder.0);
        let mut after = None;
        loop {
            let rows = self
                .barrier
                .storage()
                .scan(range.clone(), after.take(), PAGE)
                .await?;
            for (key, _) in &rows {
                let Some((token, more)) = key.get(folder.0.len()..).and_then(planes::first_token) else {
                    continue;
                };
                if let Some(last) = children.last_mut().filter(|last| *last.token == *token) {
                    last.is_folder |= more;
                } else {
                    children.push(TokenChild {
                        token: token.into(),
                        is_record: !more,
                        is_folder: more,
                    });
                }
            }
            if children.len() > limits::FOLDER_CHILDREN {
                return Err(BarrierError::FolderTooLarge);
            }
            let (Some((key, _)), Some(last)) = (rows.last(), children.last()) else {
                return Ok(children);
            };
            if rows.len() < PAGE {
                return Ok(children);
            }
            if last.is_folder {
                let mut subtree = folder.0.clone();
                planes::push_token(&mut subtree, &last.token);
                range.start = planes::successor(&subtree);
            } else {
                after = Some(key.clone());
            }
        }
    }
}

struct TokenChild {
    token: Box<[u8]>,
    is_record: bool,
    is_folder: bool,
}
