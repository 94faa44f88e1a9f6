//! Where our clients put their proof: `Authorization: Bearer <token>` (RFC 6750 §2.1).

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use strongroom_core::Credential;
use strongroom_secret::SecretText;

/// The credential of a request. A token in the URL goes first, so that no other one hides it from the gate.
pub(crate) fn credential(headers: &HeaderMap, url_token: Option<SecretText>) -> Credential {
    let in_url = url_token.map(Credential::TokenInUrl);
    in_url
        .or_else(|| in_header(headers).map(Credential::Token))
        .unwrap_or(Credential::None)
}

fn in_header(headers: &HeaderMap) -> Option<SecretText> {
    // What is no bearer token is no token of ours; it is no absent one either.
    let text = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
    let token = text.split_at_checked("bearer ".len());
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer "));
    Some(SecretText::new(
        token.map_or("none", |(_, token)| token.trim()).to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_bearer_token_and_nothing_else() {
        let token = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            match credential(&headers, None) {
                Credential::Token(token) => token.expose().to_owned(),
                _ => panic!("no token in {value:?}"),
            }
        };
        assert_eq!(token("Bearer hvs.x"), "hvs.x");
        assert_eq!(token("bearer  hvs.x "), "hvs.x");
        for other in ["hvs.x", "Basic eA==", "Bearer", ""] {
            assert_eq!(token(other), "none", "{other:?}");
        }
        assert!(matches!(credential(&HeaderMap::new(), None), Credential::None));
        let leaked = credential(&HeaderMap::new(), Some(SecretText::new("leaked".into())));
        assert!(matches!(leaked, Credential::TokenInUrl(_)));
    }
}
