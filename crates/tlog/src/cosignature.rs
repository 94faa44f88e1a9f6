//! Cosignatures (c2sp.org/tlog-cosignature): a witness says that, at a time, this was the largest consistent tree that it
//! had seen of the log. Of the kinds only timestamped Ed25519, type 04.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::Ed25519KeyPair;
use strongroom_secret::Key;

use crate::note::{NamedKey, key_pair};
use crate::{Checkpoint, Note, NoteError, SignatureLine};

/// The signature type.
const TYPE_COSIGNATURE: u8 = 4;

/// The public key of a witness. Its text is a *vkey*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignerKey(NamedKey);

impl CosignerKey {
    /// The witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn named(&self) -> &NamedKey {
        &self.0
    }

    /// The time, in seconds since 1970, of the newest of this witness's cosignatures of `note`, all of which must be
    /// good.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] without any, [`NoteError::Signature`] if one is not good.
    pub fn verify(&self, note: &Note) -> Result<u64, NoteError> {
        let mut newest = None;
        for signature in note.signatures_of(&self.0) {
            let (time, signature) = signature.split_first_chunk().ok_or(NoteError::Signature)?;
            let time = u64::from_be_bytes(*time);
            if !self.0.verify(&message(note.unverified_text(), time), signature) {
                return Err(NoteError::Signature);
            }
            newest = newest.max(Some(time));
        }
        newest.ok_or(NoteError::Unsigned)
    }

    /// The first cosignature of this witness among the lines of `answer`, which is what it says when it is asked to
    /// cosign the text of `note` (c2sp.org/tlog-witness). Lines of others are ignored.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] without one, [`NoteError::Signature`] if it is not good, and when a line is none.
    pub fn accept(&self, answer: &str, note: &Note) -> Result<SignatureLine, NoteError> {
        let is_its = |line: &Result<SignatureLine, _>| line.as_ref().map_or(true, |line| line.is_of(&self.0));
        let mut lines = answer.lines().map(str::parse::<SignatureLine>);
        let line = lines.find(is_its).ok_or(NoteError::Unsigned)??;
        let mut cosigned = note.without(self);
        cosigned.add(line.clone())?;
        self.verify(&cosigned).map(|_| line)
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CosignerKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        NamedKey::parse(text, TYPE_COSIGNATURE).map(Self)
    }
}

/// A witness's key and the private key to it.
pub struct Cosigner {
    key: CosignerKey,
    pair: Ed25519KeyPair,
}

impl Cosigner {
    /// The witness called `name` whose private key is `seed` (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`NoteError::Name`]; [`NoteError::Key`] when the provider refuses the seed.
    pub fn from_seed(name: &str, seed: &Key<32>) -> Result<Self, NoteError> {
        let (key, pair) = key_pair(name, TYPE_COSIGNATURE, seed)?;
        Ok(Self {
            key: CosignerKey(key),
            pair,
        })
    }

    /// The key that verifies what this one cosigns.
    #[must_use]
    pub fn key(&self) -> &CosignerKey {
        &self.key
    }

    /// The cosignature of `checkpoint` at `time`, in seconds since 1970.
    ///
    /// # Errors
    /// [`NoteError::Sign`].
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> Result<SignatureLine, NoteError> {
        let message = message(&checkpoint.to_string(), time);
        let signature = self.pair.try_sign(&message).map_err(|_| NoteError::Sign)?;
        let signature = [&time.to_be_bytes(), signature.as_ref()].concat();
        Ok(SignatureLine::of(&self.key.0, signature))
    }
}

/// What is signed.
fn message(checkpoint: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{checkpoint}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hash, Signer};

    fn cosigned() -> (Cosigner, Checkpoint, Note) {
        let cosigner = Cosigner::from_seed("witness", &Key::fill(|seed| seed.fill(9))).unwrap();
        let signer = Signer::from_seed("log", &Key::fill(|seed| seed.fill(7))).unwrap();
        let checkpoint = Checkpoint {
            origin: "log".into(),
            size: 3,
            root: Hash([1; 32]),
        };
        let note = signer.sign(&checkpoint.to_string()).unwrap();
        (cosigner, checkpoint, note)
    }

    #[test]
    fn of_an_answer_the_witness_s_own_line_is_taken_if_it_is_good() {
        let (cosigner, checkpoint, note) = cosigned();
        let other = Cosigner::from_seed("other", &Key::fill(|seed| seed.fill(8))).unwrap();
        let line = |cosigner: &Cosigner, size| {
            let checkpoint = Checkpoint {
                size,
                ..checkpoint.clone()
            };
            format!("{}\n", cosigner.cosign(&checkpoint, 1_700_000_000).unwrap())
        };
        let (ours, theirs, wrong) = (line(&cosigner, 3), line(&other, 3), line(&cosigner, 4));
        let accept = |answer: &str| {
            cosigner
                .key()
                .accept(answer, &note)
                .map(|line| format!("{line}\n"))
        };
        assert_eq!(accept(&ours).as_ref(), Ok(&ours));
        assert_eq!(accept(&(theirs.clone() + &ours)).as_ref(), Ok(&ours));
        for (answer, why) in [
            ("", NoteError::Unsigned),
            (theirs.as_str(), NoteError::Unsigned),
            (wrong.as_str(), NoteError::Signature),
            ("cosigned!\n", NoteError::Malformed),
        ] {
            assert_eq!(accept(answer), Err(why), "{answer}");
        }
        let mut twice = note.clone();
        twice.add(ours.trim_end().parse().unwrap()).unwrap();
        assert_eq!(cosigner.key().accept(&ours, &twice).map(|_| ()), Ok(()));
        assert_eq!(twice.without(cosigner.key()), note);
    }

    #[test]
    fn a_cosignature_is_of_its_text_time_and_key() {
        let (cosigner, checkpoint, mut note) = cosigned();
        assert_eq!(cosigner.key().verify(&note), Err(NoteError::Unsigned));
        note.add(cosigner.cosign(&checkpoint, 1_700_000_000).unwrap())
            .unwrap();
        note.add(cosigner.cosign(&checkpoint, 1_700_000_009).unwrap())
            .unwrap();
        let text = note.to_string();
        let read = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(cosigner.key().verify(&read), Ok(1_700_000_009));
        let other = Note::parse(text.replacen("\n3\n", "\n4\n", 1).as_bytes()).unwrap();
        assert_eq!(cosigner.key().verify(&other), Err(NoteError::Signature));
        // The time, behind the key id in the first bytes of the line's base64, is signed as well.
        let (head, line) = text.rsplit_once("— witness ").unwrap();
        let mut line = line.to_owned();
        let changed = if &line[10..11] == "A" { "B" } else { "A" };
        line.replace_range(10..11, changed);
        let other = Note::parse(format!("{head}— witness {line}").as_bytes()).unwrap();
        assert_eq!(cosigner.key().verify(&other), Err(NoteError::Signature));
    }

    #[test]
    fn a_key_is_of_one_kind() {
        let (cosigner, ..) = cosigned();
        let vkey = cosigner.key().to_string();
        assert_eq!(vkey.parse::<CosignerKey>().as_ref(), Ok(cosigner.key()));
        assert_eq!(vkey.parse::<crate::VerifierKey>(), Err(NoteError::Key));
    }
}
