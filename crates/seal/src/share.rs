//! Shares as they are printed: Vault's bytes, and beside them which set they are of and a checksum.
//!
//! `srshare1-` and then base32 (RFC 4648, small letters, no padding) in groups of six: set id 4 ‖ share ‖ CRC-32 of all
//! before it. The plain bytes of a share, in base64 or hex as Vault prints them, are read, too; of these nobody can tell
//! which set they are of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minicbor::{Decode, Encode};
use strongroom_base::Rng;
use strongroom_secret::{Key, SecretBuffer, SecretBytes, SecretText};
use strongroom_shamir::{ShamirError, Share, Threshold, ValidShares};
use zeroize::Zeroizing;

use crate::hex;
use crate::key::SealKey;

const PREFIX: &str = "srshare1-";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Letters between two hyphens.
const GROUP: usize = 6;
const SET_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 4;
/// A `y` for each byte of a seal key, and `x`.
const SHARE_BYTES: usize = 33;
/// Longer texts are no share, and are not looked at.
const TEXT_BYTES: usize = 256;

/// Which set a share is of; random, not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct SetId(#[cbor(n(0), with = "minicbor::bytes")] [u8; SET_BYTES]);

/// The shares of one slot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ShareSet {
    /// What each of the shares carries.
    #[n(0)]
    pub id: SetId,
    /// Shares that are needed.
    #[n(1)]
    pub needed: u8,
    /// Shares that there are.
    #[n(2)]
    pub shares: u8,
}

/// A share that somebody gave.
pub struct ShareText {
    /// Which set it says that it is of; a share in Vault's form says nothing.
    pub(crate) set: Option<SetId>,
    pub(crate) share: Share,
}

/// A text is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareTextError {
    /// Neither form.
    #[error("this is no share: it begins with `{PREFIX}`, or is the base64 or hex of 33 bytes")]
    Form,
    /// Letters are missing.
    #[error("the share is cut short: {missing} letters are missing")]
    Truncated {
        /// How many.
        missing: usize,
    },
    /// There is a typing mistake.
    #[error("the share has a typing mistake: its checksum is wrong")]
    Checksum,
}

impl ShareSet {
    /// A new set of `threshold`, a key that opens its slot, and the shares of that key.
    ///
    /// # Errors
    /// Never in practice: a key is not empty.
    pub fn generate(
        threshold: Threshold,
        rng: &dyn Rng,
    ) -> Result<(Self, SealKey, Vec<SecretText>), ShamirError> {
        let mut id = [0; SET_BYTES];
        rng.fill(&mut id);
        let set = Self {
            id: SetId(id),
            needed: threshold.needed(),
            shares: threshold.shares(),
        };
        let key = SealKey::generate(rng);
        let shares = strongroom_shamir::split(key.key().expose(), threshold, rng)?;
        let texts = shares.iter().map(|share| set.id.print(share)).collect();
        Ok((set, key, texts))
    }

    /// How many there are and are needed.
    pub(crate) fn threshold(&self) -> Result<Threshold, ShamirError> {
        Threshold::new(self.needed, self.shares)
    }

    /// The key that `shares` give, if they are of this set.
    pub(crate) fn combine<'s>(
        &self,
        shares: impl IntoIterator<Item = &'s Share>,
    ) -> Result<SealKey, ShamirError> {
        let valid = ValidShares::new(shares, self.needed)?;
        let key = Key::from_slice(strongroom_shamir::combine(&valid).expose());
        key.map(SealKey::from_key).ok_or(ShamirError::Lengths)
    }
}

impl SetId {
    fn print(self, share: &Share) -> SecretText {
        let mut bytes = SecretBuffer::with_capacity(SET_BYTES + SHARE_BYTES + CHECKSUM_BYTES);
        bytes.extend(&self.0);
        bytes.extend(share.expose());
        let checksum = crc32fast::hash(bytes.expose());
        bytes.extend(&checksum.to_be_bytes());
        let letters = to_base32(bytes.expose());
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + letters.len() * 2));
        text.push_str(PREFIX);
        for (at, letter) in letters.chars().enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(letter);
        }
        SecretText::new(std::mem::take(&mut *text))
    }
}

impl ShareText {
    /// Reads a share: ours, in any case, with blanks and hyphens wherever somebody put them; or Vault's.
    ///
    /// # Errors
    /// [`ShareTextError`], which says nothing of the text.
    pub fn parse(text: &SecretText) -> Result<Self, ShareTextError> {
        let text = text.expose().trim();
        if text.len() > TEXT_BYTES {
            return Err(ShareTextError::Form);
        }
        let prefix = PREFIX.trim_end_matches('-');
        let ours = text.split_at_checked(prefix.len());
        match ours.filter(|(start, _)| start.eq_ignore_ascii_case(prefix)) {
            Some((_, letters)) => Self::parse_ours(letters),
            None => Self::parse_plain(text),
        }
    }

    fn parse_ours(letters: &str) -> Result<Self, ShareTextError> {
        const BYTES: usize = SET_BYTES + SHARE_BYTES + CHECKSUM_BYTES;
        const LETTERS: usize = (BYTES * 8).div_ceil(5);
        let letters = Zeroizing::new(
            letters
                .bytes()
                .filter(|byte| *byte != b'-' && !byte.is_ascii_whitespace())
                .map(|byte| byte.to_ascii_lowercase())
                .fold(Vec::with_capacity(TEXT_BYTES), |mut letters, byte| {
                    letters.push(byte);
                    letters
                }),
        );
        if letters.len() < LETTERS {
            let missing = LETTERS - letters.len();
            return Err(ShareTextError::Truncated { missing });
        }
        let bytes = from_base32(&letters).ok_or(ShareTextError::Checksum)?;
        let (covered, checksum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(ShareTextError::Checksum)?;
        if bytes.len() != BYTES || crc32fast::hash(covered).to_be_bytes() != *checksum {
            return Err(ShareTextError::Checksum);
        }
        let (set, share) = covered
            .split_first_chunk::<SET_BYTES>()
            .ok_or(ShareTextError::Checksum)?;
        Self::of(Some(SetId(*set)), share)
    }

    fn parse_plain(text: &str) -> Result<Self, ShareTextError> {
        let bytes = match text.len() {
            44 => STANDARD.decode(text).ok().map(Zeroizing::new),
            66 => hex::from_hex(text.as_bytes()),
            _ => None,
        };
        Self::of(None, &bytes.ok_or(ShareTextError::Form)?)
    }

    fn of(set: Option<SetId>, share: &[u8]) -> Result<Self, ShareTextError> {
        if share.len() != SHARE_BYTES {
            return Err(ShareTextError::Form);
        }
        let share = Share::from_bytes(SecretBytes::new(share.to_vec())).map_err(|_| ShareTextError::Form)?;
        Ok(Self { set, share })
    }

    /// Whether it may be one of `set`: it says so, or says nothing.
    pub(crate) fn may_be_of(&self, set: SetId) -> bool {
        self.set.is_none_or(|own| own == set)
    }
}

fn to_base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    let (mut held, mut bits) = (0u16, 0);
    for byte in bytes {
        held = held << 8 | u16::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(held >> bits));
        }
    }
    if bits > 0 {
        text.push(letter(held << (5 - bits)));
    }
    text
}

fn letter(value: u16) -> char {
    let at = usize::from(value & 31);
    char::from(ALPHABET.get(at).copied().unwrap_or_default())
}

/// The bytes of `letters`; `None` unless every bit of them counts.
fn from_base32(letters: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(letters.len()));
    let (mut held, mut bits) = (0u16, 0);
    for letter in letters {
        let value = ALPHABET.iter().position(|known| known == letter)?;
        held = held << 5 | u16::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (held == 0 && bits < 5).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use strongroom_base::SystemRng;

    fn parse(text: &str) -> Result<ShareText, ShareTextError> {
        ShareText::parse(&SecretText::new(text.to_owned()))
    }

    fn set() -> (ShareSet, SealKey, Vec<String>) {
        let threshold = Threshold::new(2, 3).unwrap();
        let (set, key, texts) = ShareSet::generate(threshold, &SystemRng::default()).unwrap();
        let texts = texts.iter().map(|text| text.expose().to_owned()).collect();
        (set, key, texts)
    }

    /// `docs/formats/slots.md` shows this text.
    #[test]
    fn the_text_of_version_1() {
        let bytes = [[9; 32].as_slice(), &[1]].concat();
        let share = Share::from_bytes(SecretBytes::new(bytes)).unwrap();
        assert_eq!(
            SetId([1, 2, 3, 4]).print(&share).expose(),
            "srshare1-aebagb-ajbeeq-scijbe-eqscij-beeqsc-ijbeeq-scijbe-eqscij-beeqsc-ijbeaq-zifrei"
        );
    }

    #[test]
    fn printed_shares_read_back_however_they_are_typed() {
        let (set, key, texts) = set();
        for text in [
            texts[0].clone(),
            texts[0].to_uppercase(),
            texts[0].replace('-', " "),
            format!("  {}\n", texts[0].replace('-', "")),
        ] {
            let shares = [parse(&text).unwrap(), parse(&texts[2]).unwrap()];
            assert!(shares.iter().all(|share| share.set == Some(set.id)));
            let combined = set.combine(shares.iter().map(|share| &share.share)).unwrap();
            assert!(combined.key().expose() == key.key().expose());
        }
    }

    #[test]
    fn vaults_forms_are_read() {
        let bytes: Vec<u8> = (1..=33).collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [STANDARD.encode(&bytes), hex.clone(), hex.to_uppercase()] {
            let share = parse(&text).unwrap();
            assert!(share.set.is_none() && share.share.expose() == bytes);
        }
        let zero_x = [[1; 32].as_slice(), &[0]].concat();
        assert_eq!(parse(&STANDARD.encode(zero_x)).err(), Some(ShareTextError::Form));
    }

    #[test]
    fn what_is_cut_or_mistyped_says_so() {
        let (_, _, texts) = set();
        let cut = |letters: usize| {
            let text = texts[0].replace('-', "");
            parse(&text[..text.len() - letters]).err()
        };
        assert_eq!(cut(1), Some(ShareTextError::Truncated { missing: 1 }));
        assert_eq!(cut(20), Some(ShareTextError::Truncated { missing: 20 }));
        for text in ["", "hello", "srshare2-aaaa", &"a".repeat(10_000)] {
            assert_eq!(parse(text).err(), Some(ShareTextError::Form), "{text}");
        }
        let longer = format!("{}aa", texts[0]);
        assert_eq!(parse(&longer).err(), Some(ShareTextError::Checksum));
        // One wrong letter anywhere, and two that changed places.
        for at in PREFIX.len()..texts[0].len() {
            let mut letters = texts[0].clone().into_bytes();
            if letters[at] == b'-' {
                continue;
            }
            letters[at] = if letters[at] == b'a' { b'b' } else { b'a' };
            let wrong = String::from_utf8(letters).unwrap();
            assert_eq!(parse(&wrong).err(), Some(ShareTextError::Checksum), "at {at}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(srshare1)?-?\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn base32_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let text = to_base32(&bytes);
            prop_assert_eq!(from_base32(text.as_bytes()).map(|bytes| bytes.to_vec()), Some(bytes));
        }
    }
}
