//! What the ledger says that requests did to storage, from the first leaf to the last change, whose record may still
//! be in the outbox. A scrub compares storage with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_base::NodeId;
use strongroom_storage::{OutboxKey, Revision, Storage, Unavailable};

use crate::entry::FieldCipher;
use crate::fields::{Fields, LeafFacts};
use crate::leaf::{Leaf, Marks, finalize};
use crate::reader::{ReadError, Reader};
use crate::rows::RowMark;
use crate::sequencer::decode_notes;

/// Leaves, and rows of the outbox, that are read at once.
const PAGE: usize = 4_096;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stand {
    /// In the log of a node, as the leaf of this number.
    Leaf {
        /// Whose log.
        node: NodeId,
        /// Which leaf.
        index: u64,
    },
    /// In the outbox row of this revision: it is not published yet.
    Outbox(Revision),
}

/// The published log of a node.
#[derive(Clone)]
pub struct Log {
    /// Whose it is.
    pub node: NodeId,
    /// What reads it.
    pub reader: Arc<Reader>,
}

/// A leaf, or what will be one, opened.
pub struct Told {
    /// Where it stands.
    pub stand: Stand,
    /// The revision at which the group of its change ended: of two changes, that of the later is higher or, within one
    /// group, it is told later.
    pub committed: Revision,
    /// What it says in clear.
    pub facts: LeafFacts,
    /// What it says sealed; absent when nothing is.
    pub fields: Option<Fields>,
}

impl Told {
    /// What its request did to storage.
    #[must_use]
    pub fn rows(&self) -> &[RowMark] {
        self.fields.as_ref().map_or(&[], |fields| &fields.rows)
    }
}

/// Why the ledger cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file of the log.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// A leaf was sealed with another key, or is none.
    #[error("leaf {0} does not open")]
    Leaf(u64),
    /// An outbox row is not one of ours.
    #[error("the outbox row of revision {0} is malformed or does not open")]
    Outbox(u64),
    /// Storage cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Calls `each` with the leaves of `logs`, of each in order, and then with those that wait in the outbox of `storage`.
/// (Records that wait in a journal changed nothing.) The logs should be verified before.
///
/// # Errors
/// [`ReplayError`].
pub async fn replay(
    logs: &[Log],
    storage: &dyn Storage,
    cipher: &dyn FieldCipher,
    mut each: impl FnMut(Told),
) -> Result<(), ReplayError> {
    let mut drained = BTreeMap::new();
    for log in logs {
        drained.insert(log.node, replay_log(log, cipher, &mut each)?);
    }
    let mut after = None;
    loop {
        let page = storage.scan(OutboxKey::all(), after, PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        for (key, row) in page {
            let malformed = || ReplayError::Outbox(row.revision.0);
            let key = OutboxKey::read(&key)
                .filter(|key| key.revision == row.revision)
                .ok_or_else(malformed)?;
            // What is in the log already is only not deleted yet.
            if drained
                .get(&key.node)
                .is_some_and(|drained| key.revision <= *drained)
            {
                continue;
            }
            for entry in decode_notes(&row.value).ok_or_else(malformed)? {
                for fragment in entry.fragments() {
                    let (facts, fields) =
                        open_fragment(fragment, entry.from(), cipher).ok_or_else(malformed)?;
                    each(Told {
                        stand: Stand::Outbox(row.revision),
                        committed: facts.from.map_or(row.revision, |row| row.revision),
                        facts,
                        fields,
                    });
                }
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Calls `each` with the leaves of `log`; gives the revision up to which the outbox is in it.
fn replay_log(
    log: &Log,
    cipher: &dyn FieldCipher,
    each: &mut impl FnMut(Told),
) -> Result<Revision, ReplayError> {
    let (mut next, mut drained) = (0, Revision(0));
    loop {
        let page = log.reader.leaves(next, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(drained);
        };
        next = last.index + 1;
        for leaf in &page {
            let facts = leaf.facts().map_err(|_| ReplayError::Leaf(leaf.index))?;
            let fields = facts.open(cipher).map_err(|_| ReplayError::Leaf(leaf.index))?;
            drained = Revision(facts.outbox);
            each(Told {
                stand: Stand::Leaf {
                    node: log.node,
                    index: leaf.index,
                },
                committed: facts.committed(),
                facts,
                fields,
            });
        }
    }
}

/// Opens the fragment of a leaf that has no numbers yet.
fn open_fragment(
    fragment: &[u8],
    from: Option<OutboxKey>,
    cipher: &dyn FieldCipher,
) -> Option<(LeafFacts, Option<Fields>)> {
    let mut bytes = Vec::with_capacity(fragment.len() + 64);
    finalize(&mut bytes, Marks::default(), from, fragment);
    let facts = LeafFacts::of(&Leaf::parse(&bytes).ok()?);
    let fields = facts.open(cipher).ok()?;
    Some((facts, fields))
}
