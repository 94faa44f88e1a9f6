//! How this dialect's requests carry their token (`Authorization: Bearer <token>`, RFC 6750 §2.1) and are refused.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use strongroom_base::RequestId;
use strongroom_dialect_kit::Wire;
use strongroom_sdk::Error;
use strongroom_secret::SecretText;

use crate::error;

/// A request on its way to the core.
pub(crate) type Call = strongroom_dialect_kit::Call<Native>;

pub(crate) enum Native {}

impl Wire for Native {
    const TELLS_STRANGERS: bool = false;

    fn token(headers: &HeaderMap) -> Option<SecretText> {
        // What is no bearer token is no token of ours; it is no absent one either.
        let text = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
        let token = text.split_at_checked("bearer ".len());
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer "));
        Some(SecretText::new(
            token.map_or("none", |(_, token)| token.trim()).to_owned(),
        ))
    }

    fn refusal(id: RequestId, error: &Error) -> Response {
        error::reply(id, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_bearer_token_and_nothing_else() {
        let token = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            Native::token(&headers).unwrap().expose().to_owned()
        };
        assert_eq!(token("Bearer hvs.x"), "hvs.x");
        assert_eq!(token("bearer  hvs.x "), "hvs.x");
        for other in ["hvs.x", "Basic eA==", "Bearer", ""] {
            assert_eq!(token(other), "none", "{other:?}");
        }
        assert!(Native::token(&HeaderMap::new()).is_none());
    }
}
