//! What a change did to storage, as its leaf says it: a digest of each row, so that a scrub can tell a row that is not
//! the one last written. Encryption alone cannot: an older version of a row opens as well as the newest.

use aws_lc_rs::digest::{SHA256, digest};
use strongroom_storage::Change;

/// Bytes of a digest: the first of a SHA-256. Rows are encrypted with fresh nonces and bound to their keys, so a second
/// one with the same digest is out of reach.
const DIGEST: usize = 16;
/// The digest of no row.
const GONE: [u8; DIGEST] = [0; DIGEST];

/// A digest of a key or of a value.
pub type RowDigest = [u8; DIGEST];

/// One row of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowMark {
    /// The digest of its key.
    pub key: RowDigest,
    /// The digest of the value that was put; `None` when the row was deleted.
    pub value: Option<RowDigest>,
}

impl RowMark {
    /// The marks of `change`: rows that it puts, then rows that it deletes.
    pub fn of(change: &Change) -> impl Iterator<Item = Self> {
        let puts = change.puts.iter().map(|(key, value)| (key, Some(value)));
        let deletes = change.deletes.iter().map(|key| (key, None));
        puts.chain(deletes).map(|(key, value)| Self {
            key: row_digest(key),
            value: value.map(|value| row_digest(value)),
        })
    }

    /// Key digest ‖ value digest, which is all zero for a row that was deleted.
    pub(crate) fn to_bytes(self) -> [[u8; DIGEST]; 2] {
        [self.key, self.value.unwrap_or(GONE)]
    }

    /// The marks that `bytes` spell, or `None`.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Vec<Self>> {
        let (marks, rest) = bytes.as_chunks::<{ 2 * DIGEST }>();
        let read = |mark: &[u8; 2 * DIGEST]| {
            let (key, value) = mark.split_first_chunk()?;
            let value = value.try_into().ok()?;
            Some(Self {
                key: *key,
                value: (value != GONE).then_some(value),
            })
        };
        rest.is_empty().then(|| marks.iter().map(read).collect())?
    }
}

/// The digest of a key or a value.
#[must_use]
pub fn row_digest(bytes: &[u8]) -> RowDigest {
    let digest = digest(&SHA256, bytes);
    // INVARIANT: a SHA-256 has 32 bytes.
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_of_a_put_and_a_delete() {
        let change = Change {
            puts: vec![(b"key".to_vec(), b"value".to_vec())],
            deletes: vec![b"gone".to_vec()],
            ..Change::default()
        };
        let marks: Vec<_> = RowMark::of(&change).collect();
        let bytes: Vec<u8> = marks.iter().flat_map(|mark| mark.to_bytes()).flatten().collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex[..64],
            *"2c70e12b7a0646f92279f427c7b38e73cd42404d52ad55ccfa9aca4adc828aa5"
        );
        assert_eq!(hex[96..], *"0".repeat(32));
        assert_eq!(RowMark::decode(&bytes), Some(marks));
    }

    proptest! {
        #[test]
        fn any_bytes_are_marks_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let again = RowMark::decode(&bytes)
                .map(|marks| marks.iter().flat_map(|mark| mark.to_bytes()).flatten().collect::<Vec<u8>>());
            prop_assert_eq!(again.is_some(), bytes.len() % 32 == 0);
            prop_assert!(again.is_none_or(|again| again == bytes));
        }
    }
}
