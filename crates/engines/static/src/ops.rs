//! What can be asked of the static engine, and what it answers: plain data.

mod one;

use strongroom_base::{MountUid, Name, SecretId, Slug, Timestamp};
use strongroom_policy::{Capability, Lists};
use strongroom_sdk::{Target, ops};
use strongroom_secret::{SecretBytes, SecretText};

use crate::StaticEngine;

pub use one::{
    AnnotateSecret, BrowseSecrets, Browsed, CareChange, DescribeSecret, FindStale, Gone, PutSecret,
    ReadSecret, Removal, RemoveSecret, RestoreSecret, RollBack, SavedVersion, SecretFacts, SecretName, Stale,
    ValueRead, VersionFacts,
};

/// Which mounts a request is about.
#[derive(Debug, Default)]
pub enum Scope {
    /// The mount that the caller's session is bound to.
    #[default]
    Session,
    /// Every mount. Callers without the admin role get their session's mount only.
    All,
}

/// Show the secrets that the caller may read. Answers [`Listed`].
#[derive(Debug, Default)]
pub struct ListSecrets {
    /// In which mounts.
    pub scope: Scope,
    /// Only these names; all when `None`. Names that are not there select nothing.
    pub names: Option<Vec<String>>,
}

/// What [`ListSecrets`] found, sorted by mount and name.
#[derive(Debug)]
pub struct Listed {
    /// The secrets.
    pub secrets: Vec<SecretRead>,
}

/// One secret as its reader sees it.
#[derive(Debug)]
pub struct SecretRead {
    /// The secret's own id.
    pub id: SecretId,
    /// The id of its mount.
    pub mount: MountUid,
    /// Its name in the mount.
    pub name: Name,
    /// The current value: UTF-8 text.
    pub value: SecretBytes,
    /// The six lists, as slugs in alphabetical order.
    pub lists: Lists<Vec<Slug>>,
}

/// Create or replace secrets: all of them in one commit, or none. Answers [`Saved`].
#[derive(Debug)]
pub struct SaveSecrets {
    /// The secrets. Of entries with the same mount and name, the last one wins.
    pub entries: Vec<SaveSecret>,
}

/// One entry of [`SaveSecrets`].
#[derive(Debug)]
pub struct SaveSecret {
    /// The mount, by its host; the session's when `None`. Another one than the session's needs the admin role.
    pub host: Option<String>,
    /// The name, segments separated by `/`.
    pub name: String,
    /// The new value; `None` keeps the old one, and is empty text for a new secret.
    pub value: Option<SecretText>,
    /// The lists to set, as slugs; `None` keeps a list, and for a new secret is the caller alone, or nobody when the
    /// caller is an admin.
    pub lists: Lists<Option<Vec<String>>>,
}

/// Everything was saved.
#[derive(Debug)]
pub struct Saved;

/// Remove secrets of the session's mount with all their versions: all of them or none. Answers [`Removed`].
#[derive(Debug)]
pub struct RemoveSecrets {
    /// The names; one that is not there is no error.
    pub names: Vec<String>,
}

/// Everything was removed.
#[derive(Debug)]
pub struct Removed;

/// Who may do something to a secret of the session's mount. Answers [`Audience`].
#[derive(Debug)]
pub struct WhoCan {
    /// Its name, segments separated by `/`.
    pub name: String,
    /// What they may do.
    pub capability: Capability,
}

/// Those who may, beside everyone with the admin role.
#[derive(Debug)]
pub struct Audience {
    /// Whether there is such a secret; if not, these may make it.
    pub exists: bool,
    /// By slug.
    pub members: Vec<AudienceMember>,
}

/// One who may.
#[derive(Debug)]
pub struct AudienceMember {
    /// Its slug.
    pub slug: String,
    /// Whether nobody is this principal yet.
    pub is_reserved: bool,
    /// Why it may.
    pub reason: String,
}

/// What is odd about who may read what. For admins; answers [`Reviewed`].
#[derive(Debug)]
pub struct ReviewAccess {
    /// In which mounts.
    pub scope: Scope,
    /// More readers than this are odd.
    pub readers_over: usize,
    /// Go on behind this path.
    pub after: Option<String>,
    /// At most so many findings; [`strongroom_base::limits::PAGE`] at most.
    pub limit: Option<usize>,
}

/// One page of a review.
#[derive(Debug)]
pub struct Reviewed {
    /// What was found, by path.
    pub findings: Vec<Finding>,
    /// Where to go on, if there may be more.
    pub next: Option<String>,
}

/// A secret with something odd about it.
#[derive(Debug)]
pub struct Finding {
    /// Where it is: `apps/<host>/<name>`.
    pub path: String,
    /// How many principals its `readers` name.
    pub readers: usize,
    /// What is odd.
    pub concerns: Vec<Concern>,
}

/// What can be odd about the readers of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Only admins can read it.
    NoReaders,
    /// More can read it than the review allows.
    ManyReaders,
    /// A principal that nobody is yet may read it.
    ReservedReader,
}

/// Names with a text in them. Answers [`FoundNames`].
#[derive(Debug)]
pub struct SearchNames {
    /// In which mounts.
    pub scope: Scope,
    /// The text; empty finds every name.
    pub text: String,
    /// Go on behind this path.
    pub after: Option<String>,
    /// At most so many names; [`strongroom_base::limits::PAGE`] at most.
    pub limit: Option<usize>,
}

/// One page of a search.
#[derive(Debug)]
pub struct FoundNames {
    /// Where the secrets are: `apps/<host>/<name>`, by mount and name.
    pub paths: Vec<String>,
    /// Where to go on, if there may be more.
    pub next: Option<String>,
}

/// Ask for access to a secret; whoever owns it sees that. Answers [`Asked`], whether there is such a secret or not.
#[derive(Debug)]
pub struct AskAccess {
    /// Which secret.
    pub secret: SecretName,
    /// What for: [`Capability::Read`] or [`Capability::Write`].
    pub wanted: Capability,
    /// Why, for its owner and the ledger.
    pub reason: String,
}

/// It was asked.
#[derive(Debug)]
pub struct Asked;

/// Show the requests for access that wait for the caller. Answers [`AccessRequest`]s.
#[derive(Debug)]
pub struct ListAccessRequests {
    /// In which mounts.
    pub scope: Scope,
}

/// A request that waits.
#[derive(Debug)]
pub struct AccessRequest {
    /// Where the secret is: `apps/<host>/<name>`.
    pub path: String,
    /// Its name in the mount.
    pub name: String,
    /// The slug of who asks.
    pub who: String,
    /// What for.
    pub wanted: Capability,
    /// Why, in their words.
    pub reason: String,
    /// When it was asked.
    pub at: Timestamp,
}

ops! { StaticEngine:
    AskAccess -> Asked, "access.request", List, |op| Target::Mount(op.secret.host.clone()), ask_access;
    ListAccessRequests -> Vec<AccessRequest>, "access.requests", Review, |op| op.scope.target(), access_requests;
    ListSecrets -> Listed, "secret.list", List, |op| op.scope.target(), list;
    SaveSecrets -> Saved, "secret.save", Write, SaveSecrets::target, save;
    RemoveSecrets -> Removed, "secret.remove", Delete, |_| Target::Mounts(vec![None]), remove;
    WhoCan -> Audience, "access.who_can", Review, |_| Target::Mounts(vec![None]), who_can;
    ReviewAccess -> Reviewed, "access.review", Review, |op| op.scope.target(), review;
    SearchNames -> FoundNames, "secret.search", List, |op| op.scope.target(), search;
}

impl Scope {
    fn target(&self) -> Target {
        match self {
            Self::Session => Target::Mounts(vec![None]),
            Self::All => Target::EveryMount,
        }
    }
}

impl SaveSecrets {
    fn target(&self) -> Target {
        Target::Mounts(self.entries.iter().map(|entry| entry.host.clone()).collect())
    }
}
