//! `login` and `whoami`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_core::TokenForm;
use strongroom_core::accounts::{Account, Login, Minted};
use strongroom_dialect_kit::{json, reply};
use strongroom_sdk::Error;
use strongroom_secret::SecretText;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct LoginRequest {
    /// Who logs in.
    slug: String,
    /// The password.
    #[serde(deserialize_with = "json::secret_text")]
    #[schemars(with = "String")]
    password: Option<SecretText>,
    /// The app that the session acts on.
    #[serde(default = "unnamed")]
    app: String,
    /// What the client calls itself.
    #[serde(default)]
    device: String,
}

fn unnamed() -> String {
    "unnamed".to_owned()
}

impl TryFrom<LoginRequest> for Login {
    type Error = Error;

    fn try_from(request: LoginRequest) -> Result<Self, Error> {
        Ok(Self {
            host: request.app,
            slug: request.slug,
            password: request
                .password
                .ok_or_else(|| Error::invalid("password", "is missing"))?,
            device: request.device,
            form: TokenForm::Opaque,
        })
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct TokenReply {
    /// The token, for `Authorization: Bearer`.
    #[serde(serialize_with = "reply::secret_text")]
    #[schemars(with = "String")]
    token: SecretText,
}

impl From<Minted> for TokenReply {
    fn from(minted: Minted) -> Self {
        Self { token: minted.token }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct WhoAmIReply {
    /// The principal's id, a UUID.
    id: String,
    slug: String,
    /// What people call it.
    name: String,
    is_admin: bool,
}

impl From<Account> for WhoAmIReply {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.to_string(),
            slug: account.slug.to_string(),
            name: account.name,
            is_admin: account.is_admin,
        }
    }
}
