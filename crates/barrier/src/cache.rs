//! What may be answered without reading storage: decoded records and sorted listings, for as long as the storage's
//! change feed names none of their keys.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache as QuickCache;
use strongroom_storage::{Changes, Revision, Storage, Unavailable};

use crate::listing::Listings;
use crate::planes;

const RECORDS: usize = 20_000;
/// Keys asked of the change feed at once.
const PAGE: usize = 4_096;

pub(crate) struct Cache {
    records: QuickCache<Box<[u8]>, Arc<dyn Any + Send + Sync>>,
    pub(crate) listings: Listings,
    /// Everything up to this revision has been invalidated.
    followed: AtomicU64,
    /// Counts invalidations. It grows before entries are removed, so that a reader who loaded an entry earlier and
    /// keeps it now finds the count changed, and takes the entry out again.
    invalidations: AtomicU64,
}

/// A cache as it was before something was loaded to be kept in it.
pub(crate) struct Before(u64);

impl Cache {
    pub(crate) fn new(head: Revision) -> Self {
        Self {
            records: QuickCache::new(RECORDS),
            listings: Listings::default(),
            followed: AtomicU64::new(head.0),
            invalidations: AtomicU64::new(0),
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
                    self.invalidations.fetch_add(1, Ordering::AcqRel);
                    keys.iter().for_each(|key| self.invalidate(key));
                    self.followed.fetch_max(upto.0, Ordering::AcqRel);
                }
                Changes::Compacted { head } => {
                    self.invalidations.fetch_add(1, Ordering::AcqRel);
                    self.records.clear();
                    self.listings.clear();
                    self.followed.fetch_max(head.0, Ordering::AcqRel);
                }
            }
        }
    }

    pub(crate) fn record<T: Send + Sync + 'static>(&self, key: &[u8]) -> Option<Arc<T>> {
        self.records.get(key)?.downcast().ok()
    }

    pub(crate) fn keep_record<T: Send + Sync + 'static>(&self, before: &Before, key: &[u8], record: Arc<T>) {
        self.records.insert(key.into(), record);
        if self.has_changed(before) {
            self.records.remove(key);
        }
    }

    fn has_changed(&self, before: &Before) -> bool {
        self.invalidations.load(Ordering::Acquire) != before.0
    }

    fn invalidate(&self, key: &[u8]) {
        self.records.remove(key);
        for (listing, item) in planes::listings_of(key) {
            self.listings.mark(listing, item);
        }
    }
}
