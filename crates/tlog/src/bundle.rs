//! Entry bundles: up to 256 entries, each after its length.

use crate::TILE_WIDTH;

/// The longest entry: its length is written in two bytes.
pub const ENTRY_BYTES: usize = u16::MAX as usize;

/// Why bytes are no entry bundle, or an entry fits in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Over [`ENTRY_BYTES`].
    #[error("an entry is longer than 65535 bytes")]
    TooLong,
    /// The bytes end inside an entry.
    #[error("the bundle ends inside an entry")]
    Truncated,
    /// No entry, or more than 256.
    #[error("a bundle holds 1 to 256 entries")]
    Count,
}

/// Appends `entry` to the bytes of a bundle.
///
/// # Errors
/// [`BundleError::TooLong`]; `bundle` is as it was.
pub fn encode_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let length = u16::try_from(entry.len()).map_err(|_| BundleError::TooLong)?;
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
    Ok(())
}

/// The entries of a bundle, in order.
///
/// # Errors
/// [`BundleError`] unless the bytes are 1 to 256 whole entries.
pub fn decode_bundle(mut bytes: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) = rest.split_at_checked(length).ok_or(BundleError::Truncated)?;
        entries.push(entry);
        bytes = rest;
    }
    if !bytes.is_empty() {
        return Err(BundleError::Truncated);
    }
    if entries.is_empty() || entries.len() > TILE_WIDTH {
        return Err(BundleError::Count);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_of_any_length_up_to_the_limit() {
        let mut bundle = Vec::new();
        encode_entry(&mut bundle, &[]).unwrap();
        encode_entry(&mut bundle, &vec![7; ENTRY_BYTES]).unwrap();
        assert_eq!(
            encode_entry(&mut bundle, &vec![7; ENTRY_BYTES + 1]),
            Err(BundleError::TooLong)
        );
        assert_eq!(decode_bundle(&bundle).unwrap(), [&[][..], &vec![7; ENTRY_BYTES]]);
    }

    #[test]
    fn a_bundle_has_1_to_256_entries() {
        assert_eq!(decode_bundle(&[]), Err(BundleError::Count));
        assert_eq!(decode_bundle(&[0; 2 * 256]).map(|entries| entries.len()), Ok(256));
        assert_eq!(decode_bundle(&[0; 2 * 257]), Err(BundleError::Count));
        assert_eq!(decode_bundle(&[0, 1]), Err(BundleError::Truncated));
        assert_eq!(decode_bundle(&[0, 0, 0]), Err(BundleError::Truncated));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes: Vec<u8>) {
            if let Ok(entries) = decode_bundle(&bytes) {
                let mut again = Vec::new();
                for entry in entries {
                    encode_entry(&mut again, entry).unwrap();
                }
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
