//! What may be answered without reading storage: decoded records and sorted folders, for as long as the storage's
//! change feed names none of their keys.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache as QuickCache;
use strongroom_storage::{Changes, Revision, Storage, Unavailable};

use crate::planes;
use crate::view::Child;

const RECORDS: usize = 20_000;
const FOLDERS: usize = 1_000;
/// Keys asked of the change feed at once.
const PAGE: usize = 4_096;

pub(crate) struct Cache {
    records: QuickCache<Box<[u8]>, Arc<dyn Any + Send + Sync>>,
    folders: QuickCache<Box<[u8]>, Arc<[Child]>>,
    /// Everything up to this revision has been invalidated.
    followed: AtomicU64,
    /// Counts invalidations. It grows before entries are removed, so that what was loaded earlier is not kept any more.
    invalidations: AtomicU64,
    /// Shared by those who keep an entry, from the look at the count on; exclusive for the growth of the count. So an
    /// entry that was loaded too early is not there for a moment.
    keeping: RwLock<()>,
}

/// A cache as it was before something was loaded to be kept in it.
pub(crate) struct Before(u64);

impl Cache {
    pub(crate) fn new(head: Revision) -> Self {
        Self {
            records: QuickCache::new(RECORDS),
            folders: QuickCache::new(FOLDERS),
            followed: AtomicU64::new(head.0),
            invalidations: AtomicU64::new(0),
            keeping: RwLock::new(()),
        }
    }

    /// Catches up with the change feed. What the cache gives afterwards is as new as the storage was at this call.
    pub(crate) async fn follow(&self, storage: &dyn Storage) -> Result<Before, Unavailable> {
        loop {
            let followed = self.followed.load(Ordering::Acquire);
            match storage.changes(Revision(followed), PAGE).await? {
                Changes::Page { keys, .. } if keys.is_empty() => {
                    return Ok(Before(self.invalidations.load(Ordering::Acquire)));
                }
                Changes::Page { keys, upto } => {
                    self.count_invalidation();
                    keys.iter().for_each(|key| self.invalidate(key));
                    self.followed.fetch_max(upto.0, Ordering::AcqRel);
                }
                Changes::Compacted { head } => {
                    self.count_invalidation();
                    self.records.clear();
                    self.folders.clear();
                    self.followed.fetch_max(head.0, Ordering::AcqRel);
                }
            }
        }
    }

    pub(crate) fn record<T: Send + Sync + 'static>(&self, key: &[u8]) -> Option<Arc<T>> {
        self.records.get(key)?.downcast().ok()
    }

    pub(crate) fn keep_record<T: Send + Sync + 'static>(&self, before: &Before, key: &[u8], record: Arc<T>) {
        self.keep(before, || self.records.insert(key.into(), record));
    }

    pub(crate) fn folder(&self, key: &[u8]) -> Option<Arc<[Child]>> {
        self.folders.get(key)
    }

    pub(crate) fn keep_folder(&self, before: &Before, key: &[u8], children: Arc<[Child]>) {
        self.keep(before, || self.folders.insert(key.into(), children));
    }

    /// Lets `insert` put an entry in that was loaded after `before`, unless it may be old by now.
    fn keep(&self, before: &Before, insert: impl FnOnce()) {
        let _keeping = self.keeping.read().unwrap_or_else(PoisonError::into_inner);
        if self.invalidations.load(Ordering::Acquire) == before.0 {
            insert();
        }
    }

    fn count_invalidation(&self) {
        let _alone = self.keeping.write().unwrap_or_else(PoisonError::into_inner);
        self.invalidations.fetch_add(1, Ordering::AcqRel);
    }

    fn invalidate(&self, key: &[u8]) {
        self.records.remove(key);
        for folder in planes::folders_of(key) {
            self.folders.remove(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A reader that is slow to keep what it loaded, and one that looks all the time.
    #[test]
    fn an_entry_loaded_too_early_is_not_there_for_a_moment() {
        let cache = Cache::new(Revision(0));
        let early = Before(0);
        cache.keep_record(&early, b"kept", Arc::new(1));
        assert!(cache.record::<i32>(b"kept").is_some());
        cache.count_invalidation();
        cache.invalidate(b"kept");
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    cache.keep_record(&early, b"kept", Arc::new(1));
                    cache.keep_folder(&early, b"kept", Arc::new([]));
                }
            });
            for _ in 0..20_000 {
                assert!(cache.record::<i32>(b"kept").is_none() && cache.folder(b"kept").is_none());
            }
        });
    }
}
