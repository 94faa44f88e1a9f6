//! Storage: physical, untrusted, and it sees ciphertext only. This crate holds the contract ([`Storage`]), and what
//! every embedded backend shares: the committer that turns many waiting changes into one durable write.
//!
//! A backend crate implements [`Backend`] and runs [`contract`] as its test.

mod answers;
pub mod contract;
mod embedded;
mod memory;
mod outbox;
mod queue;
mod recent;
#[cfg(test)]
mod schedules;
mod stage;
mod sync;

use std::ops::Range;

use async_trait::async_trait;
use strongroom_base::limits;

pub use answers::{Answer, refuse, settle};
pub use embedded::{Backend, Companion, Embedded, Failure, KeyRange};
pub use memory::Memory;
pub use outbox::{Note, OutboxKey, is_outbox, notes_in};
pub use queue::{Waiting, fitting};
pub use recent::Recent;
pub use stage::{Group, Stage};

/// The number of a change. Every change of an instance has its own, in commit order; zero comes before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A stored value and the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The bytes as they were put.
    pub value: Vec<u8>,
    /// The change that put them.
    pub revision: Revision,
}

/// What a change requires of a key, judged at its place in the order of commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// The key.
    pub key: Vec<u8>,
    /// The revision that the key's row must have, or `None` when there must be no row.
    pub revision: Option<Revision>,
}

/// A set of writes that happens whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// All must hold, or the change is a [`CommitError::Conflict`] and writes nothing.
    pub preconditions: Vec<Precondition>,
    /// Rows to write. A key appears once, in `puts` or in `deletes`.
    pub puts: Vec<(Vec<u8>, Vec<u8>)>,
    /// Rows to remove; a missing one is no error.
    pub deletes: Vec<Vec<u8>>,
    /// The audit records of the change. The notes of all changes of a group become one row of the outbox for each node.
    pub notes: Vec<Note>,
}

impl Change {
    /// The bytes that this change adds to a group.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`] and [`CommitError::Malformed`]: what every storage refuses before it looks at a row.
    pub fn size(&self) -> Result<usize, CommitError> {
        let read = self
            .preconditions
            .iter()
            .map(|precondition| precondition.key.len());
        let put = self.puts.iter().map(|(key, value)| key.len() + value.len());
        let deleted = self.deletes.iter().map(Vec::len);
        let size = read
            .chain(put)
            .chain(deleted)
            .chain(self.notes.iter().map(|note| note.bytes.len()))
            .sum();
        if size > limits::GROUP_BYTES {
            return Err(CommitError::TooLarge);
        }
        if self.is_well_formed() {
            Ok(size)
        } else {
            Err(CommitError::Malformed)
        }
    }

    fn is_well_formed(&self) -> bool {
        let mut written: Vec<_> = self
            .puts
            .iter()
            .map(|(key, _)| key)
            .chain(&self.deletes)
            .collect();
        written.sort_unstable();
        self.preconditions
            .iter()
            .all(|precondition| !precondition.key.is_empty())
            && self.puts.iter().all(|(key, _)| !is_outbox(key))
            && written.first().is_none_or(|first| !first.is_empty())
            && written.windows(2).all(|pair| !matches!(pair, [a, b] if a == b))
    }
}

/// What changed after a revision.
#[derive(Debug, PartialEq, Eq)]
pub enum Changes {
    /// The keys written or removed, oldest first, and the revision that this page reaches.
    Page {
        /// Keys, possibly repeated.
        keys: Vec<Vec<u8>>,
        /// Ask for what comes after this next.
        upto: Revision,
    },
    /// The past that far back is forgotten: drop every cache. Follow from `head`.
    Compacted {
        /// The newest revision.
        head: Revision,
    },
}

/// Storage cannot answer; the cause is for the operator's log.
#[derive(Debug, thiserror::Error)]
#[error("storage is unavailable")]
pub struct Unavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Why a change did not happen, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A precondition does not hold. Nothing was written.
    #[error("a precondition of the change does not hold")]
    Conflict,
    /// Over [`limits::GROUP_BYTES`]. Nothing was written.
    #[error("the change is larger than one commit may be")]
    TooLarge,
    /// A key is empty, is written twice, or is put into the outbox, which only notes fill. Nothing was written.
    #[error("the change is malformed")]
    Malformed,
    /// Storage is out of order, or what must be durable first is not, and nothing of the change was given to the
    /// backend. Nothing was written, and nothing will be.
    #[error(transparent)]
    NotTried(Unavailable),
    /// The commit's fate is unknown: its rows and its note are there together, or neither is.
    #[error(transparent)]
    Unknown(#[from] Unavailable),
}

/// The contract that the rest of the product builds on.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// The row at `key`, as of the newest commit that was answered before this call.
    async fn get(&self, key: &[u8]) -> Result<Option<Row>, Unavailable>;

    /// What [`Storage::get`] gives, from storage that has it without waiting; `None`: ask that.
    fn get_now(&self, _key: &[u8]) -> Option<Result<Option<Row>, Unavailable>> {
        None
    }

    /// Rows with keys in `range`, in key order, at most `limit`; with `after`, only those behind that key.
    /// One page shows one moment: of every change, all or nothing.
    async fn scan(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, Unavailable>;

    /// The keys of the rows that [`Storage::scan`] gives.
    async fn keys(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, Unavailable> {
        let rows = self.scan(range, after, limit).await?;
        Ok(rows.into_iter().map(|(key, _)| key).collect())
    }

    /// Commits `change` atomically. When it returns a revision, the change is durable.
    /// A caller that stops waiting does not stop the commit.
    async fn commit(&self, change: Change) -> Result<Revision, CommitError>;

    /// Whether [`Storage::changes`] would show none after `after`, from storage that knows without waiting; false: ask
    /// that.
    fn is_unchanged_since(&self, _after: Revision) -> bool {
        false
    }

    /// Keys changed after `after`, oldest first, at most about `limit` (a change is never split).
    /// Compacted too when `after` lies ahead of every commit: then it is another storage's revision.
    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Unavailable>;
}

/// The newest revision that the change feed of `storage` reaches.
///
/// # Errors
/// Storage cannot answer.
pub async fn head(storage: &dyn Storage) -> Result<Revision, Unavailable> {
    let mut head = Revision::default();
    loop {
        match storage.changes(head, usize::MAX).await? {
            Changes::Page { upto, .. } if upto > head => head = upto,
            Changes::Page { .. } => return Ok(head),
            Changes::Compacted { head } => return Ok(head),
        }
    }
}
