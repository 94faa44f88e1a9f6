//! How this dialect's requests carry their token (`Authorization: Bearer <token>`, or the bare token), are read and are
//! refused.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use serde::de::DeserializeOwned;
use strongroom_base::RequestId;
use strongroom_dialect_kit::{Wire, json};
use strongroom_sdk::Error;
use strongroom_secret::SecretText;

use crate::error;

/// A request on its way to the core.
pub(crate) type Call = strongroom_dialect_kit::Call<Onebackend>;

pub(crate) enum Onebackend {}

impl Wire for Onebackend {
    const TELLS_STRANGERS: bool = true;

    fn token(headers: &HeaderMap) -> Option<SecretText> {
        // Bytes that are not text are no token of ours; they are no absent one either.
        let text = headers.get(AUTHORIZATION)?.to_str().unwrap_or("not text").trim();
        let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
        (!matches!(token, "" | "Bearer")).then(|| SecretText::new(token.to_owned()))
    }

    /// `null` is `{}`.
    fn read<R: DeserializeOwned>(body: &[u8]) -> Result<R, Error> {
        json::object(if body.trim_ascii() == b"null" { b"{}" } else { body })
    }

    fn refusal(id: RequestId, error: &Error) -> Response {
        error::reply(id, error)
    }

    fn unreadable(id: RequestId, error: &Error) -> Response {
        error::not_json(id, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::secrets::ListRequest;
    use axum::http::HeaderValue;

    #[track_caller]
    fn check(authorization: &[u8], token: Option<&str>) {
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(authorization).unwrap())]);
        let found = Onebackend::token(&headers);
        assert_eq!(found.as_ref().map(SecretText::expose), token, "{authorization:?}");
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
        assert!(Onebackend::token(&HeaderMap::new()).is_none());
    }

    #[test]
    fn no_body_null_and_the_empty_object_are_one() {
        for body in ["", " \n", "null", "{}", r#"{"unknown":1}"#] {
            assert!(
                Onebackend::read::<ListRequest>(body.as_bytes()).is_ok(),
                "{body:?}"
            );
        }
        for body in ["[]", "0", "\"\"", "nul", "{} {}"] {
            assert!(
                Onebackend::read::<ListRequest>(body.as_bytes()).is_err(),
                "{body:?}"
            );
        }
    }
}
