//! Who may do what, and why a request was refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_core::audit::{Explain, Explanation, Refusal};
use strongroom_engine_static::ops::{
    AccessRequest, AskAccess, Asked, Audience, AudienceMember, Concern, Finding, FoundNames,
    ListAccessRequests, ReviewAccess, Reviewed, SearchNames, SecretName, WhoCan,
};
use strongroom_policy::Capability;
use strongroom_sdk::Error;

use super::{request_id, scope};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ExplainRequest {
    /// The request's id.
    id: String,
}

impl TryFrom<ExplainRequest> for Explain {
    type Error = Error;

    fn try_from(request: ExplainRequest) -> Result<Self, Error> {
        Ok(Self {
            id: request_id(&request.id)?,
        })
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ExplainReply {
    /// When the request came.
    time: u64,
    /// What it asked for.
    op: String,
    /// How it ended.
    outcome: String,
    /// Who asked; absent if nobody proved to be someone.
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<PrincipalReply>,
    /// The reasons of the decisions, in the ledger's words.
    why: Vec<String>,
    /// What it was about.
    paths: Vec<String>,
    refusals: Vec<RefusalReply>,
}

#[derive(Serialize, JsonSchema)]
struct PrincipalReply {
    id: String,
    /// Its slug at the time.
    slug: String,
    /// Whether it has the admin role now.
    is_admin: bool,
}

#[derive(Serialize, JsonSchema)]
struct RefusalReply {
    /// What it was about, if it was about a thing.
    path: Option<String>,
    reason: String,
    /// What the same decision would be now; absent where it cannot be made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_allowed_now: Option<bool>,
    /// The smallest change that would allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl From<Explanation> for ExplainReply {
    fn from(explanation: Explanation) -> Self {
        let is_admin = explanation.is_admin;
        Self {
            time: explanation.time.as_millis(),
            op: explanation.op,
            outcome: explanation.outcome,
            principal: explanation.principal.map(|(id, slug)| PrincipalReply {
                id: id.to_string(),
                slug,
                is_admin,
            }),
            why: explanation.why,
            paths: explanation.paths,
            refusals: explanation.refusals.into_iter().map(RefusalReply::from).collect(),
        }
    }
}

impl From<Refusal> for RefusalReply {
    fn from(refusal: Refusal) -> Self {
        Self {
            path: refusal.path,
            reason: refusal.reason,
            is_allowed_now: refusal.is_allowed_now,
            remedy: refusal.remedy,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct WhoCanRequest {
    /// The secret's name in the app of the session.
    name: String,
    capability: CapabilityName,
}

/// What they may do.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CapabilityName {
    Read,
    Write,
    Delete,
    ChangeReaders,
    ChangeWriters,
    ChangeDeleters,
}

impl From<WhoCanRequest> for WhoCan {
    fn from(request: WhoCanRequest) -> Self {
        let capability = match request.capability {
            CapabilityName::Read => Capability::Read,
            CapabilityName::Write => Capability::Write,
            CapabilityName::Delete => Capability::Delete,
            CapabilityName::ChangeReaders => Capability::ChangeReaders,
            CapabilityName::ChangeWriters => Capability::ChangeWriters,
            CapabilityName::ChangeDeleters => Capability::ChangeDeleters,
        };
        Self {
            name: request.name,
            capability,
        }
    }
}

/// Those who may, beside everyone with the admin role.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WhoCanReply {
    /// Whether there is such a secret; if not, these may make it.
    exists: bool,
    members: Vec<MemberReply>,
}

#[derive(Serialize, JsonSchema)]
struct MemberReply {
    slug: String,
    /// Whether nobody is this principal yet.
    is_reserved: bool,
    /// Why it may.
    reason: String,
}

impl From<Audience> for WhoCanReply {
    fn from(audience: Audience) -> Self {
        let member = |member: AudienceMember| MemberReply {
            slug: member.slug,
            is_reserved: member.is_reserved,
            reason: member.reason,
        };
        Self {
            exists: audience.exists,
            members: audience.members.into_iter().map(member).collect(),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ReviewRequest {
    /// Every app, not only the session's.
    #[serde(default)]
    all_apps: bool,
    /// More readers than this are odd.
    #[serde(default = "many")]
    readers_over: usize,
    /// Go on behind this path.
    after: Option<String>,
    /// At most so many findings; 1,000 at most.
    limit: Option<usize>,
}

fn many() -> usize {
    20
}

impl From<ReviewRequest> for ReviewAccess {
    fn from(request: ReviewRequest) -> Self {
        Self {
            scope: scope(request.all_apps),
            readers_over: request.readers_over,
            after: request.after,
            limit: request.limit,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ReviewReply {
    findings: Vec<FindingReply>,
    /// Go on with this as `after`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct FindingReply {
    /// `apps/<host>/<name>`
    path: String,
    /// How many principals may read it, beside admins.
    readers: usize,
    /// `no_readers`, `many_readers`, `reserved_reader`.
    concerns: Vec<&'static str>,
}

impl From<Reviewed> for ReviewReply {
    fn from(reviewed: Reviewed) -> Self {
        let concern = |concern: &Concern| match concern {
            Concern::NoReaders => "no_readers",
            Concern::ManyReaders => "many_readers",
            Concern::ReservedReader => "reserved_reader",
        };
        let finding = |finding: Finding| FindingReply {
            path: finding.path,
            readers: finding.readers,
            concerns: finding.concerns.iter().map(concern).collect(),
        };
        Self {
            findings: reviewed.findings.into_iter().map(finding).collect(),
            next: reviewed.next,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct SearchRequest {
    /// What the names have in them; empty finds every name.
    #[serde(default)]
    text: String,
    /// Every app, not only the session's.
    #[serde(default)]
    all_apps: bool,
    /// Go on behind this path.
    after: Option<String>,
    /// At most so many names; 1,000 at most.
    limit: Option<usize>,
}

impl From<SearchRequest> for SearchNames {
    fn from(request: SearchRequest) -> Self {
        Self {
            scope: scope(request.all_apps),
            text: request.text,
            after: request.after,
            limit: request.limit,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct SearchReply {
    /// `apps/<host>/<name>`, by app and name.
    paths: Vec<String>,
    /// Go on with this as `after`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<FoundNames> for SearchReply {
    fn from(found: FoundNames) -> Self {
        Self {
            paths: found.paths,
            next: found.next,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct AskRequest {
    /// The secret's name, parts separated by `/`.
    name: String,
    /// What for.
    #[serde(default = "to_read")]
    wanted: Wanted,
    /// Why, for its owner and the ledger.
    #[serde(default)]
    reason: String,
}

/// What access is asked for.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Read,
    Write,
}

fn to_read() -> Wanted {
    Wanted::Read
}

impl From<AskRequest> for AskAccess {
    fn from(request: AskRequest) -> Self {
        Self {
            secret: SecretName {
                host: None,
                name: request.name,
            },
            wanted: match request.wanted {
                Wanted::Read => Capability::Read,
                Wanted::Write => Capability::Write,
            },
            reason: request.reason,
        }
    }
}

/// It was asked, whether there is such a secret or not.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AskReply {}

impl From<Asked> for AskReply {
    fn from(_: Asked) -> Self {
        Self {}
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct RequestsRequest {
    /// Every app, not only the session's.
    #[serde(default)]
    all_apps: bool,
}

impl From<RequestsRequest> for ListAccessRequests {
    fn from(request: RequestsRequest) -> Self {
        Self {
            scope: scope(request.all_apps),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct RequestsReply {
    /// Those that wait for the caller, who owns what they are about or is an admin; 1,000 at most.
    requests: Vec<AccessRequestReply>,
}

#[derive(Serialize, JsonSchema)]
struct AccessRequestReply {
    /// `apps/<host>/<name>`
    path: String,
    /// The secret's name in the app.
    name: String,
    /// The slug of who asks.
    who: String,
    wanted: Wanted,
    /// Why, in their words.
    reason: String,
    /// When it was asked.
    at: u64,
}

impl From<Vec<AccessRequest>> for RequestsReply {
    fn from(requests: Vec<AccessRequest>) -> Self {
        let request = |request: AccessRequest| AccessRequestReply {
            path: request.path,
            name: request.name,
            who: request.who,
            wanted: match request.wanted {
                Capability::Write => Wanted::Write,
                _ => Wanted::Read,
            },
            reason: request.reason,
            at: request.at.as_millis(),
        };
        Self {
            requests: requests.into_iter().map(request).collect(),
        }
    }
}
