//! Leaves: one JSON object each, whose exact bytes are the log's entry. This file puts the sequencer's numbers in
//! front of a fragment, and reads leaves back strictly: a leaf has one spelling.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use strongroom_base::{NodeId, PrincipalId, RequestId};
use strongroom_storage::{OutboxKey, Revision};

use crate::fields::FieldName;

/// The version of leaves that are written. Those of version 1, without row digests, and 2, which were never in another
/// node's outbox, are read as well.
const VERSION: u8 = 3;
/// The first version of leaves that may say in whose outbox they were.
const WITH_ORIGIN: u8 = 3;
/// The most that the sequencer puts before a fragment: five numbers of at most twenty digits and their names.
pub(crate) const PREFIX_BYTES: usize = 144;

/// How far the log has come with one leaf: what makes a restart skip exactly what is in it. None ever decreases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Milliseconds since the epoch.
    pub(crate) t: u64,
    /// The highest outbox number (a storage revision) drained.
    pub(crate) w: u64,
    /// The highest journal sequence number drained.
    pub(crate) j: u64,
}

/// Writes the leaf of `fragment` to `out`; `from` is the row of another node's outbox that had it.
pub(crate) fn finalize(out: &mut Vec<u8>, marks: Marks, from: Option<OutboxKey>, fragment: &[u8]) {
    use std::io::Write as _;
    let Marks { t, w, j } = marks;
    // Writing to a `Vec` cannot fail.
    let _ = write!(out, r#"{{"v":{VERSION},"t":{t},"w":{w},"j":{j},"#);
    if let Some(OutboxKey { node, revision }) = from {
        let _ = write!(out, r#""from":[{node},{}],"#, revision.0);
    }
    out.extend(fragment);
}

/// A leaf as it stands in the log. The order of the fields is the order in the leaf.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaf<'a> {
    v: u8,
    t: u64,
    w: u64,
    j: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<(u32, u64)>,
    id: &'a str,
    op: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ws: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    part: u32,
    parts: u32,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    c: Option<Commitments<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<&'a str>,
}

/// The commitments of a leaf, each 32 bytes in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commitments<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(borrow)]
    why: Vec<&'a str>,
    #[serde(borrow)]
    paths: Vec<&'a str>,
}

/// What is wrong with a leaf, alone or after the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafFlaw {
    /// Not the one spelling of a leaf of a known version.
    #[error("is not a leaf of a version that is known here, strictly encoded")]
    Encoding,
    /// Its time or one of its watermarks is below that of the leaf before.
    #[error("goes back in time or behind a watermark")]
    WentBack,
    /// Parts of a request are missing, repeated, out of order, or do not agree.
    #[error("does not continue the parts of its request")]
    Parts,
    /// Another request before has the same id.
    #[error("repeats the id of an earlier request")]
    Repeated,
}

impl<'a> Leaf<'a> {
    /// Reads a leaf.
    ///
    /// # Errors
    /// [`LeafFlaw::Encoding`], or [`LeafFlaw::Parts`] when its part is none of its parts.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, LeafFlaw> {
        let leaf: Self = serde_json::from_slice(bytes).map_err(|_| LeafFlaw::Encoding)?;
        // Writing it again refuses spaces, escapes, another order of fields, signs and exponents alike.
        let again = serde_json::to_vec(&leaf).map_err(|_| LeafFlaw::Encoding)?;
        let has_version = (1..=VERSION).contains(&leaf.v) && (leaf.from.is_none() || leaf.v >= WITH_ORIGIN);
        if again != bytes || !has_version || !leaf.has_strict_texts() {
            return Err(LeafFlaw::Encoding);
        }
        if leaf.part == 0 || leaf.part > leaf.parts {
            Err(LeafFlaw::Parts)
        } else {
            Ok(leaf)
        }
    }

    fn has_strict_texts(&self) -> bool {
        let id = self
            .id
            .parse::<RequestId>()
            .is_ok_and(|id| id.to_string() == self.id);
        let principal = |text: &str| text.parse::<PrincipalId>().is_ok_and(|id| id.to_string() == text);
        let sealed = |text: &str| STANDARD.decode(text).is_ok();
        id && self.principal.is_none_or(principal)
            && self.sealed.is_none_or(sealed)
            && self.c.is_some() == self.sealed.is_some()
            && self.c.as_ref().is_none_or(Commitments::are_strict)
    }

    /// The leaf's marks.
    pub(crate) fn marks(&self) -> Marks {
        Marks {
            t: self.t,
            w: self.w,
            j: self.j,
        }
    }

    /// The row of another node's outbox that had it.
    pub(crate) fn from(&self) -> Option<OutboxKey> {
        self.from.map(|(node, revision)| OutboxKey {
            node: NodeId(node),
            revision: Revision(revision),
        })
    }

    /// Its request's id.
    pub(crate) fn id(&self) -> &'a str {
        self.id
    }

    /// What was asked for.
    pub(crate) fn op(&self) -> &'a str {
        self.op
    }

    /// How it ended.
    pub(crate) fn outcome(&self) -> &'a str {
        self.outcome
    }

    /// The number of its workspace.
    pub(crate) fn workspace(&self) -> Option<u32> {
        self.ws
    }

    /// The caller's id.
    pub(crate) fn principal(&self) -> Option<&'a str> {
        self.principal
    }

    /// The requests that it only counts.
    pub(crate) fn counted(&self) -> Option<u64> {
        self.n
    }

    /// What it has sealed, in base64.
    pub(crate) fn sealed(&self) -> Option<&'a str> {
        self.sealed
    }

    /// The commitment to value `index` of `field`, in base64.
    pub(crate) fn commitment(&self, field: FieldName, index: u32) -> Option<&'a str> {
        let commitments = self.c.as_ref()?;
        let list = |list: &[&'a str]| list.get(index as usize).copied();
        match field {
            FieldName::Slug => commitments.slug.filter(|_| index == 0),
            FieldName::Source => commitments.source.filter(|_| index == 0),
            FieldName::Reason => commitments.reason.filter(|_| index == 0),
            FieldName::Why => list(&commitments.why),
            FieldName::Paths => list(&commitments.paths),
        }
    }

    /// Its place among the leaves of its request.
    pub(crate) fn place(&self) -> Place {
        Place {
            part: self.part,
            parts: self.parts,
        }
    }

    /// What all leaves of one request have in common.
    pub(crate) fn request_fields(&self) -> RequestFields {
        RequestFields {
            id: self.id.to_owned(),
            op: self.op.to_owned(),
            outcome: self.outcome.to_owned(),
            ws: self.ws,
            principal: self.principal.map(str::to_owned),
            parts: self.parts,
        }
    }
}

/// Part number `part`, from 1, of `parts`.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) part: u32,
    pub(crate) parts: u32,
}

/// What all leaves of one request have in common.
#[derive(PartialEq, Eq)]
pub(crate) struct RequestFields {
    id: String,
    op: String,
    outcome: String,
    ws: Option<u32>,
    principal: Option<String>,
    parts: u32,
}

impl Commitments<'_> {
    fn are_strict(&self) -> bool {
        let single = [self.slug, self.source, self.reason].into_iter().flatten();
        let mut all = single
            .chain(self.why.iter().copied())
            .chain(self.paths.iter().copied());
        all.all(|text| STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 32))
    }
}
