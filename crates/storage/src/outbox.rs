//! The outbox: where the audit records of changes wait for a ledger. Each node has rows of its own, one for each group of
//! changes that it committed. `docs/formats/outbox.md` has the bytes; nobody else spells them.

use std::ops::Range;

use strongroom_base::NodeId;

use crate::Revision;

/// The first byte of every outbox key.
const PLANE: u8 = 4;

/// An audit record on its way into the ledger of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The node whose ledger takes it.
    pub node: NodeId,
    /// The record, as the ledger encodes it.
    pub bytes: Vec<u8>,
}

/// Which row of the outbox: the one of the group that ended with `revision`, for the ledger of `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxKey {
    /// The node whose ledger takes it.
    pub node: NodeId,
    /// The last revision of the group, which is also that of the row.
    pub revision: Revision,
}

impl OutboxKey {
    /// The key's bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut key = vec![PLANE];
        key.extend(self.node.0.to_be_bytes());
        key.extend(self.revision.0.to_be_bytes());
        key
    }

    /// Reads a key; `None` when it is none of the outbox. Keys without a node are of versions that knew one node only,
    /// the first.
    #[must_use]
    pub fn read(key: &[u8]) -> Option<Self> {
        let rest = key.strip_prefix(&[PLANE])?;
        let (node, revision) = match rest.len() {
            8 => (NodeId::FIRST, rest),
            _ => {
                let (node, revision) = rest.split_first_chunk()?;
                (NodeId(u32::from_be_bytes(*node)), revision)
            }
        };
        let revision = Revision(u64::from_be_bytes(revision.try_into().ok()?));
        Some(Self { node, revision })
    }

    /// All keys of `node`, in the order of their revisions.
    #[must_use]
    pub fn all_of(node: NodeId) -> Range<Vec<u8>> {
        // A key without a node begins with the high half of its revision: it sorts as if its node were zero.
        let first = if node == NodeId::FIRST { NodeId(0) } else { node };
        let after = node
            .0
            .checked_add(1)
            .map_or(vec![PLANE + 1], |next| prefix(NodeId(next)));
        prefix(first)..after
    }

    /// All keys of all nodes.
    #[must_use]
    pub fn all() -> Range<Vec<u8>> {
        vec![PLANE]..vec![PLANE + 1]
    }
}

fn prefix(node: NodeId) -> Vec<u8> {
    let mut prefix = vec![PLANE];
    prefix.extend(node.0.to_be_bytes());
    prefix
}

/// Whether the row at `key` is one of the outbox, which only notes fill.
#[must_use]
pub fn is_outbox(key: &[u8]) -> bool {
    key.first() == Some(&PLANE)
}

/// Appends a note's `bytes` to the value of an outbox row.
pub(crate) fn push_note(row: &mut Vec<u8>, bytes: &[u8]) {
    // INVARIANT: `Change::size` bounds a note by GROUP_BYTES, so its length fits.
    row.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    row.extend(bytes);
}

/// The notes in the value of an outbox row, in order; `None` when it is anything else.
#[must_use]
pub fn notes_in(mut row: &[u8]) -> Option<Vec<&[u8]>> {
    let mut notes = Vec::new();
    while !row.is_empty() {
        let (length, rest) = row.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (note, rest) = rest.split_at_checked(length)?;
        notes.push(note);
        row = rest;
    }
    Some(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(node: u32, revision: u64) -> OutboxKey {
        OutboxKey {
            node: NodeId(node),
            revision: Revision(revision),
        }
    }

    /// `docs/formats/outbox.md` shows these bytes.
    #[test]
    fn the_bytes_of_keys_and_rows() {
        let bytes = key(2, 258).to_bytes();
        assert_eq!(bytes, [4, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(OutboxKey::read(&bytes), Some(key(2, 258)));
        assert_eq!(OutboxKey::read(&[4, 0, 0, 0, 0, 0, 0, 1, 2]), Some(key(1, 258)));
        for none in [&[][..], &[4], &[4, 1], &[5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2]] {
            assert_eq!(OutboxKey::read(none), None);
        }
        let mut row = Vec::new();
        push_note(&mut row, b"one");
        push_note(&mut row, b"");
        assert_eq!(row, b"\0\0\0\x03one\0\0\0\0");
        assert_eq!(notes_in(&row), Some(vec![&b"one"[..], b""]));
        assert_eq!(notes_in(&row[..5]), None);
    }

    #[test]
    fn a_node_finds_its_rows_and_no_others() {
        let old = [4, 0, 0, 0, 0, 0, 0, 1, 2].to_vec();
        let first = OutboxKey::all_of(NodeId::FIRST);
        assert!(first.contains(&old) && old < key(1, 1).to_bytes());
        for (node, other) in [(1, 2), (2, 1), (2, 3), (u32::MAX, 1)] {
            let rows = OutboxKey::all_of(NodeId(node));
            for revision in [0, 1, u64::MAX] {
                assert!(rows.contains(&key(node, revision).to_bytes()));
                assert!(!rows.contains(&key(other, revision).to_bytes()));
                assert!(OutboxKey::all().contains(&key(node, revision).to_bytes()));
            }
        }
    }
}
