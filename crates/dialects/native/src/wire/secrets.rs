//! Secrets one by one, and lists of them without values.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_base::{Slug, Timestamp, Ttl};
use strongroom_dialect_kit::{json, reply};
use strongroom_engine_static::ops::{
    AnnotateSecret, BrowseSecrets, Browsed, CareChange, DescribeSecret, FindStale, Gone, PutSecret,
    ReadSecret, Removal, RemoveSecret, RestoreSecret, RollBack, SavedVersion, SecretFacts, SecretName, Stale,
    ValueRead, VersionFacts,
};
use strongroom_policy::{Lapse, Lists};
use strongroom_sdk::Error;
use strongroom_secret::{SecretBytes, SecretText};

use super::scope;

/// Which secret is meant.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NameRequest {
    /// Its name, parts separated by `/`.
    name: String,
    /// Its app; that of the session when absent. Another one needs the admin role.
    app: Option<String>,
}

fn secret(name: String, app: Option<String>) -> SecretName {
    SecretName { host: app, name }
}

impl From<NameRequest> for DescribeSecret {
    fn from(request: NameRequest) -> Self {
        Self {
            secret: secret(request.name, request.app),
        }
    }
}

impl From<NameRequest> for RestoreSecret {
    fn from(request: NameRequest) -> Self {
        Self {
            secret: secret(request.name, request.app),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ReadRequest {
    /// The secret's name, parts separated by `/`.
    name: String,
    /// Its app; that of the session when absent. Another one needs the admin role.
    app: Option<String>,
    /// The version; the current one when absent.
    version: Option<u32>,
}

impl From<ReadRequest> for ReadSecret {
    fn from(request: ReadRequest) -> Self {
        Self {
            secret: secret(request.name, request.app),
            version: request.version,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ReadReply {
    /// The secret's name in its app.
    name: String,
    /// The version's number.
    version: u32,
    /// When that version was saved.
    saved: u64,
    #[serde(serialize_with = "reply::secret_utf8")]
    #[schemars(with = "String")]
    value: SecretBytes,
}

impl From<ValueRead> for ReadReply {
    fn from(read: ValueRead) -> Self {
        Self {
            name: read.name,
            version: read.version,
            saved: read.saved.as_millis(),
            value: read.value,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct PutRequest {
    /// The secret's name, parts separated by `/`.
    name: String,
    /// Its app; that of the session when absent. Another one needs the admin role.
    app: Option<String>,
    /// The new value.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "String")]
    value: Option<SecretText>,
    /// Only if this is the number of the current version; 0: only if there is no such secret.
    expected: Option<u32>,
    /// Lists to set, as slugs. An absent one stays as it is.
    #[serde(default)]
    lists: ListsRequest,
    /// What to say of it.
    #[serde(default)]
    care: CareRequest,
}

/// What is said of a secret beside its value. What is absent stays as it is.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct CareRequest {
    /// The slug of who answers for it; its owner and admins may give it to another.
    owner: Option<String>,
    /// From when on it must not be used any more; it may be past already. 0: never.
    expires: Option<u64>,
    /// How often it has to get a new value, in seconds. 0: never.
    rotate_every_seconds: Option<u64>,
    /// Labels to set; an empty text takes one away.
    labels: BTreeMap<String, String>,
}

impl From<CareRequest> for CareChange {
    fn from(request: CareRequest) -> Self {
        let unless_zero = |number: u64| Some(number).filter(|number| *number > 0);
        Self {
            owner: request.owner,
            expires: request
                .expires
                .map(|at| unless_zero(at).map(Timestamp::from_millis)),
            rotate_every: request
                .rotate_every_seconds
                .map(|seconds| unless_zero(seconds).map(Ttl::from_secs)),
            labels: request.labels,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct AnnotateRequest {
    /// The secret's name, parts separated by `/`.
    name: String,
    /// Its app; that of the session when absent. Another one needs the admin role.
    app: Option<String>,
    /// Lists to set, as slugs. An absent one stays as it is.
    #[serde(default)]
    lists: ListsRequest,
    /// What to say of it.
    #[serde(default)]
    care: CareRequest,
}

impl From<AnnotateRequest> for AnnotateSecret {
    fn from(request: AnnotateRequest) -> Self {
        Self {
            secret: secret(request.name, request.app),
            care: request.care.into(),
            lists: request.lists.into(),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct StaleRequest {
    /// Every app, not only the session's.
    #[serde(default)]
    all_apps: bool,
    /// Go on behind this, the `next` of an earlier page.
    after: Option<String>,
    /// At most so many; 1,000 at most.
    limit: Option<usize>,
}

impl From<StaleRequest> for FindStale {
    fn from(request: StaleRequest) -> Self {
        Self {
            scope: scope(request.all_apps),
            after: request.after,
            limit: request.limit,
        }
    }
}

/// Who may do what, as slugs.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ListsRequest {
    readers: Option<Vec<String>>,
    writers: Option<Vec<String>>,
    deleters: Option<Vec<String>>,
    can_change_readers: Option<Vec<String>>,
    can_change_writers: Option<Vec<String>>,
    can_change_deleters: Option<Vec<String>>,
}

impl From<ListsRequest> for Lists<Option<Vec<String>>> {
    fn from(request: ListsRequest) -> Self {
        Self {
            readers: request.readers,
            writers: request.writers,
            deleters: request.deleters,
            can_change_readers: request.can_change_readers,
            can_change_writers: request.can_change_writers,
            can_change_deleters: request.can_change_deleters,
        }
    }
}

impl TryFrom<PutRequest> for PutSecret {
    type Error = Error;

    fn try_from(request: PutRequest) -> Result<Self, Error> {
        Ok(Self {
            secret: secret(request.name, request.app),
            value: request
                .value
                .ok_or_else(|| Error::invalid("value", "is missing"))?,
            expected: request.expected,
            lists: request.lists.into(),
            care: request.care.into(),
        })
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct RollbackRequest {
    /// The secret's name, parts separated by `/`.
    name: String,
    /// Its app; that of the session when absent. Another one needs the admin role.
    app: Option<String>,
    /// The version whose value becomes that of a new version.
    to: u32,
    /// Only if this is the number of the current version.
    expected: Option<u32>,
}

impl From<RollbackRequest> for RollBack {
    fn from(request: RollbackRequest) -> Self {
        Self {
            secret: secret(request.name, request.app),
            to: request.to,
            expected: request.expected,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct VersionReply {
    /// The number of the version that is current now.
    version: u32,
}

impl From<SavedVersion> for VersionReply {
    fn from(saved: SavedVersion) -> Self {
        Self {
            version: saved.version,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct RemoveRequest {
    /// The secret's name, parts separated by `/`.
    name: String,
    /// Its app; that of the session when absent. Another one needs the admin role.
    app: Option<String>,
    /// Remove it with all its versions at once, and one of that name that was removed earlier: nothing can be had back.
    #[serde(default)]
    for_good: bool,
}

impl From<RemoveRequest> for RemoveSecret {
    fn from(request: RemoveRequest) -> Self {
        let removal = if request.for_good {
            Removal::ForGood
        } else {
            Removal::Restorable
        };
        Self {
            secret: secret(request.name, request.app),
            removal,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct RemoveReply {
    /// Until when `secrets/undelete` brings it back; absent when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    restorable_until: Option<u64>,
}

impl From<Gone> for RemoveReply {
    fn from(gone: Gone) -> Self {
        Self {
            restorable_until: gone.restorable_until.map(|until| until.as_millis()),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ListRequest {
    /// The app; that of the session when absent. Another one needs the admin role.
    app: Option<String>,
    /// Only names that begin with this text.
    #[serde(default)]
    prefix: String,
    /// Go on behind this name.
    after: Option<String>,
    /// At most so many; 1,000 at most.
    limit: Option<usize>,
}

impl From<ListRequest> for BrowseSecrets {
    fn from(request: ListRequest) -> Self {
        Self {
            host: request.app,
            prefix: request.prefix,
            after: request.after,
            limit: request.limit,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ListReply {
    secrets: Vec<FactsReply>,
    /// Go on with this as `after`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<Stale> for ListReply {
    fn from(page: Stale) -> Self {
        Self {
            secrets: page.secrets.into_iter().map(FactsReply::from).collect(),
            next: page.next,
        }
    }
}

impl From<Browsed> for ListReply {
    fn from(page: Browsed) -> Self {
        Self {
            secrets: page.secrets.into_iter().map(FactsReply::from).collect(),
            next: page.next,
        }
    }
}

/// What is known of a secret beside its value.
#[derive(Serialize, JsonSchema)]
pub(crate) struct FactsReply {
    /// Its id, a UUID.
    id: String,
    /// `apps/<host>/<name>`
    path: String,
    /// Its name in the app.
    name: String,
    /// The number of the current version.
    version: u32,
    /// When that was saved.
    saved: u64,
    /// The slug of who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// When it was made.
    created: u64,
    /// When anything about it changed last.
    updated: u64,
    /// From when on it must not be used any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    /// How often it has to get a new value, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate_every_seconds: Option<u64>,
    labels: BTreeMap<String, String>,
    /// From when on it is overdue: expired, or without a new value for too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
    /// Why it is overdue now: `expired` or `rotation_due`.
    #[serde(skip_serializing_if = "Option::is_none")]
    overdue: Option<&'static str>,
    /// The versions that are kept, oldest first.
    versions: Vec<VersionFactsReply>,
    lists: ListsReply,
}

#[derive(Serialize, JsonSchema)]
struct VersionFactsReply {
    version: u32,
    /// When it was saved.
    saved: u64,
    /// The slug of who saved it; absent for versions from before that was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

/// Who may do what, beside everyone with the admin role: slugs.
#[derive(Serialize, JsonSchema)]
struct ListsReply {
    readers: Vec<String>,
    writers: Vec<String>,
    deleters: Vec<String>,
    can_change_readers: Vec<String>,
    can_change_writers: Vec<String>,
    can_change_deleters: Vec<String>,
}

impl From<SecretFacts> for FactsReply {
    fn from(facts: SecretFacts) -> Self {
        let (version, saved) = facts
            .versions
            .last()
            .map_or((0, 0), |current| (current.number, current.saved.as_millis()));
        Self {
            id: facts.id.to_string(),
            path: facts.path,
            name: facts.name,
            version,
            saved,
            owner: facts.owner.map(|owner| owner.to_string()),
            created: facts.created.as_millis(),
            updated: facts.updated.as_millis(),
            expires: facts.expires.map(Timestamp::as_millis),
            rotate_every_seconds: facts.rotate_every.map(Ttl::as_secs_ceil),
            labels: facts.labels,
            due: facts.due.map(Timestamp::as_millis),
            overdue: facts.lapse.map(|lapse| match lapse {
                Lapse::Expired => "expired",
                Lapse::RotationDue => "rotation_due",
            }),
            versions: facts.versions.into_iter().map(VersionFactsReply::from).collect(),
            lists: facts.lists.into(),
        }
    }
}

impl From<VersionFacts> for VersionFactsReply {
    fn from(version: VersionFacts) -> Self {
        Self {
            version: version.number,
            saved: version.saved.as_millis(),
            by: version.by.map(|by| by.to_string()),
        }
    }
}

impl From<Lists<Vec<Slug>>> for ListsReply {
    fn from(lists: Lists<Vec<Slug>>) -> Self {
        let lists = lists.map(|list| list.iter().map(Slug::to_string).collect());
        Self {
            readers: lists.readers,
            writers: lists.writers,
            deleters: lists.deleters,
            can_change_readers: lists.can_change_readers,
            can_change_writers: lists.can_change_writers,
            can_change_deleters: lists.can_change_deleters,
        }
    }
}
