//! Canaries: texts that are planted as secrets, and looked for where no secret may be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A text that was planted, and every form in which it could lie somewhere.
pub struct Canary {
    what: &'static str,
    forms: Vec<(&'static str, Vec<u8>)>,
}

/// A canary that was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// What was planted.
    pub what: &'static str,
    /// The form it has.
    pub form: &'static str,
    /// Where it is.
    pub place: String,
}

impl Canary {
    /// The planted `text`, of at least 12 bytes, which is called `what` in findings.
    #[must_use]
    pub fn new(what: &'static str, text: &str) -> Self {
        assert!(text.len() >= 12, "a short text is found by chance");
        let hex = |digits: fn(u8) -> String| text.bytes().map(digits).collect::<String>().into_bytes();
        let reversed = text.bytes().rev().collect();
        let utf16 = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut forms = vec![
            ("text", text.as_bytes().to_vec()),
            ("reversed", reversed),
            ("UTF-16", utf16),
            ("hex", hex(|byte| format!("{byte:02x}"))),
            ("HEX", hex(|byte| format!("{byte:02X}"))),
        ];
        for before in 0..3 {
            forms.push(("base64", base64_inside(text, before, &STANDARD_NO_PAD)));
            forms.push(("base64url", base64_inside(text, before, &URL_SAFE_NO_PAD)));
        }
        Self { what, forms }
    }

    /// The first form of it in `bytes`, which are from `place`.
    #[must_use]
    pub fn find(&self, place: &str, bytes: &[u8]) -> Option<Found> {
        let (form, _) = self.forms.iter().find(|(_, form)| contains(bytes, form))?;
        Some(Found {
            what: self.what,
            form,
            place: place.to_owned(),
        })
    }
}

/// `text` as it looks in the base64 of something longer, of which `before` bytes modulo 3 come before it: without the
/// characters at both ends that also depend on what is beside it.
fn base64_inside(text: &str, before: usize, engine: &impl Engine) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend(text.as_bytes());
    let encoded = engine.encode(&bytes).into_bytes();
    let start = (before * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    encoded.get(start..end).unwrap_or_default().to_vec()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        let (_, from) = rest.split_at(at);
        if from.starts_with(needle) {
            return true;
        }
        rest = from.get(1..).unwrap_or_default();
    }
    false
}

/// Every file below `dir`.
///
/// # Errors
/// When a directory cannot be read.
pub fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kettle>of?FISH~42";

    fn found(bytes: &[u8]) -> Option<&'static str> {
        Canary::new("value", TEXT)
            .find("here", bytes)
            .map(|found| found.form)
    }

    #[test]
    fn every_form_is_found_wherever_it_lies() {
        for before in 0..7 {
            for after in 0..7 {
                let bytes = [&vec![b'x'; before][..], TEXT.as_bytes(), &vec![b'y'; after][..]].concat();
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(found(&bytes), Some("text"));
                assert_eq!(
                    found(&bytes.iter().rev().copied().collect::<Vec<_>>()),
                    Some("reversed")
                );
                assert_eq!(found(hex.as_bytes()), Some("hex"));
                assert_eq!(found(hex.to_uppercase().as_bytes()), Some("HEX"));
                assert!(
                    found(STANDARD_NO_PAD.encode(&bytes).as_bytes()).is_some(),
                    "{before} {after}"
                );
                assert!(
                    found(URL_SAFE_NO_PAD.encode(&bytes).as_bytes()).is_some(),
                    "{before} {after}"
                );
            }
        }
        let utf16: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(found(&utf16), Some("UTF-16"));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(found(b""), None);
        assert_eq!(found(&TEXT.as_bytes()[1..]), None);
        assert_eq!(found(b"kettle>of?FISH~43 kettle>of?FISH~4"), None);
    }
}
