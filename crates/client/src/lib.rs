//! A typed client of a strongroom server, for the command line, the agent and tests. It speaks the 1Backend dialect
//! (today's generation: secrets are named by `id`), so it works with a 1Backend server, too; and the native one ([`native`], [`secrets`]).
//!
//! It follows no redirect, uses no proxy, repeats no request, and waits only so long. Invariant: no error's text
//! holds a token, a password or a value.

mod error;
mod http;
pub mod keys;
pub mod native;
pub mod people;
pub mod seal;
pub mod secrets;
pub mod slots;
mod wire;

use std::path::Path;

use reqwest::Method;
use strongroom_secret::SecretText;

pub use error::{BadReply, ClientError};
pub use wire::{Account, Lists, SavedSecret, SecretToSave};

use crate::http::Http;
use crate::wire::{IsSecure, Listed, Login, Nothing, Remove, Save, SelfReply, TokenReply};

/// The app of callers that name none.
pub const DEFAULT_APP: &str = "unnamed";

/// A server, and who is talking to it.
pub struct Client {
    http: Http,
}

impl Client {
    /// A client of the server at `url` (`http://` or `https://`), not logged in. With `ca_file` (PEM), the server's
    /// certificate must come from there; otherwise the system's authorities count.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`], [`ClientError::CaFile`], or [`ClientError::Setup`] when TLS cannot be set up.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        Ok(Self {
            http: Http::new(url, ca_file)?,
        })
    }

    /// The same server, called with `token` from now on.
    ///
    /// # Errors
    /// [`ClientError::BadToken`] when the text cannot be a header.
    pub fn with_token(mut self, token: &SecretText) -> Result<Self, ClientError> {
        self.http.set_token(token)?;
        Ok(self)
    }

    /// Whether anything that speaks HTTP answers there.
    pub async fn is_reachable(&self) -> bool {
        self.http.is_reachable().await
    }

    /// Logs in to `app_host`: `POST /user-svc/login`. Gives the session's token, which [`Client::with_token`] takes.
    ///
    /// # Errors
    /// [`ClientError`]; 401 when slug or password are wrong.
    pub async fn login(
        &self,
        app_host: &str,
        slug: &str,
        password: &SecretText,
        device: &str,
    ) -> Result<SecretText, ClientError> {
        let login = Login {
            app_host,
            slug,
            password: password.expose(),
            device,
        };
        let reply: TokenReply = self
            .http
            .send_json(Method::POST, "/user-svc/login", &login)
            .await?;
        Ok(reply.token.token)
    }

    /// A fresh token for the session: `POST /user-svc/refresh-token`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn refresh(&self) -> Result<SecretText, ClientError> {
        let reply: TokenReply = self.http.send(Method::POST, "/user-svc/refresh-token").await?;
        Ok(reply.token.token)
    }

    /// Who the token belongs to: `POST /user-svc/self`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn whoami(&self) -> Result<Account, ClientError> {
        let reply: SelfReply = self
            .http
            .send_json(Method::POST, "/user-svc/self", &Nothing {})
            .await?;
        Ok(Account {
            id: reply.user.id,
            slug: reply.user.slug,
            roles: reply.roles.unwrap_or_default(),
        })
    }

    /// Whether the server encrypts with a key of its own: `GET /secret-svc/is-secure`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn is_secure(&self) -> Result<bool, ClientError> {
        let reply: IsSecure = self.http.send(Method::GET, "/secret-svc/is-secure").await?;
        Ok(reply.is_secure)
    }

    /// Creates or updates secrets: `PUT /secret-svc/secrets`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 when a name is outside the caller's own prefix, or a secret is not theirs to write.
    pub async fn save(&self, secrets: &[SecretToSave<'_>]) -> Result<(), ClientError> {
        let _: Nothing = self
            .http
            .send_json(Method::PUT, "/secret-svc/secrets", &Save { secrets })
            .await?;
        Ok(())
    }

    /// Every secret of the app that the caller may read, values included: `POST /secret-svc/secrets`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(&self) -> Result<Vec<SavedSecret>, ClientError> {
        let reply: Listed = self
            .http
            .send_json(Method::POST, "/secret-svc/secrets", &Nothing {})
            .await?;
        Ok(reply.secrets.unwrap_or_default())
    }

    /// Removes the secrets with these names; unknown ones are no error: `DELETE /secret-svc/secrets`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove(&self, ids: &[String]) -> Result<(), ClientError> {
        let _: Nothing = self
            .http
            .send_json(Method::DELETE, "/secret-svc/secrets", &Remove { ids })
            .await?;
        Ok(())
    }
}
