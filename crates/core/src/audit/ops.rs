//! What can be asked about the ledger, and what is answered: plain data.

use strongroom_base::{PrincipalId, RequestId, Timestamp};
use strongroom_ledger::{Disclosure, FieldName, Fields, LeafFacts, Published};
use strongroom_sdk::{Target, ops};
use strongroom_tlog::{Hash, Note, ProofFile};

use super::engine::Audit;

/// The name under which leaves are read; a reader that waits for more is not woken by its own.
pub(crate) const READ_LEAVES: &str = "audit.read";

/// Leaves in order. Answers [`LeafPage`].
pub struct ReadLeaves {
    /// Where to begin.
    pub start: LeafStart,
    /// At most so many; a page at most.
    pub limit: Option<usize>,
    /// If there are none yet, whether to wait a while for one that is not of such a request.
    pub wait: bool,
}

/// Where a page of leaves begins.
#[derive(Clone, Copy, Debug)]
pub enum LeafStart {
    /// At the leaf with this number.
    Index(u64),
    /// At the first leaf of this time or later.
    Time(Timestamp),
    /// So many leaves before the end.
    Last(u64),
}

/// Leaves of the log.
pub struct LeafPage {
    /// In order.
    pub leaves: Vec<ShownLeaf>,
    /// The number to go on with.
    pub next: u64,
    /// Leaves in the log.
    pub size: u64,
}

/// A leaf, and what of it is the caller's to see.
pub struct ShownLeaf {
    /// The leaf.
    pub published: Published,
    /// What it says in clear.
    pub facts: LeafFacts,
    /// What it has sealed, if the caller may see it.
    pub fields: Option<Fields>,
}

/// The leaves of one request; those of the last second may not be there yet. Answers [`ShownLeaf`]s, one at least.
pub struct FindLeaves {
    /// The request.
    pub id: RequestId,
    /// A field to disclose, if the caller may see it, and its number.
    pub disclose: Option<(FieldName, u32)>,
}

/// Why a request was refused, and what would have allowed it. Answers [`Explanation`].
pub struct Explain {
    /// The request.
    pub id: RequestId,
}

/// Why a request ended as it did.
pub struct Explanation {
    /// When it came.
    pub time: Timestamp,
    /// What it asked for.
    pub op: String,
    /// How it ended.
    pub outcome: String,
    /// Who asked, and with which slug then.
    pub principal: Option<(PrincipalId, String)>,
    /// Whether that principal has the admin role now.
    pub is_admin: bool,
    /// The reasons of the decisions, in the ledger's words and order.
    pub why: Vec<String>,
    /// What the request was about.
    pub paths: Vec<String>,
    /// Each denial, by what it was about.
    pub refusals: Vec<Refusal>,
}

/// One denial.
pub struct Refusal {
    /// What it was about, if it was about a thing.
    pub path: Option<String>,
    /// The reason.
    pub reason: String,
    /// What the same decision would be now; `None` where it cannot be made again.
    pub is_allowed_now: Option<bool>,
    /// The smallest change that would allow it.
    pub remedy: Option<String>,
}

/// The proof that a leaf is in the log. Answers a [`ProofFile`] with the leaf in it.
pub struct ProveLeaf {
    /// The leaf's number.
    pub index: u64,
}

/// The newest checkpoint, and the proof that it continues an older tree. Answers [`GrowthProof`].
pub struct ProveGrowth {
    /// Leaves of the older tree; zero proves nothing.
    pub from: u64,
}

/// A checkpoint that continues an older one.
pub struct GrowthProof {
    /// The log's public key, as a vkey.
    pub key: String,
    /// RFC 6962 §2.1.2.
    pub path: Vec<Hash>,
    /// The checkpoint as it was signed.
    pub checkpoint: Note,
}

ops! { Audit:
    ReadLeaves -> LeafPage, READ_LEAVES, Review, |_| Target::Mounts(vec![None]), read;
    FindLeaves -> (Vec<ShownLeaf>, Option<Disclosure>), "audit.find", Review, |_| Target::Mounts(vec![None]), find;
    Explain -> Explanation, "audit.explain", Review, |_| Target::EveryMount, explain;
    ProveLeaf -> ProofFile, "audit.prove", Review, |_| Target::Account, prove;
    ProveGrowth -> GrowthProof, "audit.growth", Review, |_| Target::Account, prove_growth;
}
