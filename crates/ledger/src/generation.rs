//! Generations. A log that was restored from a backup may have lost leaves that others have seen, so it must not grow: it
//! is set aside as it is, and one of another origin follows it, whose first leaf says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};
use strongroom_base::Rng;
use strongroom_storage::Revision;
use strongroom_tlog::{Checkpoint, Signer, TilePath, VerifierKey, encode_entry, leaf_hash};

use crate::entry::{Entry, FieldCipher, SealError};
use crate::files::{CHECKPOINT, LedgerFiles, sync_dir};
use crate::journal::Journal;
use crate::leaf::{Leaf, Marks, finalize};
use crate::reader::{Reader, verifier_key};
use crate::record::{Outcome, Record};
use crate::tree::Tree;
use crate::{OpenError, VKEY};

/// Where logs that were set aside are, each in a folder that is named by its generation.
const GENERATIONS: &str = "generations";

/// The log that a data directory has, as far as its files tell.
#[derive(Default)]
pub struct Predecessor {
    /// Its origin.
    pub origin: Option<String>,
    /// Its newest checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Of its last leaf.
    marks: Marks,
}

impl Predecessor {
    /// That of `data_dir`. What cannot be read of it is not known. Blocks on files.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        let Ok(key) = verifier_key(data_dir) else {
            return Self::default();
        };
        let origin = Some(key.name().to_owned());
        let reader = Reader::new(&data_dir.join("ledger"), key);
        let Ok((checkpoint, _)) = reader.checkpoint() else {
            return Self {
                origin,
                ..Self::default()
            };
        };
        let last = reader.leaves(checkpoint.size.saturating_sub(1), 1).ok();
        let leaf = last.as_ref().and_then(|leaves| leaves.first());
        let marks = leaf.and_then(|leaf| Some(Leaf::parse(&leaf.bytes).ok()?.marks()));
        Self {
            origin,
            checkpoint: Some(checkpoint),
            marks: marks.unwrap_or_default(),
        }
    }
}

/// What a log begins with that follows another: its first leaf, and what it does not take up because the other one has it.
#[derive(Clone, Encode, Decode)]
pub struct Birth {
    #[cbor(n(0), with = "minicbor::bytes")]
    entry: Vec<u8>,
    /// The outbox rows up to this number are in the log before, or lost with storage.
    #[n(1)]
    w: u64,
    /// The same for the journal's entries.
    #[n(2)]
    j: u64,
}

impl Birth {
    /// That of a log after `predecessor`, whose first leaf is of `record`; storage is at the revision `head`.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn after(
        predecessor: &Predecessor,
        record: &Record,
        head: Revision,
        journal: &Journal,
        cipher: &dyn FieldCipher,
        rng: &dyn Rng,
    ) -> Result<Self, SealError> {
        let entry = Entry::seal(record, Outcome::Ok, &[], cipher, rng)?;
        Ok(Self {
            entry: entry.into_bytes(),
            w: predecessor.marks.w.min(head.0),
            j: journal.nearest(predecessor.marks.j),
        })
    }

    /// Rows of the outbox up to this revision are not taken up, so nobody else must, either.
    #[must_use]
    pub fn drained(&self) -> Revision {
        Revision(self.w)
    }

    /// Publishes the first leaf in `files`, where `tree`, which is empty, is published.
    pub(crate) fn publish(
        &self,
        tree: Tree,
        files: &LedgerFiles,
        signer: &Signer,
    ) -> Result<Tree, OpenError> {
        // INVARIANT: storage has kept the entry encrypted, as it was sealed.
        let Ok(entry) = Entry::decode(&self.entry) else {
            return Ok(tree);
        };
        let mut tree = tree;
        tree.marks = Marks {
            t: entry.time().as_millis(),
            w: self.w,
            j: self.j,
        };
        let mut hashes = Vec::new();
        for fragment in entry.fragments() {
            let mut leaf = Vec::new();
            finalize(&mut leaf, tree.marks, None, fragment);
            encode_entry(&mut tree.bundle, &leaf).map_err(io::Error::other)?;
            hashes.push(leaf_hash(&leaf));
        }
        let tiles = tree.edge.append(&hashes);
        let mut written: Vec<_> = tiles.iter().map(|tile| (tile.path(), tile.encode())).collect();
        let bundle = TilePath::partial(strongroom_tlog::Level::Entries, tree.edge.size());
        written.extend(bundle.map(|path| (path, tree.bundle.clone())));
        files.write_tiles(&written)?;
        files.write_note(CHECKPOINT, &tree.sign_checkpoint(signer)?)?;
        Ok(tree)
    }
}

/// Moves the log of `key` in `data_dir` and its public key to a folder of their own. May be repeated after a crash.
pub(crate) fn set_aside(data_dir: &Path, key: &VerifierKey) -> io::Result<()> {
    let generations = data_dir.join(GENERATIONS);
    let folder = free_folder(&generations, key)?;
    fs::create_dir_all(&folder)?;
    let (ledger, vkey) = (data_dir.join("ledger"), data_dir.join(VKEY));
    // The key goes last: as long as it is here, there is something to be moved.
    if ledger.exists() {
        fs::rename(ledger, folder.join("ledger"))?;
        sync_dir(data_dir)?;
    }
    fs::rename(vkey, folder.join(VKEY))?;
    for dir in [&folder, &generations, data_dir] {
        sync_dir(dir)?;
    }
    tracing::warn!(folder = %folder.display(), "the ledger so far was set aside, and another generation follows it");
    Ok(())
}

/// The folder of the generation of `key`, or with a number after it when there is a log in that already.
fn free_folder(generations: &Path, key: &VerifierKey) -> io::Result<PathBuf> {
    let generation = generation_of(key.name()).ok_or(io::ErrorKind::InvalidData)?;
    let first = generations.join(generation.to_string());
    let others = (2_u32..).map(|number| generations.join(format!("{generation}.{number}")));
    let free = std::iter::once(first)
        .chain(others)
        .find(|folder| !folder.join(VKEY).exists());
    free.ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

/// The generation in an origin: the number after its last slash.
#[must_use]
pub fn generation_of(origin: &str) -> Option<u32> {
    origin.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{House, NOW, XorCipher, crash_after, key, record, rng};
    use crate::{Ledger, verify};
    use std::sync::Arc;
    use strongroom_base::Timestamp;
    use strongroom_secret::Key;

    fn next_signer() -> Signer {
        Signer::from_seed("instance/node/2", &Key::fill(|seed| seed.fill(8))).unwrap()
    }

    fn restored() -> Record {
        let time = Timestamp::from_millis(NOW + 1_000_000);
        Record::open(crate::testing::id(9_999), "ledger.restored", time, "")
    }

    /// A house whose log of three leaves misses the last two that it had; one change and one other request wait.
    async fn rolled_back() -> (House, tempfile::TempDir) {
        let house = House::new();
        let old = tempfile::tempdir().unwrap();
        let (ledger, mut sequencer) = house.open().unwrap();
        let journal = Arc::clone(&ledger.shared.journal);
        house.change(&ledger, 1).await;
        for number in 2..6 {
            if number == 4 {
                copy(&house.ledger_dir(), old.path());
            }
            ledger.close(record(number), Outcome::Ok).await.unwrap();
            // Published, but the outbox still has what is in the log.
            sequencer.stage().await.unwrap();
            let (staged, files) = sequencer.staged().unwrap();
            staged.write(&files, &journal).unwrap();
            sequencer.advance();
        }
        house.change(&ledger, 6).await;
        ledger.close(record(7), Outcome::Ok).await.unwrap();
        drop((ledger, sequencer));
        fs::remove_dir_all(house.ledger_dir()).unwrap();
        copy(old.path(), &house.ledger_dir());
        (house, old)
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn no_crash_loses_the_old_log_or_begins_a_new_one_twice() {
        let mut steps = 0;
        loop {
            let (house, _old) = rolled_back().await;
            let predecessor = Predecessor::of(house.dir.path());
            assert_eq!(predecessor.checkpoint.as_ref().unwrap().size, 3);
            let config = house.config().unwrap();
            let head = Revision(100);
            let birth = Birth::after(
                &predecessor,
                &restored(),
                head,
                &config.journal,
                &XorCipher,
                &rng(),
            )
            .unwrap();
            let config = || crate::Config {
                signer: next_signer(),
                birth: Some(birth.clone()),
                ..house.config().unwrap()
            };
            crash_after(Some(steps));
            let first = Ledger::open(config()).map(drop);
            crash_after(None);
            let opened = Ledger::open(config()).unwrap();
            assert_eq!(opened.position().checkpoint.size, 1, "after {steps} steps");
            let ledger = opened.start();
            ledger.shutdown().await.unwrap();
            let aside = house.dir.path().join("generations/1");
            assert_eq!(verify(&aside.join("ledger"), &key()).unwrap().size, 3);
            assert_eq!(verifier_key(&aside).unwrap(), key());
            let report = verify(&house.ledger_dir(), next_signer().verifier_key()).unwrap();
            // The first leaf, and whatever the old log does not have.
            assert_eq!(
                (report.size, report.first),
                (5, Some(Timestamp::from_millis(NOW + 1_000_000)))
            );
            if first.is_ok() {
                assert!(steps > 8, "each step is one that can crash");
                return;
            }
            steps += 1;
        }
    }

    #[tokio::test]
    async fn a_second_log_of_one_generation_is_set_aside_beside_the_first() {
        let house = House::new();
        for folder in ["1", "1.2", "1.3"] {
            house.open().unwrap();
            set_aside(house.dir.path(), &key()).unwrap();
            let folder = house.dir.path().join(GENERATIONS).join(folder);
            assert!(folder.join(VKEY).exists() && folder.join("ledger").exists());
        }
    }
}
