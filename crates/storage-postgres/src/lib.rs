//! Storage that several nodes share: one PostgreSQL database, used natively.
//!
//! Every row has the revision that wrote it, and one row of `strongroom_meta` has the newest revision. A commit locks
//! that row first, so commits happen one after the other and in the order of their revisions, without retries. Deletes
//! leave tombstones, so that `changes` can be read from the rows; `feed` follows it and keeps the recent past in
//! memory. `docs/formats/postgres.md` describes the tables.

mod committer;
mod feed;
mod schema;
mod session;
mod settings;
mod tls;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_base::{Clock, limits};
use strongroom_storage::{
    Change, Changes, CommitError, Companion, Failure, Revision, Row, Storage, Unavailable, Waiting,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use committer::Committer;
use feed::Feed;
use session::{Sessions, revision_of, signed};

pub use schema::SCHEMA;
pub use settings::{Settings, SettingsError};

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no way to it, or it fails.
    #[error("cannot use the database")]
    Database(#[from] Failure),
    /// A newer version has been here.
    #[error(
        "the database has schema {0}, and this version knows schemas up to {SCHEMA}: use a newer strongroom"
    )]
    Newer(i32),
}

/// A database that can be used: its schema is ours.
pub struct Database {
    sessions: Arc<Sessions>,
    feed: Arc<Feed>,
}

impl Database {
    /// Connects to the database of `settings`, and makes the tables or brings them up to date.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let changed = Arc::new(Notify::new());
        schema::migrate(&settings).await?;
        let sessions = Arc::new(Sessions::new(settings, changed.clone()));
        let feed = Arc::new(Feed::open(sessions.clone(), changed, clock).await?);
        Ok(Self { sessions, feed })
    }

    /// The database as storage of one node, whose groups of changes follow a sync of `companion`.
    #[must_use]
    pub fn storage(&self, companion: Arc<dyn Companion>) -> Postgres {
        let (sessions, feed) = (self.sessions.clone(), self.feed.clone());
        let (queue, waiting) = mpsc::channel(limits::COMMIT_QUEUE_OPS);
        tokio::spawn(Committer::new(sessions.clone(), feed.clone(), companion).run(waiting));
        let follower = tokio::spawn(feed.clone().run());
        Postgres {
            sessions,
            feed,
            queue,
            follower,
        }
    }
}

/// A PostgreSQL database as [`Storage`] of one node. What waits when it is dropped is still committed.
pub struct Postgres {
    sessions: Arc<Sessions>,
    feed: Arc<Feed>,
    queue: mpsc::Sender<Waiting>,
    follower: JoinHandle<()>,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

#[async_trait]
impl Storage for Postgres {
    async fn get(&self, key: &[u8]) -> Result<Option<Row>, Unavailable> {
        let rows = self.sessions.query(|statements| &statements.get, &[&key]).await;
        let row = rows.map_err(Unavailable)?.pop();
        row.map(|row| row_of(&row, 0)).transpose().map_err(Unavailable)
    }

    async fn scan(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, Unavailable> {
        let (after, limit) = (
            after.unwrap_or_default(),
            i64::try_from(limit).unwrap_or(i64::MAX),
        );
        let rows = self
            .sessions
            .query(
                |statements| &statements.scan,
                &[&range.start, &after, &range.end, &limit],
            )
            .await;
        let rows = rows.map_err(Unavailable)?.into_iter();
        rows.map(|row| Ok((row.try_get(2)?, row_of(&row, 0)?)))
            .collect::<Result<_, Failure>>()
            .map_err(Unavailable)
    }

    async fn commit(&self, change: Change) -> Result<Revision, CommitError> {
        let size = change.size()?;
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting { change, size, answer };
        let gone = |_| CommitError::NotTried(Unavailable("the committer has ended".into()));
        self.queue.send(waiting).await.map_err(gone)?;
        outcome.await.map_err(|error| Unavailable(error.into()))?
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Unavailable> {
        self.feed.after(after, limit).await.map_err(Unavailable)
    }
}

/// The value and the revision in the columns from `first` on.
fn row_of(row: &tokio_postgres::Row, first: usize) -> Result<Row, Failure> {
    Ok(Row {
        value: row.try_get(first)?,
        revision: revision_of(row, first + 1)?,
    })
}

/// A revision as the database stores it.
fn stored(revision: Revision) -> Result<i64, Failure> {
    signed(revision.0)
}
