//! What other nodes have changed: asked for often, kept in memory, never answered from when it may be old.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_base::{Clock, Monotonic, limits};
use strongroom_storage::{Changes, Failure, Recent, Revision};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_postgres::Row;

use crate::schema::forget_tombstones;
use crate::session::{CHANNEL, Session, Sessions, revision_of, within};
use crate::stored;

/// The newest revision went down: a database that was restored, or a replica that had not got everything.
#[derive(Debug, thiserror::Error)]
#[error("the database went back to revision {}: acknowledged changes are gone", .0.0)]
struct WentBack(Revision);

pub(crate) struct Feed {
    sessions: Arc<Sessions>,
    /// Another node has committed.
    changed: Arc<Notify>,
    clock: Arc<dyn Clock>,
    recent: Recent,
    /// When the last poll that was answered began.
    polled: Mutex<Option<Monotonic>>,
    /// Held by the one who polls.
    polling: tokio::sync::Mutex<()>,
}

impl Feed {
    pub(crate) async fn open(
        sessions: Arc<Sessions>,
        changed: Arc<Notify>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        // Nothing before the head is known here, so nothing before it is asked for.
        let rows = sessions
            .query(|statements| &statements.changes, &[&i64::MAX, &1i64])
            .await?;
        let head = revision_of(
            rows.first().ok_or("the row of the newest revision is missing")?,
            0,
        )?;
        Ok(Self {
            sessions,
            changed,
            clock,
            recent: Recent::new(head),
            polled: Mutex::new(None),
            polling: tokio::sync::Mutex::new(()),
        })
    }

    /// The newest revision that is followed.
    pub(crate) fn head(&self) -> Revision {
        self.recent.head()
    }

    /// What changed after `after`, no older than [`limits::CHANGES_FRESH`].
    pub(crate) async fn after(&self, after: Revision, limit: usize) -> Result<Changes, Failure> {
        if !self.is_fresh() {
            let _turn = self.polling.lock().await;
            if !self.is_fresh() {
                self.poll().await?;
            }
        }
        Ok(self.recent.after(after, limit))
    }

    /// This node wrote `keys`; `missed` is what it was told of others with the lock of commits held.
    pub(crate) fn publish(&self, missed: Missed, head: Revision, keys: impl Iterator<Item = Vec<u8>>) {
        self.take(missed);
        self.recent.publish(head, keys);
    }

    /// The parameters of the statement `changes` that ask for what is not known here.
    pub(crate) fn question(&self) -> Result<(Revision, i64, i64), Failure> {
        let after = self.head();
        // One more than can be remembered, to see that it cannot.
        let limit = i64::try_from(limits::CHANGED_KEYS_KEPT + 1)?;
        Ok((after, stored(after)?, limit))
    }

    /// Polls until it is aborted: often, and when another node says that there is something.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut listener = None;
        let mut forgotten: Option<Monotonic> = None;
        loop {
            let _ = timeout(limits::CHANGES_POLL.into(), self.changed.notified()).await;
            let due = Duration::from(limits::TOMBSTONES_EVERY);
            let is_due = |forgotten: &Monotonic| self.clock.monotonic().since(*forgotten) >= due;
            if forgotten.as_ref().is_none_or(is_due) {
                forgotten = Some(self.clock.monotonic());
                self.tend(&mut listener).await;
            }
            let _turn = self.polling.lock().await;
            if let Err(failure) = self.poll().await {
                tracing::warn!(
                    cause = &*failure as &dyn std::error::Error,
                    "cannot follow the database"
                );
                sleep(limits::CHANGES_FRESH.into()).await;
            }
        }
    }

    /// Listens to other nodes, and removes old tombstones. Both are repeated, and neither is needed to be right.
    async fn tend(&self, listener: &mut Option<Session>) {
        let tended: Result<(), Failure> = async {
            if listener.as_ref().is_none_or(|session| session.client.is_closed()) {
                let session = self.sessions.open().await?;
                within(session.client.batch_execute(&format!("LISTEN {CHANNEL}"))).await?;
                *listener = Some(session);
            }
            if let Some(session) = listener {
                within(session.client.batch_execute(&forget_tombstones())).await?;
            }
            Ok(())
        }
        .await;
        if let Err(failure) = tended {
            *listener = None;
            tracing::warn!(
                cause = &*failure as &dyn std::error::Error,
                "cannot tend the database"
            );
        }
    }

    fn is_fresh(&self) -> bool {
        let polled = *self.polled.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        polled.is_some_and(|polled| now.since(polled) < Duration::from(limits::CHANGES_FRESH))
    }

    async fn poll(&self) -> Result<(), Failure> {
        let began = self.clock.monotonic();
        let (after, from, limit) = self.question()?;
        let rows = self
            .sessions
            .query(|statements| &statements.changes, &[&from, &limit])
            .await?;
        self.take(Missed::read(after, &rows)?);
        *self.polled.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        Ok(())
    }

    fn take(&self, missed: Missed) {
        let Missed {
            after,
            head,
            floor,
            keys,
        } = missed;
        if floor > after || keys.len() > limits::CHANGED_KEYS_KEPT {
            self.recent.reset(head);
        } else {
            self.recent.publish(head, keys.into_iter());
        }
    }
}

/// What was changed between a revision and the newest.
pub(crate) struct Missed {
    after: Revision,
    pub(crate) head: Revision,
    /// Deletes up to this revision may be forgotten.
    floor: Revision,
    keys: Vec<Vec<u8>>,
}

impl Missed {
    /// Reads what the statement `changes` gave for `after`.
    ///
    /// # Errors
    /// [`WentBack`], and what is none of our rows.
    pub(crate) fn read(after: Revision, rows: &[Row]) -> Result<Self, Failure> {
        let first = rows.first().ok_or("the row of the newest revision is missing")?;
        let head = revision_of(first, 0)?;
        if head < after {
            return Err(WentBack(head).into());
        }
        let keys = rows.iter().map(|row| row.try_get::<_, Option<Vec<u8>>>(2));
        Ok(Self {
            after,
            head,
            floor: revision_of(first, 1)?,
            keys: keys.filter_map(Result::transpose).collect::<Result<_, _>>()?,
        })
    }
}
