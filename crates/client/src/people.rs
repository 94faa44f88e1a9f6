//! The native dialect's principals and tokens. Times are milliseconds since 1970.

use serde::{Deserialize, Serialize, Serializer};
use strongroom_secret::SecretText;

use crate::wire::plaintext;
use crate::{Client, ClientError};

/// An account to make.
#[derive(Debug, Serialize)]
pub struct NewPrincipal<'a> {
    /// `user`, `service` or `group`.
    pub kind: &'a str,
    /// Its slug.
    pub slug: &'a str,
    /// What people call it.
    pub name: &'a str,
    /// The password that it logs in with; a group has none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_plaintext")]
    pub password: Option<&'a SecretText>,
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
    /// The slugs of the groups that it is in.
    pub groups: Vec<String>,
}

/// An invitation to an account.
#[derive(Debug, Deserialize)]
pub struct Invitation {
    /// What proves it.
    pub code: SecretText,
    /// When it ends.
    pub expires: u64,
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

    /// Takes `member` into `group`: `POST /strongroom/v1/groups/join`; or out of it: `POST /strongroom/v1/groups/leave`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins, 404 for a slug that nobody has.
    pub async fn set_membership(
        &self,
        group: &str,
        member: &str,
        is_member: bool,
    ) -> Result<(), ClientError> {
        let path = if is_member {
            "/strongroom/v1/groups/join"
        } else {
            "/strongroom/v1/groups/leave"
        };
        let request = serde_json::json!({ "group": group, "member": member });
        let _: PrincipalFacts = self.post(path, &request).await?;
        Ok(())
    }

    /// Invites somebody to the account `slug`: `POST /strongroom/v1/invitations/create`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins, 409 for a slug that is taken.
    pub async fn invite(&self, slug: &str) -> Result<Invitation, ClientError> {
        self.post(
            "/strongroom/v1/invitations/create",
            &serde_json::json!({ "slug": slug }),
        )
        .await
    }

    /// Makes the account that one was invited to: `POST /strongroom/v1/invitations/accept`.
    ///
    /// # Errors
    /// [`ClientError`]; 401 when there is no such invitation (any more).
    pub async fn accept_invitation(
        &self,
        slug: &str,
        name: &str,
        code: &SecretText,
        password: &SecretText,
    ) -> Result<PrincipalFacts, ClientError> {
        #[derive(Serialize)]
        struct Request<'a> {
            slug: &'a str,
            name: &'a str,
            #[serde(serialize_with = "plaintext")]
            code: &'a SecretText,
            #[serde(serialize_with = "plaintext")]
            password: &'a SecretText,
        }
        let request = Request {
            slug,
            name,
            code,
            password,
        };
        self.post("/strongroom/v1/invitations/accept", &request).await
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

fn maybe_plaintext<S: Serializer>(text: &Option<&SecretText>, serializer: S) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => plaintext(text, serializer),
        None => serializer.serialize_none(),
    }
}
