//! Opening and closing an instance, in the native dialect. None of it but sealing and rekeying needs a token.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use strongroom_secret::SecretText;

use crate::{Client, ClientError};

/// How the seal is.
#[derive(Debug, Deserialize, Serialize)]
pub struct SealStatus {
    /// Whether there is an instance.
    pub initialized: bool,
    /// Whether it is closed.
    pub sealed: bool,
    /// How far the shares of each slot have come.
    pub progress: Vec<Progress>,
    /// The server's version.
    pub version: String,
    /// What keeps it from opening by itself; told to callers on its machine only.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// How far shares have come.
#[derive(Debug, Deserialize, Serialize)]
pub struct Progress {
    /// Of which slot.
    pub slot: u32,
    /// How many were given.
    pub given: usize,
    /// How many are needed.
    pub needed: u8,
}

/// What a new instance is to be.
#[derive(Debug, Serialize)]
pub struct NewInstance<'a> {
    /// Shares that are made.
    pub shares: u8,
    /// How many of them open the seal.
    pub threshold: u8,
    /// Further slots, which open unattended.
    pub slots: &'a [String],
    /// The slug of the first administrator.
    pub admin: &'a str,
}

/// What is said once.
#[derive(Deserialize)]
pub struct Initialized {
    /// The shares.
    pub shares: Vec<SecretText>,
    /// The first administrator.
    pub admin: Admin,
    /// A token of it.
    pub root_token: SecretText,
}

/// The first administrator.
#[derive(Deserialize)]
pub struct Admin {
    /// The slug.
    pub slug: String,
    /// The password.
    pub password: SecretText,
}

/// What a share has done on the way to a new root token.
#[derive(Deserialize)]
pub struct RootStep {
    /// How far they have come, if more are needed.
    pub progress: Option<Progress>,
    /// The slug of the new admin, after the last one.
    pub slug: Option<String>,
    /// Its token.
    pub root_token: Option<SecretText>,
}

/// New shares.
#[derive(Deserialize)]
pub struct Rekeyed {
    /// The slot that opens until they are confirmed.
    pub old: u32,
    /// The slot that they open.
    pub new: u32,
    /// They.
    pub shares: Vec<SecretText>,
}

/// What a new share has done.
#[derive(Debug, Deserialize, Serialize)]
pub struct RekeyStep {
    /// How far they have come, if more are needed.
    pub progress: Option<Progress>,
    /// The slot that was removed, after the last one.
    pub removed: Option<u32>,
}

/// One step to open the seal.
pub enum Unseal<'a> {
    /// A share.
    Share(&'a SecretText),
    /// A passphrase.
    Passphrase(&'a SecretText),
    /// Forget the shares so far.
    Reset,
}

#[derive(Serialize)]
struct Share<'a> {
    share: &'a str,
}

#[derive(Serialize)]
struct Passphrase<'a> {
    passphrase: &'a str,
}

impl Client {
    /// How the seal is: `GET /strongroom/v1/operator/status`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn seal_status(&self) -> Result<SealStatus, ClientError> {
        self.http
            .send(Method::GET, "/strongroom/v1/operator/status")
            .await
    }

    /// Makes the instance: `POST /strongroom/v1/operator/init`.
    ///
    /// # Errors
    /// [`ClientError`]; 409 where there is one.
    pub async fn initialize(&self, new: &NewInstance<'_>) -> Result<Initialized, ClientError> {
        self.post("/strongroom/v1/operator/init", new).await
    }

    /// Takes a step to open the seal: `POST /strongroom/v1/operator/unseal`.
    ///
    /// # Errors
    /// [`ClientError`]; 400 for what does not open it.
    pub async fn unseal(&self, step: Unseal<'_>) -> Result<SealStatus, ClientError> {
        let path = "/strongroom/v1/operator/unseal";
        match step {
            Unseal::Share(share) => {
                let share = share.expose();
                self.post(path, &Share { share }).await
            }
            Unseal::Passphrase(passphrase) => {
                let passphrase = passphrase.expose();
                self.post(path, &Passphrase { passphrase }).await
            }
            Unseal::Reset => self.post(path, &serde_json::json!({ "reset": true })).await,
        }
    }

    /// Closes the seal: `POST /strongroom/v1/operator/seal`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins.
    pub async fn seal(&self) -> Result<(), ClientError> {
        let nothing = serde_json::json!({});
        let _: serde_json::Value = self.post("/strongroom/v1/operator/seal", &nothing).await?;
        Ok(())
    }

    /// Gives a share to get a new root token, or has those so far forgotten: `POST /strongroom/v1/operator/generate-root`.
    ///
    /// # Errors
    /// [`ClientError`]; 400 for a share that is not taken.
    pub async fn generate_root(&self, share: Option<&SecretText>) -> Result<RootStep, ClientError> {
        let path = "/strongroom/v1/operator/generate-root";
        match share {
            Some(share) => {
                let share = share.expose();
                self.post(path, &Share { share }).await
            }
            None => self.post(path, &serde_json::json!({ "cancel": true })).await,
        }
    }

    /// New shares for a slot: `POST /strongroom/v1/operator/rekey`.
    ///
    /// # Errors
    /// [`ClientError`]; 409 while another rekey waits.
    pub async fn rekey(&self, slot: Option<u32>, shares: u8, threshold: u8) -> Result<Rekeyed, ClientError> {
        let request = serde_json::json!({ "slot": slot, "shares": shares, "threshold": threshold });
        self.post("/strongroom/v1/operator/rekey", &request).await
    }

    /// Shows one of the new shares: `POST /strongroom/v1/operator/rekey/confirm`.
    ///
    /// # Errors
    /// [`ClientError`]; 400 for a share that is none of them.
    pub async fn confirm_rekey(&self, share: &SecretText) -> Result<RekeyStep, ClientError> {
        let share = share.expose();
        self.post("/strongroom/v1/operator/rekey/confirm", &Share { share })
            .await
    }

    /// Drops the new shares: `POST /strongroom/v1/operator/rekey/cancel`.
    ///
    /// # Errors
    /// [`ClientError`]; 409 when no rekey waits.
    pub async fn cancel_rekey(&self) -> Result<(), ClientError> {
        let nothing = serde_json::json!({});
        let _: serde_json::Value = self
            .post("/strongroom/v1/operator/rekey/cancel", &nothing)
            .await?;
        Ok(())
    }
}
