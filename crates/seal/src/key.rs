//! The key of a slot, as an operator gives it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_barrier::RootKey;
use strongroom_barrier::keyring::derive;
use strongroom_barrier::xaes::{NONCE_BYTES, Xaes};
use strongroom_base::Rng;
use strongroom_secret::{Key, SecretText};
use zeroize::Zeroizing;

use crate::hex;
use crate::seal::{Seal, SealFault};

/// The key that 1Backend uses when none is configured. It is public, so it protects nothing.
const PUBLIC_DEFAULT: &[u8; 32] = b"changeMeToSomethingSecureForReal";
/// Fewer different bytes than this in a key of 32 are a pattern, not chance.
const DISTINCT_BYTES: usize = 11;

/// 256 bits that open a slot. As a seal it wraps with XAES-256-GCM under a key that is derived for the slot.
pub struct SealKey(Key);

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 characters, or base64 (44 characters) or hex (64 characters) of 32 bytes")]
pub struct SealKeyError;

impl SealKey {
    /// A new random key.
    #[must_use]
    pub fn generate(rng: &dyn Rng) -> Self {
        Self(Key::fill(|key| rng.fill(key)))
    }

    /// The key that `text` spells: 32 bytes as they are, or base64 or hex of 32 bytes. A text of 32 bytes is always
    /// taken as it is.
    ///
    /// # Errors
    /// [`SealKeyError`] for any other length or form; it does not say which.
    pub fn from_text(text: &SecretText) -> Result<Self, SealKeyError> {
        let text = text.expose().as_bytes();
        let bytes = match text.len() {
            32 => Some(Zeroizing::new(text.to_vec())),
            44 => STANDARD.decode(text).ok().map(Zeroizing::new),
            64 => hex::from_hex(text),
            _ => None,
        };
        bytes
            .and_then(|bytes| Key::from_slice(&bytes))
            .map(Self)
            .ok_or(SealKeyError)
    }

    pub(crate) fn from_key(key: Key) -> Self {
        Self(key)
    }

    /// The root key in `wrapped`, which is nonce 24 ‖ ciphertext 32 ‖ tag 16, if this key wrapped it for `context`.
    pub(crate) fn open(&self, wrapped: &[u8], context: &[u8]) -> Option<RootKey> {
        let (nonce, sealed) = wrapped.split_first_chunk()?;
        let mut data = Zeroizing::new(sealed.to_vec());
        let key = Xaes::new(&derive(&self.0, context)).ok()?;
        let root = key.open(nonce, context, &mut data).ok()?;
        Key::from_slice(root).map(RootKey::from_key)
    }

    pub(crate) fn key(&self) -> &Key {
        &self.0
    }

    /// The key in base64, as the key file keeps it.
    pub(crate) fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.expose()))
    }
}

#[async_trait]
impl Seal for SealKey {
    async fn wrap(&self, root: &RootKey, context: &[u8], rng: &dyn Rng) -> Result<Vec<u8>, SealFault> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill(&mut nonce);
        let mut data = Zeroizing::new(root.expose().to_vec());
        let sealed =
            Xaes::new(&derive(&self.0, context)).and_then(|key| key.seal(&nonce, context, &mut data));
        let tag = sealed.map_err(SealFault::unreachable)?;
        Ok([&nonce[..], &data, &tag].concat())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<RootKey, SealFault> {
        self.open(wrapped, context).ok_or(SealFault::Wrong)
    }

    fn is_weak(&self) -> bool {
        let key = self.0.expose();
        strongroom_secret::ct_eq(key, PUBLIC_DEFAULT)
            || key.iter().collect::<BTreeSet<_>>().len() < DISTINCT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> Result<SealKey, SealKeyError> {
        SealKey::from_text(&SecretText::new(text.into()))
    }

    #[test]
    fn the_three_forms_of_one_key() {
        let raw = key("0123456789abcdef0123456789ABCDEF").unwrap();
        let base64 = key("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY=").unwrap();
        let hex = key("3031323334353637383961626364656630313233343536373839414243444546").unwrap();
        assert!(raw.key().expose() == base64.key().expose() && raw.key().expose() == hex.key().expose());
    }

    #[test]
    fn other_lengths_and_forms_are_refused() {
        for text in [
            "",
            "short",
            &"a".repeat(31),
            &"a".repeat(33),
            &"!".repeat(44),
            &"g".repeat(64),
            &"é".repeat(32),
        ] {
            assert!(key(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_anyone_could_guess_is_weak() {
        assert!(key("changeMeToSomethingSecureForReal").unwrap().is_weak());
        assert!(key(&"a".repeat(32)).unwrap().is_weak());
        assert!(key("12345678901234567890123456789012").unwrap().is_weak());
        assert!(!key("0123456789abcdef0123456789ABCDEF").unwrap().is_weak());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,70}") {
            let _ = key(&text);
        }
    }
}
