//! Requests and replies exactly as the 1Backend dialect spells them (today's generation).

use serde::{Deserialize, Serialize};
use strongroom_secret::SecretText;

/// `{}`, in either direction.
#[derive(Serialize, Deserialize)]
pub(crate) struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login<'a> {
    pub(crate) app_host: &'a str,
    pub(crate) slug: &'a str,
    pub(crate) password: &'a str,
    pub(crate) device: &'a str,
}

#[derive(Deserialize)]
pub(crate) struct TokenReply {
    pub(crate) token: Token,
}

#[derive(Deserialize)]
pub(crate) struct Token {
    pub(crate) token: SecretText,
}

#[derive(Deserialize)]
pub(crate) struct SelfReply {
    pub(crate) user: User,
    pub(crate) roles: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) slug: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IsSecure {
    pub(crate) is_secure: bool,
}

#[derive(Serialize)]
pub(crate) struct Save<'a> {
    pub(crate) secrets: &'a [SecretToSave<'a>],
}

#[derive(Serialize)]
pub(crate) struct Remove<'a> {
    pub(crate) ids: &'a [String],
}

#[derive(Deserialize)]
pub(crate) struct Listed {
    pub(crate) secrets: Option<Vec<SavedSecret>>,
}

/// The owner of a token.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's id, `usr-…`.
    pub id: String,
    /// The user's name in lists and prefixes.
    pub slug: String,
    /// Role ids, such as `user-svc:admin`.
    pub roles: Vec<String>,
}

/// A secret to create or update.
#[derive(Serialize)]
pub struct SecretToSave<'a> {
    /// The name.
    pub id: &'a str,
    /// The value, in plaintext.
    #[serde(serialize_with = "plaintext")]
    pub value: &'a SecretText,
    /// Who may do what; a list left out is the server's choice on creation and stays as it is on update.
    #[serde(flatten)]
    pub lists: Lists,
}

/// A secret as the server gives it to a reader.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedSecret {
    /// The id of the app it belongs to, `app-…`.
    pub app_id: String,
    /// The name.
    pub id: String,
    /// The value, in plaintext.
    pub value: SecretText,
    /// Who may do what.
    #[serde(flatten)]
    pub lists: Lists,
}

/// The six lists of slugs of a secret.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lists {
    /// May see the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readers: Option<Vec<String>>,
    /// May change the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writers: Option<Vec<String>>,
    /// May remove the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleters: Option<Vec<String>>,
    /// May change `readers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_change_readers: Option<Vec<String>>,
    /// May change `writers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_change_writers: Option<Vec<String>>,
    /// May change `deleters`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_change_deleters: Option<Vec<String>>,
}

/// The one place where a value leaves for the wire.
pub(crate) fn plaintext<S: serde::Serializer>(value: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.expose())
}
