//! Sorted listings that are kept in memory. A change of storage does not throw one away: it marks the items to look at
//! anew, so that a page costs its own length, however long the listing is and whatever is written meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_base::limits;
use tokio::sync::Mutex as AsyncMutex;

use crate::BarrierError;

/// What an entry takes beside its text: the text's allocation, and its place in a tree that is two thirds full.
const ENTRY_BYTES: usize = 56;
/// What a listing takes beside its entries.
const LISTING_BYTES: usize = 512;
/// Looking at one item anew costs about as much as loading this many.
const LOOK_COST: usize = 8;
/// A listing is worth so many looks, however short it is.
const LOOKS_MIN: usize = 16;

/// What a text of a listing stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) is_record: bool,
    pub(crate) is_folder: bool,
}

/// The entries of a listing, sorted by the bytes of their texts.
#[derive(Default)]
pub(crate) struct Entries {
    by_text: BTreeMap<Box<str>, Shape>,
    text_bytes: usize,
}

impl Entries {
    pub(crate) fn insert(&mut self, text: String, shape: Shape) {
        let bytes = text.len();
        if self.by_text.insert(text.into(), shape).is_none() {
            self.text_bytes += bytes;
        }
    }

    pub(crate) fn remove(&mut self, text: &str) {
        if self.by_text.remove(text).is_some() {
            self.text_bytes -= text.len();
        }
    }

    /// The entries behind `after`, at most `limit`.
    pub(crate) fn page(&self, after: Option<&str>, limit: usize) -> impl Iterator<Item = (&str, Shape)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.by_text.range::<str, _>((start, Bound::Unbounded));
        behind.take(limit).map(|(text, shape)| (&**text, *shape))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_text.len()
    }

    fn bytes(&self) -> usize {
        LISTING_BYTES + self.text_bytes + self.by_text.len() * ENTRY_BYTES
    }
}

/// Where the entries of a listing come from. What it gives is at least as new as storage was when it was asked.
pub(crate) trait Source: Sync {
    /// All entries.
    fn load(&self) -> impl Future<Output = Result<Entries, BarrierError>> + Send;

    /// The entry of `item` as it is now; `None` when only all of them would tell.
    fn look_at(
        &self,
        item: &[u8],
    ) -> impl Future<Output = Result<Option<(String, Option<Shape>)>, BarrierError>> + Send;
}

/// One listing.
#[derive(Default)]
pub(crate) struct Listing {
    /// Items that changed since they were last looked at.
    stale: Mutex<BTreeSet<Box<[u8]>>>,
    /// `None` until they are loaded, and while they are brought up to date: an interrupted update starts over.
    entries: AsyncMutex<Option<Entries>>,
}

impl Listing {
    fn stale(&self) -> MutexGuard<'_, BTreeSet<Box<[u8]>>> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The listings that are kept: those used last, as many as fit.
#[derive(Default)]
pub(crate) struct Listings(Mutex<State>);

#[derive(Default)]
struct State {
    kept: HashMap<Box<[u8]>, Kept>,
    bytes: usize,
    uses: u64,
}

struct Kept {
    listing: Arc<Listing>,
    /// As of its last update.
    entries: usize,
    bytes: usize,
    last_use: u64,
}

impl Listings {
    /// Shows `page` the entries of the listing under `key`, at least as new as the last [`Listings::mark`] before.
    ///
    /// # Errors
    /// Those of `source`.
    pub(crate) async fn read<T>(
        &self,
        key: &[u8],
        source: &impl Source,
        page: impl FnOnce(&Entries) -> T + Send,
    ) -> Result<T, BarrierError> {
        // From here on, what changes is marked; so it does not matter whether loading still sees it.
        let listing = self.listing(key);
        let mut slot = listing.entries.lock().await;
        let stale = std::mem::take(&mut *listing.stale());
        let kept = slot.take();
        let was_kept = kept.is_some();
        let (entries, is_new) = match kept {
            Some(entries) => update(entries, &stale, source).await?,
            None => (source.load().await?, true),
        };
        if is_new || !was_kept || !stale.is_empty() {
            self.settle(key, &listing, &entries);
        }
        let page = page(&entries);
        *slot = Some(entries);
        Ok(page)
    }

    /// `item` of the listing under `key` changed, if that is kept.
    pub(crate) fn mark(&self, key: &[u8], item: &[u8]) {
        let mut state = self.state();
        let Some(kept) = state.kept.get(key) else { return };
        let mut stale = kept.listing.stale();
        stale.insert(item.into());
        let is_worth_it = stale.len() <= LOOKS_MIN.max(kept.entries / LOOK_COST);
        drop(stale);
        if !is_worth_it {
            state.remove(key);
        }
    }

    /// Anything may have changed.
    pub(crate) fn clear(&self) {
        *self.state() = State::default();
    }

    fn listing(&self, key: &[u8]) -> Arc<Listing> {
        let mut state = self.state();
        state.uses += 1;
        let last_use = state.uses;
        if let Some(kept) = state.kept.get_mut(key) {
            kept.last_use = last_use;
            return kept.listing.clone();
        }
        let listing = Arc::new(Listing::default());
        let kept = Kept {
            listing: listing.clone(),
            entries: usize::MAX, // while it is loaded, it is worth any number of looks
            bytes: LISTING_BYTES,
            last_use,
        };
        state.bytes += kept.bytes;
        state.kept.insert(key.into(), kept);
        state.make_room();
        listing
    }

    /// Accounts for `entries` of `listing`, unless another one has taken its place.
    fn settle(&self, key: &[u8], listing: &Arc<Listing>, entries: &Entries) {
        let mut state = self.state();
        let State { kept, bytes, .. } = &mut *state;
        let Some(kept) = kept
            .get_mut(key)
            .filter(|kept| Arc::ptr_eq(&kept.listing, listing))
        else {
            return;
        };
        *bytes = *bytes - kept.bytes + entries.bytes();
        (kept.bytes, kept.entries) = (entries.bytes(), entries.len());
        state.make_room();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, key: &[u8]) {
        if let Some(removed) = self.kept.remove(key) {
            self.bytes -= removed.bytes;
        }
    }

    fn make_room(&mut self) {
        while self.bytes > limits::LISTINGS_BYTES || self.kept.len() > limits::LISTINGS {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.last_use);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.remove(&key);
        }
    }
}

/// Brings `entries` up to date; the second value says whether they were loaded for it.
async fn update(
    mut entries: Entries,
    stale: &BTreeSet<Box<[u8]>>,
    source: &impl Source,
) -> Result<(Entries, bool), BarrierError> {
    for item in stale {
        match source.look_at(item).await? {
            Some((text, Some(shape))) => entries.insert(text, shape),
            Some((text, None)) => entries.remove(&text),
            None => return Ok((source.load().await?, true)),
        }
    }
    Ok((entries, false))
}
