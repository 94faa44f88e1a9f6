//! What the tests of this crate share: a house with a ledger in it, and a way to crash.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use strongroom_base::{ManualClock, NodeId, PrincipalId, RequestId, Rng, Timestamp, WorkspaceId};
use strongroom_secret::{Key, SecretBytes};
use strongroom_storage::{
    Change, Changes, CommitError, Embedded, Memory, Note, OutboxKey, Precondition, Revision, Row, Storage,
    Unavailable, is_outbox,
};
use strongroom_tlog::{Signer, VerifierKey};

use crate::entry::{Entry, FieldCipher, SealError};
use crate::sequencer::Sequencer;
use crate::{Config, Journal, Ledger, LedgerRow, OpenError, Outcome, Record, take_over};

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_767_225_600_000;

/// Numbers that look random and are the same each time.
pub(crate) struct FixedRng(AtomicU64);

impl Rng for FixedRng {
    fn fill(&self, out: &mut [u8]) {
        if has(Bug::ReusesASalt) {
            return out.fill(7);
        }
        for byte in out {
            let seed = self
                .0
                .fetch_add(1, Ordering::SeqCst)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *byte = (seed >> 56) as u8;
        }
    }
}

/// Encryption that a test can undo.
pub(crate) struct XorCipher;

pub(crate) fn xor(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0xa5).collect()
}

impl FieldCipher for XorCipher {
    fn seal(&self, _: WorkspaceId, _: RequestId, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(xor(plaintext))
    }

    fn open(&self, _: WorkspaceId, _: RequestId, sealed: &[u8]) -> Result<SecretBytes, SealError> {
        Ok(SecretBytes::new(xor(sealed)))
    }
}

pub(crate) fn rng() -> FixedRng {
    FixedRng(AtomicU64::new(1))
}

pub(crate) fn id(number: u32) -> RequestId {
    RequestId::from_bytes(u128::from(number).to_be_bytes())
}

/// A record of every field, that came `number` milliseconds after [`NOW`].
pub(crate) fn record(number: u32) -> Record {
    let time = Timestamp::from_millis(NOW + u64::from(number));
    let mut record = Record::open(id(number), "secret.read", time, "192.0.2.7");
    record.set_workspace(WorkspaceId::DEFAULT);
    record.set_principal(PrincipalId::from_bytes([9; 16]), "planted-slug");
    record.set_reason("planted reason");
    record.because("planted decision");
    record.touch("planted/path");
    record
}

pub(crate) fn entry(number: u32) -> Entry {
    Entry::seal(&record(number), Outcome::Ok, &[], &XorCipher, &rng()).unwrap()
}

/// The number in the `"id":"…"` of a leaf or fragment.
pub(crate) fn id_in(json: &[u8]) -> u32 {
    let text = std::str::from_utf8(json).unwrap();
    let (_, text) = text.split_once(r#""id":""#).unwrap();
    let id: RequestId = text[..36].parse().unwrap();
    u32::try_from(u128::from_be_bytes(*id.as_bytes())).unwrap()
}

pub(crate) fn entry_ids<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<u32> {
    entries.flat_map(Entry::fragments).map(id_in).collect()
}

pub(crate) fn signer() -> Signer {
    Signer::from_seed("instance/node/1", &Key::fill(|seed| seed.fill(7))).unwrap()
}

pub(crate) fn key() -> VerifierKey {
    signer().verifier_key().clone()
}

/// Storage that can be out of order.
pub(crate) struct Flaky {
    inner: Embedded<Memory>,
    pub(crate) is_broken: AtomicBool,
}

impl Flaky {
    fn ask(&self) -> Result<&Embedded<Memory>, Unavailable> {
        if self.is_broken.load(Ordering::SeqCst) {
            Err(Unavailable("broken".into()))
        } else {
            Ok(&self.inner)
        }
    }
}

#[async_trait]
impl Storage for Flaky {
    async fn get(&self, key: &[u8]) -> Result<Option<Row>, Unavailable> {
        self.ask()?.get(key).await
    }

    async fn scan(
        &self,
        range: std::ops::Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, Unavailable> {
        let is_outbox = is_outbox(&range.start);
        let mut page = self.ask()?.scan(range, after, limit).await?;
        if is_outbox && page.len() > 1 {
            if has(Bug::SwapsTheOutbox) {
                page.reverse();
            }
            if has(Bug::LeavesOneOut) {
                page.remove(0);
            }
        }
        Ok(page)
    }

    async fn commit(&self, change: Change) -> Result<Revision, CommitError> {
        self.ask()?.commit(change).await
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Unavailable> {
        self.ask()?.changes(after, limit).await
    }
}

/// A data directory and storage, which outlive the ledgers that are opened with them.
pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) storage: Arc<Flaky>,
    pub(crate) clock: Arc<ManualClock>,
    /// Whether other nodes may take rows of the outbox.
    pub(crate) is_shared: bool,
    pub(crate) rng: Arc<FixedRng>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::in_dir(tempfile::tempdir().unwrap())
    }

    /// One whose files cost no time, where there is a file system for that.
    pub(crate) fn in_memory() -> Self {
        Self::in_dir(tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap()))
    }

    fn in_dir(dir: tempfile::TempDir) -> Self {
        let inner = Embedded::open(Memory::default(), Arc::new(())).unwrap();
        Self {
            dir,
            storage: Arc::new(Flaky {
                inner,
                is_broken: AtomicBool::new(false),
            }),
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(NOW))),
            is_shared: false,
            rng: Arc::new(rng()),
        }
    }

    pub(crate) fn config(&self) -> Result<Config, OpenError> {
        self.config_on(Journal::open(&self.dir.path().join("journal"))?)
    }

    /// For a ledger on a journal that is open already.
    pub(crate) fn config_on(&self, journal: Arc<Journal>) -> Result<Config, OpenError> {
        Ok(Config {
            data_dir: self.dir.path().to_owned(),
            signer: signer(),
            birth: None,
            journal,
            storage: self.storage.clone(),
            node: NodeId::FIRST,
            row: LedgerRow {
                key: b"\0last".to_vec(),
                value: if self.is_shared {
                    Box::new(|checkpoint, claimed| format!("{} {checkpoint}", claimed.0).into_bytes())
                } else {
                    Box::new(|checkpoint, _| checkpoint.to_string().into_bytes())
                },
                is_shared: self.is_shared,
            },
            cipher: Arc::new(XorCipher),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
        })
    }

    /// A ledger whose sequencer does only what the test makes it do.
    pub(crate) fn open(&self) -> Result<(Ledger, Sequencer), OpenError> {
        let opened = Ledger::open(self.config()?)?;
        let (stop, _) = tokio::sync::watch::channel(false);
        Ok((
            Ledger {
                shared: opened.shared,
                reader: opened.reader,
                stop,
                task: None.into(),
            },
            opened.sequencer,
        ))
    }

    /// Commits a change that makes the row `number`, with the record `number`.
    pub(crate) async fn change(&self, ledger: &Ledger, number: u32) {
        let puts = vec![(vec![1, number as u8], number.to_be_bytes().to_vec())];
        let mut change = Change {
            puts,
            ..Change::default()
        };
        change.notes = vec![ledger.note(&record(number), Outcome::Ok, &change).unwrap()];
        self.storage.commit(change).await.unwrap();
    }

    /// Commits a change of node 2 with the record `number`, and takes that over from its outbox.
    pub(crate) async fn take_over(&self, ledger: &Ledger, number: u32) {
        let node = NodeId(2);
        let mut change = Change {
            puts: vec![(vec![1, number as u8], Vec::new())],
            ..Change::default()
        };
        let Note { bytes, .. } = ledger.note(&record(number), Outcome::Ok, &change).unwrap();
        change.notes = vec![Note { node, bytes }];
        let revision = self.storage.commit(change).await.unwrap();
        let row = OutboxKey { node, revision };
        let value = self.storage.get(&row.to_bytes()).await.unwrap().unwrap().value;
        let taken = Change {
            deletes: vec![row.to_bytes()],
            notes: take_over(NodeId::FIRST, row, &value).unwrap(),
            ..Change::default()
        };
        self.storage.commit(taken).await.unwrap();
    }

    /// Another node takes this one for dead, and takes over what it left but had not claimed: the ids. With a bug it
    /// takes more, or does not put the row that a claim requires.
    pub(crate) async fn rival_takes(&self, bug: Option<RivalBug>) -> Vec<u32> {
        let row = self.storage.get(b"\0last").await.unwrap();
        let claimed = row.as_ref().map_or(0, |row| {
            let text = std::str::from_utf8(&row.value).unwrap();
            text.split(' ').next().unwrap().parse().unwrap()
        });
        let left = self
            .storage
            .scan(OutboxKey::all_of(NodeId::FIRST), None, 1_000)
            .await
            .unwrap();
        let (mut change, mut ids) = (Change::default(), Vec::new());
        for (key, row) in left {
            if row.revision > Revision(claimed) || bug == Some(RivalBug::IgnoresClaims) {
                let notes = take_over(NodeId(2), OutboxKey::read(&key).unwrap(), &row.value).unwrap();
                let entries: Vec<_> = notes
                    .iter()
                    .map(|note| Entry::decode(&note.bytes).unwrap())
                    .collect();
                ids.extend(entry_ids(entries.iter()));
                change.deletes.push(key);
            }
        }
        change.preconditions = vec![Precondition {
            key: b"\0last".to_vec(),
            revision: row.as_ref().map(|row| row.revision),
        }];
        if let Some(row) = row.filter(|_| bug != Some(RivalBug::PutsNoRow)) {
            change.puts = vec![(b"\0last".to_vec(), row.value)];
        }
        self.storage.commit(change).await.unwrap();
        ids
    }

    pub(crate) fn ledger_dir(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    /// Verifies the ledger; gives the ids in it.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let mut ids = Vec::new();
        crate::verify::verify_each(&self.ledger_dir(), &key(), |leaf| ids.push(id_in(leaf))).unwrap();
        ids
    }

    /// Keys of the rows in the outbox.
    pub(crate) async fn outbox(&self) -> usize {
        self.storage
            .scan(vec![4]..vec![5], None, 1000)
            .await
            .unwrap()
            .len()
    }
}

/// Closes the records of `numbers`.
pub(crate) async fn close(ledger: &Ledger, numbers: std::ops::Range<u32>) {
    for number in numbers {
        ledger.close(record(number), Outcome::Ok).await.unwrap();
    }
}

/// A bug of another node that takes over what this one left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RivalBug {
    /// It takes what is claimed.
    IgnoresClaims,
    /// It leaves the row as it is that a claim puts.
    PutsNoRow,
}

/// A bug that the tests must find, planted in what is around the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The outbox is drained in another order than that of its commits.
    SwapsTheOutbox,
    /// A checkpoint is written over tiles that were not synced.
    SkipsTileSyncs,
    /// A row of the outbox is passed over, and deleted as if it were covered.
    LeavesOneOut,
    /// All entries have one key, so their salts are the same.
    ReusesASalt,
}

thread_local! {
    static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
    /// Files that were written and not synced.
    static UNSYNCED: RefCell<BTreeSet<PathBuf>> = const { RefCell::new(BTreeSet::new()) };
}

/// Plants `bug` for this thread, in the place of an earlier one.
pub(crate) fn plant(bug: Option<Bug>) {
    BUG.set(bug);
}

fn has(bug: Bug) -> bool {
    BUG.get() == Some(bug)
}

/// The file that will be `path` is being written aside.
pub(crate) fn written(path: &Path) {
    UNSYNCED.with_borrow_mut(|unsynced| unsynced.insert(path.to_owned()));
}

/// It was synced.
pub(crate) fn synced(path: &Path) {
    if !has(Bug::SkipsTileSyncs) || path.ends_with("checkpoint") {
        UNSYNCED.with_borrow_mut(|unsynced| unsynced.remove(path));
    }
}

/// Takes half of each file that was not synced, as a loss of power may; or takes it that all are synced by now.
pub(crate) fn lose_power(happens: bool) {
    for path in UNSYNCED.take().into_iter().filter(|_| happens) {
        let aside = path.with_added_extension("tmp");
        let path = if aside.exists() { aside } else { path };
        if let Ok(file) = OpenOptions::new().write(true).open(path) {
            let length = file.metadata().unwrap().len();
            file.set_len(length / 2).unwrap();
        }
    }
}

thread_local! {
    /// How many steps this thread's file operations may still do.
    static STEPS: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Lets this thread crash after `steps` steps, or never.
pub(crate) fn crash_after(steps: Option<u32>) {
    STEPS.set(steps);
}

/// A step of a file operation: fails, after `torn` did half of it, once no step is left.
pub(crate) fn crash_point(torn: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match STEPS.get() {
        None => Ok(()),
        Some(0) => torn().and(Err(io::Error::other("crashed"))),
        Some(steps) => {
            STEPS.set(Some(steps - 1));
            Ok(())
        }
    }
}
