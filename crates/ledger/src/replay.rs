//! What the ledger says that requests did to storage, from the first leaf to the last change, whose record may still
//! be in the outbox. A scrub compares storage with it.

use strongroom_storage::{OUTBOX_PLANE, Revision, Storage, Unavailable, outbox_key};

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
    /// In the log, as the leaf of this number.
    Leaf(u64),
    /// In the outbox row of this revision: it is not published yet.
    Outbox(Revision),
}

/// A leaf, or what will be one, opened.
pub struct Told {
    /// Where it stands.
    pub stand: Stand,
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

/// Calls `each` with the leaves of the log that `reader` reads, in order, and then with those that wait in the outbox
/// of `storage`: so changes come in the order in which they were committed. (Records that wait in the journal changed
/// nothing.) The log should be verified before.
///
/// # Errors
/// [`ReplayError`].
pub async fn replay(
    reader: &Reader,
    storage: &dyn Storage,
    cipher: &dyn FieldCipher,
    mut each: impl FnMut(Told),
) -> Result<(), ReplayError> {
    let (mut next, mut drained) = (0, 0);
    loop {
        let page = reader.leaves(next, PAGE)?;
        let Some(last) = page.last() else { break };
        next = last.index + 1;
        for leaf in &page {
            let facts = leaf.facts().map_err(|_| ReplayError::Leaf(leaf.index))?;
            let fields = facts.open(cipher).map_err(|_| ReplayError::Leaf(leaf.index))?;
            drained = facts.outbox;
            each(Told {
                stand: Stand::Leaf(leaf.index),
                facts,
                fields,
            });
        }
    }
    let mut after = None;
    loop {
        let range = vec![OUTBOX_PLANE]..vec![OUTBOX_PLANE + 1];
        let page = storage.scan(range, after, PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        for (key, row) in page.iter().filter(|(_, row)| row.revision.0 > drained) {
            let malformed = || ReplayError::Outbox(row.revision.0);
            let notes = Some(&row.value).filter(|_| *key == outbox_key(row.revision));
            for entry in notes
                .and_then(|notes| decode_notes(notes))
                .ok_or_else(malformed)?
            {
                for fragment in entry.fragments() {
                    let (facts, fields) = open_fragment(fragment, cipher).ok_or_else(malformed)?;
                    each(Told {
                        stand: Stand::Outbox(row.revision),
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

/// Opens the fragment of a leaf that has no numbers yet.
fn open_fragment(fragment: &[u8], cipher: &dyn FieldCipher) -> Option<(LeafFacts, Option<Fields>)> {
    let mut bytes = Vec::with_capacity(fragment.len() + 64);
    finalize(&mut bytes, Marks::default(), fragment);
    let facts = LeafFacts::of(&Leaf::parse(&bytes).ok()?);
    let fields = facts.open(cipher).ok()?;
    Some((facts, fields))
}
