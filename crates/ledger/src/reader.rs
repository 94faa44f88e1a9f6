//! Reading a published log: leaves by number and by request, and proofs about them. It works on the files alone, so it
//! reads beside the sequencer that grows the log, and a copy of the log as well. Blocks on files.

use std::fs;
use std::io;
use std::path::Path;

use strongroom_base::{RequestId, Timestamp, Ttl, limits};
use strongroom_tlog::{
    Checkpoint, Hash, Level, Note, ProofFile, ProveError, Prover, TILE_WIDTH, TilePath, VerifierKey,
    decode_bundle,
};

use crate::VKEY;
use crate::fields::LeafFacts;
use crate::files::{CHECKPOINT, COSIGNED, LedgerFiles};
use crate::leaf::Leaf;
use crate::verify::{Flaw, VerifyError};

/// Times that a read begins anew because the sequencer replaced a file under it.
const ATTEMPTS: usize = 5;
/// A request's leaf is not stamped earlier than its id, but for clocks that were set back by so much meanwhile.
const STAMPED_BEFORE: Ttl = Ttl::from_secs(5);
/// Nor later than the request may take, and then waits in a queue that is full.
const STAMPED_AFTER: Ttl = Ttl::from_secs(limits::REQUEST_SECS + 60);

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is not what the checkpoint says.
    #[error(transparent)]
    Damaged(#[from] VerifyError),
    /// There is no such leaf, or no tree of that size.
    #[error("the log has {size} leaves, and no leaf or older tree of number {asked}")]
    Range {
        /// Leaves in the log.
        size: u64,
        /// What was asked for.
        asked: u64,
    },
}

/// A leaf in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number in the log, from 0.
    pub index: u64,
    /// Its exact bytes: one JSON object.
    pub bytes: Vec<u8>,
}

impl Published {
    /// What the leaf says in clear.
    ///
    /// # Errors
    /// When the bytes are no leaf.
    pub fn facts(&self) -> Result<LeafFacts, VerifyError> {
        let flawed = |flaw| {
            VerifyError::new(
                CHECKPOINT,
                Flaw::Leaf {
                    index: self.index,
                    flaw,
                },
            )
        };
        Ok(LeafFacts::of(&Leaf::parse(&self.bytes).map_err(flawed)?))
    }
}

/// The published log in one directory.
pub struct Reader {
    files: LedgerFiles,
    key: VerifierKey,
}

impl Reader {
    /// The log in `dir`, a `DATA/ledger` or a copy of one, whose public key is `key`.
    #[must_use]
    pub fn new(dir: &Path, key: VerifierKey) -> Self {
        let files = LedgerFiles::new(dir.to_owned());
        Self { files, key }
    }

    /// The log's public key, whose name is the log's origin.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The newest checkpoint, verified, and its note as it was signed.
    ///
    /// # Errors
    /// [`ReadError::Damaged`].
    pub fn checkpoint(&self) -> Result<(Checkpoint, Note), ReadError> {
        let missing = || VerifyError::new(CHECKPOINT, Flaw::Missing);
        Ok(self.files.signed(CHECKPOINT, &self.key)?.ok_or_else(missing)?)
    }

    /// The leaves from number `from` on, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError::Damaged`].
    pub fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Published>, ReadError> {
        self.in_one_tree(|tree| {
            let mut leaves = Vec::new();
            let end = tree.size.min(from.saturating_add(limit as u64));
            let mut next = from;
            while next < end {
                let bundle = tree.bundle(next)?;
                next += bundle.len() as u64;
                leaves.extend(bundle);
            }
            leaves.truncate(limit.min(leaves.len()));
            Ok(leaves)
        })
    }

    /// The leaves of `request`, in order; none when the log has none (yet). Found by the time in the id, as the times
    /// of leaves never decrease.
    ///
    /// # Errors
    /// [`ReadError::Damaged`].
    pub fn find(&self, request: RequestId) -> Result<Vec<Published>, ReadError> {
        let text = request.to_string();
        let earliest = request.time().before(STAMPED_BEFORE);
        let latest = request.time().after(STAMPED_AFTER);
        self.in_one_tree(|tree| {
            let mut found = Vec::new();
            let mut next = tree.first_at(earliest)?;
            while next < tree.size {
                for leaf in tree.bundle(next)? {
                    next = leaf.index + 1;
                    let parsed = tree.parse(&leaf)?;
                    let (is_its, is_last) =
                        (parsed.id() == text, parsed.place().part == parsed.place().parts);
                    if parsed.marks().t > latest.as_millis() && !is_its {
                        return Ok(found);
                    }
                    if is_its {
                        found.push(leaf);
                    }
                    if is_its && is_last {
                        return Ok(found);
                    }
                }
            }
            Ok(found)
        })
    }

    /// The number of the first leaf stamped at `time` or later; the log's size if there is none.
    ///
    /// # Errors
    /// [`ReadError::Damaged`].
    pub fn first_at(&self, time: Timestamp) -> Result<u64, ReadError> {
        self.in_one_tree(|tree| tree.first_at(time))
    }

    /// The proof that leaf `index` is in the log, with the leaf's bytes in it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prove(&self, index: u64) -> Result<ProofFile, ReadError> {
        self.in_one_tree(|tree| {
            let path = tree
                .prover()
                .inclusion(index)
                .map_err(|error| tree.unproved(index, error))?;
            let entry = tree.bundle(index)?.into_iter().next().map(|leaf| leaf.bytes);
            Ok(ProofFile {
                extra: entry,
                index,
                path,
                checkpoint: tree.note.clone(),
            })
        })
    }

    /// The proof that the newest checkpoint, which is given with it, continues the tree of the first `old` leaves.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prove_growth(&self, old: u64) -> Result<(Vec<Hash>, Note), ReadError> {
        let (mut proofs, note) = self.prove_growth_of_each(&[old])?;
        Ok((proofs.pop().unwrap_or_default(), note))
    }

    /// [`Reader::prove_growth`] for each of `olds`, all to one checkpoint.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prove_growth_of_each(&self, olds: &[u64]) -> Result<(Vec<Vec<Hash>>, Note), ReadError> {
        self.in_one_tree(|tree| {
            let prove = |old: &u64| {
                let proof = tree.prover().consistency(*old);
                proof.map_err(|error| tree.unproved(*old, error))
            };
            let proofs = olds.iter().map(prove).collect::<Result<_, _>>()?;
            Ok((proofs, tree.note.clone()))
        })
    }

    /// The newest checkpoint that a witness has cosigned, and its note with the cosignatures, which are not verified.
    /// `None` when there is none.
    ///
    /// # Errors
    /// [`ReadError::Damaged`].
    pub fn cosigned(&self) -> Result<Option<(Checkpoint, Note)>, ReadError> {
        Ok(self.files.signed(COSIGNED, &self.key)?)
    }

    /// Keeps `note`, a checkpoint of this log with cosignatures under it, instead of the one that [`Reader::cosigned`]
    /// gives: whole or not at all, and durably.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_cosigned(&self, note: &Note) -> io::Result<()> {
        self.files.write_note(COSIGNED, &note.to_string())
    }

    /// Reads under one checkpoint. A partial tile can be replaced by its successor meanwhile; then under the next.
    fn in_one_tree<T>(&self, read: impl Fn(&Tree<'_>) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let mut attempt = 1;
        loop {
            let (checkpoint, note) = self.checkpoint()?;
            let tree = Tree {
                files: &self.files,
                size: checkpoint.size,
                note,
            };
            match read(&tree) {
                Err(ReadError::Damaged(VerifyError {
                    flaw: Flaw::Missing, ..
                })) if attempt < ATTEMPTS => attempt += 1,
                done => return done,
            }
        }
    }
}

/// The log under one checkpoint.
struct Tree<'f> {
    files: &'f LedgerFiles,
    size: u64,
    note: Note,
}

impl Tree<'_> {
    /// The leaves from `first`, which is in the tree, to the end of its bundle.
    fn bundle(&self, first: u64) -> Result<Vec<Published>, ReadError> {
        let number = first / TILE_WIDTH as u64;
        let full = TilePath::full(Level::Entries, number);
        let partial = TilePath::partial(Level::Entries, self.size);
        let path = Some(full).filter(|path| path.is_in(self.size)).or(partial);
        let path = path.ok_or(ReadError::Range {
            size: self.size,
            asked: first,
        })?;
        let bytes = self.files.read(path)?;
        let entries = decode_bundle(&bytes).map_err(|error| VerifyError::new(path, Flaw::Bundle(error)))?;
        if entries.len() != path.width() {
            return Err(VerifyError::new(path, Flaw::Width).into());
        }
        let numbered = (number * TILE_WIDTH as u64..).zip(entries);
        let published = |(index, entry): (u64, &[u8])| Published {
            index,
            bytes: entry.to_vec(),
        };
        Ok(numbered
            .filter(|(index, _)| *index >= first)
            .map(published)
            .collect())
    }

    fn parse<'l>(&self, leaf: &'l Published) -> Result<Leaf<'l>, VerifyError> {
        let path = TilePath::full(Level::Entries, leaf.index / TILE_WIDTH as u64);
        Leaf::parse(&leaf.bytes).map_err(|flaw| {
            VerifyError::new(
                path,
                Flaw::Leaf {
                    index: leaf.index,
                    flaw,
                },
            )
        })
    }

    /// Binary search over bundles, then within one.
    fn first_at(&self, time: Timestamp) -> Result<u64, ReadError> {
        let is_before = |leaf: &Published| Ok::<_, ReadError>(self.parse(leaf)?.marks().t < time.as_millis());
        let (mut low, mut high) = (0, self.size.div_ceil(TILE_WIDTH as u64));
        // The first leaf of bundle `low - 1` is before `time`, that of bundle `high` is not.
        while low < high {
            let middle = low + (high - low) / 2;
            match self
                .bundle(middle * TILE_WIDTH as u64)?
                .first()
                .map(is_before)
                .transpose()?
            {
                Some(true) => low = middle + 1,
                _ => high = middle,
            }
        }
        let Some(last_before) = low.checked_sub(1) else {
            return Ok(0);
        };
        for leaf in self.bundle(last_before * TILE_WIDTH as u64)? {
            if !is_before(&leaf)? {
                return Ok(leaf.index);
            }
        }
        Ok(self.size.min(low * TILE_WIDTH as u64))
    }

    fn prover(&self) -> Prover<impl FnMut(TilePath) -> Result<strongroom_tlog::Tile, VerifyError>> {
        Prover::new(self.size, |path| self.files.tile(path))
    }

    fn unproved(&self, asked: u64, error: ProveError<VerifyError>) -> ReadError {
        match error {
            ProveError::Proof(_) => ReadError::Range {
                size: self.size,
                asked,
            },
            ProveError::Read(error) => error.into(),
        }
    }
}

/// The public key that stands in the file `ledger.vkey` of `data_dir`.
///
/// # Errors
/// When there is none.
pub fn verifier_key(data_dir: &Path) -> Result<VerifierKey, VerifyError> {
    let line =
        fs::read_to_string(data_dir.join(VKEY)).map_err(|error| VerifyError::new(VKEY, Flaw::Io(error)))?;
    line.trim_end()
        .parse()
        .map_err(|error| VerifyError::new(VKEY, Flaw::Note(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{Disclosure, DisclosureError, FieldName};
    use crate::testing::{House, NOW, XorCipher, key, rng};
    use crate::{Ledger, Outcome, Record};
    use strongroom_base::Timestamp;
    use strongroom_tlog::verify_consistency;

    const COUNT: u64 = 700;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(NOW + millis)
    }

    /// Publishes [`COUNT`] requests in batches, a second apart, some of them with several leaves.
    async fn published(house: &House) -> (Ledger, Vec<RequestId>) {
        let (ledger, mut sequencer) = house.open().unwrap();
        let (rng, mut ids) = (rng(), Vec::new());
        for number in 0..COUNT {
            let time = at(1000 * number);
            let mut record = Record::open(RequestId::at(time, &rng), "secret.read", time, "192.0.2.7");
            record.set_principal(strongroom_base::PrincipalId::from_bytes([9; 16]), "planted-slug");
            record.because("planted decision");
            for path in 0..if number % 100 == 0 { 201 } else { 2 } {
                record.touch(format!("planted/{path}"));
            }
            ids.push(record.id());
            ledger.close(record, Outcome::Ok).await.unwrap();
            if number % 97 == 0 {
                sequencer.publish().await.unwrap();
            }
        }
        sequencer.publish().await.unwrap();
        (ledger, ids)
    }

    #[tokio::test]
    async fn every_request_is_found_and_no_other() {
        let house = House::new();
        let (ledger, ids) = published(&house).await;
        let reader = ledger.reader();
        let mut next = 0;
        for (number, id) in ids.iter().enumerate() {
            let found = reader.find(*id).unwrap();
            assert_eq!(found.len(), if number % 100 == 0 { 2 } else { 1 });
            for leaf in found {
                assert_eq!((leaf.index, leaf.facts().unwrap().id), (next, *id));
                next += 1;
            }
        }
        assert_eq!(reader.checkpoint().unwrap().0.size, next);
        for time in [at(0).before(Ttl::from_hours(1)), at(500), at(1000 * COUNT + 1)] {
            assert_eq!(reader.find(RequestId::at(time, &rng())).unwrap(), []);
        }
        assert_eq!(reader.first_at(at(0)).unwrap(), 0);
        assert_eq!(
            reader.first_at(at(1)).unwrap(),
            2,
            "the first request has two leaves"
        );
        assert_eq!(reader.first_at(at(1000 * COUNT)).unwrap(), next);
    }

    #[tokio::test]
    async fn pages_are_the_log() {
        let house = House::new();
        let (ledger, _) = published(&house).await;
        let reader = ledger.reader();
        let all = reader.leaves(0, usize::MAX).unwrap();
        assert!(all.iter().map(|leaf| leaf.index).eq(0..COUNT + 7));
        for (from, limit) in [(0, 1), (255, 2), (256, 256), (300, 0), (700, 100), (9_999, 5)] {
            let end = all.len().min(from as usize + limit);
            let expected = all.get(from as usize..end).unwrap_or_default();
            assert_eq!(
                reader.leaves(from, limit).unwrap(),
                expected,
                "{limit} from {from}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_proved_verifies_without_the_log() {
        let house = House::new();
        let (ledger, _) = published(&house).await;
        let reader = ledger.reader();
        for index in [0, 255, 256, COUNT + 6] {
            let proof = reader.prove(index).unwrap();
            let leaf = proof.extra.clone().unwrap();
            assert_eq!(leaf, reader.leaves(index, 1).unwrap()[0].bytes);
            assert_eq!(proof.verify(&leaf, &key()).unwrap().size, COUNT + 7);
        }
        assert!(matches!(reader.prove(COUNT + 7), Err(ReadError::Range { size, asked }) if size == asked));
        let (checkpoint, _) = reader.checkpoint().unwrap();
        let (path, _) = reader.prove_growth(0).unwrap();
        assert_eq!(path, []);
        let (path, _) = reader.prove_growth(checkpoint.size).unwrap();
        assert_eq!(
            verify_consistency(
                checkpoint.size,
                checkpoint.root,
                checkpoint.size,
                checkpoint.root,
                &path
            ),
            Ok(())
        );
        assert!(reader.prove_growth(checkpoint.size + 1).is_err());
    }

    #[tokio::test]
    async fn one_field_is_disclosed_alone() {
        let house = House::new();
        let (ledger, ids) = published(&house).await;
        let leaf = ledger.reader().find(ids[1]).unwrap().remove(0);
        let fields = leaf.facts().unwrap().open(&XorCipher).unwrap().unwrap();
        assert_eq!(
            (fields.paths.len(), fields.source.as_deref()),
            (2, Some("192.0.2.7"))
        );
        let second = fields.disclose(FieldName::Paths, 1).unwrap();
        assert_eq!(second.verify(&leaf.bytes), Ok(()));
        let json = serde_json::to_string(&second).unwrap();
        assert!(!json.contains("planted/0") && !json.contains("192.0.2.7"));
        assert_eq!(serde_json::from_str::<Disclosure>(&json).unwrap(), second);
        let mut changed = second.clone();
        changed.value = "planted/0".into();
        assert_eq!(changed.verify(&leaf.bytes), Err(DisclosureError::Value));
        let mut elsewhere = second.clone();
        elsewhere.index = 0;
        assert_eq!(elsewhere.verify(&leaf.bytes), Err(DisclosureError::Value));
        let another = ledger.reader().find(ids[2]).unwrap().remove(0);
        assert_eq!(
            second.verify(&another.bytes),
            Err(DisclosureError::Value),
            "each leaf has salts of its own"
        );
        assert!(
            fields.disclose(FieldName::Paths, 2).is_none() && fields.disclose(FieldName::Source, 1).is_none()
        );
        assert!(fields.disclose(FieldName::Reason, 0).is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn reading_goes_on_while_the_log_grows() {
        let house = House::new();
        let (ledger, mut sequencer) = house.open().unwrap();
        let reader = ledger.reader();
        let reading = std::thread::spawn(move || {
            let mut size = 0;
            while size < 300 {
                let leaves = reader.leaves(0, usize::MAX).unwrap();
                assert!(leaves.len() >= size);
                size = leaves.len();
            }
        });
        for number in 0..300 {
            let mut record = Record::open(RequestId::at(at(number), &rng()), "seal.status", at(number), "");
            record.set_principal(strongroom_base::PrincipalId::from_bytes([9; 16]), "planted-slug");
            ledger.close(record, Outcome::Ok).await.unwrap();
            sequencer.publish().await.unwrap();
        }
        ledger.grown_beyond(299).await;
        reading.join().unwrap();
    }
}
