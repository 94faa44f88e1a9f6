//! The claims of a session's JWT. 1Backend's clients read the token they hold, and each generation reads its own names,
//! so both sets are there.

use serde_json::{Map, Value, json};
use strongroom_base::Timestamp;
use strongroom_core::TokenForm;
use strongroom_core::accounts::SessionFacts;

use crate::wire;

/// The form of every token that this dialect gives out.
pub(crate) const FORM: TokenForm = TokenForm::Jwt(claims);

/// The claims for `facts`; times are in seconds (RFC 7519 §2, `NumericDate`).
fn claims(facts: &SessionFacts) -> Map<String, Value> {
    let user = json!(wire::user_id(facts.principal));
    let slug = json!(facts.slug.as_str());
    let roles = json!(wire::roles(facts.is_admin));
    let device = json!(facts.device);
    let no_organization = json!("");
    let seconds = |time: Timestamp| json!(time.as_millis() / 1000);
    [
        // Today's names.
        ("1ui", user.clone()),
        ("1ai", json!(wire::app_id(facts.mount))),
        ("1sl", slug.clone()),
        ("1ro", roles.clone()),
        ("1de", device.clone()),
        ("1ao", no_organization.clone()),
        // Those of 2025, when an app was known by its host.
        ("oui", user),
        ("oap", json!(facts.host)),
        ("osl", slug),
        ("oro", roles),
        ("odi", device),
        ("oao", no_organization),
        // RFC 7519 §4.1.
        ("exp", seconds(facts.expires)),
        ("iat", seconds(facts.created)),
        ("jti", json!(wire::token_id(facts.lease))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use strongroom_base::{LeaseId, MountUid, PrincipalId, Slug};

    pub(crate) fn facts() -> SessionFacts {
        let bytes = |last: u8| u128::from(last).to_be_bytes();
        SessionFacts {
            lease: LeaseId::from_bytes(bytes(1)),
            principal: PrincipalId::from_bytes(bytes(2)),
            mount: MountUid::from_bytes(bytes(3)),
            slug: Slug::new("alice").unwrap(),
            is_admin: false,
            host: "unnamed".into(),
            device: "cli".into(),
            created: Timestamp::from_millis(1_700_000_000_123),
            expires: Timestamp::from_millis(1_700_000_300_123),
        }
    }

    #[test]
    fn both_generations_find_their_claims() {
        let expected = json!({
            "1ui": "usr-0000000000000000000002",
            "1ai": "app-0000000000000000000003",
            "1sl": "alice",
            "1ro": ["user-svc:user"],
            "1de": "cli",
            "1ao": "",
            "oui": "usr-0000000000000000000002",
            "oap": "unnamed",
            "osl": "alice",
            "oro": ["user-svc:user"],
            "odi": "cli",
            "oao": "",
            "exp": 1_700_000_300,
            "iat": 1_700_000_000,
            "jti": "tok-0000000000000000000001",
        });
        assert_eq!(Value::from(claims(&facts())), expected);
    }

    #[test]
    fn admins_have_a_second_role() {
        let claims = claims(&SessionFacts {
            is_admin: true,
            ..facts()
        });
        assert_eq!(claims["1ro"], json!(["user-svc:user", "user-svc:admin"]));
        assert_eq!(claims["oro"], claims["1ro"]);
    }
}
