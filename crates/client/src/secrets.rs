//! The native dialect's secrets, one by one: `/strongroom/v1/secrets/…`. Times are milliseconds since 1970.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_secret::SecretText;

use crate::native::Page;
use crate::wire::plaintext;
use crate::{Client, ClientError};

/// A secret by its name.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SecretName<'a> {
    /// The name in its app.
    pub name: &'a str,
    /// The app; that of the login when `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<&'a str>,
}

/// One version of a secret, with its value.
#[derive(Debug, Deserialize)]
pub struct Value {
    /// The secret's name in its app.
    pub name: String,
    /// The version's number.
    pub version: u32,
    /// When it was saved.
    pub saved: u64,
    /// The value.
    pub value: SecretText,
}

/// What to save.
#[derive(Debug, Serialize)]
pub struct Put<'a> {
    /// The new value.
    #[serde(serialize_with = "plaintext")]
    pub value: &'a SecretText,
    /// Only if this is the number of the current version; 0: only if there is no such secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<u32>,
    /// The lists to set.
    pub lists: ListsToSet,
    /// What to say of it.
    pub care: Care,
}

/// What to say of a secret beside its value; what is `None` stays as it is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Care {
    /// The slug of who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// From when on it must not be used any more; 0: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// How often it has to get a new value; 0: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_every_seconds: Option<u64>,
    /// Labels to set; an empty text takes one away.
    pub labels: BTreeMap<String, String>,
}

/// Lists of slugs to set; `None` keeps one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ListsToSet {
    /// Who may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readers: Option<Vec<String>>,
    /// Who may replace the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writers: Option<Vec<String>>,
    /// Who may remove.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleters: Option<Vec<String>>,
}

/// What is known of a secret beside its value.
#[derive(Debug, Deserialize, Serialize)]
pub struct Facts {
    /// Its id.
    pub id: String,
    /// `apps/<host>/<name>`
    pub path: String,
    /// Its name in the app.
    pub name: String,
    /// The number of the current version.
    pub version: u32,
    /// When that was saved.
    pub saved: u64,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When it was made.
    pub created: u64,
    /// When anything about it changed last.
    pub updated: u64,
    /// From when on it must not be used any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// How often it has to get a new value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_every_seconds: Option<u64>,
    /// What its people call it by.
    pub labels: BTreeMap<String, String>,
    /// From when on it is overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// Why it is overdue now: `expired` or `rotation_due`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue: Option<String>,
    /// The versions that are kept, oldest first.
    pub versions: Vec<VersionFacts>,
    /// Who may do what, beside everyone with the admin role.
    pub lists: ListsOfSlugs,
}

/// What is known of a version beside its value.
#[derive(Debug, Deserialize, Serialize)]
pub struct VersionFacts {
    /// Its number.
    pub version: u32,
    /// When it was saved.
    pub saved: u64,
    /// Who saved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The six lists, as slugs.
#[derive(Debug, Deserialize, Serialize)]
#[expect(missing_docs, reason = "the dialect's names of the lists")]
pub struct ListsOfSlugs {
    pub readers: Vec<String>,
    pub writers: Vec<String>,
    pub deleters: Vec<String>,
    pub can_change_readers: Vec<String>,
    pub can_change_writers: Vec<String>,
    pub can_change_deleters: Vec<String>,
}

/// Which secrets to list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ListRequest {
    /// The app; that of the login when `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// What their names begin with.
    pub prefix: String,
    /// Go on behind this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A page of secrets.
#[derive(Debug, Deserialize)]
pub struct List {
    /// They.
    pub secrets: Vec<Facts>,
    /// Where to go on.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// A secret, and what is asked of it.
#[derive(Serialize)]
struct About<'a, T> {
    #[serde(flatten)]
    secret: SecretName<'a>,
    #[serde(flatten)]
    what: T,
}

impl Client {
    /// The value of a secret, or of a `version` of it: `POST /strongroom/v1/secrets/read`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 for what is not there or not the caller's to read.
    pub async fn read_secret(
        &self,
        secret: SecretName<'_>,
        version: Option<u32>,
    ) -> Result<Value, ClientError> {
        let what = serde_json::json!({ "version": version });
        self.post("/strongroom/v1/secrets/read", &About { secret, what })
            .await
    }

    /// Creates a secret, or gives it a new value; the version that it has then: `POST /strongroom/v1/secrets/put`.
    ///
    /// # Errors
    /// [`ClientError`]; 409 when another version than the expected one is current.
    pub async fn put_secret(&self, secret: SecretName<'_>, what: Put<'_>) -> Result<u32, ClientError> {
        let reply: Version = self
            .post("/strongroom/v1/secrets/put", &About { secret, what })
            .await?;
        Ok(reply.version)
    }

    /// Makes a new version with the value of version `to`; its number: `POST /strongroom/v1/secrets/rollback`.
    ///
    /// # Errors
    /// As [`Client::put_secret`]; 404 for a version that is not kept.
    pub async fn roll_back_secret(
        &self,
        secret: SecretName<'_>,
        to: u32,
        expected: Option<u32>,
    ) -> Result<u32, ClientError> {
        let what = serde_json::json!({ "to": to, "expected": expected });
        let reply: Version = self
            .post("/strongroom/v1/secrets/rollback", &About { secret, what })
            .await?;
        Ok(reply.version)
    }

    /// Removes a secret; until when it can be had back: `POST /strongroom/v1/secrets/remove`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 when there is none.
    pub async fn remove_secret(
        &self,
        secret: SecretName<'_>,
        for_good: bool,
    ) -> Result<Option<u64>, ClientError> {
        #[derive(Deserialize)]
        struct Reply {
            restorable_until: Option<u64>,
        }
        let what = serde_json::json!({ "for_good": for_good });
        let reply: Reply = self
            .post("/strongroom/v1/secrets/remove", &About { secret, what })
            .await?;
        Ok(reply.restorable_until)
    }

    /// Has a removed secret back; its current version: `POST /strongroom/v1/secrets/undelete`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 when there is none to have back, 409 when the name is another's by now.
    pub async fn undelete_secret(&self, secret: SecretName<'_>) -> Result<u32, ClientError> {
        let reply: Version = self.post("/strongroom/v1/secrets/undelete", &secret).await?;
        Ok(reply.version)
    }

    /// What is known of a secret beside its value: `POST /strongroom/v1/secrets/describe`.
    ///
    /// # Errors
    /// As [`Client::read_secret`].
    pub async fn describe_secret(&self, secret: SecretName<'_>) -> Result<Facts, ClientError> {
        self.post("/strongroom/v1/secrets/describe", &secret).await
    }

    /// Changes what is said of a secret beside its value, and its lists: `POST /strongroom/v1/secrets/annotate`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 when there is none.
    pub async fn annotate_secret(
        &self,
        secret: SecretName<'_>,
        care: &Care,
        lists: &ListsToSet,
    ) -> Result<(), ClientError> {
        #[derive(Serialize)]
        struct What<'a> {
            care: &'a Care,
            lists: &'a ListsToSet,
        }
        let what = What { care, lists };
        let _: Version = self
            .post("/strongroom/v1/secrets/annotate", &About { secret, what })
            .await?;
        Ok(())
    }

    /// The secrets that are overdue and that the caller may read: `POST /strongroom/v1/secrets/stale`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stale_secrets(&self, page: &Page) -> Result<List, ClientError> {
        self.post("/strongroom/v1/secrets/stale", page).await
    }

    /// The secrets that the caller may read, without values: `POST /strongroom/v1/secrets/list`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_secrets(&self, request: &ListRequest) -> Result<List, ClientError> {
        self.post("/strongroom/v1/secrets/list", request).await
    }
}
