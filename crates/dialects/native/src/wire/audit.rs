//! The ledger's leaves and proofs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_base::Timestamp;
use strongroom_core::audit::{
    Disclosure, FieldName, Fields, FindLeaves, GrowthProof, LeafPage, LeafStart, ProofFile, ReadLeaves,
    ShownLeaf,
};
use strongroom_sdk::Error;

use super::request_id;

/// One of `from`, `since` and `last` says where to begin; without any it is the first leaf.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct LeavesRequest {
    /// The number of the first leaf.
    from: Option<u64>,
    /// The time of the first leaf.
    since: Option<u64>,
    /// How many leaves before the end.
    last: Option<u64>,
    /// At most so many; 256 at most.
    limit: Option<usize>,
    /// If there is none yet, wait up to 20 s for one that is not of a request like this.
    #[serde(default)]
    wait: bool,
}

impl TryFrom<LeavesRequest> for ReadLeaves {
    type Error = Error;

    fn try_from(request: LeavesRequest) -> Result<Self, Error> {
        let start = match (request.from, request.since, request.last) {
            (from, None, None) => LeafStart::Index(from.unwrap_or_default()),
            (None, Some(since), None) => LeafStart::Time(Timestamp::from_millis(since)),
            (None, None, Some(last)) => LeafStart::Last(last),
            _ => {
                return Err(Error::invalid(
                    "from",
                    "is one of three: give `from`, `since` or `last` alone",
                ));
            }
        };
        Ok(Self {
            start,
            limit: request.limit,
            wait: request.wait,
        })
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct LeavesReply {
    leaves: Vec<LeafReply>,
    /// Go on with this as `from`.
    next: u64,
    /// Leaves in the log.
    size: u64,
}

impl From<LeafPage> for LeavesReply {
    fn from(page: LeafPage) -> Self {
        Self {
            leaves: page.leaves.into_iter().map(LeafReply::from).collect(),
            next: page.next,
            size: page.size,
        }
    }
}

/// A leaf of the ledger.
#[derive(Serialize, JsonSchema)]
pub(crate) struct LeafReply {
    /// Its number in the log.
    index: u64,
    /// Its exact text, of which the log has the hash.
    leaf: String,
    /// What is sealed in it; absent where that is not the caller's to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<FieldsReply>,
}

impl From<ShownLeaf> for LeafReply {
    fn from(shown: ShownLeaf) -> Self {
        Self {
            index: shown.published.index,
            // INVARIANT: a leaf is JSON, so it is text.
            leaf: String::from_utf8(shown.published.bytes).unwrap_or_default(),
            fields: shown.fields.map(FieldsReply::from),
        }
    }
}

/// What is sealed in a leaf.
#[derive(Serialize, JsonSchema)]
struct FieldsReply {
    /// The caller's slug at the time.
    slug: Option<String>,
    /// Where the request came from.
    source: Option<String>,
    /// Why the caller asked.
    reason: Option<String>,
    /// The reasons of the decisions.
    why: Vec<String>,
    /// What the request saw or changed.
    paths: Vec<String>,
}

impl From<Fields> for FieldsReply {
    fn from(fields: Fields) -> Self {
        Self {
            slug: fields.slug,
            source: fields.source,
            reason: fields.reason,
            why: fields.why,
            paths: fields.paths,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct RequestRequest {
    /// The request's id.
    id: String,
    /// A field to disclose with its salt: `slug`, `source`, `reason`, `why` or `paths`.
    disclose: Option<String>,
    /// The value's number in that field.
    #[serde(default)]
    index: u32,
}

impl TryFrom<RequestRequest> for FindLeaves {
    type Error = Error;

    fn try_from(request: RequestRequest) -> Result<Self, Error> {
        let field = request.disclose.map(|name| {
            let unknown =
                |_| Error::invalid("disclose", "is one of `slug`, `source`, `reason`, `why`, `paths`");
            name.parse::<FieldName>().map_err(unknown)
        });
        Ok(Self {
            id: request_id(&request.id)?,
            disclose: field.transpose()?.map(|field| (field, request.index)),
        })
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct RequestReply {
    leaves: Vec<LeafReply>,
    /// What was to be disclosed: `docs/formats/disclosure.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    disclosure: Option<Disclosure>,
}

impl From<(Vec<ShownLeaf>, Option<Disclosure>)> for RequestReply {
    fn from((leaves, disclosure): (Vec<ShownLeaf>, Option<Disclosure>)) -> Self {
        Self {
            leaves: leaves.into_iter().map(LeafReply::from).collect(),
            disclosure,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ProofRequest {
    /// The leaf's number.
    pub(crate) index: u64,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ProofReply {
    /// A proof file (c2sp.org/tlog-proof) with the leaf as its `extra`.
    proof: String,
}

impl From<ProofFile> for ProofReply {
    fn from(proof: ProofFile) -> Self {
        Self {
            proof: proof.to_string(),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct GrowthRequest {
    /// Leaves of the tree that the caller knows.
    #[serde(default)]
    pub(crate) from: u64,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct GrowthReply {
    /// The log's public key, a vkey.
    key: String,
    /// The consistency proof (RFC 6962 §2.1.2), hashes in base64.
    path: Vec<String>,
    /// The signed checkpoint (c2sp.org/tlog-checkpoint).
    checkpoint: String,
}

impl From<GrowthProof> for GrowthReply {
    fn from(proof: GrowthProof) -> Self {
        Self {
            key: proof.key,
            path: proof.path.iter().map(ToString::to_string).collect(),
            checkpoint: proof.checkpoint.to_string(),
        }
    }
}
