//! Connections that are cut: before and after each statement of a commit, and each answer to it. Whatever the commit is
//! answered with must be true, and its note must be there exactly if it is.

#![expect(clippy::unwrap_used, reason = "fixtures of tests may panic")]

use std::sync::Arc;

use strongroom_base::{NodeId, SystemClock};
use strongroom_storage::{Change, CommitError, Note, OutboxKey, Precondition, Revision, Storage};
use strongroom_storage_postgres::{Database, Postgres, Settings};
use strongroom_testkit::{Cut, Moment, Postgres as Server, Proxy, Side};

/// The statement that begins a commit.
const BEGIN: &str = "BEGIN ISOLATION LEVEL";

async fn node(url: &str) -> Postgres {
    let settings = Settings::new(url, None).unwrap();
    let database = Database::open(settings, Arc::new(SystemClock::new()))
        .await
        .unwrap();
    database.storage(Arc::new(()))
}

/// A change of the row `key` from `before`, with a note.
fn change(key: &str, value: usize, before: Option<Revision>) -> Change {
    Change {
        preconditions: vec![Precondition {
            key: key.into(),
            revision: before,
        }],
        puts: vec![(key.into(), value.to_string().into_bytes())],
        deletes: vec![b"other".to_vec()],
        notes: vec![Note {
            node: NodeId(2),
            bytes: value.to_string().into_bytes(),
        }],
    }
}

/// What there is of a change with a note.
struct Trace {
    value: Option<String>,
    revision: Option<Revision>,
    notes: usize,
}

async fn trace(storage: &Postgres, value: usize) -> Trace {
    let row = storage.get(b"key").await.unwrap();
    let outbox = storage.scan(OutboxKey::all(), None, usize::MAX).await.unwrap();
    let note = value.to_string();
    Trace {
        value: row
            .as_ref()
            .map(|row| String::from_utf8(row.value.clone()).unwrap()),
        revision: row.map(|row| row.revision),
        notes: outbox
            .iter()
            .filter(|(_, row)| row.value.get(4..) == Some(note.as_bytes()))
            .count(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_statement_makes_no_answer_untrue() {
    let server = Server::start("").unwrap();
    let name = server.database().unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let cut_off = node(&Server::url_through(proxy.port(), &name)).await;
    let direct = node(&server.url(&name)).await;

    proxy.watch(BEGIN, None);
    let mut last = cut_off.commit(change("key", 0, None)).await.unwrap();
    let (messages, _) = proxy.stop_watching();
    let count = |side| messages.iter().filter(|message| message.side == side).count();
    assert!(
        messages.iter().any(|message| message.name.ends_with("COMMIT")),
        "{messages:?}"
    );
    assert!(count(Side::Client) > 8 && count(Side::Server) > 8, "{messages:?}");

    let (mut made, mut unknown_made, mut unknown_lost, mut not_tried) = (0, 0, 0, 0);
    let mut value = 0;
    for side in [Side::Client, Side::Server] {
        for number in 0..count(side) {
            for moment in [Moment::Before, Moment::After] {
                value += 1;
                proxy.watch(BEGIN, Some(Cut { side, number, moment }));
                let outcome = cut_off.commit(change("key", value, Some(last))).await;
                let (_, was_cut) = proxy.stop_watching();
                let place = format!("{moment:?} {side:?} {number}: {was_cut:?}: {outcome:?}");
                // A transaction that was left open ends when the server notices; whoever commits then waits for it.
                direct.commit(change(&place, 0, None)).await.unwrap();
                let Trace {
                    value: there,
                    revision,
                    notes,
                } = trace(&direct, value).await;
                let is_there = there == Some(value.to_string());
                assert_eq!(notes, usize::from(is_there), "{place}: {notes} notes");
                match outcome {
                    Ok(committed) => {
                        assert!(is_there && revision == Some(committed), "{place}");
                        made += 1;
                    }
                    Err(CommitError::NotTried(_)) => {
                        assert!(!is_there, "{place}");
                        not_tried += 1;
                    }
                    Err(CommitError::Unknown(_)) if is_there => unknown_made += 1,
                    Err(CommitError::Unknown(_)) => unknown_lost += 1,
                    Err(error) => panic!("{place}: {error}"),
                }
                last = revision.unwrap();
            }
        }
    }
    // Cuts in every phase were made: before anything was asked of the database, while it wrote, after it had committed.
    assert!(
        made > 0 && unknown_made > 0 && unknown_lost > 0,
        "{made} {unknown_made} {unknown_lost} {not_tried}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_survive_cuts_and_a_database_that_is_away() {
    let server = Server::start("").unwrap();
    let name = server.database().unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let storage = node(&Server::url_through(proxy.port(), &name)).await;
    let revision = storage.commit(change("key", 0, None)).await.unwrap();
    for _ in 0..20 {
        proxy.cut_all();
        // The first may meet the end of the connection that it was given.
        let mut row = storage.get(b"key").await;
        while row.is_err() {
            row = storage.get(b"key").await;
        }
        assert_eq!(row.unwrap().unwrap().revision, revision);
    }
    proxy.set_down(true);
    proxy.cut_all();
    let outcome = storage.commit(change("key", 1, Some(revision))).await;
    assert!(matches!(outcome, Err(CommitError::NotTried(_))), "{outcome:?}");
    assert!(storage.get(b"key").await.is_err());
    proxy.set_down(false);
    assert_eq!(storage.get(b"key").await.unwrap().unwrap().revision, revision);
    storage.commit(change("key", 1, Some(revision))).await.unwrap();
}
