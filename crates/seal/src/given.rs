//! What an operator gives to open the seal: a passphrase, or shares, or both, one a line.

use std::fmt;
use std::sync::Arc;

use strongroom_secret::SecretText;
use strongroom_shamir::{ShamirError, Share};

use crate::key::SealKey;
use crate::share::{ShareSet, ShareText, ShareTextError};

/// A passphrase and shares; either may be missing.
#[derive(Default)]
pub struct Given {
    passphrase: Option<Arc<SecretText>>,
    shares: Vec<ShareText>,
}

/// A line that cannot be used. None of these shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// It says that it is a share, and is none.
    #[error("line {line}: {why}")]
    Share {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: ShareTextError,
    },
    /// There is one passphrase a time.
    #[error(
        "line {line} is no share, and a passphrase was given in an earlier line: give one passphrase, in one line"
    )]
    Passphrases {
        /// Which line, from 1.
        line: usize,
    },
}

/// Why shares do not open a slot. None of these says which share is wrong: nobody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharesError {
    /// Nothing was given.
    #[error("no shares were given, and {needed} are needed: give them with `--unseal-from`, one a line")]
    None {
        /// How many are needed.
        needed: u8,
    },
    /// Shares were given, and none of this slot.
    #[error("the shares that were given are of another set")]
    OtherSet,
    /// Some are of this slot.
    #[error("{given} of the {needed} shares that are needed were given")]
    TooFew {
        /// How many were given.
        given: usize,
        /// How many are needed.
        needed: u8,
    },
    /// One share twice.
    #[error("a share was given twice: each must be another one")]
    Doubled,
}

impl Given {
    /// Reads `text`: each line is a share, or the passphrase. Empty lines do not count.
    ///
    /// # Errors
    /// [`GivenError`].
    pub fn read(text: &SecretText) -> Result<Self, GivenError> {
        let mut given = Self::default();
        let lines = (1..)
            .zip(text.expose().lines())
            .filter(|(_, text)| !text.trim().is_empty());
        for (line, text) in lines {
            given.add(line, SecretText::new(text.to_owned()))?;
        }
        // A passphrase may look like a share in Vault's form. A share alone opens nothing, so one line alone may be either.
        if let (None, [_]) = (&given.passphrase, given.shares.as_slice()) {
            let line = text.expose().lines().find(|text| !text.trim().is_empty());
            given.passphrase = line.map(|text| Arc::new(SecretText::new(text.to_owned())));
        }
        Ok(given)
    }

    fn add(&mut self, line: usize, text: SecretText) -> Result<(), GivenError> {
        match ShareText::parse(&text) {
            Ok(share) => self.shares.push(share),
            Err(ShareTextError::Form) if self.passphrase.is_some() => {
                return Err(GivenError::Passphrases { line });
            }
            Err(ShareTextError::Form) => self.passphrase = Some(Arc::new(text)),
            Err(why) => return Err(GivenError::Share { line, why }),
        }
        Ok(())
    }

    /// Whether nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passphrase.is_none() && self.shares.is_empty()
    }

    /// A passphrase alone.
    #[must_use]
    pub fn from_passphrase(passphrase: SecretText) -> Self {
        Self {
            passphrase: Some(Arc::new(passphrase)),
            shares: Vec::new(),
        }
    }

    /// The passphrase, for a thread that may work on it for a while.
    #[must_use]
    pub fn passphrase(&self) -> Option<Arc<SecretText>> {
        self.passphrase.clone()
    }

    /// The key that the shares of `set` give.
    ///
    /// # Errors
    /// [`SharesError`].
    pub fn share_key(&self, set: &ShareSet) -> Result<SealKey, SharesError> {
        let needed = set.needed;
        let shares = of_set(&self.shares, set);
        match shares.len() {
            0 if self.shares.is_empty() => return Err(SharesError::None { needed }),
            0 => return Err(SharesError::OtherSet),
            _ => {}
        }
        set.combine(shares).map_err(|error| match error {
            ShamirError::TooFew { given, needed } => SharesError::TooFew { given, needed },
            // The lengths of all shares are the same: they were read.
            _ => SharesError::Doubled,
        })
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

/// Those of `shares` that may be of `set`.
pub(crate) fn of_set<'s>(shares: &'s [ShareText], set: &ShareSet) -> Vec<&'s Share> {
    let own = shares.iter().filter(|share| share.may_be_of(set.id));
    own.map(|share| &share.share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use strongroom_base::SystemRng;
    use strongroom_shamir::Threshold;

    fn read(lines: &[&str]) -> Result<Given, GivenError> {
        Given::read(&SecretText::new(lines.join("\n")))
    }

    fn set() -> (ShareSet, SealKey, Vec<String>) {
        let threshold = Threshold::new(2, 3).unwrap();
        let (set, key, texts) = ShareSet::generate(threshold, &SystemRng::default()).unwrap();
        let texts = texts.iter().map(|text| text.expose().to_owned()).collect();
        (set, key, texts)
    }

    #[test]
    fn each_line_is_a_share_or_the_passphrase() {
        let (set, key, shares) = set();
        let given = read(&[&shares[2], "", "open sesame, please", &shares[0]]).unwrap();
        assert_eq!(given.passphrase.as_ref().unwrap().expose(), "open sesame, please");
        assert!(given.share_key(&set).unwrap().key().expose() == key.key().expose());

        let alone = read(&[&"ab".repeat(33)]).unwrap();
        assert!(alone.passphrase.is_some() && alone.shares.len() == 1);
        let two = read(&["ab".repeat(33).as_str(), "cd".repeat(33).as_str()]).unwrap();
        assert!(two.passphrase.is_none() && two.shares.len() == 2);
    }

    #[test]
    fn lines_that_cannot_be_used_are_named_by_their_number() {
        let (_, _, shares) = set();
        let cut = &shares[1][..30];
        assert!(matches!(
            read(&["", &shares[0], cut]).err(),
            Some(GivenError::Share {
                line: 3,
                why: ShareTextError::Truncated { .. }
            })
        ));
        assert_eq!(
            read(&["one passphrase", "another passphrase"]).err(),
            Some(GivenError::Passphrases { line: 2 })
        );
    }

    #[test]
    fn shares_that_do_not_open_say_why() {
        let ((first, _, shares), (_, _, others)) = (set(), set());
        let why = |lines: &[&str]| read(lines).unwrap().share_key(&first).err().unwrap();
        assert_eq!(why(&[]), SharesError::None { needed: 2 });
        assert_eq!(why(&[&others[0], &others[1]]), SharesError::OtherSet);
        assert_eq!(
            why(&[&shares[0], &others[1]]),
            SharesError::TooFew { given: 1, needed: 2 }
        );
        assert_eq!(why(&[&shares[0], &shares[0]]), SharesError::Doubled);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = Given::read(&SecretText::new(text));
        }
    }
}
