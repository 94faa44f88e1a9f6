//! The ledger as a whole: what happens to entries between a request's end and a verified log, whatever crashes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{LazyLock, Mutex};

use base64::Engine as _;
use proptest::prelude::*;
use strongroom_base::{NodeId, RequestId, Timestamp, Ttl, limits};
use strongroom_secret::Key;
use strongroom_storage::{Change, OutboxKey, Revision, Storage as _, notes_in};
use strongroom_tlog::{Cosigner, NoteError, TilePath, VerifierKey};

use crate::entry::{Entry, FieldCipher, Salts, SealError, SealedFields};
use crate::leaf::{Leaf, LeafFlaw, Marks, PREFIX_BYTES, finalize};
use crate::testing::{House, NOW, XorCipher, close, crash_after, entry, id, key, record, rng, xor};
use crate::verify::{Flaw, SinceError, VerifyError, verify, verify_since};
use crate::{JournalError, Ledger, LedgerError, OpenError, Outcome, Record, RowMark, take_over};

fn leaf(fragment: &[u8]) -> Vec<u8> {
    let mut leaf = Vec::new();
    finalize(&mut leaf, Marks { t: NOW, w: 3, j: 4 }, None, fragment);
    leaf
}

// --- entries and leaves

#[test]
fn an_entry_has_no_clear_text_and_its_commitments_open() {
    let entry = entry(1);
    let bytes = entry.into_bytes();
    assert!(
        !bytes
            .windows(7)
            .any(|window| window == b"planted" || window == b"192.0.2")
    );

    let entry = Entry::decode(&bytes).unwrap();
    let leaf = leaf(entry.fragments().next().unwrap());
    let json: serde_json::Value = serde_json::from_slice(&leaf).unwrap();
    let base64 = |text: &serde_json::Value| {
        base64::engine::general_purpose::STANDARD
            .decode(text.as_str().unwrap())
            .unwrap()
    };
    let plaintext = xor(&base64(&json["sealed"]));
    let fields: SealedFields<'_> = minicbor::decode(&plaintext).unwrap();
    assert_eq!(fields.slug, Some("planted-slug"));
    assert_eq!(fields.source, Some("192.0.2.7"));
    assert_eq!(fields.reason, Some("planted reason"));
    assert_eq!(
        (&fields.why[..], &fields.paths[..]),
        (&["planted decision"][..], &["planted/path"][..])
    );
    let salts = Salts::new(fields.entry_key);
    for (field, value, commitment) in [
        ("slug", "planted-slug", &json["c"]["slug"]),
        ("source", "192.0.2.7", &json["c"]["source"]),
        ("reason", "planted reason", &json["c"]["reason"]),
        ("why", "planted decision", &json["c"]["why"][0]),
        ("paths", "planted/path", &json["c"]["paths"][0]),
    ] {
        assert_eq!(base64(commitment), salts.commit(field, 0, value), "{field}");
    }
}

#[test]
fn a_request_that_touched_much_leaves_parts() {
    let mut record = record(1);
    for number in 0..2 * limits::LEAF_PATHS {
        record.touch(format!("path/{number}"));
    }
    for number in 0..limits::LEAF_DECISIONS {
        record.because(number.to_string());
    }
    let parts: Vec<_> = Entry::seal(&record, Outcome::Ok, &[], &XorCipher, &rng())
        .unwrap()
        .fragments()
        .map(|fragment| serde_json::from_slice::<serde_json::Value>(&leaf(fragment)).unwrap())
        .collect();
    let count = |part: &serde_json::Value, list: &str| part["c"][list].as_array().unwrap().len();
    let shape: Vec<_> = parts
        .iter()
        .map(|part| (count(part, "paths"), count(part, "why")))
        .collect();
    assert_eq!(shape, [(200, 50), (200, 1), (1, 0)]);
    assert_eq!((&parts[2]["part"], &parts[2]["parts"]), (&3.into(), &3.into()));
    assert_ne!(
        parts[0]["c"]["slug"], parts[1]["c"]["slug"],
        "each leaf has salts of its own"
    );
}

#[test]
fn a_change_leaves_the_digests_of_its_rows() {
    let rows = |count: usize| (0..count).map(|row| (row.to_be_bytes().to_vec(), vec![7]));
    let change = Change {
        puts: rows(limits::LEAF_ROWS).collect(),
        deletes: vec![b"gone".to_vec()],
        ..Change::default()
    };
    let marks: Vec<_> = RowMark::of(&change).collect();
    let bare = Record::open(id(1), "instance.create", Timestamp::default(), "");
    let entry = Entry::seal(&bare, Outcome::Ok, &marks, &XorCipher, &rng()).unwrap();
    let mut read = Vec::new();
    for fragment in entry.fragments() {
        let json: serde_json::Value = serde_json::from_slice(&leaf(fragment)).unwrap();
        let sealed = base64::engine::general_purpose::STANDARD
            .decode(json["sealed"].as_str().unwrap())
            .unwrap();
        let plaintext = xor(&sealed);
        let fields: SealedFields<'_> = minicbor::decode(&plaintext).unwrap();
        read.push(RowMark::decode(fields.rows.unwrap()).unwrap());
    }
    assert_eq!(
        read.iter().map(Vec::len).collect::<Vec<_>>(),
        [limits::LEAF_ROWS, 1]
    );
    assert_eq!(read.concat(), marks);
}

#[test]
fn the_longest_texts_fit() {
    let long = "ä".repeat(limits::LEAF_TEXT_BYTES);
    let mut record = Record::open(id(1), "secret.read", Timestamp::default(), long.as_str());
    record.set_principal(strongroom_base::PrincipalId::from_bytes([1; 16]), &long);
    record.set_reason(&long);
    for number in 0..1000 {
        record.touch(format!("{number}{long}"));
        record.because(format!("{number}{long}"));
        record.touch(number.to_string());
        record.because(number.to_string());
    }
    let row = RowMark {
        key: [1; 16],
        value: Some([2; 16]),
    };
    let rows = vec![row; 1000 * limits::LEAF_ROWS];
    let entry = Entry::seal(&record, Outcome::Ok, &rows, &XorCipher, &rng()).unwrap();
    let longest = entry.fragments().map(<[u8]>::len).max().unwrap();
    assert!(longest < 65_000, "{longest}");
    assert!(
        entry
            .fragments()
            .all(|fragment| Leaf::parse(&leaf(fragment)).is_ok())
    );
}

#[test]
fn the_longest_numbers_fit() {
    let mut leaf = Vec::new();
    finalize(
        &mut leaf,
        Marks {
            t: u64::MAX,
            w: u64::MAX,
            j: u64::MAX,
        },
        Some(OutboxKey {
            node: NodeId(u32::MAX),
            revision: Revision(u64::MAX),
        }),
        b"",
    );
    assert!(leaf.len() <= PREFIX_BYTES);
}

#[test]
fn a_leaf_has_one_spelling() {
    let fragment = entry(1).fragments().next().unwrap().to_vec();
    let good = String::from_utf8(leaf(&fragment)).unwrap();
    assert!(Leaf::parse(good.as_bytes()).is_ok());
    let refuse = |from: &str, to: &str, flaw| {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert_eq!(Leaf::parse(bad.as_bytes()).err(), Some(flaw), "{bad}");
    };
    for (from, to) in [
        ("{", "{ "),
        ("}", "}\n"),
        (r#""v":3"#, r#""v":4"#),
        (r#""v":3"#, r#""v":0"#),
        (r#""v":3,"t""#, r#""v":2,"from":[2,3],"t""#),
        (r#""j":4,"#, r#""j":4,"from":[2],"#),
        (r#""j":4,"#, r#""j":4,"from":null,"#),
        (r#""w":3"#, r#""w":03"#),
        (r#""w":3"#, r#""w":3.0"#),
        (r#""w":3"#, r#""w":3,"w":3"#),
        (r#""w":3,"j":4"#, r#""j":4,"w":3"#),
        (r#""w":3"#, r#""x":3"#),
        (r#""ws":1"#, r#""ws":null"#),
        ("secret.read", "secret\\u002eread"),
        (r#""id":"00000000-"#, r#""id":"00000000"#),
        ("09090909-", "0909090A-"),
        (r#""c":{"slug":""#, r#""c":{"slug":"AA"#),
        (r#""sealed":""#, r#""sealed":"="#),
        (r#""sealed""#, r#""unsealed""#),
    ] {
        refuse(from, to, LeafFlaw::Encoding);
    }
    refuse(r#""part":1"#, r#""part":2"#, LeafFlaw::Parts);
    refuse(r#""part":1"#, r#""part":0"#, LeafFlaw::Parts);
}

#[test]
fn a_record_without_secrets_needs_no_key() {
    struct Sealed;
    impl FieldCipher for Sealed {
        fn seal(
            &self,
            _: strongroom_base::WorkspaceId,
            _: RequestId,
            _: &[u8],
        ) -> Result<Vec<u8>, SealError> {
            Err(SealError)
        }

        fn open(
            &self,
            _: strongroom_base::WorkspaceId,
            _: RequestId,
            _: &[u8],
        ) -> Result<strongroom_secret::SecretBytes, SealError> {
            Err(SealError)
        }
    }
    let bare = Record::open(id(1), "seal.status", Timestamp::default(), "");
    let entry = Entry::seal(&bare, Outcome::Ok, &[], &Sealed, &rng()).unwrap();
    assert!(Leaf::parse(&leaf(entry.fragments().next().unwrap())).is_ok());
    assert!(Entry::seal(&record(1), Outcome::Ok, &[], &Sealed, &rng()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_no_leaf_and_no_panic(bytes: Vec<u8>, at in 0..1000usize, byte: u8) {
        prop_assert!(Leaf::parse(&bytes).is_err());
        let mut changed = leaf(entry(1).fragments().next().unwrap());
        let at = at % changed.len();
        changed[at] = byte;
        let _ = Leaf::parse(&changed);
    }
}

// --- golden files

/// Compares `bytes` with a golden file. With `UPDATE_GOLDEN` set it writes the file instead.
fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    assert!(
        fs::read(&path).unwrap() == bytes,
        "{name} has changed: raise its version"
    );
}

#[tokio::test]
async fn the_bytes_of_journal_version_2_and_leaf_version_3() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    let mut bare = Record::open(id(3), "seal.status", Timestamp::from_millis(NOW + 3), "");
    bare.counted = Some(12);
    close(&ledger, 1..3).await;
    ledger.close(bare, Outcome::Denied).await.unwrap();
    golden(
        "journal-v2.bin",
        &fs::read(house.dir.path().join("journal/0000000000000001")).unwrap(),
    );

    house.change(&ledger, 4).await;
    house.take_over(&ledger, 5).await;
    sequencer.publish().await.unwrap();
    let mut leaves = Vec::new();
    crate::verify::verify_each(&house.ledger_dir(), &key(), |leaf| {
        leaves.extend(leaf);
        leaves.push(b'\n');
    })
    .unwrap();
    golden("leaves-v3.jsonl", &leaves);
    golden(
        "checkpoint-v3",
        &fs::read(house.ledger_dir().join("checkpoint")).unwrap(),
    );
}

#[test]
fn leaves_of_earlier_versions_are_read() {
    for version in ["1", "2"] {
        let golden = format!("tests/golden/leaves-v{version}.jsonl");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(golden);
        let leaves = fs::read_to_string(golden).unwrap();
        for leaf in leaves.lines() {
            assert!(Leaf::parse(leaf.as_bytes()).is_ok());
            // They were never in the outbox of another node.
            let drained = leaf.replacen(r#","id""#, r#","from":[2,7],"id""#, 1);
            assert!(Leaf::parse(drained.as_bytes()).is_err());
        }
    }
}

#[tokio::test]
async fn a_journal_of_version_1_is_read() {
    let house = House::new();
    fs::create_dir(house.dir.path().join("journal")).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-v1.bin");
    fs::copy(golden, house.dir.path().join("journal/0000000000000001")).unwrap();
    let (_ledger, mut sequencer) = house.open().unwrap();
    sequencer.publish().await.unwrap();
    assert_eq!(house.ids(), [1, 2, 3]);
}

// --- two nodes

#[tokio::test]
async fn what_another_node_left_says_where_it_was() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    house.change(&ledger, 1).await;
    house.take_over(&ledger, 2).await;
    // Whoever takes it over once more keeps where it was first.
    let row = house
        .storage
        .scan(OutboxKey::all_of(NodeId::FIRST), None, 9)
        .await
        .unwrap();
    let (key, row) = &row[1];
    let again = take_over(NodeId(3), OutboxKey::read(key).unwrap(), &row.value).unwrap();
    assert_eq!(again[0].bytes, notes_in(&row.value).unwrap()[0]);
    sequencer.publish().await.unwrap();
    assert_eq!(house.ids(), [1, 2]);
    let leaves = ledger.reader().leaves(0, 9).unwrap();
    let facts: Vec<_> = leaves.iter().map(|leaf| leaf.facts().unwrap()).collect();
    assert_eq!((facts[0].from, facts[0].committed()), (None, Revision(1)));
    // The change itself was revision 2, when it was taken over 3.
    let from = OutboxKey {
        node: NodeId(2),
        revision: Revision(2),
    };
    assert_eq!((facts[1].from, facts[1].committed()), (Some(from), Revision(2)));
    assert_eq!(facts[1].outbox, 3);
}

#[tokio::test]
async fn what_a_rival_took_is_not_published_twice() {
    let house = House {
        is_shared: true,
        ..House::new()
    };
    let (ledger, mut sequencer) = house.open().unwrap();
    house.change(&ledger, 1).await;
    sequencer.publish().await.unwrap();
    house.change(&ledger, 2).await;
    house.change(&ledger, 3).await;
    ledger.close(record(4), Outcome::Ok).await.unwrap();
    sequencer.stage().await.unwrap();
    // The rival takes the first of both, and puts the ledger's row as it is, before they are claimed.
    let rows = house.storage.scan(OutboxKey::all(), None, 9).await.unwrap();
    let last = house.storage.get(b"\0last").await.unwrap().unwrap();
    let taken = Change {
        puts: vec![(b"\0last".to_vec(), last.value)],
        deletes: vec![rows[0].0.clone()],
        ..Change::default()
    };
    house.storage.commit(taken).await.unwrap();
    sequencer.publish().await.unwrap();
    assert_eq!(house.ids(), [1, 3, 4]);
    assert_eq!(house.outbox().await, 0);
}

#[tokio::test]
async fn what_was_claimed_is_published_by_the_next_start() {
    let house = House {
        is_shared: true,
        ..House::new()
    };
    let (ledger, mut sequencer) = house.open().unwrap();
    house.change(&ledger, 1).await;
    crash_after(Some(0));
    assert!(sequencer.publish_here(true).await.is_err(), "it crashed");
    crash_after(None);
    drop((ledger, sequencer));
    let (_ledger, mut sequencer) = house.open().unwrap();
    sequencer.publish().await.unwrap();
    assert_eq!(house.ids(), [1]);
}

// --- from request to log

#[tokio::test]
async fn both_sources_are_merged_by_time_and_deleted() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    for number in [1, 4, 7] {
        house.change(&ledger, number).await;
    }
    close(&ledger, 2..4).await;
    close(&ledger, 5..7).await;
    sequencer.publish().await.unwrap();
    assert_eq!(house.ids(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(house.outbox().await, 0);
    let position = ledger.position();
    assert_eq!((position.checkpoint.size, position.outbox.0), (7, 3));
    let row = house.storage.get(b"\0last").await.unwrap().unwrap();
    assert_eq!(row.value, position.checkpoint.to_string().into_bytes());

    let report = verify(&house.ledger_dir(), &key()).unwrap();
    assert_eq!(
        (report.size, report.requests, report.origin.as_str()),
        (7, 7, "instance/node/1")
    );
    assert_eq!(report.first.unwrap().as_millis(), NOW + 1);
    assert_eq!(report.last.unwrap().as_millis(), NOW + 7);
}

#[tokio::test]
async fn an_order_of_commits_outlives_times_that_go_back() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    for number in [5, 3, 4] {
        house.change(&ledger, number).await;
    }
    sequencer.publish().await.unwrap();
    assert_eq!(house.ids(), [5, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_started_ledger_publishes_by_itself_and_at_shutdown() {
    let house = House::new();
    let ledger = Ledger::open(house.config().unwrap()).unwrap().start();
    close(&ledger, 1..2).await;
    house.change(&ledger, 2).await;
    while ledger.position().checkpoint.size < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    close(&ledger, 3..4).await;
    ledger.shutdown().await.unwrap();
    assert_eq!(house.ids(), [1, 2, 3]);
    // What is closed afterwards is in the journal for the next start.
    close(&ledger, 4..5).await;
    let ledger = Ledger::open(house.config().unwrap()).unwrap().start();
    ledger.shutdown().await.unwrap();
    assert_eq!(house.ids(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn floods_of_refusals_are_counted() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    for number in 0..100 {
        let record = Record::open(
            id(number),
            "token.check",
            Timestamp::from_millis(NOW),
            "192.0.2.7",
        );
        ledger.close(record, Outcome::Unauthenticated).await.unwrap();
    }
    house.clock.advance(Ttl::from_secs(1));
    let known = || record(200);
    ledger.close(known(), Outcome::Denied).await.unwrap();
    sequencer.publish().await.unwrap();
    let mut counted = Vec::new();
    crate::verify::verify_each(&house.ledger_dir(), &key(), |leaf| {
        let leaf: serde_json::Value = serde_json::from_slice(leaf).unwrap();
        counted.extend((leaf["op"] == "strangers.counted").then(|| leaf["n"].as_u64().unwrap()));
    })
    .unwrap();
    assert_eq!(counted, [95]);
    assert_eq!(verify(&house.ledger_dir(), &key()).unwrap().size, 5 + 1 + 1);
}

#[tokio::test]
async fn without_storage_the_journal_is_published_and_nothing_is_lost() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    house.change(&ledger, 1).await;
    close(&ledger, 2..3).await;
    house.storage.is_broken.store(true, Ordering::SeqCst);
    assert!(sequencer.publish().await.is_err());
    assert_eq!(house.ids(), [2]);
    house.storage.is_broken.store(false, Ordering::SeqCst);
    sequencer.publish().await.unwrap();
    assert_eq!(house.ids(), [2, 1]);
    assert_eq!(house.outbox().await, 0);
}

/// An instance that is sealed and opened again has one journal and two ledgers, one after the other.
#[tokio::test]
async fn what_a_closing_ledger_cannot_publish_the_next_one_on_its_journal_does() {
    let house = House::new();
    let journal = crate::Journal::open(&house.dir.path().join("journal")).unwrap();
    let open = || {
        Ledger::open(house.config_on(journal.clone()).unwrap())
            .unwrap()
            .start()
    };
    let first = open();
    let in_the_way = house.ledger_dir().join("tile");
    std::fs::write(&in_the_way, "").unwrap();
    close(&first, 1..4).await;
    assert!(first.shutdown().await.is_err());
    // Requests that were in flight.
    close(&first, 4..5).await;
    drop(first);
    std::fs::remove_file(&in_the_way).unwrap();
    let second = open();
    close(&second, 5..6).await;
    second.shutdown().await.unwrap();
    assert_eq!(house.ids(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn an_answer_is_withheld_when_its_record_cannot_be_written() {
    let house = House::new();
    let (ledger, _sequencer) = house.open().unwrap();
    ledger.shared.journal.break_file();
    let error = ledger.close(record(1), Outcome::Ok).await.unwrap_err();
    assert!(matches!(error, LedgerError::Journal(JournalError::Io(_))));
}

// --- crashes

/// Before the crash: 250 leaves published. To be published when it happens: changes and other requests that fill
/// the bundle, so that every kind of file is written and some are superseded, and a segment to be deleted.
async fn crash_at(steps: u32, restart: bool) -> bool {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    close(&ledger, 0..250).await;
    sequencer.publish().await.unwrap();
    close(&ledger, 250..255).await;
    ledger.shared.journal.roll_now();
    for number in 255..258 {
        house.change(&ledger, number).await;
    }
    close(&ledger, 258..260).await;

    sequencer.stage().await.unwrap();
    let (staged, files) = sequencer.staged().unwrap();
    crash_after(Some(steps));
    let written = staged.write(&files, &ledger.shared.journal);
    crash_after(None);
    if restart {
        drop((ledger, sequencer, staged));
        // Starting may crash, too.
        crash_after(Some(steps % 3));
        let _ = house.open();
        crash_after(None);
        let (ledger, mut sequencer) = house.open().unwrap();
        let size = verify(&house.ledger_dir(), &key()).unwrap().size;
        assert!(size == 250 || size == 260, "{size}");
        finish(&house, &ledger, &mut sequencer, steps).await;
    } else {
        finish(&house, &ledger, &mut sequencer, steps).await;
    }
    written.is_ok()
}

/// Goes on after the crash: everything is in the log once, in order, and nothing is left of its way there.
async fn finish(house: &House, ledger: &Ledger, sequencer: &mut crate::sequencer::Sequencer, steps: u32) {
    close(ledger, 260..262).await;
    sequencer.publish().await.unwrap();
    sequencer.publish().await.unwrap();
    let ids = house.ids();
    assert_eq!(ids, Vec::from_iter(0..262), "crash after {steps} steps");
    assert_eq!(house.outbox().await, 0);
    assert_eq!(fs::read_dir(house.dir.path().join("journal")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_crash_at_any_step_loses_and_doubles_nothing() {
    for restart in [true, false] {
        let mut steps = 0;
        while !crash_at(steps, restart).await {
            steps += 1;
        }
        assert!(steps > 20, "only {steps} steps were tried");
    }
}

#[tokio::test]
async fn a_crash_while_a_ledger_is_made() {
    for steps in 0..6 {
        let house = House::new();
        crash_after(Some(steps));
        let _ = house.open();
        crash_after(None);
        let (ledger, mut sequencer) = house.open().unwrap();
        close(&ledger, 0..1).await;
        sequencer.publish().await.unwrap();
        assert_eq!(house.ids(), [0], "crash after {steps} steps");
    }
}

// --- what does not open

#[tokio::test]
async fn a_ledger_that_is_damaged_at_its_edge_does_not_open() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    close(&ledger, 0..300).await;
    sequencer.publish().await.unwrap();
    drop((ledger, sequencer));
    for name in [
        "checkpoint",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/001.p/44",
    ] {
        let path = house.ledger_dir().join(name);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(
            matches!(house.open().err(), Some(OpenError::Damaged(_))),
            "{name}"
        );
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(house.ids().len(), 300, "nothing was removed");

    let checkpoint = house.ledger_dir().join("checkpoint");
    let note = fs::read(&checkpoint).unwrap();
    fs::remove_file(&checkpoint).unwrap();
    assert!(
        matches!(house.open().err(), Some(OpenError::Damaged(_))),
        "tiles without a checkpoint"
    );
    fs::write(&checkpoint, note).unwrap();

    fs::write(house.dir.path().join("ledger.vkey"), "other\n").unwrap();
    assert!(matches!(house.open().err(), Some(OpenError::Key)));
}

#[tokio::test]
async fn a_journal_older_than_the_ledger_does_not_open() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    close(&ledger, 0..3).await;
    sequencer.publish().await.unwrap();
    drop((ledger, sequencer));
    fs::remove_dir_all(house.dir.path().join("journal")).unwrap();
    let error = house.open().err().unwrap();
    assert!(
        matches!(error, OpenError::Journal(JournalError::Missing { expected: 4 })),
        "{error}"
    );
}

// --- the verifier

/// What a directory should hold.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A ledger of 300 leaves, two of them of one request, and its files.
static LEDGER: LazyLock<Mutex<(House, Files)>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let house = House::new();
        let (ledger, mut sequencer) = house.open().unwrap();
        close(&ledger, 0..298).await;
        let mut large = record(298);
        (0..limits::LEAF_PATHS).for_each(|number| large.touch(number.to_string()));
        ledger.close(large, Outcome::Ok).await.unwrap();
        sequencer.publish().await.unwrap();
        let mut paths: Vec<PathBuf> = TilePath::all(300)
            .map(|path| house.ledger_dir().join(path.to_string()))
            .collect();
        paths.push(house.ledger_dir().join("checkpoint"));
        let files = paths
            .into_iter()
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        Mutex::new((house, files))
    })
});

/// What verifying says after `change`, which is given the ledger's directory and files and is undone.
fn verify_after(change: impl FnOnce(&Path, &Files)) -> Result<u64, VerifyError> {
    let ledger = LEDGER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (house, files) = &*ledger;
    change(&house.ledger_dir(), files);
    let report = verify(&house.ledger_dir(), &key());
    fs::remove_dir_all(house.ledger_dir()).unwrap();
    for (path, bytes) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    report.map(|report| report.requests)
}

#[test]
fn the_verifier_counts_requests() {
    assert_eq!(verify_after(|_, _| ()).unwrap(), 299);
}

#[test]
fn files_that_are_missing_unknown_or_superseded_are_named() {
    for name in [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
    ] {
        let error = verify_after(|dir, _| fs::remove_file(dir.join(name)).unwrap()).unwrap_err();
        assert!(
            error.file == name && matches!(error.flaw, Flaw::Missing),
            "{error}"
        );
    }
    for name in [
        "README",
        "checkpoint.tmp",
        "tile/0/002",
        "tile/0/001.p/43",
        "tile/2/000.p/1",
        "tile/entries/1",
    ] {
        let add = |dir: &Path, _: &_| {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs::write(dir.join(name), [0; 32]).unwrap();
        };
        let error = verify_after(add).unwrap_err();
        assert!(
            error.file == name && matches!(error.flaw, Flaw::Unknown | Flaw::NotCovered),
            "{error}"
        );
    }
}

#[test]
fn another_key_does_not_verify() {
    let ledger = LEDGER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let other: VerifierKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
        .parse()
        .unwrap();
    assert!(verify(&ledger.0.ledger_dir(), &other).is_err());
}

/// Appends leaves to a new log as a sequencer with a bug would, signed and hashed as they should be.
async fn verify_entries(entries: Vec<Entry>) -> Result<(), Flaw> {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    for entry in entries {
        ledger.shared.journal.append_now(entry).unwrap();
    }
    sequencer.publish().await.unwrap();
    verify(&house.ledger_dir(), &key())
        .map(|_| ())
        .map_err(|error| error.flaw)
}

fn large_entry(number: u32) -> Entry {
    let mut large = record(number);
    (0..limits::LEAF_PATHS).for_each(|number| large.touch(number.to_string()));
    Entry::seal(&large, Outcome::Ok, &[], &XorCipher, &rng()).unwrap()
}

/// `entry` with only those of its parts that `keep` says.
fn only(entry: Entry, keep: impl Fn(usize) -> bool) -> Entry {
    let fragments: Vec<_> = entry.fragments().map(<[u8]>::to_vec).collect();
    let mut bytes = entry.into_bytes()[..9].to_vec();
    for (_, fragment) in fragments.iter().enumerate().filter(|(part, _)| keep(*part)) {
        bytes.extend(u16::try_from(fragment.len()).unwrap().to_be_bytes());
        bytes.extend(fragment);
    }
    Entry::decode(&bytes).unwrap()
}

#[tokio::test]
async fn bugs_of_a_sequencer_are_found() {
    let flaw_of = |index, flaw| Err(Flaw::Leaf { index, flaw });
    for (entries, expected) in [
        (vec![entry(1), entry(2), large_entry(3)], Ok(())),
        (vec![entry(1), entry(2), entry(1)], flaw_of(2, LeafFlaw::Repeated)),
        (
            vec![large_entry(1), large_entry(1)],
            flaw_of(2, LeafFlaw::Repeated),
        ),
        (
            vec![only(large_entry(1), |part| part == 0), entry(2)],
            flaw_of(1, LeafFlaw::Parts),
        ),
        (
            vec![only(large_entry(1), |part| part == 0)],
            flaw_of(0, LeafFlaw::Parts),
        ),
        (
            vec![only(large_entry(1), |part| part == 1)],
            flaw_of(0, LeafFlaw::Parts),
        ),
        (
            vec![
                only(large_entry(1), |part| part == 0),
                only(large_entry(2), |part| part == 1),
            ],
            flaw_of(1, LeafFlaw::Parts),
        ),
    ] {
        assert_eq!(
            format!("{:?}", verify_entries(entries).await),
            format!("{expected:?}")
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_changed_bit_verifies(file: prop::sample::Index, at: prop::sample::Index, bit in 0..8u8) {
        let verified = verify_after(|_, files| {
            let (path, bytes) = files.iter().nth(file.index(files.len())).unwrap();
            let mut bytes = bytes.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            fs::write(path, bytes).unwrap();
        });
        prop_assert!(verified.is_err());
    }

    #[test]
    fn no_shortened_or_lengthened_file_verifies(file: prop::sample::Index, length in 0..20_000usize) {
        let verified = verify_after(|_, files| {
            let (path, bytes) = files.iter().nth(file.index(files.len())).unwrap();
            let mut bytes = bytes.clone();
            bytes.resize(if length == bytes.len() { length + 1 } else { length }, 0);
            fs::write(path, bytes).unwrap();
        });
        prop_assert!(verified.is_err());
    }
}

/// Every byte of every file of a ledger of a few leaves, with a cosigned checkpoint of fewer.
#[tokio::test]
async fn no_changed_byte_of_a_small_ledger_verifies() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    let cosigner = Cosigner::from_seed("witness", &Key::fill(|seed| seed.fill(9))).unwrap();
    close(&ledger, 1..4).await;
    sequencer.publish().await.unwrap();
    let (checkpoint, mut note) = ledger.reader().checkpoint().unwrap();
    note.add(cosigner.cosign(&checkpoint, NOW / 1000).unwrap())
        .unwrap();
    ledger.reader().keep_cosigned(&note).unwrap();
    house.change(&ledger, 4).await;
    sequencer.publish().await.unwrap();

    let (dir, witnesses) = (house.ledger_dir(), [cosigner.key().clone()]);
    // Whoever asks for the witness's word refuses a ledger without it.
    let verify = || {
        let report = verify(&dir, &key())?;
        let missing = || VerifyError::new("checkpoint.cosigned", Flaw::Note(NoteError::Unsigned));
        report.cosigners(&witnesses)?.first().ok_or_else(missing)?;
        Ok::<_, VerifyError>(report)
    };
    let report = verify().unwrap();
    assert_eq!((report.size, report.cosigned.unwrap().0.size), (4, 3));
    let names = [
        "checkpoint",
        "checkpoint.cosigned",
        "tile/0/000.p/4",
        "tile/entries/000.p/4",
    ];
    let mut flips = 0;
    for name in names {
        let bytes = fs::read(dir.join(name)).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(dir.join(name), &changed).unwrap();
            let error = verify().expect_err(&format!("byte {at} of {name}"));
            let named = error.file.as_str();
            // The hashes and the root of the entries, when it is an entry that was changed and still is one.
            let is_place = named == name || name.starts_with("tile/entries") && named == "tile/0/000.p/4";
            assert!(is_place, "byte {at} of {name}: {error}");
            flips += 1;
        }
        fs::write(dir.join(name), bytes).unwrap();
    }
    assert!(flips > 2_000, "{flips}");
    assert_eq!(verify().unwrap().size, 4);

    // A checkpoint of the log that is not of this history, and one of a larger tree than there is.
    let twin = House::new();
    let (ledger, mut sequencer) = twin.open().unwrap();
    for (numbers, flaw) in [(7..9, "Root"), (9..19, "NotCovered")] {
        close(&ledger, numbers).await;
        sequencer.publish().await.unwrap();
        fs::copy(
            twin.ledger_dir().join("checkpoint"),
            dir.join("checkpoint.cosigned"),
        )
        .unwrap();
        let error = verify().unwrap_err();
        assert_eq!(
            (error.file.as_str(), format!("{:?}", error.flaw).as_str()),
            ("checkpoint.cosigned", flaw)
        );
    }
    drop((ledger, sequencer));
    assert!(matches!(
        house.open(),
        Err(OpenError::Damaged(VerifyError {
            flaw: Flaw::NotCovered,
            ..
        }))
    ));
}

// --- continuing an older checkpoint

#[tokio::test]
async fn a_ledger_continues_what_it_once_published_and_nothing_else() {
    let house = House::new();
    let (ledger, mut sequencer) = house.open().unwrap();
    let published = || fs::read(house.ledger_dir().join("checkpoint")).unwrap();
    let mut older = vec![published()];
    for from in [1, 2, 200, 256, 300, 600] {
        close(&ledger, from..from + 60).await;
        sequencer.publish().await.unwrap();
        older.push(published());
    }
    let since = |checkpoint: &[u8]| verify_since(&house.ledger_dir(), &key(), checkpoint);
    for checkpoint in &older {
        let size = checkpoint_size(checkpoint);
        assert_eq!(since(checkpoint).unwrap().size, size);
    }

    // Another history of the same log, under the same key.
    let twin = House::new();
    let (ledger, mut sequencer) = twin.open().unwrap();
    close(&ledger, 700..760).await;
    sequencer.publish().await.unwrap();
    let forked = fs::read(twin.ledger_dir().join("checkpoint")).unwrap();
    assert!(matches!(since(&forked), Err(SinceError::Rewritten { older: 60 })));
    let newest = older.pop().unwrap();
    assert!(matches!(
        verify_since(&twin.ledger_dir(), &key(), &newest),
        Err(SinceError::Shrunk { older: 360, size: 60 })
    ));

    let mut changed = newest.clone();
    changed[0] ^= 1;
    assert!(matches!(since(&changed), Err(SinceError::Older(Flaw::Note(_)))));
    assert!(matches!(since(b""), Err(SinceError::Older(Flaw::Note(_)))));
}

fn checkpoint_size(note: &[u8]) -> u64 {
    let text = std::str::from_utf8(note).unwrap();
    text.lines().nth(1).unwrap().parse().unwrap()
}
