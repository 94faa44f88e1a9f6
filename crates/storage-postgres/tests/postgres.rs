//! A real PostgreSQL keeps the storage contract; and what is its own.

#![expect(clippy::unwrap_used, reason = "fixtures of tests may panic")]

use std::sync::Arc;
use std::time::Duration;

use strongroom_base::{Clock, NodeId, SystemClock};
use strongroom_storage::{
    Change, Changes, CommitError, Note, OutboxKey, Precondition, Revision, Storage, contract,
};
use strongroom_storage_postgres::{Database, OpenError, Postgres, Settings};
use strongroom_testkit::Postgres as Server;
use tokio::time::timeout;

/// What takes this long does not happen.
const LONG: Duration = Duration::from_secs(60);

fn server() -> Server {
    Server::start("").unwrap()
}

async fn database(url: &str) -> Database {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Database::open(Settings::new(url, None).unwrap(), clock)
        .await
        .unwrap()
}

async fn node(url: &str) -> Postgres {
    database(url).await.storage(Arc::new(()))
}

fn note(text: &str) -> Vec<Note> {
    vec![Note {
        node: NodeId(2),
        bytes: text.into(),
    }]
}

fn put(key: &str, value: &str) -> Change {
    Change {
        puts: vec![(key.into(), value.into())],
        ..Change::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let server = server();
    contract::check(async || node(&server.url(&server.database().unwrap())).await)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_follow_each_other_and_a_key_has_one_order() {
    let server = server();
    let url = server.url(&server.database().unwrap());
    let (one, two) = (node(&url).await, node(&url).await);
    let first = one.commit(put("a", "1")).await.unwrap();
    assert_eq!(two.get(b"a").await.unwrap().unwrap().revision, first);
    let if_first = |value: &str| Change {
        preconditions: vec![Precondition {
            key: b"a".to_vec(),
            revision: Some(first),
        }],
        notes: note(value),
        ..put("a", value)
    };
    let second = two.commit(if_first("2")).await.unwrap();
    assert!(matches!(
        one.commit(if_first("3")).await,
        Err(CommitError::Conflict)
    ));
    let row = OutboxKey {
        node: NodeId(2),
        revision: second,
    };
    assert!(two.get(&row.to_bytes()).await.unwrap().is_some());
    // A node sees its own change at once, with all that went before it.
    let third = one.commit(put("b", "")).await.unwrap();
    let seen = one.changes(first, 9).await.unwrap();
    let Changes::Page { keys, upto } = seen else {
        panic!("{seen:?}")
    };
    assert_eq!(upto, third);
    assert!(
        keys.contains(&b"a".to_vec()) && keys.contains(&b"b".to_vec()),
        "{keys:?}"
    );
    // Another's, when it has asked.
    let began = tokio::time::Instant::now();
    loop {
        match two.changes(second, 9).await.unwrap() {
            Changes::Page { keys, upto } if upto == third => {
                assert_eq!(keys, [b"b".to_vec()]);
                break;
            }
            Changes::Page { .. } if began.elapsed() < LONG => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_knew_what_is_forgotten_drops_its_caches() {
    let server = server();
    let name = server.database().unwrap();
    let url = server.url(&name);
    let one = node(&url).await;
    let kept = one.commit(put("kept", "")).await.unwrap();
    let deletes = Change {
        deletes: vec![b"kept".to_vec()],
        ..Change::default()
    };
    let head = one.commit(deletes).await.unwrap();
    let away = node(&url).await;
    assert_eq!(
        away.changes(head, 9).await.unwrap(),
        Changes::Page {
            keys: vec![],
            upto: head
        }
    );
    // What a node whose polls begin after the tombstones are gone must see.
    server
        .sql(
            &name,
            "DELETE FROM strongroom_rows WHERE value IS NULL; UPDATE strongroom_meta SET floor = revision",
        )
        .unwrap();
    let late = node(&url).await;
    assert_eq!(late.changes(kept, 9).await.unwrap(), Changes::Compacted { head });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_refuses_a_newer_schema() {
    let server = server();
    let name = server.database().unwrap();
    let url = server.url(&name);
    let running = node(&url).await;
    running.commit(put("a", "")).await.unwrap();
    server
        .sql(&name, "UPDATE strongroom_meta SET schema = schema + 1")
        .unwrap();
    let settings = Settings::new(&url, None).unwrap();
    let refused = Database::open(settings, Arc::new(SystemClock::new()))
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, OpenError::Newer(3)), "{refused:?}");
    assert!(refused.to_string().contains("use a newer strongroom"));
    // One that runs on writes nothing more.
    assert!(matches!(
        running.commit(put("a", "")).await,
        Err(CommitError::NotTried(_))
    ));
    assert_eq!(running.get(b"a").await.unwrap().unwrap().revision, Revision(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_database_loses_nothing() {
    let mut server = server();
    let url = server.url(&server.database().unwrap());
    let one = node(&url).await;
    let revision = one.commit(put("a", "1")).await.unwrap();
    server.crash().unwrap();
    assert_eq!(one.get(b"a").await.unwrap().unwrap().revision, revision);
    assert_eq!(one.commit(put("a", "2")).await.unwrap(), Revision(revision.0 + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_back_is_not_used() {
    let server = server();
    let name = server.database().unwrap();
    let one = node(&server.url(&name)).await;
    one.commit(put("a", "1")).await.unwrap();
    let head = one.commit(put("a", "2")).await.unwrap();
    server
        .sql(&name, "UPDATE strongroom_meta SET revision = 1")
        .unwrap();
    assert!(one.commit(put("a", "3")).await.is_err());
    assert_eq!(
        server.sql(&name, "SELECT revision FROM strongroom_meta").unwrap(),
        "1"
    );
    let refused = async {
        while one.changes(head, 9).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await; // the last answer is still fresh
        }
    };
    timeout(LONG, refused).await.unwrap();
}

/// An authority, and PEMs of a certificate for `host` that it signed and of that one's key.
fn certificate(host: &str) -> (rcgen::Certificate, String, String) {
    let mut authority = rcgen::CertificateParams::new(vec![]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    (root, leaf.pem(), key.serialize_pem())
}

/// PostgreSQL's documentation, table 34.1, and that nothing is ever sent in clear.
#[tokio::test(flavor = "multi_thread")]
async fn the_modes_of_tls_are_libpqs() {
    let server = server();
    let name = server.database().unwrap();
    let (root, leaf, key) = certificate("127.0.0.1");
    let (other_root, ..) = certificate("127.0.0.1");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.display().to_string()
    };
    let (root, other_root) = (file("root", root.pem()), file("other", other_root.pem()));
    let opens = async |host: &str, options: &str| {
        let url = format!("postgres://strongroom@{host}:{}/{name}?{options}", server.port());
        let settings = Settings::new(&url, None).unwrap();
        Database::open(settings, Arc::new(SystemClock::new()))
            .await
            .is_ok()
    };
    assert!(
        !opens("127.0.0.1", "sslmode=require").await,
        "the server has no TLS"
    );
    server.speak_tls(&leaf, &key).unwrap();
    assert!(opens("127.0.0.1", "sslmode=require").await);
    for mode in ["verify-full", "verify-ca", "require"] {
        let with = |root: &str| format!("sslmode={mode}&sslrootcert={root}");
        assert!(opens("127.0.0.1", &with(&root)).await, "{mode}");
        assert!(!opens("127.0.0.1", &with(&other_root)).await, "{mode}");
        assert_eq!(
            opens("localhost", &with(&root)).await,
            mode != "verify-full",
            "{mode}"
        );
    }
    assert!(opens("127.0.0.1", &format!("sslrootcert={root}")).await);
    assert!(!opens("localhost", &format!("sslrootcert={root}")).await);
}

/// `docs/formats/postgres.md`: these columns are on disk.
#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_schema_2() {
    let server = server();
    let name = server.database().unwrap();
    let change = Change {
        notes: note("note"),
        ..put("a", "1")
    };
    let deletes = Change {
        deletes: vec![b"a".to_vec()],
        ..Change::default()
    };
    let one = node(&server.url(&name)).await;
    one.commit(change).await.unwrap();
    one.commit(deletes).await.unwrap();
    let columns = "SELECT table_name, column_name, data_type FROM information_schema.columns \
                   WHERE table_name LIKE 'strongroom%' ORDER BY table_name, ordinal_position";
    let expected = "strongroom_meta|one|boolean\nstrongroom_meta|schema|integer\nstrongroom_meta|revision|bigint\n\
                    strongroom_meta|floor|bigint\nstrongroom_rows|key|bytea\nstrongroom_rows|value|bytea\n\
                    strongroom_rows|revision|bigint\nstrongroom_rows|deleted|timestamp with time zone";
    assert_eq!(server.sql(&name, columns).unwrap(), expected);
    let rows = "SELECT key, value, revision, deleted IS NOT NULL FROM strongroom_rows ORDER BY key";
    let expected = "\\x04000000020000000000000001|\\x000000046e6f7465|1|f\n\\x61||2|t";
    assert_eq!(server.sql(&name, rows).unwrap(), expected);
    assert_eq!(
        server.sql(&name, "SELECT * FROM strongroom_meta").unwrap(),
        "t|2|2|0"
    );
}
