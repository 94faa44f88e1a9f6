//! The seal slots, in the native dialect.

use serde::{Deserialize, Serialize};
use strongroom_secret::SecretText;

use crate::{Client, ClientError};

/// A slot.
#[derive(Debug, Deserialize, Serialize)]
pub struct Slot {
    /// Its number.
    pub id: u32,
    /// Its kind.
    pub kind: String,
    /// What an operator calls it.
    pub label: String,
    /// What it is opened by.
    pub opens_by: String,
    /// When it was made.
    pub created: Option<u64>,
    /// Whether it opens without anyone who types something.
    pub is_unattended: bool,
    /// Whether it opened the instance at this start.
    pub is_in_use: bool,
    /// Whether it opened when it was last tried.
    pub is_ok: Option<bool>,
}

/// A new slot. Beside `kind` and `label`, each field belongs to one kind.
#[derive(Default)]
pub struct NewSlot {
    /// How it opens.
    pub kind: &'static str,
    /// What an operator calls it.
    pub label: String,
    /// Of a passphrase: it.
    pub passphrase: Option<SecretText>,
    /// Of shares: how many are made.
    pub shares: Option<u8>,
    /// Of shares: how many are needed.
    pub threshold: Option<u8>,
    /// Of PKCS#11: the token's label.
    pub token: Option<String>,
    /// Of PKCS#11: the key's label.
    pub key: Option<String>,
    /// Of a systemd credential: its name.
    pub name: Option<String>,
}

/// A slot was added.
#[derive(Debug, Deserialize)]
pub struct Added {
    /// It.
    pub slot: Slot,
    /// Its shares, if it opens by shares.
    pub shares: Vec<SecretText>,
}

/// A slot was removed.
#[derive(Debug, Deserialize, Serialize)]
pub struct Removed {
    /// It.
    pub slot: Slot,
    /// Slots that are left and open without anyone who types something.
    pub unattended_left: usize,
}

/// A slot that was tried.
#[derive(Debug, Deserialize, Serialize)]
pub struct Check {
    /// It.
    pub slot: Slot,
    /// `opens`, `not_tried` or `fails`.
    pub verdict: String,
    /// Why it fails, and what to do.
    pub why: Option<String>,
}

/// A slot alone opened a copy of the instance.
#[derive(Debug, Deserialize, Serialize)]
pub struct Drilled {
    /// It.
    pub slot: Slot,
    /// Rows that were copied.
    pub rows: usize,
    /// Workspaces whose keys opened.
    pub workspaces: usize,
}

#[derive(Serialize)]
struct AddRequest<'a> {
    kind: &'a str,
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<&'a str>,
    shares: Option<u8>,
    threshold: Option<u8>,
    token: Option<&'a str>,
    key: Option<&'a str>,
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct GivenRequest<'a> {
    id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<&'a str>,
}

impl Client {
    /// All slots: `POST /strongroom/v1/operator/slots/list`.
    ///
    /// # Errors
    /// [`ClientError`]; 403 to all but admins, here and below.
    pub async fn slots(&self) -> Result<Vec<Slot>, ClientError> {
        #[derive(Deserialize)]
        struct Reply {
            slots: Vec<Slot>,
        }
        let nothing = serde_json::json!({});
        let reply: Reply = self.post("/strongroom/v1/operator/slots/list", &nothing).await?;
        Ok(reply.slots)
    }

    /// Adds a slot: `POST /strongroom/v1/operator/slots/add`.
    ///
    /// # Errors
    /// [`ClientError`]; 400 for what cannot be a slot or not be reached.
    pub async fn add_slot(&self, new: &NewSlot) -> Result<Added, ClientError> {
        let request = AddRequest {
            kind: new.kind,
            label: &new.label,
            passphrase: new.passphrase.as_ref().map(SecretText::expose),
            shares: new.shares,
            threshold: new.threshold,
            token: new.token.as_deref(),
            key: new.key.as_deref(),
            name: new.name.as_deref(),
        };
        self.post("/strongroom/v1/operator/slots/add", &request).await
    }

    /// Removes a slot: `POST /strongroom/v1/operator/slots/remove`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 for none, 409 for the last.
    pub async fn remove_slot(&self, id: u32) -> Result<Removed, ClientError> {
        let request = serde_json::json!({ "id": id });
        self.post("/strongroom/v1/operator/slots/remove", &request).await
    }

    /// Tries one slot or all, those that need it with what is given: `POST /strongroom/v1/operator/slots/check`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn check_slots(
        &self,
        id: Option<u32>,
        given: Option<&SecretText>,
    ) -> Result<Vec<Check>, ClientError> {
        #[derive(Deserialize)]
        struct Reply {
            checks: Vec<Check>,
        }
        let given = given.map(SecretText::expose);
        let request = GivenRequest { id, given };
        let reply: Reply = self.post("/strongroom/v1/operator/slots/check", &request).await?;
        Ok(reply.checks)
    }

    /// Proves on a copy that a slot alone opens the instance: `POST /strongroom/v1/operator/slots/drill`.
    ///
    /// # Errors
    /// [`ClientError`]; 400 when it does not.
    pub async fn drill_slot(&self, id: u32, given: Option<&SecretText>) -> Result<Drilled, ClientError> {
        let given = given.map(SecretText::expose);
        let request = GivenRequest { id: Some(id), given };
        self.post("/strongroom/v1/operator/slots/drill", &request).await
    }
}
