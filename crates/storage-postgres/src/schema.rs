//! The tables, and how older ones are brought up to date.

use std::sync::Arc;

use strongroom_base::limits;
use tokio::sync::Notify;
use tokio_postgres::Client;

use crate::OpenError;
use crate::session::{connect, within};
use crate::settings::Settings;

/// The schema that this version writes.
pub const SCHEMA: i32 = 2;

/// What leads from each schema to the next, the empty database first.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE strongroom_meta (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        schema integer NOT NULL,
        revision bigint NOT NULL,
        floor bigint NOT NULL
    );
    INSERT INTO strongroom_meta (schema, revision, floor) VALUES (0, 0, 0);
    CREATE TABLE strongroom_rows (
        key bytea PRIMARY KEY,
        value bytea,
        revision bigint NOT NULL,
        deleted timestamptz
    );
    ALTER TABLE strongroom_rows ALTER COLUMN value SET STORAGE EXTERNAL;
    CREATE INDEX strongroom_rows_revision ON strongroom_rows (revision);
    CREATE INDEX strongroom_rows_deleted ON strongroom_rows (deleted) WHERE value IS NULL;
",
    // The tables stay as they are. But a server that knows schema 1 takes itself for the only node: it must stop.
    "",
];

/// Keeps two nodes from migrating at once; the number is ours alone.
const LOCK: &str = "SELECT pg_advisory_xact_lock(6011402915)";

/// Brings the schema of the database up to date.
///
/// # Errors
/// [`OpenError::Newer`] when it is ahead of this version: nothing was changed.
pub(crate) async fn migrate(settings: &Settings) -> Result<(), OpenError> {
    let client = connect(settings, &Arc::new(Notify::new())).await?;
    let schema = within(async {
        client.batch_execute("BEGIN").await?;
        client.batch_execute(LOCK).await?;
        schema_of(&client).await
    })
    .await?;
    let known = usize::try_from(schema)
        .ok()
        .and_then(|schema| MIGRATIONS.get(schema..));
    let missing = known.ok_or(OpenError::Newer(schema))?;
    for migration in missing {
        within(client.batch_execute(migration)).await?;
    }
    let done = format!("UPDATE strongroom_meta SET schema = {SCHEMA} WHERE schema <> {SCHEMA}; COMMIT");
    Ok(within(client.batch_execute(&done)).await?)
}

async fn schema_of(client: &Client) -> Result<i32, tokio_postgres::Error> {
    let there = client
        .query_one("SELECT to_regclass('strongroom_meta') IS NOT NULL", &[])
        .await?;
    if there.try_get(0)? {
        client
            .query_one("SELECT schema FROM strongroom_meta", &[])
            .await?
            .try_get(0)
    } else {
        Ok(0)
    }
}

/// Removes a batch of tombstones that are old enough, and moves the floor of `changes` behind them.
pub(crate) fn forget_tombstones() -> String {
    let (kept, batch) = (limits::TOMBSTONES_KEPT.as_millis(), limits::TOMBSTONES_BATCH);
    // The lock comes first, as in every commit: a tombstone may be about to become a row again.
    format!(
        "BEGIN; SELECT FROM strongroom_meta FOR UPDATE; \
         WITH old AS (DELETE FROM strongroom_rows WHERE key IN (SELECT key FROM strongroom_rows \
         WHERE value IS NULL AND deleted < now() - interval '{kept} ms' ORDER BY revision LIMIT {batch}) RETURNING revision) \
         UPDATE strongroom_meta SET floor = greatest(floor, (SELECT max(revision) FROM old)); COMMIT"
    )
}
