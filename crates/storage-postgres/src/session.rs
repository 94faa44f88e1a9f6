//! Connections: how one is set up, the statements that it has prepared, and the few that all readers share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use strongroom_base::limits;
use strongroom_storage::{Failure, Revision};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Row, Statement};

use crate::settings::Settings;

/// What a statement is given.
pub(crate) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// Told of by each commit; see `NOTIFY` of PostgreSQL.
pub(crate) const CHANNEL: &str = "strongroom";

/// One connection and what is prepared on it. It ends when this is dropped.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) statements: Statements,
}

/// Statements, named for what they do.
pub(crate) struct Statements {
    pub(crate) get: Statement,
    pub(crate) scan: Statement,
    /// The newest revision, how far back tombstones go, and the keys written after a revision: one moment.
    pub(crate) changes: Statement,
    /// Takes the one lock of all commits.
    pub(crate) lock: Statement,
    /// The revisions of stored rows.
    pub(crate) revisions: Statement,
    pub(crate) write: Statement,
    pub(crate) move_head: Statement,
}

/// Sees that the server undoes what this node leaves unfinished, and that a commit is durable when it is answered.
fn set_up() -> String {
    let hold = limits::DATABASE_HOLD.as_millis();
    let longest = limits::DATABASE_TIMEOUT.as_millis();
    format!(
        "SET idle_in_transaction_session_timeout = {hold}; SET lock_timeout = {longest}; \
         SET statement_timeout = {longest}; SET search_path = public; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
}

/// Connects to the database of `settings`; `changed` hears what others notify.
pub(crate) async fn connect(settings: &Settings, changed: &Arc<Notify>) -> Result<Client, Failure> {
    let client = within(async {
        match settings.tls.clone() {
            Some(tls) => {
                let (client, connection) = settings.config.connect(tls).await?;
                tokio::spawn(drive(connection, changed.clone()));
                Ok::<_, tokio_postgres::Error>(client)
            }
            None => {
                let (client, connection) = settings.config.connect(NoTls).await?;
                tokio::spawn(drive(connection, changed.clone()));
                Ok(client)
            }
        }
    })
    .await?;
    within(client.batch_execute(&set_up())).await?;
    Ok(client)
}

/// Moves bytes until the connection ends. Its requests see why.
async fn drive<S, T>(mut connection: Connection<S, T>, changed: Arc<Notify>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
    while let Some(Ok(message)) = messages.next().await {
        if let AsyncMessage::Notification(_) = message {
            changed.notify_one();
        }
    }
}

impl Session {
    pub(crate) async fn open(settings: &Settings, changed: &Arc<Notify>) -> Result<Self, Failure> {
        let client = connect(settings, changed).await?;
        let prepare = |sql| client.prepare(sql);
        let (get, scan, changes, lock, revisions, write, move_head) = within(async {
            futures::try_join!(
                prepare("SELECT value, revision FROM strongroom_rows WHERE key = $1 AND value IS NOT NULL"),
                prepare(
                    "SELECT value, revision, key FROM strongroom_rows \
                     WHERE key >= $1 AND key > $2 AND key < $3 AND value IS NOT NULL ORDER BY key LIMIT $4"
                ),
                prepare(
                    "SELECT meta.revision, meta.floor, rows.key FROM strongroom_meta meta \
                     LEFT JOIN strongroom_rows rows ON rows.revision > $1 LIMIT $2"
                ),
                prepare("SELECT revision, schema FROM strongroom_meta FOR UPDATE"),
                prepare(
                    "SELECT key, revision FROM strongroom_rows WHERE key = ANY($1) AND value IS NOT NULL"
                ),
                prepare(
                    "INSERT INTO strongroom_rows (key, value, revision, deleted) \
                     SELECT key, value, revision, CASE WHEN value IS NULL THEN now() END \
                     FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS new (key, value, revision) \
                     ON CONFLICT (key) DO UPDATE \
                     SET value = excluded.value, revision = excluded.revision, deleted = excluded.deleted"
                ),
                prepare("UPDATE strongroom_meta SET revision = $1"),
            )
        })
        .await?;
        let statements = Statements {
            get,
            scan,
            changes,
            lock,
            revisions,
            write,
            move_head,
        };
        Ok(Self { client, statements })
    }
}

/// Opens sessions, and keeps those that read.
pub(crate) struct Sessions {
    settings: Settings,
    changed: Arc<Notify>,
    readers: [Mutex<Option<Arc<Session>>>; limits::DATABASE_READERS],
    next: AtomicUsize,
}

impl Sessions {
    pub(crate) fn new(settings: Settings, changed: Arc<Notify>) -> Self {
        Self {
            settings,
            changed,
            readers: [const { Mutex::const_new(None) }; limits::DATABASE_READERS],
            next: AtomicUsize::new(0),
        }
    }

    /// A session of one's own.
    pub(crate) async fn open(&self) -> Result<Session, Failure> {
        Session::open(&self.settings, &self.changed).await
    }

    /// Runs a statement that only reads. When its connection turns out to be gone, once more on a new one.
    pub(crate) async fn query(
        &self,
        statement: impl Fn(&Statements) -> &Statement,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let session = self.reader().await?;
        match within(session.client.query(statement(&session.statements), parameters)).await {
            Err(_) if session.client.is_closed() => {
                let session = self.reader().await?;
                within(session.client.query(statement(&session.statements), parameters)).await
            }
            answered => answered,
        }
    }

    async fn reader(&self) -> Result<Arc<Session>, Failure> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        let mut slot = self.readers.get(turn).ok_or("no readers")?.lock().await;
        match &*slot {
            Some(session) if !session.client.is_closed() => Ok(session.clone()),
            _ => Ok(slot.insert(Arc::new(self.open().await?)).clone()),
        }
    }
}

/// Waits for the database, but not for ever.
pub(crate) async fn within<T, E: Into<Failure>>(
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match timeout(Duration::from(limits::DATABASE_TIMEOUT), request).await {
        Ok(answered) => answered.map_err(Into::into),
        Err(_) => Err("the database did not answer in time".into()),
    }
}

/// The revision in column `index`.
pub(crate) fn revision_of(row: &Row, index: usize) -> Result<Revision, Failure> {
    Ok(Revision(u64::try_from(row.try_get::<_, i64>(index)?)?))
}

/// A number as the database stores it.
pub(crate) fn signed(number: u64) -> Result<i64, Failure> {
    Ok(i64::try_from(number)?)
}
