//! Names of secrets and slugs of principals, checked once where they enter.

use std::fmt;
use std::sync::Arc;

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};
use unicode_normalization::{IsNormalized, is_nfc_quick};

use crate::limits;

/// The name of a secret inside its mount: one or more non-empty segments.
///
/// Text is NFC (required, never folded), without control characters; no segment is `.` or `..`.
/// Limits: 32 segments, 1,024 bytes with separators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<String>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing between two separators, or nothing at all.
    #[error("has an empty part: use one `/` between parts and none at the ends")]
    EmptySegment,
    /// `.` or `..` as a segment.
    #[error("has `.` or `..` as a part, which names no secret")]
    Dots,
    /// NUL, line breaks and the like.
    #[error("contains a control character")]
    Control,
    /// Not in Unicode normalization form C.
    #[error("is not in Unicode normalization form C (NFC): normalize it first")]
    NotNfc,
    /// Over 1,024 bytes.
    #[error("is longer than 1024 bytes")]
    TooLong,
    /// Over 32 segments.
    #[error("has more than 32 parts")]
    TooDeep,
}

impl Name {
    /// A name whose segments `text` separates by `/`.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn from_path(text: &str) -> Result<Self, NameError> {
        // The length first: it bounds the work of every other rule.
        if text.len() > limits::NAME_BYTES {
            return Err(NameError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        if !is_nfc(text) {
            return Err(NameError::NotNfc);
        }
        let segments: Vec<String> = text.split('/').map(str::to_owned).collect();
        if segments.iter().any(String::is_empty) {
            return Err(NameError::EmptySegment);
        }
        if segments.iter().any(|segment| segment == "." || segment == "..") {
            return Err(NameError::Dots);
        }
        if segments.len() > limits::NAME_SEGMENTS {
            return Err(NameError::TooDeep);
        }
        Ok(Self(segments))
    }

    /// A name read back from storage, where it was checked when it was written.
    #[must_use]
    pub fn from_stored(segments: Vec<String>) -> Self {
        Self(segments)
    }

    /// The segments, outermost first; at least one.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// The segments with `/` between them, as [`from_path`](Self::from_path) reads them.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.join("/")
    }

    /// Whether the first segment is exactly `slug` and something follows it: the prefix rule.
    #[must_use]
    pub fn is_under(&self, slug: &Slug) -> bool {
        self.0.len() > 1 && self.0.first().is_some_and(|first| first == slug.as_str())
    }
}

impl fmt::Display for Name {
    /// As [`path`](Self::path).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

fn is_nfc(text: &str) -> bool {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => unicode_normalization::is_nfc(text),
    }
}

/// What names a principal on the wire: `^[a-z0-9]+(-[a-z0-9]+)*$`, at most 64 characters. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(Arc<str>);

/// The text is no slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be lower-case letters and digits in groups joined by single hyphens, at most 64 characters")]
pub struct SlugError;

impl Slug {
    /// The slug that `text` spells.
    ///
    /// # Errors
    /// [`SlugError`] when it spells none.
    pub fn new(text: &str) -> Result<Self, SlugError> {
        let group =
            |g: &str| !g.is_empty() && g.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let fits = text.len() <= limits::SLUG_BYTES && text.split('-').all(group);
        fits.then(|| Self(text.into())).ok_or(SlugError)
    }

    /// The slug's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<C> Encode<C> for Slug {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Slug {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self(d.str()?.into()))
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_refused() {
        let long = "a".repeat(limits::NAME_BYTES + 1);
        let deep = vec!["a"; limits::NAME_SEGMENTS + 1].join("/");
        for (text, error) in [
            ("", NameError::EmptySegment),
            ("/a", NameError::EmptySegment),
            ("a/", NameError::EmptySegment),
            ("a//b", NameError::EmptySegment),
            ("..", NameError::Dots),
            ("a/../b", NameError::Dots),
            ("a/./b", NameError::Dots),
            ("a\0b", NameError::Control),
            ("a\nb", NameError::Control),
            ("a\u{85}b", NameError::Control),
            ("e\u{301}", NameError::NotNfc),
            (long.as_str(), NameError::TooLong),
            (deep.as_str(), NameError::TooDeep),
        ] {
            assert_eq!(Name::from_path(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_prefix_rule_wants_the_whole_slug_and_a_rest() {
        let auth = Slug::new("auth").unwrap();
        for (name, under) in [
            ("auth/KEY", true),
            ("auth/a/b", true),
            ("auth-svc/KEY", false),
            ("auth", false),
            ("authKEY", false),
        ] {
            assert_eq!(Name::from_path(name).unwrap().is_under(&auth), under, "{name}");
        }
    }

    #[test]
    fn slugs() {
        for good in ["a", "a1", "auth-svc", "a-b-c", "1backend"] {
            assert!(Slug::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in ["", "-a", "a-", "a--b", "A", "a_b", "a/b", "ä", long.as_str()] {
            assert!(Slug::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_name_prints_as_it_was_given(text in "\\PC{0,40}") {
            if let Ok(name) = Name::from_path(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
