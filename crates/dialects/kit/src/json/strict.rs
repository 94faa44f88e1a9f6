//! What `serde_json` does not refuse by itself: repeated keys, and nesting that is deeper than we allow.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::de::IgnoredAny;
use strongroom_base::limits;
use zeroize::Zeroize;

use super::escape;

/// Keys of a whole document: they are remembered while it is checked, so this bounds the memory.
pub(super) const KEYS: usize = 100_000;

/// Why a text is refused. The reasons say nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It is not JSON, or something follows it.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    /// Readers differ on which of two values they take.
    #[error("an object has the same key twice")]
    RepeatedKey,
    /// Half of a surrogate pair, which is no text.
    #[error("a key has an escape that stands for no character")]
    BadKey,
    /// Deeper than [`limits::JSON_DEPTH`].
    #[error("the nesting is too deep")]
    TooDeep,
    /// More than [`KEYS`].
    #[error("there are too many keys")]
    TooManyKeys,
}

/// Checks `text`, keeping nothing of it but keys, and those only until it returns.
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    serde_json::from_str::<IgnoredAny>(text)?;
    // INVARIANT: from here on the text is valid JSON, so strings and brackets tell everything.
    let mut keys_left = KEYS;
    let mut open: Vec<Keys<'_>> = Vec::new(); // the keys of each object, and none of each array, around `rest`
    let mut rest = text;
    while let Some((token, behind)) = next_token(rest) {
        rest = behind;
        match token {
            b'{' | b'[' if open.len() == limits::JSON_DEPTH => return Err(Refusal::TooDeep),
            b'{' | b'[' => open.push(Keys::default()),
            b'}' | b']' => drop(open.pop()),
            _ => {
                let (literal, after) = split_literal(rest);
                rest = after;
                if let (true, Some(keys)) = (is_key(after), open.last_mut()) {
                    keys_left = keys_left.checked_sub(1).ok_or(Refusal::TooManyKeys)?;
                    if !keys.insert(Key::new(literal)?) {
                        return Err(Refusal::RepeatedKey);
                    }
                }
            }
        }
    }
    Ok(())
}

/// The first bracket, brace or quote in `text`, and what follows it.
fn next_token(text: &str) -> Option<(u8, &str)> {
    let is_token = |byte| matches!(byte, b'{' | b'}' | b'[' | b']' | b'"');
    let (at, token) = text.bytes().enumerate().find(|(_, byte)| is_token(*byte))?;
    // INVARIANT: these are ASCII, so that what follows is text.
    Some((token, text.get(at + 1..)?))
}

/// Splits what follows a string's first quote at its last.
fn split_literal(text: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let is_last_quote = |byte| {
        let is_last = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_last
    };
    let last = text.bytes().position(is_last_quote).unwrap_or(text.len());
    let (literal, rest) = text.split_at_checked(last).unwrap_or((text, ""));
    (literal, rest.get(1..).unwrap_or_default())
}

/// Whether the string before `after` is a key.
fn is_key(after: &str) -> bool {
    after.trim_start().starts_with(':')
}

/// The keys of an object so far. Most have few, which need no hashing.
#[derive(Default)]
struct Keys<'t> {
    few: Vec<Key<'t>>,
    many: HashSet<Key<'t>>,
}

/// As many keys are compared with one another.
const FEW: usize = 8;

impl<'t> Keys<'t> {
    /// Adds `key`, unless it is there: then false.
    fn insert(&mut self, key: Key<'t>) -> bool {
        if self.few.contains(&key) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(key);
            return true;
        }
        self.many.insert(key)
    }
}

/// An object's key. It is copied only where it has escapes, and the copy is wiped: a caller may have confused keys
/// and values.
#[derive(PartialEq, Eq, Hash)]
struct Key<'t>(Cow<'t, str>);

impl<'t> Key<'t> {
    fn new(literal: &'t str) -> Result<Self, Refusal> {
        if !literal.contains('\\') {
            return Ok(Self(Cow::Borrowed(literal)));
        }
        let mut text = escape::resolve(literal).ok_or(Refusal::BadKey)?;
        Ok(Self(Cow::Owned(std::mem::take(&mut *text))))
    }
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}
