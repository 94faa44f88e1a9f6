//! What a request leaves, collected in memory while the request runs.

use std::borrow::Cow;
use std::sync::Arc;

use strongroom_base::{PrincipalId, RequestId, Timestamp, WorkspaceId, limits};

/// A request's audit record. It names secrets and people, so it cannot be printed; values of secrets never enter it.
pub struct Record {
    pub(crate) id: RequestId,
    pub(crate) op: &'static str,
    pub(crate) time: Timestamp,
    pub(crate) source: Arc<str>,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) principal: Option<PrincipalId>,
    pub(crate) slug: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) why: Vec<Cow<'static, str>>,
    pub(crate) paths: Vec<String>,
    /// How many requests this record stands for, when they were only counted.
    pub(crate) counted: Option<u64>,
}

impl Record {
    /// The record of the request `id` that runs `op` (lower-case words, as in `secret.read`), came at `time`, and
    /// came from `source`: an address without its port, so that one caller is one source. May be empty.
    #[must_use]
    pub fn open(id: RequestId, op: &'static str, time: Timestamp, source: impl Into<Arc<str>>) -> Self {
        debug_assert!(
            op.bytes().all(|b| matches!(b, b'a'..=b'z' | b'.' | b'_')),
            "`{op}` needs no escapes in JSON"
        );
        Self {
            id,
            op,
            time,
            source: short(source.into()),
            workspace: None,
            principal: None,
            slug: None,
            reason: None,
            why: Vec::new(),
            paths: Vec::new(),
            counted: None,
        }
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The request acts in `workspace`, whose key seals the record.
    pub fn set_workspace(&mut self, workspace: WorkspaceId) {
        self.workspace = Some(workspace);
    }

    /// The caller proved to be `id`, now called `slug`.
    pub fn set_principal(&mut self, id: PrincipalId, slug: &str) {
        self.principal = Some(id);
        self.slug = Some(cut(slug));
    }

    /// The caller said why it asks.
    pub fn set_reason(&mut self, reason: &str) {
        self.reason = Some(cut(reason));
    }

    /// The request saw or changed what lies at `path`. The same path twice in a row is noted once.
    pub fn touch(&mut self, path: impl Into<String>) {
        let path = path.into();
        if self.paths.last() != Some(&path) {
            self.paths.push(cut(path));
        }
    }

    /// A decision was made, and this is its reason. Each reason is noted once.
    pub fn because(&mut self, why: impl Into<Cow<'static, str>>) {
        let why = why.into();
        if !self.why.contains(&why) {
            self.why.push(match why {
                Cow::Owned(text) => Cow::Owned(cut(text)),
                borrowed @ Cow::Borrowed(_) => borrowed,
            });
        }
    }

    /// Whether nobody knows the caller, so that a flood of such requests can come.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.principal.is_none()
    }
}

/// `text`, and its end replaced by `…` where it is longer than a leaf takes.
fn cut(text: impl Into<String>) -> String {
    let mut text = text.into();
    if text.len() > limits::LEAF_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(limits::LEAF_TEXT_BYTES - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// As [`cut`], for a text that many records share.
fn short(text: Arc<str>) -> Arc<str> {
    if text.len() <= limits::LEAF_TEXT_BYTES {
        text
    } else {
        cut(&*text).into()
    }
}

/// How a request ended, in the words of the leaf format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was for.
    Ok,
    /// A rule refused it.
    Denied,
    /// The caller did not prove who it is.
    Unauthenticated,
    /// What it names is not there, or not the caller's to see.
    NotFound,
    /// Something changed in between.
    Conflict,
    /// It makes no sense as it is.
    Invalid,
    /// The caller asks too often.
    RateLimited,
    /// Something that it needs does not answer, or the fate of its change is unknown.
    Unavailable,
    /// A fault of ours.
    Error,
}

impl Outcome {
    /// The word in the leaf.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Denied => "denied",
            Outcome::Unauthenticated => "unauthenticated",
            Outcome::NotFound => "not_found",
            Outcome::Conflict => "conflict",
            Outcome::Invalid => "invalid",
            Outcome::RateLimited => "rate_limited",
            Outcome::Unavailable => "unavailable",
            Outcome::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character_and_repetitions_dropped() {
        let mut record = Record::open(
            RequestId::from_bytes([1; 16]),
            "secret.list",
            Timestamp::default(),
            "",
        );
        record.touch("ä".repeat(limits::LEAF_TEXT_BYTES));
        record.touch("a");
        record.touch("a");
        record.touch("b");
        record.touch("a");
        assert_eq!(record.paths[1..], ["a", "b", "a"]);
        assert!(record.paths[0].ends_with("ä…") && record.paths[0].len() <= limits::LEAF_TEXT_BYTES);
        for why in ["own", "admin role", "own"] {
            record.because(why);
        }
        assert_eq!(record.why, ["own", "admin role"]);
    }
}
