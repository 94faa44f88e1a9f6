//! The backend on real files: the contract, reopening, and files that must not open.

#![expect(clippy::unwrap_used, reason = "fixtures of tests may panic")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redb::{Database, TableDefinition};
use strongroom_base::NodeId;
use strongroom_base::limits::STORAGE_CACHE_BYTES;
use strongroom_storage::{Backend, Change, Changes, Embedded, Group, Note, Revision, Row, Storage, contract};
use strongroom_storage_redb::{OpenError, RedbBackend};

fn open(path: &Path) -> Result<RedbBackend, OpenError> {
    RedbBackend::open(path, STORAGE_CACHE_BYTES)
}

fn storage(path: &Path) -> Embedded<RedbBackend> {
    Embedded::open(open(path).unwrap(), Arc::new(())).unwrap()
}

fn group(head: u64, key: &str) -> Group {
    let row = Row {
        value: b"value".to_vec(),
        revision: Revision(head),
    };
    Group {
        head: Revision(head),
        writes: [(key.into(), Some(row))].into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redb_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let fresh = async || {
        storage(
            &folder
                .path()
                .join(count.fetch_add(1, Ordering::Relaxed).to_string()),
        )
    };
    contract::check(fresh).await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.redb");
    let before = storage(&path);
    let puts = (0..100_u8).map(|n| (vec![9, n], vec![n; 100])).collect();
    before
        .commit(Change {
            puts,
            notes: vec![Note {
                node: NodeId::FIRST,
                bytes: b"note".to_vec(),
            }],
            ..Change::default()
        })
        .await
        .unwrap();
    let head = before
        .commit(Change {
            deletes: vec![vec![9, 7]],
            ..Change::default()
        })
        .await
        .unwrap();
    let expect = before
        .scan(vec![]..vec![u8::MAX], None, usize::MAX)
        .await
        .unwrap();
    assert_eq!(expect.len(), 100);
    drop(before);

    let after = storage(&path);
    assert_eq!(
        after.scan(vec![]..vec![u8::MAX], None, usize::MAX).await.unwrap(),
        expect
    );
    assert_eq!(
        after.changes(Revision(1), 9).await.unwrap(),
        Changes::Compacted { head }
    );
    assert_eq!(
        after.commit(Change::default()).await.unwrap(),
        Revision(head.0 + 1)
    );
}

#[test]
fn a_database_opens_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.redb");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path).err(), Some(OpenError::InUse)));
    drop(first);
    open(&path).unwrap();
}

#[test]
fn foreign_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        let refused = open(&path).err();
        assert!(matches!(refused, Some(OpenError::Foreign)), "{name}: {refused:?}");
        assert_eq!(std::fs::read(&path).unwrap(), contents, "{name} was changed");
    };
    check("short", b"x");
    check("text", &b"not a database\n".repeat(10_000));
    check("zeros", &[0; 1 << 17]);

    let other = folder.path().join("other program");
    let database = Database::create(&other).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(TableDefinition::<u64, u64>::new("theirs"))
        .unwrap()
        .insert(1, 2)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(open(&other).err(), Some(OpenError::Foreign)));
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.redb");
    let backend = open(&path).unwrap();
    for head in 1..50 {
        backend.apply(group(head, &head.to_string())).unwrap();
    }
    drop(backend);
    let whole = std::fs::read(&path).unwrap();
    let check = |what: &str, contents: &[u8]| {
        std::fs::write(&path, contents).unwrap();
        let refused = open(&path).err();
        assert!(
            matches!(refused, Some(OpenError::Damaged(_) | OpenError::Foreign)),
            "{what}: {refused:?}"
        );
    };
    check("half of it", &whole[..whole.len() / 2]);
    check("a few bytes", &whole[..100]);
    check(
        "without its first page's end",
        &[&whole[..64], &vec![0xA5; 4032], &whole[4096..]].concat(),
    );
    check(
        "nothing but the first page",
        &[&whole[..4096], &vec![0; whole.len() - 4096]].concat(),
    );
}

#[test]
fn a_birth_that_was_cut_short_does_not_disturb_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.redb");
    std::fs::write(folder.path().join("storage.redb.new"), [0; 1 << 17]).unwrap();
    drop(open(&path).unwrap());
    let names = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["storage.redb"]);
}
