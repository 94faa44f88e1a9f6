//! A backend behind a tap: what storage's committer gives it is seen on the way.

use strongroom_storage::{Backend, Failure, Group, KeyRange, Revision, Row};

/// `backend`, each of whose groups is shown to `see` before it is applied.
pub(crate) struct Tap<B, S> {
    pub(crate) backend: B,
    pub(crate) see: S,
}

impl<B, S> Backend for Tap<B, S>
where
    B: Backend,
    S: Fn(&Group) -> Result<(), Failure> + Send + Sync + 'static,
{
    const SCANS_BLOCK: bool = B::SCANS_BLOCK;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        self.backend.get(key)
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        self.backend.scan(range, limit)
    }

    fn keys(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        self.backend.keys(range, limit)
    }

    fn apply(&self, group: Group) -> Result<(), Failure> {
        (self.see)(&group)?;
        self.backend.apply(group)
    }

    fn head(&self) -> Result<Revision, Failure> {
        self.backend.head()
    }

    fn reopen(&self) -> Result<(), Failure> {
        self.backend.reopen()
    }
}
