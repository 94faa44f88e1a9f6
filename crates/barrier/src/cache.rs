//! What may be answered without reading storage: decoded records and sorted listings, for as long as the storage's
//! change feed names none of their keys.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache as QuickCache;
use strongroom_storage::{Changes, Revision, Storage, Unavailable};

use crate::chain::Stale;
use crate::listing::Listings;
use crate::planes;

const RECORDS: usize = 20_000;
/// Keys asked of the change feed at once.
const PAGE: usize = 4_096;

pub(crate) struct Cache {
    records: QuickCache<Box<[u8]>, Arc<dyn Any + Send + Sync>>,
    pub(crate) listings: Listings,
    /// Keys that changed.
    pub(crate) stale: Stale,
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
            listings: Listings::default(),
            stale: Stale::default(),
            followed: AtomicU64::new(head.0),
            invalidations: AtomicU64::new(0),
            keeping: RwLock::new(()),
        }
    }

    /// Catches up with the change feed. What the cache gives afterwards is as new as the storage was at this call.
    pub(crate) async fn follow(&self, storage: &dyn Storage) -> Result<Before, Unavailable> {
        loop {
            let followed = self.followed.load(Ordering::Acquire);
            if storage.is_unchanged_since(Revision(followed)) {
                return Ok(Before(self.invalidations.load(Ordering::Acquire)));
            }
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
                    self.listings.clear();
                    self.stale.mark_all();
                    self.followed.fetch_max(head.0, Ordering::AcqRel);
                }
            }
        }
    }

    pub(crate) fn record<T: Send + Sync + 'static>(&self, key: &[u8]) -> Option<Arc<T>> {
        self.records.get(key)?.downcast().ok()
    }

    /// Keeps a record that was loaded after `before`, unless it may be old by now.
    pub(crate) fn keep_record<T: Send + Sync + 'static>(&self, before: &Before, key: &[u8], record: Arc<T>) {
        let _keeping = self.keeping.read().unwrap_or_else(PoisonError::into_inner);
        if self.invalidations.load(Ordering::Acquire) == before.0 {
            self.records.insert(key.into(), record);
        }
    }

    fn count_invalidation(&self) {
        let _alone = self.keeping.write().unwrap_or_else(PoisonError::into_inner);
        self.invalidations.fetch_add(1, Ordering::AcqRel);
    }

    fn invalidate(&self, key: &[u8]) {
        self.records.remove(key);
        self.stale.mark(key);
        for (listing, item) in planes::listings_of(key) {
            self.listings.mark(listing, item);
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
                }
            });
            for _ in 0..20_000 {
                assert!(cache.record::<i32>(b"kept").is_none());
            }
        });
    }
}
