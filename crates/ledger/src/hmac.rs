//! HMAC-SHA256 (RFC 2104) of short messages, on the provider's SHA-256. The provider's own HMAC gives the same, and takes
//! several times as long to set its contexts up as to hash; there are a dozen of them in the record of every request.

use std::mem;

use aws_lc_rs::digest::{self, SHA256};

const BLOCK: usize = 64;
const DIGEST: usize = 32;
/// What is hashed at once, without a context.
const SHORT: usize = 256;

/// The HMAC of `message`, given in parts, under `key`.
pub(crate) fn hmac_sha256(key: &[u8], message: &[&[u8]]) -> [u8; DIGEST] {
    if key.len() > BLOCK {
        return hmac_sha256(&sha256(key, &[]), message);
    }
    let inner = sha256(&padded(key, 0x36), message);
    sha256(&padded(key, 0x5c), &[&inner])
}

/// `key`, filled up with zeros, each byte of it xor `pad`.
fn padded(key: &[u8], pad: u8) -> [u8; BLOCK] {
    let mut block = [pad; BLOCK];
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    block
}

/// The SHA-256 of `first` and, behind it, `rest`.
fn sha256(first: &[u8], rest: &[&[u8]]) -> [u8; DIGEST] {
    let mut short = [0; SHORT];
    let length = first.len() + rest.iter().map(|part| part.len()).sum::<usize>();
    let digest = match short.get_mut(..length) {
        Some(all) => {
            let (place, mut left) = all.split_at_mut(first.len());
            place.copy_from_slice(first);
            for part in rest {
                let (place, behind) = mem::take(&mut left).split_at_mut(part.len());
                place.copy_from_slice(part);
                left = behind;
            }
            digest::digest(&SHA256, all)
        }
        None => {
            let mut context = digest::Context::new(&SHA256);
            context.update(first);
            rest.iter().for_each(|part| context.update(part));
            context.finish()
        }
    };
    let mut out = [0; DIGEST];
    out.copy_from_slice(digest.as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::hmac;
    use proptest::prelude::*;

    fn reference(key: &[u8], message: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, message).as_ref().to_vec()
    }

    /// RFC 4231 §4.3.
    #[test]
    fn published_vector() {
        let mac = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn it_is_the_providers_hmac_at_every_length() {
        let bytes: Vec<u8> = (0..=255).cycle().take(600).collect();
        for length in 0..bytes.len() {
            let (message, key) = (&bytes[..length], &bytes[length / 2..length]);
            assert_eq!(
                hmac_sha256(&[7; 32], &[message])[..],
                reference(&[7; 32], message)
            );
            assert_eq!(
                hmac_sha256(key, &[b"message"])[..],
                reference(key, b"message"),
                "{length}"
            );
        }
    }

    proptest! {
        #[test]
        fn it_is_the_providers_hmac_in_any_parts(key: Vec<u8>, parts: Vec<Vec<u8>>) {
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(hmac_sha256(&key, &slices).to_vec(), reference(&key, &parts.concat()));
        }
    }
}
