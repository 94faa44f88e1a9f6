//! What can be asked about one secret, or for a list without values: the daily work of the native dialect.

use std::collections::BTreeMap;

use strongroom_base::{SecretId, Slug, Timestamp, Ttl};
use strongroom_policy::{Lapse, Lists};
use strongroom_sdk::{Target, ops};
use strongroom_secret::{SecretBytes, SecretText};

use super::Scope;
use crate::StaticEngine;

/// A secret by its name.
#[derive(Clone, Debug, Default)]
pub struct SecretName {
    /// The mount, by its host; the session's when `None`. Another one than the session's needs the admin role.
    pub host: Option<String>,
    /// The name in it, segments separated by `/`.
    pub name: String,
}

/// Show one value. Answers [`ValueRead`].
#[derive(Debug)]
pub struct ReadSecret {
    /// Of which secret.
    pub secret: SecretName,
    /// Which version; the current one when `None`.
    pub version: Option<u32>,
}

/// One version of a secret, as its reader sees it.
#[derive(Debug)]
pub struct ValueRead {
    /// The secret's name in its mount.
    pub name: String,
    /// The number of the version.
    pub version: u32,
    /// When it was saved.
    pub saved: Timestamp,
    /// The value: UTF-8 text.
    pub value: SecretBytes,
}

/// Create a secret, or give it a new value. Answers [`SavedVersion`].
#[derive(Debug)]
pub struct PutSecret {
    /// Which one.
    pub secret: SecretName,
    /// The new value.
    pub value: SecretText,
    /// Only if this is the number of the current version; 0: only if there is no such secret.
    pub expected: Option<u32>,
    /// The lists to set, as slugs; `None` keeps a list, and for a new secret is the caller alone, or nobody when the
    /// caller is an admin.
    pub lists: Lists<Option<Vec<String>>>,
    /// What is to be said of it.
    pub care: CareChange,
}

/// A change of what is said of a secret beside its value; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct CareChange {
    /// Who answers for it, by slug. Only its owner and admins may give it to another.
    pub owner: Option<String>,
    /// From when on it must not be used any more; `Some(None)` for never. It may be past already.
    pub expires: Option<Option<Timestamp>>,
    /// How often it has to get a new value; `Some(None)` for never.
    pub rotate_every: Option<Option<Ttl>>,
    /// Labels to set; an empty text takes one away.
    pub labels: BTreeMap<String, String>,
}

/// Change what is said of a secret beside its value. Answers [`SavedVersion`], the version that it has.
#[derive(Debug)]
pub struct AnnotateSecret {
    /// Which one.
    pub secret: SecretName,
    /// What to say of it.
    pub care: CareChange,
    /// The lists to set, as slugs; `None` keeps a list.
    pub lists: Lists<Option<Vec<String>>>,
}

/// Describe the secrets that are overdue and that the caller may read, those that are longest so first. Answers
/// [`Stale`].
#[derive(Debug, Default)]
pub struct FindStale {
    /// In which mounts.
    pub scope: Scope,
    /// Go on behind this, the `next` of an earlier page.
    pub after: Option<String>,
    /// At most so many; [`strongroom_base::limits::PAGE`] at most.
    pub limit: Option<usize>,
}

/// One page of overdue secrets.
#[derive(Debug)]
pub struct Stale {
    /// They.
    pub secrets: Vec<SecretFacts>,
    /// Where to go on, if there may be more.
    pub next: Option<String>,
}

/// What a save made.
#[derive(Debug)]
pub struct SavedVersion {
    /// The number of the version that is current now.
    pub version: u32,
}

/// Give a secret the value again that an earlier version had, as a new version. Answers [`SavedVersion`].
#[derive(Debug)]
pub struct RollBack {
    /// Which secret.
    pub secret: SecretName,
    /// The earlier version.
    pub to: u32,
    /// Only if this is the number of the current version.
    pub expected: Option<u32>,
}

/// Remove a secret. Answers [`Gone`].
#[derive(Debug)]
pub struct RemoveSecret {
    /// Which one.
    pub secret: SecretName,
    /// Whether it can be had back.
    pub removal: Removal,
}

/// Whether a removed secret can be had back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It can, for [`strongroom_base::limits::REMOVED_KEPT`].
    Restorable,
    /// It cannot; nor can an earlier one of that name.
    ForGood,
}

/// It was removed.
#[derive(Debug)]
pub struct Gone {
    /// Until when it can be had back.
    pub restorable_until: Option<Timestamp>,
}

/// Have a removed secret back, with its versions, lists and id. Answers [`SavedVersion`], the version that is current
/// again.
#[derive(Debug)]
pub struct RestoreSecret {
    /// Which one.
    pub secret: SecretName,
}

/// Describe one secret, without its value. Answers [`SecretFacts`].
#[derive(Debug)]
pub struct DescribeSecret {
    /// Which one.
    pub secret: SecretName,
}

/// What is known of a secret beside its value.
#[derive(Clone, Debug)]
pub struct SecretFacts {
    /// Its id.
    pub id: SecretId,
    /// Where it is: `apps/<host>/<name>`.
    pub path: String,
    /// Its name in the mount.
    pub name: String,
    /// The slug of who answers for it; `None` when nobody has that id any more.
    pub owner: Option<Slug>,
    /// When it was made.
    pub created: Timestamp,
    /// When anything about it changed last.
    pub updated: Timestamp,
    /// The versions that are kept, oldest first; the last one is current.
    pub versions: Vec<VersionFacts>,
    /// The six lists, as slugs in alphabetical order.
    pub lists: Lists<Vec<Slug>>,
    /// From when on it must not be used any more.
    pub expires: Option<Timestamp>,
    /// How often it has to get a new value.
    pub rotate_every: Option<Ttl>,
    /// What its people call it by.
    pub labels: BTreeMap<String, String>,
    /// From when on it is overdue: expired, or without a new value for too long.
    pub due: Option<Timestamp>,
    /// Why it is overdue now, if it is.
    pub lapse: Option<Lapse>,
}

/// What is known of a version beside its value.
#[derive(Clone, Debug)]
pub struct VersionFacts {
    /// Its number. Numbers count from 1 and never restart.
    pub number: u32,
    /// When it was saved.
    pub saved: Timestamp,
    /// The slug of who saved it; `None` for one that is older than this record of it.
    pub by: Option<Slug>,
}

/// Describe the secrets of a mount that the caller may read, by name. Answers [`Browsed`].
#[derive(Debug, Default)]
pub struct BrowseSecrets {
    /// The mount, by its host; the session's when `None`.
    pub host: Option<String>,
    /// Only names that begin with this text.
    pub prefix: String,
    /// Go on behind this name.
    pub after: Option<String>,
    /// At most so many; [`strongroom_base::limits::PAGE`] at most.
    pub limit: Option<usize>,
}

/// One page of secrets.
#[derive(Debug)]
pub struct Browsed {
    /// They.
    pub secrets: Vec<SecretFacts>,
    /// The name to go on behind, if there may be more.
    pub next: Option<String>,
}

ops! { StaticEngine:
    ReadSecret -> ValueRead, "secret.read", Read, |op| op.secret.target(), read_one;
    PutSecret -> SavedVersion, "secret.put", Write, |op| Target::Mounts(vec![op.secret.host.clone()]), put;
    AnnotateSecret -> SavedVersion, "secret.annotate", Write, |op| op.secret.target(), annotate;
    FindStale -> Stale, "secret.stale", List, |op| op.scope.target(), stale;
    RollBack -> SavedVersion, "secret.rollback", Write, |op| op.secret.target(), roll_back;
    RemoveSecret -> Gone, "secret.drop", Delete, |op| op.secret.target(), remove_one;
    RestoreSecret -> SavedVersion, "secret.undelete", Delete, |op| op.secret.target(), restore;
    DescribeSecret -> SecretFacts, "secret.describe", List, |op| op.secret.target(), describe;
    BrowseSecrets -> Browsed, "secret.browse", List, |op| Target::Mount(op.host.clone()), browse;
}

impl SecretName {
    fn target(&self) -> Target {
        Target::Mount(self.host.clone())
    }
}
