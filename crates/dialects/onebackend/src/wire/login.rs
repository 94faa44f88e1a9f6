//! `login`, `register` and `refresh-token`.

use serde::{Deserialize, Serialize};
use strongroom_core::accounts::{Login, Minted, Register};
use strongroom_dialect_kit::{json, reply};
use strongroom_sdk::Error;
use strongroom_secret::SecretText;

use super::{Time, app_id, required, token_id, user_id};
use crate::claims::FORM;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct LoginRequest {
    app_host: Option<String>,
    slug: Option<String>,
    #[serde(deserialize_with = "json::secret_text")]
    password: Option<SecretText>,
    device: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RegisterRequest {
    app_host: Option<String>,
    slug: Option<String>,
    name: Option<String>,
    #[serde(deserialize_with = "json::secret_text")]
    password: Option<SecretText>,
    device: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct TokenReply {
    token: Token,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    id: String,
    app_id: String,
    app: App,
    user_id: String,
    device: String,
    #[serde(serialize_with = "reply::secret_text")]
    token: SecretText,
    active: bool,
    created_at: Time,
    updated_at: Time,
    expires_at: Time,
}

#[derive(Serialize)]
struct App {
    id: String,
    host: String,
}

impl TryFrom<LoginRequest> for Login {
    type Error = Error;

    fn try_from(request: LoginRequest) -> Result<Self, Error> {
        Ok(Self {
            host: required("appHost", request.app_host)?,
            slug: required("slug", request.slug)?,
            password: request.password.unwrap_or_default(),
            device: request.device.unwrap_or_default(),
            form: FORM,
        })
    }
}

impl TryFrom<RegisterRequest> for Register {
    type Error = Error;

    fn try_from(request: RegisterRequest) -> Result<Self, Error> {
        Ok(Self {
            host: required("appHost", request.app_host)?,
            slug: required("slug", request.slug)?,
            name: request.name.unwrap_or_default(),
            password: request.password.unwrap_or_default(),
            device: request.device.unwrap_or_default(),
            form: FORM,
        })
    }
}

impl From<Minted> for TokenReply {
    fn from(Minted { token, facts }: Minted) -> Self {
        let token = Token {
            id: token_id(facts.lease),
            app_id: app_id(facts.mount),
            app: App {
                id: app_id(facts.mount),
                host: facts.host,
            },
            user_id: user_id(facts.principal),
            device: facts.device,
            token,
            active: true,
            created_at: Time(facts.created),
            updated_at: Time(facts.created),
            expires_at: Time(facts.expires),
        };
        Self { token }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Onebackend;
    use crate::claims::tests::facts;
    use serde_json::json;
    use strongroom_dialect_kit::Wire;

    #[test]
    fn the_token_reply_has_exactly_these_fields() {
        let minted = Minted {
            token: SecretText::new("a.b.c".into()),
            facts: facts(),
        };
        let expected = json!({"token": {
            "id": "tok-0000000000000000000001",
            "appId": "app-0000000000000000000003",
            "app": {"id": "app-0000000000000000000003", "host": "unnamed"},
            "userId": "usr-0000000000000000000002",
            "device": "cli",
            "token": "a.b.c",
            "active": true,
            "createdAt": "2023-11-14T22:13:20.123Z",
            "updatedAt": "2023-11-14T22:13:20.123Z",
            "expiresAt": "2023-11-14T22:18:20.123Z",
        }});
        assert_eq!(json!(TokenReply::from(minted)), expected);
    }

    #[test]
    fn a_login_says_where_and_who() {
        let login = |body: &str| Login::try_from(Onebackend::read::<LoginRequest>(body.as_bytes()).unwrap());
        let op = login(
            r#"{"appHost":"unnamed","slug":"alice","password":"hunter2","contact":null,"device":"cli"}"#,
        )
        .unwrap();
        assert_eq!(
            (op.host.as_str(), op.slug.as_str(), op.device.as_str()),
            ("unnamed", "alice", "cli")
        );
        assert_eq!(op.password.expose(), "hunter2");
        for (body, error) in [
            (r#"{"slug":"alice"}"#, "`appHost` is missing"),
            (r#"{"appHost":"","slug":"alice"}"#, "`appHost` is missing"),
            (r#"{"appHost":"unnamed","slug":null}"#, "`slug` is missing"),
        ] {
            assert_eq!(login(body).err().unwrap().to_string(), error);
        }
    }

    #[test]
    fn a_registration_may_leave_out_name_and_device() {
        let register =
            |body: &str| Register::try_from(Onebackend::read::<RegisterRequest>(body.as_bytes()).unwrap());
        let op = register(r#"{"appHost":"unnamed","slug":"alice","password":"hunter2"}"#).unwrap();
        assert_eq!((op.name.as_str(), op.device.as_str()), ("", ""));
        assert_eq!(register("").err().unwrap().to_string(), "`appHost` is missing");
    }
}
