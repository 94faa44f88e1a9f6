//! What can be asked of the static engine, and what it answers: plain data.

use strongroom_base::{MountUid, Name, SecretId};
use strongroom_policy::Lists;
use strongroom_secret::{SecretBytes, SecretText};

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
    pub lists: Lists<Vec<String>>,
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
