//! `secret-svc`.

use serde::{Deserialize, Serialize};
use strongroom_dialect_kit::json::Object;
use strongroom_dialect_kit::reply::secret_utf8;
use strongroom_engine_static::ops::{
    ListSecrets, Listed, RemoveSecrets, SaveSecret, SaveSecrets, Scope, SecretRead,
};
use strongroom_policy::Lists;
use strongroom_sdk::Error;
use strongroom_secret::{SecretBytes, SecretText};

use super::{app_id, non_empty};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ListRequest {
    id: Option<String>,
    ids: Option<Vec<String>>,
    all_apps: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct RemoveRequest {
    id: Option<String>,
    ids: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct SaveRequest {
    secrets: Option<Vec<Object<SecretInput>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SecretInput {
    id: Option<String>,
    app_host: Option<String>,
    value: Option<SecretText>,
    readers: Option<Vec<String>>,
    writers: Option<Vec<String>>,
    deleters: Option<Vec<String>>,
    can_change_readers: Option<Vec<String>>,
    can_change_writers: Option<Vec<String>>,
    can_change_deleters: Option<Vec<String>>,
    encrypted: Option<bool>,
    checksum: Option<String>,
    checksum_algorithm: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct ListReply {
    secrets: Vec<Secret>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    internal_id: String,
    app_id: String,
    id: String,
    #[serde(serialize_with = "secret_utf8")]
    value: SecretBytes,
    readers: Vec<String>,
    writers: Vec<String>,
    deleters: Vec<String>,
    can_change_readers: Vec<String>,
    can_change_writers: Vec<String>,
    can_change_deleters: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IsSecureReply {
    pub(crate) is_secure: bool,
}

impl From<ListRequest> for ListSecrets {
    /// `id` and `ids` both select, so together they select what is in both; `"ids": []` selects nothing.
    fn from(request: ListRequest) -> Self {
        let names = match (non_empty(request.id), request.ids) {
            (None, ids) => ids,
            (Some(id), None) => Some(vec![id]),
            (Some(id), Some(ids)) => Some(ids.into_iter().filter(|other| *other == id).take(1).collect()),
        };
        Self { scope: if request.all_apps.unwrap_or_default() { Scope::All } else { Scope::Session }, names }
    }
}

impl From<RemoveRequest> for RemoveSecrets {
    /// `id` and `ids` add up.
    fn from(request: RemoveRequest) -> Self {
        Self { names: non_empty(request.id).into_iter().chain(request.ids.unwrap_or_default()).collect() }
    }
}

impl TryFrom<SaveRequest> for SaveSecrets {
    type Error = Error;

    fn try_from(request: SaveRequest) -> Result<Self, Error> {
        let secrets = request.secrets.unwrap_or_default().into_iter();
        let entries = secrets.enumerate().map(|(index, Object(secret))| secret.into_entry(index));
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }
}

impl SecretInput {
    /// The entry at `index` of a save.
    fn into_entry(self, index: usize) -> Result<SaveSecret, Error> {
        let unsupported = [
            ("encrypted", self.encrypted == Some(true)),
            ("checksum", non_empty(self.checksum).is_some()),
            ("checksumAlgorithm", non_empty(self.checksum_algorithm).is_some()),
        ];
        if let Some((field, _)) = unsupported.into_iter().find(|(_, is_sent)| *is_sent) {
            let why = "is not supported in this version: send the value itself, and leave this field out";
            return Err(Error::invalid(format!("secrets[{index}].{field}"), why));
        }
        Ok(SaveSecret {
            host: non_empty(self.app_host),
            name: self.id.unwrap_or_default(),
            value: self.value,
            lists: Lists {
                readers: self.readers,
                writers: self.writers,
                deleters: self.deleters,
                can_change_readers: self.can_change_readers,
                can_change_writers: self.can_change_writers,
                can_change_deleters: self.can_change_deleters,
            },
        })
    }
}

impl From<Listed> for ListReply {
    fn from(listed: Listed) -> Self {
        Self { secrets: listed.secrets.into_iter().map(Secret::from).collect() }
    }
}

impl From<SecretRead> for Secret {
    fn from(secret: SecretRead) -> Self {
        let (app_id, id) = (app_id(secret.mount), secret.name.to_string());
        Self {
            internal_id: format!("{app_id}:{id}"),
            app_id,
            id,
            value: secret.value,
            readers: secret.lists.readers,
            writers: secret.lists.writers,
            deleters: secret.lists.deleters,
            can_change_readers: secret.lists.can_change_readers,
            can_change_writers: secret.lists.can_change_writers,
            can_change_deleters: secret.lists.can_change_deleters,
        }
    }
}
