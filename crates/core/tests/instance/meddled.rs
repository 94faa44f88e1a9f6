//! Storage in memory that a test meddles with.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_storage::{
    Change, Changes, CommitError, Embedded, Memory, Revision, Row, Storage, Unavailable,
};

/// What a test does to storage; nothing, unless it says otherwise.
#[async_trait]
pub(crate) trait Meddler: Send + Sync + 'static {
    /// A row is about to be looked up.
    async fn before_lookup(&self) {}

    /// Commits `change` to `storage`, or does something else with it.
    async fn commit(&self, storage: &Embedded<Memory>, change: Change) -> Result<Revision, CommitError> {
        storage.commit(change).await
    }
}

/// Storage with a meddler in it.
pub(crate) struct Meddled<M> {
    inner: Embedded<Memory>,
    pub(crate) meddler: M,
}

impl<M: Meddler> Meddled<M> {
    /// Empty storage.
    pub(crate) fn by(meddler: M) -> Arc<Self> {
        let inner = Embedded::open(Memory::default(), Arc::new(())).unwrap();
        Arc::new(Self { inner, meddler })
    }
}

#[async_trait]
impl<M: Meddler> Storage for Meddled<M> {
    async fn get(&self, key: &[u8]) -> Result<Option<Row>, Unavailable> {
        self.meddler.before_lookup().await;
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, Unavailable> {
        self.inner.scan(range, after, limit).await
    }

    async fn commit(&self, change: Change) -> Result<Revision, CommitError> {
        self.meddler.commit(&self.inner, change).await
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Unavailable> {
        self.inner.changes(after, limit).await
    }
}
