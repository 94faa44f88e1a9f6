//! Passphrases, made into keys by Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use minicbor::{Decode, Encode};
use strongroom_base::{Rng, limits};
use strongroom_secret::{Key, SecretText};

use crate::key::SealKey;

/// 64 MiB, three passes, four lanes: the second recommended option of RFC 9106 §4. Less is never accepted.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// A table that asks for more than this is damaged, or would stop the machine.
const MEMORY_KIB_MAX: u32 = 4 * 1024 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 64;

/// How a passphrase is made into a key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Stretch {
    #[n(0)]
    memory_kib: u32,
    #[n(1)]
    passes: u32,
    #[n(2)]
    lanes: u32,
    #[cbor(n(3), with = "minicbor::bytes")]
    salt: [u8; 16],
}

/// A passphrase cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Too short to protect anything, or too long.
    #[error(
        "must be {} to {} bytes long: several words that nobody else would put together",
        limits::PASSPHRASE_BYTES.start(),
        limits::PASSPHRASE_BYTES.end()
    )]
    Length,
    /// There is no memory for it, or the parameters are impossible.
    #[error("the passphrase cannot be made into a key: {MEMORY_KIB} KiB of memory are needed")]
    Work,
}

impl Stretch {
    /// The parameters of today, and a new salt.
    #[must_use]
    pub fn new(rng: &dyn Rng) -> Self {
        let mut salt = [0; 16];
        rng.fill(&mut salt);
        Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt,
        }
    }

    /// Whether `passphrase` may open a new slot.
    ///
    /// # Errors
    /// [`PassphraseError::Length`].
    pub fn accept(passphrase: &SecretText) -> Result<(), PassphraseError> {
        if limits::PASSPHRASE_BYTES.contains(&passphrase.len()) {
            Ok(())
        } else {
            Err(PassphraseError::Length)
        }
    }

    /// The key that `passphrase` stands for. Takes a few tenths of a second and the memory that the parameters say.
    ///
    /// # Errors
    /// [`PassphraseError::Work`].
    pub fn key(&self, passphrase: &SecretText) -> Result<SealKey, PassphraseError> {
        let work = |_| PassphraseError::Work;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(work)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let passphrase = passphrase.expose().as_bytes();
        Key::try_fill(|key| argon2.hash_password_into(passphrase, &self.salt, key))
            .map(SealKey::from_key)
            .map_err(work)
    }

    /// Whether it is hard enough to guess at, and not so hard that nobody can open it.
    pub(crate) fn is_sound(&self) -> bool {
        (MEMORY_KIB..=MEMORY_KIB_MAX).contains(&self.memory_kib)
            && (1..=PASSES_MAX).contains(&self.passes)
            && (1..=LANES_MAX).contains(&self.lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_base::SystemRng;

    fn text(text: &str) -> SecretText {
        SecretText::new(text.into())
    }

    #[test]
    fn one_passphrase_and_one_salt_give_one_key() {
        let rng = SystemRng::default();
        let (stretch, other) = (Stretch::new(&rng), Stretch::new(&rng));
        let key = |stretch: &Stretch, words: &str| *stretch.key(&text(words)).unwrap().key().expose();
        let first = key(&stretch, "four words are enough");
        assert_eq!(first, key(&stretch, "four words are enough"));
        assert_ne!(first, key(&stretch, "four words are enough "));
        assert_ne!(first, key(&other, "four words are enough"));
    }

    #[test]
    fn parameters_below_the_recommendation_are_refused() {
        let sound = Stretch::new(&SystemRng::default());
        assert!(sound.is_sound());
        for unsound in [
            Stretch {
                memory_kib: MEMORY_KIB - 1,
                ..sound.clone()
            },
            Stretch {
                memory_kib: u32::MAX,
                ..sound.clone()
            },
            Stretch {
                passes: 0,
                ..sound.clone()
            },
            Stretch {
                lanes: 1000,
                ..sound.clone()
            },
        ] {
            assert!(!unsound.is_sound(), "{unsound:?}");
        }
    }

    #[test]
    fn short_passphrases_are_refused() {
        assert_eq!(Stretch::accept(&text("hunter2")), Err(PassphraseError::Length));
        assert_eq!(Stretch::accept(&text("correct horse battery")), Ok(()));
    }
}
