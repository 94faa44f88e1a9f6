//! The instance's keys, in the native dialect. For admins.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{Client, ClientError};

/// The keys of an instance.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Keys {
    /// The epochs of the KEKs, oldest first.
    pub kek_epochs: Vec<u32>,
    /// The last rewrap, if there ever was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrap: Option<Rewrap>,
}

/// How far a rewrap has come.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Rewrap {
    /// Who started it: a principal's id.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub started: u64,
    /// When it was done; `None` while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// Rows that it has to look at.
    pub rows: u64,
    /// Rows that it has looked at.
    pub walked: u64,
    /// Rows that it has sealed anew.
    pub rewrapped: u64,
    /// Rows that do not open.
    pub unreadable: u64,
}

/// What a rotation did.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Rotated {
    /// The epoch of the new KEK.
    pub kek_epoch: u32,
}

impl Client {
    /// The keys, and how far a rewrap has come: `GET /strongroom/v1/keys`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins.
    pub async fn keys(&self) -> Result<Keys, ClientError> {
        self.http.send(Method::GET, "/strongroom/v1/keys").await
    }

    /// New keys for what is written from now on: `POST /strongroom/v1/keys/rotate`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins, 409 when another rotation came first.
    pub async fn rotate(&self) -> Result<Rotated, ClientError> {
        self.http.send(Method::POST, "/strongroom/v1/keys/rotate").await
    }

    /// Starts a rewrap, unless one runs: `POST /strongroom/v1/keys/rewrap`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins.
    pub async fn rewrap(&self) -> Result<Keys, ClientError> {
        self.http.send(Method::POST, "/strongroom/v1/keys/rewrap").await
    }
}
