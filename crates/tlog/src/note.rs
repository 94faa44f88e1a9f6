//! Signed notes: a text and the signatures under it (c2sp.org/signed-note), with Ed25519, type 01.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use strongroom_secret::Key;

use crate::{CosignerKey, from_base64, to_base64};

/// The signature type of Ed25519 over the note's text.
const TYPE_ED25519: u8 = 1;
/// The longest note that is read.
const NOTE_BYTES: usize = 1 << 20;
/// The most signatures of a note that is read.
const SIGNATURES: usize = 100;

/// Why a note or a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not text, an empty line and signature lines.
    #[error("the note is malformed")]
    Malformed,
    /// Not a key of the type that is needed.
    #[error("the key is malformed or of another type")]
    Key,
    /// A key name is empty or holds a space or a plus sign.
    #[error("a key name is empty or contains a space or `+`")]
    Name,
    /// No signature is by the key.
    #[error("the note is not signed by the key")]
    Unsigned,
    /// A signature by the key fails.
    #[error("a signature of the note is wrong")]
    Signature,
    /// The provider refused to sign.
    #[error("the note cannot be signed")]
    Sign,
}

/// A name and an Ed25519 public key that signs in one of the ways of c2sp.org/signed-note. Its text, the *vkey*, is
/// `NAME+hex8(key id)+base64(type ‖ public key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedKey {
    pub(crate) name: String,
    /// The signature type.
    kind: u8,
    pub(crate) public: [u8; 32],
}

impl NamedKey {
    pub(crate) fn new(name: &str, kind: u8, public: [u8; 32]) -> Result<Self, NoteError> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.contains(bad) {
            return Err(NoteError::Name);
        }
        Ok(Self {
            name: name.to_owned(),
            kind,
            public,
        })
    }

    /// Reads a vkey whose type is `kind`.
    pub(crate) fn parse(text: &str, kind: u8) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let key = from_base64(key).ok_or(NoteError::Key)?;
        let public = key.strip_prefix(&[kind]).ok_or(NoteError::Key)?;
        let key = Self::new(name, kind, public.try_into().map_err(|_| NoteError::Key)?)?;
        // The key id, too, is right only if it is the one that the key has.
        if key.to_string() == text {
            Ok(key)
        } else {
            Err(NoteError::Key)
        }
    }

    /// The first four bytes of `SHA-256(name ‖ 0x0A ‖ type ‖ public key)`.
    pub(crate) fn id(&self) -> u32 {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.name.as_bytes());
        context.update(&[b'\n', self.kind]);
        context.update(&self.public);
        context
            .finish()
            .as_ref()
            .first_chunk()
            .map_or(0, |id| u32::from_be_bytes(*id))
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let public = UnparsedPublicKey::new(&ED25519, &self.public);
        public.verify(message, signature).is_ok()
    }
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<u8> = [self.kind].into_iter().chain(self.public).collect();
        write!(f, "{}+{:08x}+{}", self.name, self.id(), to_base64(&key))
    }
}

/// The public key of who signs notes, by its name. Its text is a *vkey*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey(NamedKey);

impl VerifierKey {
    /// The key's name; a log's key is named like its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        NamedKey::parse(text, TYPE_ED25519).map(Self)
    }
}

/// The key pair of `seed` (RFC 8032 §5.1.5), and the public half called `name` that signs in the way `kind`.
pub(crate) fn key_pair(
    name: &str,
    kind: u8,
    seed: &Key<32>,
) -> Result<(NamedKey, Ed25519KeyPair), NoteError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| NoteError::Key)?;
    let public = pair
        .public_key()
        .as_ref()
        .try_into()
        .map_err(|_| NoteError::Key)?;
    Ok((NamedKey::new(name, kind, public)?, pair))
}

/// A verifier key and the private key to it.
pub struct Signer {
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// The signer called `name` whose private key is `seed` (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`NoteError::Name`]; [`NoteError::Key`] when the provider refuses the seed.
    pub fn from_seed(name: &str, seed: &Key<32>) -> Result<Self, NoteError> {
        let (key, pair) = key_pair(name, TYPE_ED25519, seed)?;
        Ok(Self {
            key: VerifierKey(key),
            pair,
        })
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// The note of `text` with one signature.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when `text` cannot be a note's; [`NoteError::Sign`].
    pub fn sign(&self, text: &str) -> Result<Note, NoteError> {
        if !is_note_text(text) {
            return Err(NoteError::Malformed);
        }
        let signature = self.pair.try_sign(text.as_bytes()).map_err(|_| NoteError::Sign)?;
        let line = SignatureLine::of(&self.key.0, signature.as_ref().to_vec());
        Ok(Note {
            text: text.to_owned(),
            signatures: vec![line],
        })
    }
}

/// A text with signatures, none of them verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// One signature line of a note: `— NAME BASE64(key id ‖ signature)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    name: String,
    key_id: u32,
    signature: Vec<u8>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] or [`NoteError::Name`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
        // The last empty line divides. Its own newline belongs to neither side.
        let divide = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, signatures) = note.split_at(divide + 1);
        let lines = signatures
            .strip_prefix('\n')
            .and_then(|lines| lines.strip_suffix('\n'));
        let signatures = lines
            .ok_or(NoteError::Malformed)?
            .split('\n')
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if note.len() > NOTE_BYTES || signatures.len() > SIGNATURES || !is_note_text(text) {
            return Err(NoteError::Malformed);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// The text, if `key` signed it. Signatures of other keys are ignored, also when only their name or only
    /// their key id is this key's.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] without a signature by `key`, [`NoteError::Signature`] if one fails.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let mut ours = self.signatures_of(&key.0).peekable();
        if ours.peek().is_none() {
            return Err(NoteError::Unsigned);
        }
        if ours.all(|signature| key.0.verify(self.text.as_bytes(), signature)) {
            Ok(&self.text)
        } else {
            Err(NoteError::Signature)
        }
    }

    /// The text, which nobody may have signed.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The same text with the signatures of `key` only.
    #[must_use]
    pub fn only_of(&self, key: &VerifierKey) -> Self {
        let is_its = |line: &&SignatureLine| line.is_of(&key.0);
        Self {
            text: self.text.clone(),
            signatures: self.signatures.iter().filter(is_its).cloned().collect(),
        }
    }

    /// The same note without the cosignatures of `key`.
    #[must_use]
    pub fn without(&self, key: &CosignerKey) -> Self {
        let is_others = |line: &&SignatureLine| !line.is_of(key.named());
        Self {
            text: self.text.clone(),
            signatures: self.signatures.iter().filter(is_others).cloned().collect(),
        }
    }

    /// Adds a signature, which is not verified.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when the note would have too many.
    pub fn add(&mut self, line: SignatureLine) -> Result<(), NoteError> {
        if self.signatures.len() == SIGNATURES {
            return Err(NoteError::Malformed);
        }
        self.signatures.push(line);
        Ok(())
    }

    /// What stands on the lines with the name and the id of `key`.
    pub(crate) fn signatures_of<'a>(&'a self, key: &'a NamedKey) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.signatures.iter().filter(|line| line.is_of(key));
        lines.map(|line| line.signature.as_slice())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.to_be_bytes().to_vec();
        bytes.extend(&self.signature);
        write!(f, "— {} {}", self.name, to_base64(&bytes))
    }
}

impl SignatureLine {
    pub(crate) fn of(key: &NamedKey, signature: Vec<u8>) -> Self {
        Self {
            name: key.name.clone(),
            key_id: key.id(),
            signature,
        }
    }

    pub(crate) fn is_of(&self, key: &NamedKey) -> bool {
        self.key_id == key.id() && self.name == key.name
    }
}

impl FromStr for SignatureLine {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let (name, bytes) = line
            .strip_prefix("— ")
            .and_then(|line| line.split_once(' '))
            .ok_or(NoteError::Malformed)?;
        let bytes = from_base64(bytes).ok_or(NoteError::Malformed)?;
        let (key_id, signature) = bytes.split_first_chunk().ok_or(NoteError::Malformed)?;
        if signature.is_empty() {
            return Err(NoteError::Malformed);
        }
        // The rule for names is one, for keys and for lines.
        let name = NamedKey::new(name, TYPE_ED25519, [0; 32])?.name;
        Ok(Self {
            name,
            key_id: u32::from_be_bytes(*key_id),
            signature: signature.to_vec(),
        })
    }
}

/// Whether `text` ends in a newline and has no other ASCII control character.
fn is_note_text(text: &str) -> bool {
    text.ends_with('\n') && !text.contains(|c: char| c.is_ascii_control() && c != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const TEXT: &str = "This is an example message.\n";
    const LINE: &str = "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn key() -> VerifierKey {
        VKEY.parse().unwrap()
    }

    fn verify(note: &str) -> Result<String, NoteError> {
        Note::parse(note.as_bytes())?.verify(&key()).map(str::to_owned)
    }

    #[test]
    fn the_vector_of_the_specification() {
        assert_eq!(key().to_string(), VKEY);
        assert_eq!(verify(&format!("{TEXT}\n{LINE}")), Ok(TEXT.to_owned()));
    }

    #[test]
    fn unknown_keys_are_ignored_and_known_ones_must_verify() {
        let other_name = LINE.replace("example.com/foo", "example.com/bar");
        let other_id = LINE.replace("Uw2QOk", "Ux2QOk");
        let wrong = LINE.replace("aQM=", "aQQ=");
        assert_eq!(
            verify(&format!("{TEXT}\n{other_name}{other_id}{LINE}")),
            Ok(TEXT.to_owned())
        );
        assert_eq!(
            verify(&format!("{TEXT}\n{other_name}{other_id}")),
            Err(NoteError::Unsigned)
        );
        assert_eq!(
            verify(&format!("{TEXT}\n{LINE}{wrong}")),
            Err(NoteError::Signature)
        );
        assert_eq!(verify(&format!("x{TEXT}\n{LINE}")), Err(NoteError::Signature));
    }

    #[test]
    fn the_last_empty_line_divides() {
        let signer = Signer::from_seed("log", &Key::fill(|seed| seed.fill(7))).unwrap();
        let note = signer.sign("a\n\nb\n\n").unwrap().to_string();
        assert_eq!(
            Note::parse(note.as_bytes())
                .unwrap()
                .verify(signer.verifier_key()),
            Ok("a\n\nb\n\n")
        );
    }

    #[test]
    fn notes_that_are_refused() {
        let good = format!("{TEXT}\n{LINE}");
        for bad in [
            String::new(),
            "\n\n".into(),
            TEXT.into(),
            format!("{TEXT}\n"),
            format!("{TEXT}{LINE}"),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("{good}x\n"),
            good.replace("— ", "- "),
            good.replace("— ", "—  "),
            good.replace("aQM=", "aQM"),
            good.replace("aQM=", "aQN="), // bits behind the last byte
            good.replace("example.com/foo ", "example.com/foo\u{a0}x "),
            good.replace("example.com/foo ", "example+foo "),
            good.replace("This", "\tThis"),
            good.replace("\n", "\r\n"),
            format!("{TEXT}\n{}", LINE.repeat(SIGNATURES + 1)),
        ] {
            assert!(verify(&bad).is_err(), "{bad:?}");
        }
        assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Malformed));
    }

    #[test]
    fn keys_that_are_refused() {
        for bad in [
            "",
            "a+b",
            &VKEY.replace("530d", "530D"),
            &VKEY.replace("530d", "530e"),
            &VKEY.replace("+Ae", "+Be"),
            &VKEY.replace("U2k", "U2"),
            &VKEY.replace("example", "exa mple"),
            &VKEY[15..],
        ] {
            assert!(bad.parse::<VerifierKey>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn signs_only_what_can_be_a_note() {
        let signer = Signer::from_seed("log", &Key::fill(|seed| seed.fill(7))).unwrap();
        for bad in ["", "no newline", "a\tb\n"] {
            assert_eq!(signer.sign(bad), Err(NoteError::Malformed), "{bad:?}");
        }
        assert!(Signer::from_seed("a b", &Key::fill(|_| ())).is_err());
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(note in "([a-c\n]{0,4}\n)?\n?(— [a-z]{1,2} [A-P]{8}(AA==|AAA=)?\n){0,3}.?") {
            if let Ok(parsed) = Note::parse(note.as_bytes()) {
                prop_assert_eq!(parsed.to_string(), note);
            }
        }

        #[test]
        fn any_bytes_are_no_panic(bytes: Vec<u8>, text: String) {
            let _ = Note::parse(&bytes);
            let _ = text.parse::<VerifierKey>();
        }

        #[test]
        fn no_flipped_bit_verifies(at in 0..1000usize, bit in 0..8u8) {
            let mut note = format!("{TEXT}\n{LINE}").into_bytes();
            let at = at % note.len();
            note[at] ^= 1 << bit;
            prop_assert!(Note::parse(&note).and_then(|note| note.verify(&key()).map(str::to_owned)).is_err());
        }

        #[test]
        fn what_is_signed_verifies(seed: [u8; 32], text in "[a-z\n]{0,30}\n") {
            let signer = Signer::from_seed("a/b/1", &Key::fill(|key| *key = seed)).unwrap();
            let note = signer.sign(&text).unwrap();
            let vkey: VerifierKey = signer.verifier_key().to_string().parse().unwrap();
            prop_assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note.clone()));
            prop_assert_eq!(note.verify(&vkey), Ok(text.as_str()));
        }
    }
}
