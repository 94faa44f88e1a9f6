//! The native dialect's principals and tokens. Times are milliseconds since 1970.

use serde::{Deserialize, Serialize};
use strongroom_secret::SecretText;

use crate::wire::plaintext;
use crate::{Client, ClientError};

/// An account to make.
#[derive(Debug, Serialize)]
pub struct NewPrincipal<'a> {
    /// `user` or `service`.
    pub kind: &'a str,
    /// Its slug.
    pub slug: &'a str,
    /// What people call it.
    pub name: &'a str,
    /// The password that it logs in with.
    #[serde(serialize_with = "plaintext")]
    pub password: &'a SecretText,
    /// Whether it gets the admin role.
    pub is_admin: bool,
}

/// A principal as an admin sees it.
#[derive(Debug, Deserialize, Serialize)]
pub struct PrincipalFacts {
    /// Its id.
    pub id: String,
    /// Its slug.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// `user` or `service`.
    pub kind: String,
    /// Whether it has the admin role.
    pub is_admin: bool,
    /// `active`, `disabled` or `reserved`.
    pub standing: String,
    /// When it was made.
    pub created: u64,
}

/// A page of principals.
#[derive(Debug, Deserialize)]
pub struct Principals {
    /// By slug.
    pub principals: Vec<PrincipalFacts>,
    /// Where to go on.
    pub next: Option<String>,
}

/// A token, named without it.
#[derive(Debug, Deserialize, Serialize)]
pub struct TokenFacts {
    /// By this it can be revoked.
    pub id: String,
    /// The app that it acts on.
    pub app: String,
    /// What the client called itself.
    pub device: String,
    /// When its session began.
    pub created: u64,
    /// When that ends unless it is used.
    pub idle_until: u64,
    /// When it ends in any case.
    pub deadline: u64,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// A page of tokens.
#[derive(Debug, Deserialize)]
pub struct Tokens {
    /// Oldest first.
    pub tokens: Vec<TokenFacts>,
    /// Where to go on.
    pub next: Option<String>,
}

impl Client {
    /// Makes an account: `POST /strongroom/v1/principals/add`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins, 409 for a slug that is taken.
    pub async fn add_principal(&self, new: &NewPrincipal<'_>) -> Result<PrincipalFacts, ClientError> {
        self.post("/strongroom/v1/principals/add", new).await
    }

    /// Who there is of a kind, behind `after`: `POST /strongroom/v1/principals/list`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins.
    pub async fn principals(&self, kind: &str, after: Option<&str>) -> Result<Principals, ClientError> {
        let request = serde_json::json!({ "kind": kind, "after": after });
        self.post("/strongroom/v1/principals/list", &request).await
    }

    /// Keeps a principal from logging in and ends its sessions: `POST /strongroom/v1/principals/disable`; or lets it log
    /// in again: `POST /strongroom/v1/principals/enable`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins, 404 for a slug that nobody has.
    pub async fn set_standing(&self, slug: &str, is_active: bool) -> Result<PrincipalFacts, ClientError> {
        let path = if is_active {
            "/strongroom/v1/principals/enable"
        } else {
            "/strongroom/v1/principals/disable"
        };
        self.post(path, &serde_json::json!({ "slug": slug })).await
    }

    /// The tokens of `slug`, or the caller's own: `POST /strongroom/v1/tokens/list`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 for those of others to all but admins.
    pub async fn tokens(&self, slug: Option<&str>, after: Option<&str>) -> Result<Tokens, ClientError> {
        let request = serde_json::json!({ "slug": slug, "after": after });
        self.post("/strongroom/v1/tokens/list", &request).await
    }

    /// Revokes a token by its id: `POST /strongroom/v1/tokens/revoke`.
    ///
    /// # Errors
    /// As [`Client::tokens`]; 404 for one that has ended.
    pub async fn revoke_token(&self, slug: Option<&str>, id: &str) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        struct Reply {}
        let request = serde_json::json!({ "slug": slug, "id": id });
        let Reply {} = self.post("/strongroom/v1/tokens/revoke", &request).await?;
        Ok(())
    }
}
