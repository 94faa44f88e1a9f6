//! The bytes of a sealed record: `format u8 ‖ key epoch u32 ‖ nonce 24 ‖ ciphertext ‖ tag 16`, XAES-256-GCM.
//!
//! The associated data is `format ‖ workspace id u32 ‖ full storage key ‖ key epoch u32`, so a record that was moved
//! to another key, or swapped with an older key epoch's, does not open. The plaintext is CBOR with numbered fields.

use std::convert::Infallible;

use minicbor::{Decode, Encode, Encoder};
use strongroom_base::{Rng, WorkspaceId};
use strongroom_secret::SecretBuffer;

use crate::planes::StorageKey;
use crate::xaes::{AeadError, NONCE_BYTES, TAG_BYTES, Xaes};

/// The only format so far.
pub const FORMAT: u8 = 1;
const EPOCH_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + EPOCH_BYTES + NONCE_BYTES;

/// A type that is stored as a sealed record.
pub trait Record: Encode<()> + for<'b> Decode<'b, ()> + Send + Sync + 'static {}

/// Why bytes from storage are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Shorter than a header and a tag.
    #[error("the record is cut short")]
    Truncated,
    /// Written by a newer version.
    #[error("the record has format {0}, which this version does not know: use a newer strongroom")]
    Format(u8),
    /// Sealed with a DEK that the workspace does not have: it was dropped, or never was.
    #[error("the record is sealed with key epoch {0}, which its workspace does not have")]
    Epoch(u32),
    /// Not sealed with this key for this place.
    #[error(transparent)]
    Aead(#[from] AeadError),
    /// It opens, and its body is no such record.
    #[error("the record's body cannot be decoded")]
    Body,
}

/// Seals `record` for the place `key` of `workspace` with `xaes`, the key of `epoch`.
///
/// # Errors
/// [`AeadError`] when the record is too long to be encrypted.
pub fn seal<T: Encode<()>>(
    xaes: &Xaes,
    epoch: u32,
    workspace: WorkspaceId,
    key: &StorageKey,
    record: &T,
    rng: &dyn Rng,
) -> Result<Vec<u8>, AeadError> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill(&mut nonce);
    let mut out = SecretBuffer::with_capacity(512);
    out.extend(&head(epoch, &nonce));
    Encoder::new(Wiping(&mut out))
        .encode(record)
        .map_err(|_| AeadError)?;
    let body = out.expose_mut().get_mut(HEADER_BYTES..).ok_or(AeadError)?;
    let tag = xaes.seal(&nonce, &associated_data(workspace, key, epoch), body)?;
    out.extend(&tag);
    Ok(out.into_public())
}

/// The key epoch that `sealed` names.
///
/// # Errors
/// When it is too short or of an unknown format.
pub fn epoch_of(sealed: &[u8]) -> Result<u32, EnvelopeError> {
    match sealed {
        [FORMAT, rest @ ..] if rest.len() >= HEADER_BYTES - 1 + TAG_BYTES => rest
            .first_chunk()
            .map(|epoch| u32::from_be_bytes(*epoch))
            .ok_or(EnvelopeError::Truncated),
        [] | [FORMAT, ..] => Err(EnvelopeError::Truncated),
        [format, ..] => Err(EnvelopeError::Format(*format)),
    }
}

/// Opens what [`seal`] made for the same place. `sealed` is decrypted in place and wiped.
///
/// # Errors
/// [`EnvelopeError`], without telling which byte is wrong.
pub fn open<T: for<'b> Decode<'b, ()>>(
    xaes: &Xaes,
    workspace: WorkspaceId,
    key: &StorageKey,
    sealed: Vec<u8>,
) -> Result<T, EnvelopeError> {
    let epoch = epoch_of(&sealed)?;
    let mut sealed = SecretBuffer::from(sealed);
    let (header, body) = sealed
        .expose_mut()
        .split_at_mut_checked(HEADER_BYTES)
        .ok_or(EnvelopeError::Truncated)?;
    let nonce: [u8; NONCE_BYTES] = header.last_chunk().copied().ok_or(EnvelopeError::Truncated)?;
    let body = xaes.open(&nonce, &associated_data(workspace, key, epoch), body)?;
    minicbor::decode(body).map_err(|_| EnvelopeError::Body)
}

/// Seals anew with `to` what `sealed` holds, which is sealed with `from` for the same place. Nothing is decoded: the
/// plaintext is in memory, in the place of the ciphertext, for as long as it takes.
///
/// # Errors
/// As [`open`].
pub(crate) fn reseal(
    from: &Xaes,
    (epoch, to): (u32, &Xaes),
    workspace: WorkspaceId,
    key: &StorageKey,
    sealed: Vec<u8>,
    rng: &dyn Rng,
) -> Result<Vec<u8>, EnvelopeError> {
    let old_epoch = epoch_of(&sealed)?;
    let mut out = SecretBuffer::from(sealed);
    let (header, body) = out
        .expose_mut()
        .split_first_chunk_mut::<HEADER_BYTES>()
        .ok_or(EnvelopeError::Truncated)?;
    let nonce: [u8; NONCE_BYTES] = header.last_chunk().copied().ok_or(EnvelopeError::Truncated)?;
    from.open(&nonce, &associated_data(workspace, key, old_epoch), body)?;
    let (body, tag) = body
        .split_last_chunk_mut::<TAG_BYTES>()
        .ok_or(EnvelopeError::Truncated)?;
    let mut nonce = [0; NONCE_BYTES];
    rng.fill(&mut nonce);
    *tag = to.seal(&nonce, &associated_data(workspace, key, epoch), body)?;
    header.copy_from_slice(&head(epoch, &nonce));
    Ok(out.into_public())
}

/// What stands before the ciphertext.
fn head(epoch: u32, nonce: &[u8; NONCE_BYTES]) -> [u8; HEADER_BYTES] {
    let mut head = [0; HEADER_BYTES];
    let parts = [FORMAT].into_iter().chain(epoch.to_be_bytes()).chain(*nonce);
    head.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    head
}

fn associated_data(workspace: WorkspaceId, key: &StorageKey, epoch: u32) -> Vec<u8> {
    let mut aad = Vec::with_capacity(1 + 4 + key.as_bytes().len() + EPOCH_BYTES);
    aad.push(FORMAT);
    aad.extend(workspace.0.to_be_bytes());
    aad.extend_from_slice(key.as_bytes());
    aad.extend(epoch.to_be_bytes());
    aad
}

/// CBOR goes straight into the buffer that is encrypted in place.
struct Wiping<'b>(&'b mut SecretBuffer);

impl minicbor::encode::Write for Wiping<'_> {
    type Error = Infallible;
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planes;
    use proptest::prelude::*;
    use strongroom_base::SystemRng;
    use strongroom_secret::Key;

    fn xaes() -> Xaes {
        Xaes::new(&Key::from_slice(&[5; 32]).unwrap()).unwrap()
    }

    fn sealed(key: &StorageKey) -> Vec<u8> {
        seal(
            &xaes(),
            3,
            WorkspaceId(1),
            key,
            &"body".to_owned(),
            &SystemRng::default(),
        )
        .unwrap()
    }

    #[test]
    fn a_record_opens_only_in_its_place() {
        let (here, there) = (planes::system("here"), planes::system("there"));
        let opened = open::<String>(&xaes(), WorkspaceId(1), &here, sealed(&here));
        assert_eq!(opened.unwrap(), "body");
        for (workspace, key) in [(1, &there), (2, &here)] {
            let moved = open::<String>(&xaes(), WorkspaceId(workspace), key, sealed(&here));
            assert_eq!(moved, Err(EnvelopeError::Aead(AeadError)));
        }
        let mut relabelled = sealed(&here);
        relabelled[4] = 9;
        assert_eq!(epoch_of(&relabelled), Ok(9));
        assert!(open::<String>(&xaes(), WorkspaceId(1), &here, relabelled).is_err());
    }

    #[test]
    fn a_record_that_is_sealed_anew_opens_with_the_new_key_only() {
        let (key, other) = (planes::system("k"), planes::system("other"));
        let new = Xaes::new(&Key::from_slice(&[6; 32]).unwrap()).unwrap();
        let reseal = |place: &StorageKey, bytes| {
            reseal(
                &xaes(),
                (4, &new),
                WorkspaceId(1),
                place,
                bytes,
                &SystemRng::default(),
            )
        };
        let (old, renewed) = (sealed(&key), reseal(&key, sealed(&key)).unwrap());
        assert_eq!((epoch_of(&renewed), renewed.len()), (Ok(4), old.len()));
        assert_eq!(
            open::<String>(&new, WorkspaceId(1), &key, renewed.clone()).unwrap(),
            "body"
        );
        assert!(open::<String>(&xaes(), WorkspaceId(1), &key, renewed.clone()).is_err());
        let refused = Err(EnvelopeError::Aead(AeadError));
        assert_eq!(reseal(&key, renewed), refused);
        assert_eq!(reseal(&other, old), refused);
        assert_eq!(reseal(&key, vec![FORMAT]), Err(EnvelopeError::Truncated));
    }

    #[test]
    fn a_newer_format_says_so() {
        let mut newer = sealed(&planes::system("k"));
        newer[0] = 2;
        assert_eq!(epoch_of(&newer), Err(EnvelopeError::Format(2)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open::<String>(&xaes(), WorkspaceId(1), &planes::system("k"), bytes).is_err());
        }

        #[test]
        fn cut_records_are_refused(cut in 0usize..50) {
            let key = planes::system("k");
            let mut bytes = sealed(&key);
            bytes.truncate(bytes.len() - 1 - cut.min(bytes.len() - 1));
            prop_assert!(open::<String>(&xaes(), WorkspaceId(1), &key, bytes).is_err());
        }
    }
}
