//! `self` and `public-key`.

use serde::{Deserialize, Serialize};
use strongroom_core::accounts::{Account, PublicKeyPem, WhoAmI};

use super::{Time, roles, user_id};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SelfRequest {
    count_tokens: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SelfReply {
    user: User,
    roles: &'static [&'static str],
    token_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    slug: String,
    name: String,
    created_at: Time,
    updated_at: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublicKeyReply {
    public_key: String,
}

impl From<SelfRequest> for WhoAmI {
    fn from(request: SelfRequest) -> Self {
        Self {
            count_sessions: request.count_tokens.unwrap_or_default(),
        }
    }
}

impl From<Account> for SelfReply {
    fn from(account: Account) -> Self {
        Self {
            user: User {
                id: user_id(account.id),
                slug: account.slug.to_string(),
                name: account.name,
                created_at: Time(account.created),
                updated_at: Time(account.updated),
            },
            roles: roles(account.is_admin),
            token_count: account.sessions,
        }
    }
}

impl From<PublicKeyPem> for PublicKeyReply {
    fn from(key: PublicKeyPem) -> Self {
        Self { public_key: key.pem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use strongroom_base::{PrincipalId, Slug, Timestamp};

    #[test]
    fn the_self_reply_has_exactly_these_fields() {
        let account = Account {
            id: PrincipalId::from_bytes([0; 16]),
            slug: Slug::new("alice").unwrap(),
            name: "Alice".into(),
            is_admin: true,
            created: Timestamp::from_millis(0),
            updated: Timestamp::from_millis(1),
            sessions: 2,
        };
        let expected = json!({
            "user": {
                "id": "usr-0000000000000000000000",
                "slug": "alice",
                "name": "Alice",
                "createdAt": "1970-01-01T00:00:00.000Z",
                "updatedAt": "1970-01-01T00:00:00.001Z",
            },
            "roles": ["user-svc:user", "user-svc:admin"],
            "tokenCount": 2,
        });
        assert_eq!(json!(SelfReply::from(account)), expected);
    }

    #[test]
    fn the_public_key_reply_has_exactly_this_field() {
        let reply = PublicKeyReply::from(PublicKeyPem {
            pem: "-----BEGIN PUBLIC KEY-----".into(),
        });
        assert_eq!(json!(reply), json!({"publicKey": "-----BEGIN PUBLIC KEY-----"}));
    }
}
