//! XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key derived from the first half of a 24-byte nonce, so
//! that random nonces are safe for about 2^80 messages a key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use strongroom_secret::Key;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
/// Bytes of the tag behind the ciphertext.
pub const TAG_BYTES: usize = 16;
/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// Sealing or opening failed. Why is not told: a caller that could tell would be an oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext does not open")]
pub struct AeadError;

impl From<aws_lc_rs::error::Unspecified> for AeadError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}

/// A key of XAES-256-GCM, ready for use.
pub struct Xaes {
    /// AES-256 of single blocks, which the specification derives keys with. Nothing else is encrypted like this.
    aes: EncryptingKey,
    /// The subkey K1 of CMAC.
    k1: Key<BLOCK>,
}

impl Xaes {
    /// Prepares `key`.
    ///
    /// # Errors
    /// [`AeadError`] when the provider has no memory for it.
    pub fn new(key: &Key) -> Result<Self, AeadError> {
        let aes = EncryptingKey::ecb(UnboundCipherKey::new(&AES_256, key.expose())?)?;
        let k1 = Key::try_fill(|k1: &mut [u8; BLOCK]| {
            aes.encrypt(k1)?;
            double(k1);
            Ok::<_, AeadError>(())
        })?;
        Ok(Self { aes, k1 })
    }

    /// Encrypts `data` in place and returns its tag. `nonce` must be random.
    ///
    /// # Errors
    /// [`AeadError`] when `data` is longer than AES-GCM allows.
    pub fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], AeadError> {
        let (key, nonce) = self.derive(nonce)?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), data)?;
        tag.as_ref().try_into().map_err(|_| AeadError)
    }

    /// Decrypts `data`, ciphertext ‖ tag, in place; gives the plaintext at its front.
    ///
    /// # Errors
    /// [`AeadError`] when it was not sealed with this key, nonce and associated data.
    pub fn open<'d>(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        data: &'d mut [u8],
    ) -> Result<&'d mut [u8], AeadError> {
        let (key, nonce) = self.derive(nonce)?;
        Ok(key.open_in_place(nonce, Aad::from(aad), data)?)
    }

    /// `AES(00 01 'X' 00 ‖ N[..12] xor K1) ‖ AES(00 02 'X' 00 ‖ N[..12] xor K1)` is the key, `N[12..]` the nonce.
    /// (That is the CMAC of two blocks, by the provider's AES: its CMAC takes ten times as long, in setting up.)
    fn derive(&self, nonce: &[u8; NONCE_BYTES]) -> Result<(LessSafeKey, Nonce), AeadError> {
        let (first, last) = nonce.split_first_chunk::<12>().ok_or(AeadError)?;
        let key = Key::try_fill(|key: &mut [u8; 2 * BLOCK]| {
            for (counter, block) in (1..).zip(key.as_chunks_mut::<BLOCK>().0) {
                let label = [0, counter, b'X', 0];
                let bytes = label.iter().chain(first).zip(self.k1.expose());
                block
                    .iter_mut()
                    .zip(bytes)
                    .for_each(|(to, (byte, mask))| *to = byte ^ mask);
            }
            self.aes.encrypt(key).map(|_| ())
        })?;
        let nonce: [u8; NONCE_LEN] = last.try_into().map_err(|_| AeadError)?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose())?);
        Ok((key, Nonce::assume_unique_for_key(nonce)))
    }
}

/// Doubles `block` in GF(2^128) as CMAC does (RFC 4493 §2.3), in time that does not depend on it.
fn double(block: &mut [u8; BLOCK]) {
    let number = u128::from_be_bytes(*block);
    let carry = (number >> 127) * 0x87;
    *block = ((number << 1) ^ carry).to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha3::Shake128;
    use sha3::digest::{ExtendableOutput, Update, XofReader};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn sealed(key: [u8; 32], nonce: &[u8; 24], plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
        let mut data = plaintext.to_vec();
        let tag = Xaes::new(&Key::from_slice(&key).unwrap())
            .unwrap()
            .seal(nonce, aad, &mut data)
            .unwrap();
        data.extend(tag);
        data
    }

    #[test]
    fn published_vectors() {
        let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
        assert_eq!(
            hex(&sealed([1; 32], nonce, b"XAES-256-GCM", b"")),
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"
        );
        assert_eq!(
            hex(&sealed([3; 32], nonce, b"XAES-256-GCM", b"c2sp.org/XAES-256-GCM")),
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"
        );
    }

    #[test]
    fn accumulated_vector() {
        let mut stream = Shake128::default().finalize_xof();
        let mut digest = Shake128::default();
        let read = |stream: &mut dyn XofReader, length: usize| {
            let mut bytes = vec![0; length];
            stream.read(&mut bytes);
            bytes
        };
        for _ in 0..10_000 {
            let key: [u8; 32] = read(&mut stream, 32).try_into().unwrap();
            let nonce: [u8; 24] = read(&mut stream, 24).try_into().unwrap();
            let length = read(&mut stream, 1)[0];
            let plaintext = read(&mut stream, length.into());
            let length = read(&mut stream, 1)[0];
            let aad = read(&mut stream, length.into());
            let ciphertext = sealed(key, &nonce, &plaintext, &aad);
            digest.update(&ciphertext);
            let mut data = ciphertext;
            let opened = Xaes::new(&Key::from_slice(&key).unwrap())
                .unwrap()
                .open(&nonce, &aad, &mut data)
                .unwrap();
            assert_eq!(opened, plaintext);
        }
        let mut out = [0; 32];
        digest.finalize_xof().read(&mut out);
        assert_eq!(
            hex(&out),
            "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
        );
    }

    #[test]
    fn whatever_is_changed_does_not_open() {
        let (key, nonce) = (Xaes::new(&Key::from_slice(&[9; 32]).unwrap()).unwrap(), [7; 24]);
        let sealed = sealed([9; 32], &nonce, b"value", b"place");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                key.open(&nonce, b"place", &mut damaged),
                Err(AeadError),
                "bit {bit}"
            );
        }
        assert!(key.open(&nonce, b"elsewhere", &mut sealed.clone()).is_err());
        assert!(key.open(&[8; 24], b"place", &mut sealed.clone()).is_err());
        assert!(key.open(&nonce, b"place", &mut sealed.clone()).is_ok());
    }
}
