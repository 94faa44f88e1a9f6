//! Somebody, or a dying disk, has changed the storage file while nobody used it. Whatever is read through the barrier
//! then is right, or a clean error; or else [`RedbBackend::verify`] says that the file is damaged.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use minicbor::{Decode, Encode};
use proptest::prelude::RngExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use redb::StorageBackend;
use strongroom_barrier::{Barrier, BarrierError, Record, RootKey, View};
use strongroom_base::{MountId, Name, SystemRng, WorkspaceId};
use strongroom_storage::{Change, Embedded, Storage};
use strongroom_storage_redb::{OpenError, RedbBackend};

const PAGE: usize = 4096;
const CACHE_BYTES: usize = 1 << 20;

/// Notes in each of the folders.
const NOTES: usize = 25;
const FOLDERS: [&str; 3] = ["a", "b", "c"];

/// How often each note is written.
const ROUNDS: usize = 4;

/// Where the engine says what is where. Each of its bytes is damaged.
const HEADER_BYTES: usize = 320;

/// Bytes damaged, and lengths to which the file is cut, chosen at random.
const FLIPS: usize = 2_000;
const CUTS: usize = 100;

#[derive(Debug, PartialEq, Encode, Decode)]
struct Note(#[n(0)] String);

impl Record for Note {}

/// A file in memory. Clones are the same file.
#[derive(Clone, Debug, Default)]
struct Medium(Arc<Mutex<Vec<u8>>>);

impl Medium {
    fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (bytes, offset) = (self.0.lock().unwrap(), usize::try_from(offset).unwrap());
        let found = bytes.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.0.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// What is in the file, by folder and name.
type Notes = BTreeMap<String, String>;

/// A file, what is in it, and what was in it before.
struct Original {
    root: RootKey,
    bytes: Vec<u8>,
    notes: Notes,
    older: Vec<u8>,
}

fn storage(medium: &Medium) -> Result<Arc<dyn Storage>, OpenError> {
    let medium = medium.clone();
    let backend = RedbBackend::open_with(move || Ok(medium.clone()), CACHE_BYTES)?;
    Ok(Arc::new(
        Embedded::open(backend, Arc::new(())).map_err(|error| OpenError::Damaged(error.0))?,
    ))
}

async fn view(barrier: &Arc<Barrier>) -> Result<View, BarrierError> {
    barrier.view(WorkspaceId::DEFAULT, MountId(1)).await
}

impl Original {
    async fn new() -> Self {
        let (medium, rng) = (Medium::default(), Arc::new(SystemRng::default()));
        let (root, mut change) = (RootKey::generate(&*rng), Change::default());
        let storage = storage(&medium).unwrap();
        let workspaces = [WorkspaceId::SYSTEM, WorkspaceId::DEFAULT];
        let barrier = Barrier::create(storage.clone(), &root, &workspaces, rng, &mut change).unwrap();
        storage.commit(change).await.unwrap();
        let view = view(&barrier).await.unwrap();
        let (mut notes, mut older) = (Notes::new(), Vec::new());
        for round in 0..ROUNDS {
            for folder in FOLDERS {
                for number in 0..NOTES {
                    let name = format!("{folder}/{number}");
                    let text = text_of(&name, 30 * (1 + number), round);
                    let (key, mut change) = (
                        view.named(&Name::from_path(&name).unwrap()).unwrap(),
                        Change::default(),
                    );
                    view.put(&mut change, &key, &Note(text.clone())).unwrap();
                    storage.commit(change).await.unwrap();
                    notes.insert(name, text);
                }
            }
            if round == ROUNDS - 2 {
                older = medium.bytes();
            }
        }
        drop((view, barrier, storage));
        Self {
            root,
            bytes: medium.bytes(),
            notes,
            older,
        }
    }

    /// Reads all that is to be read from a file of these `bytes`.
    async fn read(&self, bytes: &[u8]) -> Result<Notes, String> {
        let storage = storage(&Medium::holding(bytes.to_vec())).map_err(|error| error.to_string())?;
        self.read_all(storage).await.map_err(|error| error.to_string())
    }

    async fn read_all(&self, storage: Arc<dyn Storage>) -> Result<Notes, BarrierError> {
        let barrier = Barrier::open(storage, &self.root, Arc::new(SystemRng::default())).await?;
        let view = view(&barrier).await?;
        let mut notes = Notes::new();
        for name in self.notes.keys() {
            let key = view.named(&Name::from_path(name).unwrap())?;
            if let Some(stored) = view.get::<Note>(&key).await? {
                notes.insert(name.clone(), stored.record.0);
            }
        }
        let mut listed = BTreeSet::new();
        for folder in FOLDERS {
            let children = view
                .list(&view.folder(view.root(), folder)?, None, usize::MAX)
                .await?;
            listed.extend(
                children
                    .into_iter()
                    .map(|child| format!("{folder}/{}", child.segment)),
            );
        }
        // What only one of the two shows is as good as missing.
        notes.retain(|name, _| listed.contains(name));
        Ok(notes)
    }

    /// Looks at what is read from a file of these `bytes`, with the damage `what`.
    async fn check(&self, tally: &mut Tally, what: &str, bytes: &[u8]) {
        let notes = match self.read(bytes).await {
            Ok(notes) if notes == self.notes => return tally.right += 1,
            Ok(notes) => notes,
            Err(_) => return tally.refused += 1,
        };
        let wrong = notes.iter().find(|(name, text)| !self.was_written(name, text));
        assert_eq!(wrong, None, "{what}");
        let verified = RedbBackend::verify(Medium::holding(bytes.to_vec()), CACHE_BYTES);
        let is_named = matches!(verified, Err(OpenError::Damaged(_) | OpenError::Foreign));
        assert!(is_named, "{what}: rows are missing or old, and {verified:?}");
        tally.named += 1;
    }

    fn was_written(&self, name: &str, text: &str) -> bool {
        let expected = &self.notes[name];
        (0..ROUNDS).any(|round| text == text_of(name, expected.len(), round))
    }
}

fn text_of(name: &str, len: usize, round: usize) -> String {
    format!("{name} in round {round}, ")
        .chars()
        .cycle()
        .take(len)
        .collect()
}

/// What became of damaged files.
#[derive(Debug, Default)]
struct Tally {
    right: usize,
    /// Not opened, or something was not read.
    refused: usize,
    /// Read without an error although rows were missing or old, but the file does not verify.
    named: usize,
}

#[tokio::test]
async fn a_bit_that_flips_makes_nothing_wrong() {
    let original = Original::new().await;
    let (mut tally, mut rng) = (Tally::default(), rng());
    let mut bytes = original.bytes.clone();
    let sample = std::iter::repeat_with(|| rng.random_range(0..original.bytes.len())).take(FLIPS);
    for (number, offset) in (0..HEADER_BYTES).chain(sample).enumerate() {
        let bit = 1 << (number % 8);
        bytes[offset] ^= bit;
        original
            .check(&mut tally, &format!("bit {bit:#x} of byte {offset}"), &bytes)
            .await;
        bytes[offset] ^= bit;
    }
    assert!(
        tally.right > 0 && tally.refused > 0 && tally.named > 0,
        "{tally:?}"
    );
}

#[tokio::test]
async fn a_page_that_is_zeroed_stale_or_swapped_with_another_makes_nothing_wrong() {
    let original = Original::new().await;
    let mut tally = Tally::default();
    let pages = original.bytes.len() / PAGE;
    let page = |number: usize| number * PAGE..(number + 1) * PAGE;
    let mut bytes = original.bytes.clone();
    for one in 0..pages {
        bytes[page(one)].fill(0);
        original
            .check(&mut tally, &format!("page {one} is zeroed"), &bytes)
            .await;
        bytes[page(one)].copy_from_slice(&original.older[page(one)]);
        original
            .check(&mut tally, &format!("page {one} is stale"), &bytes)
            .await;
        for other in one + 1..pages {
            bytes[page(one)].copy_from_slice(&original.bytes[page(other)]);
            bytes[page(other)].copy_from_slice(&original.bytes[page(one)]);
            original
                .check(
                    &mut tally,
                    &format!("pages {one} and {other} are swapped"),
                    &bytes,
                )
                .await;
            bytes[page(other)].copy_from_slice(&original.bytes[page(other)]);
        }
        bytes[page(one)].copy_from_slice(&original.bytes[page(one)]);
    }
    assert!(
        tally.right > 0 && tally.refused > 0 && tally.named > 0,
        "{tally:?}"
    );
}

#[tokio::test]
async fn a_file_that_was_cut_is_refused() {
    let original = Original::new().await;
    let (mut tally, mut rng) = (Tally::default(), rng());
    let end = original.bytes.len();
    let odd = std::iter::repeat_with(|| rng.random_range(1..end)).take(CUTS);
    let lengths = (PAGE..end)
        .step_by(PAGE)
        .chain(odd)
        .chain([1, end - 1])
        .collect::<Vec<_>>();
    for len in &lengths {
        original
            .check(
                &mut tally,
                &format!("cut to {len} bytes"),
                &original.bytes[..*len],
            )
            .await;
    }
    assert_eq!(tally.refused, lengths.len(), "{tally:?}");
}

fn rng() -> TestRng {
    TestRng::deterministic_rng(RngAlgorithm::ChaCha)
}
