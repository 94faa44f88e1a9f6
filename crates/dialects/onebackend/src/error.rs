//! The domain error in 1Backend's words: a status and `{"error": "<one line>"}`.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use strongroom_base::RequestId;
use strongroom_dialect_kit::log_causes;
use strongroom_sdk::{Error, NotProved};

/// The answer for `error`, whose causes go to the log.
pub(crate) fn reply(id: RequestId, error: &Error) -> Response {
    log_causes(id, error);
    let (status, text) = render(error);
    answer(status, error, &text)
}

/// The answer for a body that is not the JSON of its endpoint.
pub(crate) fn not_json(id: RequestId, error: &Error) -> Response {
    match error {
        Error::Invalid { .. } => answer(StatusCode::BAD_REQUEST, error, &format!("Invalid JSON: {error}")),
        _ => reply(id, error),
    }
}

/// The answer for a path or method that this dialect does not have. 1Backend's comes from a proxy, as plain text.
pub(crate) fn no_such_endpoint(id: RequestId, error: &Error) -> Response {
    match error {
        Error::NotFound(text) => (StatusCode::NOT_FOUND, text.clone()).into_response(),
        _ => reply(id, error),
    }
}

fn answer(status: StatusCode, error: &Error, text: &str) -> Response {
    // 1Backend's texts are one line, and its colon is followed by a space.
    let line = text.lines().next().unwrap_or_default();
    let body = format!("{{\"error\": {}}}", serde_json::Value::from(line));
    let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
    if let Error::RateLimited { retry_after } = error {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs_ceil()));
    }
    response
}

/// Status and text; where 1Backend has a text of its own, ours begins with it.
fn render(error: &Error) -> (StatusCode, String) {
    match error {
        Error::Unauthenticated(NotProved::Missing) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "422 Unprocessable Entity".into(),
        ),
        Error::Unauthenticated(NotProved::UnknownToken | NotProved::NotInvited) => {
            (StatusCode::UNAUTHORIZED, format!("Unauthorized: {error}"))
        }
        Error::Unauthenticated(NotProved::WrongPassword) => {
            (StatusCode::UNAUTHORIZED, format!("Invalid Password: {error}"))
        }
        Error::Unauthenticated(NotProved::TokenInUrl) => (StatusCode::BAD_REQUEST, error.to_string()),
        Error::Denied(_) => (StatusCode::FORBIDDEN, error.to_string()),
        Error::NotFound(_) => (StatusCode::NOT_FOUND, error.to_string()),
        Error::Conflict(_) => (StatusCode::CONFLICT, error.to_string()),
        Error::Invalid { .. } => (StatusCode::BAD_REQUEST, error.to_string()),
        Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        Error::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, error.to_string()),
        Error::Unavailable(_)
        | Error::Full
        | Error::AuditUnavailable(_)
        | Error::Sealed
        | Error::NotInitialized => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use strongroom_base::Ttl;

    fn id() -> RequestId {
        RequestId::from_bytes([0; 16])
    }

    #[track_caller]
    fn check(response: Response, status: u16, body: &str) {
        let (head, got) = response.into_parts();
        let got = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(got.collect())
            .unwrap();
        assert_eq!(
            (
                head.status.as_u16(),
                std::str::from_utf8(&got.to_bytes()).unwrap()
            ),
            (status, body)
        );
    }

    #[test]
    fn every_error_has_its_status_and_body() {
        let cause = || "hunter2".into();
        for (error, status, body) in [
            (
                Error::Unauthenticated(NotProved::Missing),
                422,
                r#"{"error": "422 Unprocessable Entity"}"#,
            ),
            (
                Error::Unauthenticated(NotProved::UnknownToken),
                401,
                r#"{"error": "Unauthorized: the token is not valid here (any more): log in again"}"#,
            ),
            (
                Error::Unauthenticated(NotProved::WrongPassword),
                401,
                r#"{"error": "Invalid Password: wrong slug or password"}"#,
            ),
            (
                Error::Unauthenticated(NotProved::TokenInUrl),
                400,
                r#"{"error": "a token must not be sent in the URL: send it in the Authorization header, and revoke this one"}"#,
            ),
            (
                Error::Denied("not \"yours\"\nsecond line".into()),
                403,
                r#"{"error": "not \"yours\""}"#,
            ),
            (Error::NotFound("no `a`".into()), 404, r#"{"error": "no `a`"}"#),
            (Error::Conflict("taken".into()), 409, r#"{"error": "taken"}"#),
            (
                Error::invalid("slug", "is missing"),
                400,
                r#"{"error": "`slug` is missing"}"#,
            ),
            (
                Error::TooLarge {
                    what: "the value".into(),
                    limit_bytes: 7,
                },
                413,
                r#"{"error": "the value is over the limit of 7 bytes"}"#,
            ),
            (
                Error::RateLimited {
                    retry_after: Ttl::from_millis(1500),
                },
                429,
                r#"{"error": "too many attempts, try again in 2 s"}"#,
            ),
            (
                Error::Unavailable(cause()),
                503,
                r#"{"error": "storage is unavailable; if this was a write, it may have happened: read before you repeat it"}"#,
            ),
            (
                Error::Full,
                503,
                r#"{"error": "the server's disk is nearly full, so only removals are stored: nothing was changed; its operator must make room"}"#,
            ),
            (
                Error::AuditUnavailable(cause()),
                503,
                r#"{"error": "the audit ledger cannot be written, so the answer is withheld; see the server's log"}"#,
            ),
            (
                Error::Sealed,
                503,
                r#"{"error": "the server is sealed: its operators must open it, with `strongroom operator unseal`"}"#,
            ),
            (
                Error::NotInitialized,
                503,
                r#"{"error": "there is no instance here yet: its operator must make it, with `strongroom operator init`"}"#,
            ),
            (
                Error::Internal(cause()),
                500,
                r#"{"error": "internal error; the server's log names its cause under this request's id"}"#,
            ),
        ] {
            check(reply(id(), &error), status, body);
        }
    }

    #[test]
    fn a_rate_limit_says_when_to_come_back() {
        let response = reply(
            id(),
            &Error::RateLimited {
                retry_after: Ttl::from_millis(1500),
            },
        );
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn a_bad_body_is_called_invalid_json_and_other_failures_are_not() {
        let error = Error::invalid("id", "has the wrong type");
        check(
            not_json(id(), &error),
            400,
            r#"{"error": "Invalid JSON: `id` has the wrong type"}"#,
        );
        check(
            not_json(id(), &Error::Conflict("taken".into())),
            409,
            r#"{"error": "taken"}"#,
        );
    }

    #[test]
    fn an_unknown_endpoint_is_answered_as_plain_text() {
        let response = no_such_endpoint(id(), &Error::NotFound("404 page not found".into()));
        assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
        check(response, 404, "404 page not found");
    }
}
