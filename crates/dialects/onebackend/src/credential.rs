//! Where 1Backend's clients put their proof: `Authorization: Bearer <token>`, or the bare token.

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
    // Bytes that are not text are no token of ours; they are no absent one either.
    let text = headers.get(AUTHORIZATION)?.to_str().unwrap_or("not text").trim();
    let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    (!matches!(token, "" | "Bearer")).then(|| SecretText::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[track_caller]
    fn check(authorization: &[u8], token: Option<&str>) {
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(authorization).unwrap())]);
        match (credential(&headers, None), token) {
            (Credential::None, None) => {}
            (Credential::Token(got), Some(token)) => assert_eq!(got.expose(), token),
            _ => panic!("{authorization:?} should give {token:?}"),
        }
    }

    #[test]
    fn the_word_bearer_is_optional_and_case_sensitive() {
        check(b"Bearer a.b.c", Some("a.b.c"));
        check(b"Bearer   a.b.c ", Some("a.b.c"));
        check(b"a.b.c", Some("a.b.c"));
        check(b"bearer a.b.c", Some("bearer a.b.c"));
        check(b"", None);
        check(b"Bearer", None);
        check(b"Bearer ", None);
        check(b"\xff", Some("not text"));
        assert!(matches!(credential(&HeaderMap::new(), None), Credential::None));
    }

    #[test]
    fn a_token_in_the_url_goes_first() {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer good"))]);
        let credential = credential(&headers, Some(SecretText::new("leaked".into())));
        assert!(matches!(credential, Credential::TokenInUrl(token) if token.expose() == "leaked"));
    }
}
