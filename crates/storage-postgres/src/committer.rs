//! The committer of a node: takes all changes that wait and makes them one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use strongroom_base::limits;
use strongroom_storage::{
    Change, Companion, Failure, Group, Revision, Stage, Waiting, fitting, refuse, settle,
};
use tokio::sync::mpsc;

use crate::feed::{Feed, Missed};
use crate::schema::SCHEMA;
use crate::session::{CHANNEL, Parameter, Session, Sessions, revision_of, within};
use crate::stored;

pub(crate) struct Committer {
    sessions: Arc<Sessions>,
    feed: Arc<Feed>,
    companion: Arc<dyn Companion>,
    /// `None` before the first commit and after a failure.
    session: Option<Session>,
}

/// A transaction that holds the lock of all commits, and what it found.
struct Begun {
    session: Session,
    /// Of the rows that preconditions name.
    revisions: HashMap<Vec<u8>, Revision>,
    missed: Missed,
}

/// Changes that were judged in their transaction.
struct Staged {
    begun: Begun,
    /// Of each change, `None` for a conflict.
    revisions: Vec<Option<Revision>>,
    group: Option<Group>,
}

impl Committer {
    pub(crate) fn new(sessions: Arc<Sessions>, feed: Arc<Feed>, companion: Arc<dyn Companion>) -> Self {
        Self {
            sessions,
            feed,
            companion,
            session: None,
        }
    }

    /// Commits until nobody can ask any more. It never waits to fill a group.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Waiting>) {
        let mut waiting = Vec::new();
        loop {
            let room = limits::GROUP_OPS - waiting.len();
            if room > 0 && (waiting.is_empty() || !queue.is_empty()) {
                queue.recv_many(&mut waiting, room).await;
            }
            if waiting.is_empty() {
                return;
            }
            let ops = fitting(&waiting);
            self.commit_group(waiting.drain(..ops)).await;
        }
    }

    async fn commit_group(&mut self, group: impl Iterator<Item = Waiting>) {
        let (changes, answers): (Vec<_>, Vec<_>) =
            group.map(|waiting| (waiting.change, waiting.answer)).unzip();
        match self.stage(changes).await {
            Ok(staged) => {
                let written = self.end(staged.begun, staged.group).await;
                settle(answers, staged.revisions, written);
            }
            Err(failure) => refuse(answers, failure),
        }
    }

    /// Begins the transaction of `changes` and judges them in it. After a failure nothing is written.
    async fn stage(&mut self, changes: Vec<Change>) -> Result<Staged, Failure> {
        let companion = Arc::clone(&self.companion);
        tokio::task::spawn_blocking(move || companion.sync()).await??;
        let begun = self.begin(&changes).await?;
        let stored = |key: &[u8]| Ok(begun.revisions.get(key).copied());
        let mut stage = Stage::new(begun.missed.head);
        let revisions = changes
            .into_iter()
            .map(|change| stage.add(change, stored))
            .collect::<Result<_, _>>()?;
        let group = stage.finish();
        Ok(Staged {
            begun,
            revisions,
            group,
        })
    }

    /// Ends the transaction, with `group` if there is anything to write. After a failure its fate is unknown, and the
    /// connection is given up.
    async fn end(&mut self, begun: Begun, group: Option<Group>) -> Result<(), Failure> {
        let Begun { session, missed, .. } = begun;
        match group {
            Some(group) => {
                write(&session, &group).await?;
                self.feed.publish(missed, group.head, group.writes.into_keys());
            }
            None => within(session.client.batch_execute("ROLLBACK")).await?,
        }
        self.session = Some(session);
        Ok(())
    }

    /// Begins the transaction of `changes`. A connection that was lost while nothing was asked of it is replaced.
    async fn begin(&mut self, changes: &[Change]) -> Result<Begun, Failure> {
        if let Some(session) = self.session.take()
            && let Ok(begun) = self.begin_on(session, changes).await
        {
            return Ok(begun);
        }
        let session = self.sessions.open().await?;
        self.begin_on(session, changes).await
    }

    async fn begin_on(&self, session: Session, changes: &[Change]) -> Result<Begun, Failure> {
        let required: Vec<&[u8]> = changes
            .iter()
            .flat_map(|change| &change.preconditions)
            .map(|precondition| precondition.key.as_slice())
            .collect();
        let (after, from, limit) = self.feed.question()?;
        let Session { client, statements } = &session;
        let (revisions, changes): (&[Parameter<'_>], &[Parameter<'_>]) = (&[&required], &[&from, &limit]);
        // One packet. Each statement sees what was committed before it began, and the lock comes first.
        let (_, head, revisions, missed) = within(async {
            futures::try_join!(
                client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
                client.query_one(&statements.lock, &[]),
                client.query(&statements.revisions, revisions),
                client.query(&statements.changes, changes),
            )
        })
        .await?;
        if head.try_get::<_, i32>(1)? != SCHEMA {
            return Err(
                "a newer strongroom has changed the database's schema: use that version here, too".into(),
            );
        }
        let revisions = revisions
            .iter()
            .map(|row| Ok((row.try_get(0)?, revision_of(row, 1)?)))
            .collect::<Result<_, Failure>>()?;
        let missed = Missed::read(after, &missed)?;
        Ok(Begun {
            session,
            revisions,
            missed,
        })
    }
}

/// Writes `group` and commits, in one packet: a statement that fails makes the commit undo everything.
async fn write(session: &Session, group: &Group) -> Result<(), Failure> {
    let head = stored(group.head)?;
    let (mut keys, mut values, mut revisions) = (Vec::new(), Vec::new(), Vec::new());
    for (key, row) in &group.writes {
        keys.push(key.as_slice());
        values.push(row.as_ref().map(|row| row.value.as_slice()));
        // A tombstone is as new as its group: no follower that has seen less has seen it.
        revisions.push(row.as_ref().map_or(Ok(head), |row| stored(row.revision))?);
    }
    let commit = format!("NOTIFY {CHANNEL}; COMMIT");
    let (rows, moved): (&[Parameter<'_>], &[Parameter<'_>]) = (&[&keys, &values, &revisions], &[&head]);
    let Session { client, statements } = session;
    within(async {
        futures::try_join!(
            client.execute(&statements.write, rows),
            client.execute(&statements.move_head, moved),
            client.batch_execute(&commit),
        )
    })
    .await?;
    Ok(())
}
