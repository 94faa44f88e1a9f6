//! The scrub: whether each row of storage is the one that the ledger says was written last. Encryption alone cannot
//! tell, as an older version of a row opens as well as the newest, and a row that is gone says nothing.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use strongroom_base::{NodeId, RequestId};
use strongroom_ledger::{FieldCipher, RowDigest, Stand, Told, replay, row_digest};
use strongroom_storage::{Revision, Row, Storage, is_outbox};

use super::InspectionError;
use super::atlas::{Atlas, RowName};
use super::logs::Logs;
use crate::nodes::is_bookkeeping;

/// Rows read at once.
const PAGE: usize = 1_000;

/// What a scrub found.
#[derive(Debug, Default)]
pub struct Scrub {
    /// Rows of storage that were compared.
    pub rows: u64,
    /// Leaves that were replayed, those that wait in the outbox included.
    pub leaves: u64,
    /// Rows that no leaf speaks of, in an instance whose ledger began before leaves told of rows.
    pub untold: u64,
    /// Nodes whose ledgers have leaves and were not at hand.
    pub missing: Vec<NodeId>,
    /// Rows of which those ledgers, or earlier generations, may have the last word: nothing can be said of them.
    pub elsewhere: u64,
    /// Rows that are not what the ledger says.
    pub findings: Vec<Finding>,
}

/// A row that is not what the ledger says.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The row.
    pub row: RowName,
    /// What is wrong with it.
    pub fault: Fault,
    /// The record of its last change.
    pub last: Option<Cited>,
}

/// What is wrong with a row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It was put back to what it once was.
    #[error("is older than the ledger says: what is there is of {0}")]
    Older(Cited),
    /// It is there although it was deleted.
    #[error("is there although it was deleted")]
    Deleted,
    /// It is gone.
    #[error("is missing")]
    Missing,
    /// What is there was written to another place.
    #[error("holds what belongs to {0}")]
    Moved(RowName),
    /// No change wrote what is there.
    #[error("is not what any change wrote")]
    Altered,
    /// The ledger tells of every row, and not of this one.
    #[error("was written by no change that the ledger tells of")]
    Untold,
}

impl Fault {
    /// The word for it in output for scripts.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Older(_) => "older",
            Self::Deleted => "deleted",
            Self::Missing => "missing",
            Self::Moved(_) => "moved",
            Self::Altered => "altered",
            Self::Untold => "untold",
        }
    }
}

/// A record of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cited {
    /// The request that left it.
    pub request: RequestId,
    /// Where it stands.
    pub stand: Stand,
}

impl fmt::Display for Cited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stand {
            Stand::Leaf {
                node: NodeId::FIRST,
                index,
            } => write!(f, "request {}, leaf {index}", self.request),
            Stand::Leaf { node, index } => {
                write!(f, "request {}, leaf {index} of node {node}", self.request)
            }
            Stand::Outbox(revision) => write!(f, "request {}, revision {}", self.request, revision.0),
        }
    }
}

/// Compares `storage` with the ledgers of `logs`, from the first leaves on, and with what waits in the outbox. What nodes
/// write for themselves, and the outbox, are not compared: no request writes those. Keeps about 90 bytes in memory for
/// each row that there ever was.
///
/// Unless the ledgers are whole, a row that is newer than the last word about it, and one that is gone, may have been
/// changed by a node whose leaves are not at hand.
///
/// # Errors
/// [`InspectionError`].
pub(super) async fn scrub(
    storage: &dyn Storage,
    logs: &Logs,
    cipher: &dyn FieldCipher,
    atlas: &Atlas,
) -> Result<Scrub, InspectionError> {
    let mut scrub = Scrub {
        missing: logs.missing.clone(),
        ..Scrub::default()
    };
    let mut words = LastWords::new();
    let mut tells_all = false;
    replay(&logs.logs, storage, cipher, |told| {
        scrub.leaves += 1;
        tells_all |= tells_all_since(&told);
        for row in told.rows() {
            let word = LastWord::new(row.value, &told);
            match words.entry(row.key) {
                Entry::Occupied(known) if known.get().committed > word.committed => {}
                Entry::Occupied(mut known) => *known.get_mut() = word,
                Entry::Vacant(vacant) => drop(vacant.insert(word)),
            }
        }
    })
    .await?;

    let mut suspects = Vec::new();
    each_row(storage, |key, row| {
        let digest = row_digest(&key);
        if is_outbox(&key) || is_bookkeeping(&key) {
            words.remove(&digest);
            return;
        }
        scrub.rows += 1;
        let suspect = Suspect {
            digest,
            value: row_digest(&row.value),
            key,
        };
        match words.get_mut(&suspect.digest) {
            None if !logs.are_whole => scrub.elsewhere += 1,
            None if !tells_all => scrub.untold += 1,
            None => suspects.push(suspect),
            Some(word) => {
                word.is_there = true;
                if word.value == Some(suspect.value) {
                } else if !logs.are_whole && row.revision > word.committed {
                    scrub.elsewhere += 1;
                } else {
                    suspects.push(suspect);
                }
            }
        }
    })
    .await?;
    if !logs.are_whole {
        let gone = words.extract_if(|_, word| word.is_missing()).count();
        scrub.elsewhere += gone as u64;
    }

    let mut missing: Vec<_> = words.iter().filter(|(_, word)| word.is_missing()).collect();
    missing.sort_unstable_by_key(|(_, word)| word.stand);
    let missing: Vec<_> = missing.into_iter().map(|(digest, _)| *digest).collect();
    if !(suspects.is_empty() && missing.is_empty()) {
        let wrong = Wrong {
            suspects,
            missing,
            words,
        };
        let inquest = Inquest::hold(&wrong, storage, logs, cipher).await?;
        scrub.findings = inquest.findings(&wrong, storage, atlas).await?;
    }
    Ok(scrub)
}

/// Whether `told` is of the instance's birth and tells of rows: then every later leaf does.
fn tells_all_since(told: &Told) -> bool {
    told.stand
        == Stand::Leaf {
            node: NodeId::FIRST,
            index: 0,
        }
        && !told.rows().is_empty()
}

/// By the digest of a row's key, what the ledgers say of it last.
type LastWords = HashMap<RowDigest, LastWord>;

struct LastWord {
    /// The digest of what it must hold; `None` when it was deleted.
    value: Option<RowDigest>,
    stand: Stand,
    committed: Revision,
    /// Whether storage has such a row.
    is_there: bool,
}

impl LastWord {
    fn new(value: Option<RowDigest>, told: &Told) -> Self {
        Self {
            value,
            stand: told.stand,
            committed: told.committed,
            is_there: false,
        }
    }

    fn is_missing(&self) -> bool {
        self.value.is_some() && !self.is_there
    }
}

/// A row that does not hold what the last word about it says.
struct Suspect {
    key: Vec<u8>,
    digest: RowDigest,
    value: RowDigest,
}

/// Everything that is wrong.
struct Wrong {
    suspects: Vec<Suspect>,
    /// The digests of the keys of rows that are gone.
    missing: Vec<RowDigest>,
    words: LastWords,
}

/// What a second reading of the ledger tells of what is wrong.
#[derive(Default)]
struct Inquest {
    /// By the digest of what a suspect holds: to which keys it was written, and by whom.
    wrote: HashMap<RowDigest, Vec<(RowDigest, Cited)>>,
    /// The records of the last words.
    last: BTreeMap<Stand, Cited>,
    /// What these requests touched.
    paths: BTreeSet<String>,
}

impl Inquest {
    async fn hold(
        wrong: &Wrong,
        storage: &dyn Storage,
        logs: &Logs,
        cipher: &dyn FieldCipher,
    ) -> Result<Self, InspectionError> {
        let mut inquest = Self::default();
        let values: HashSet<_> = wrong.suspects.iter().map(|suspect| suspect.value).collect();
        let of_suspects = wrong.suspects.iter().map(|suspect| &suspect.digest);
        let stands: BTreeSet<_> = of_suspects
            .chain(&wrong.missing)
            .filter_map(|digest| Some(wrong.words.get(digest)?.stand))
            .collect();
        replay(&logs.logs, storage, cipher, |told| {
            let cited = Cited {
                request: told.facts.id,
                stand: told.stand,
            };
            let mut concerns = stands.contains(&told.stand);
            if concerns {
                inquest.last.insert(told.stand, cited);
            }
            for row in told.rows() {
                if let Some(value) = row.value.filter(|value| values.contains(value)) {
                    inquest.wrote.entry(value).or_default().push((row.key, cited));
                    concerns = true;
                }
            }
            if let Some(fields) = told.fields.filter(|_| concerns) {
                inquest.paths.extend(fields.paths);
            }
        })
        .await?;
        Ok(inquest)
    }

    async fn findings(
        &self,
        wrong: &Wrong,
        storage: &dyn Storage,
        atlas: &Atlas,
    ) -> Result<Vec<Finding>, InspectionError> {
        let keys = self.keys(wrong, storage, atlas).await?;
        let mut findings = Vec::new();
        for suspect in &wrong.suspects {
            findings.push(Finding {
                row: atlas.name(&suspect.key).await?,
                fault: self
                    .fault(suspect, wrong.words.get(&suspect.digest), &keys, atlas)
                    .await?,
                last: self.last(wrong, &suspect.digest),
            });
        }
        for digest in &wrong.missing {
            findings.push(Finding {
                row: name(*digest, &keys, atlas).await?,
                fault: Fault::Missing,
                last: self.last(wrong, digest),
            });
        }
        Ok(findings)
    }

    async fn fault(
        &self,
        suspect: &Suspect,
        word: Option<&LastWord>,
        keys: &HashMap<RowDigest, Vec<u8>>,
        atlas: &Atlas,
    ) -> Result<Fault, InspectionError> {
        let wrote = self
            .wrote
            .get(&suspect.value)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let here = wrote.iter().rfind(|(key, _)| *key == suspect.digest);
        Ok(match (word, here, wrote.last()) {
            (_, None, Some((from, _))) => Fault::Moved(name(*from, keys, atlas).await?),
            (None, ..) => Fault::Untold,
            (Some(word), ..) if word.value.is_none() => Fault::Deleted,
            (Some(_), Some((_, cited)), _) => Fault::Older(*cited),
            (Some(_), None, None) => Fault::Altered,
        })
    }

    fn last(&self, wrong: &Wrong, digest: &RowDigest) -> Option<Cited> {
        self.last.get(&wrong.words.get(digest)?.stand).copied()
    }

    /// The keys, as far as they can be told, of rows that are gone and of rows from which others were moved: the ledger
    /// has only their digests.
    async fn keys(
        &self,
        wrong: &Wrong,
        storage: &dyn Storage,
        atlas: &Atlas,
    ) -> Result<HashMap<RowDigest, Vec<u8>>, InspectionError> {
        let origins = self.wrote.values().flatten().map(|(key, _)| *key);
        let mut wanted: HashSet<RowDigest> = wrong.missing.iter().copied().chain(origins).collect();
        let mut keys = HashMap::new();
        let mut offer = |key: Vec<u8>| {
            let digest = row_digest(&key);
            if wanted.remove(&digest) {
                keys.insert(digest, key);
            }
        };
        for path in &self.paths {
            atlas.keys_at(path).await?.into_iter().for_each(&mut offer);
        }
        each_row(storage, |key, _| offer(key)).await?;
        Ok(keys)
    }
}

async fn name(
    digest: RowDigest,
    keys: &HashMap<RowDigest, Vec<u8>>,
    atlas: &Atlas,
) -> Result<RowName, InspectionError> {
    Ok(match keys.get(&digest) {
        Some(key) => atlas.name(key).await?,
        None => RowName::Unknown,
    })
}

/// Calls `each` with every row of `storage`, in key order.
async fn each_row(storage: &dyn Storage, mut each: impl FnMut(Vec<u8>, Row)) -> Result<(), InspectionError> {
    each_page(storage, async |page| {
        page.into_iter().for_each(|(key, row)| each(key, row));
        Ok(())
    })
    .await
}

/// Calls `each` with all rows of `storage`, a page at a time, in key order.
pub(super) async fn each_page(
    storage: &dyn Storage,
    mut each: impl AsyncFnMut(Vec<(Vec<u8>, Row)>) -> Result<(), InspectionError>,
) -> Result<(), InspectionError> {
    let mut after = None;
    loop {
        let page = storage.scan(vec![0]..vec![u8::MAX], after, PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        each(page).await?;
        if is_last {
            return Ok(());
        }
    }
}
