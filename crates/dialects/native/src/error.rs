//! The domain error in this dialect's words: a status and
//! `{"error": {"kind", "message", "request_id"}}`.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use strongroom_base::RequestId;
use strongroom_dialect_kit::log_causes;
use strongroom_sdk::Error;

/// Every refusal.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ErrorReply {
    error: ErrorBody,
}

#[derive(Serialize, JsonSchema)]
struct ErrorBody {
    /// `unauthenticated`, `denied`, `not_found`, `conflict`, `invalid`, `too_large`, `rate_limited`, `unavailable`,
    /// `sealed`, `not_initialized` or `internal`.
    kind: &'static str,
    /// What is wrong and what to do.
    message: String,
    /// The request's id in the audit ledger; `strongroom explain` takes it.
    request_id: String,
}

/// The answer for `error`, whose causes go to the log.
pub(crate) fn reply(id: RequestId, error: &Error) -> Response {
    log_causes(id, error);
    let (status, kind) = render(error);
    let body = ErrorReply {
        error: ErrorBody {
            kind,
            message: error.to_string(),
            request_id: id.to_string(),
        },
    };
    // Texts in, so encoding has no way to fail.
    let body = serde_json::to_string(&body).unwrap_or_default();
    let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
    let headers = response.headers_mut();
    match error {
        Error::RateLimited { retry_after } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs_ceil()));
        }
        Error::Unauthenticated(_) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}

fn render(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Error::Denied(_) => (StatusCode::FORBIDDEN, "denied"),
        Error::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        Error::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
        Error::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid"),
        Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Error::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        Error::Unavailable(_) | Error::Full | Error::AuditUnavailable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
        Error::Sealed => (StatusCode::SERVICE_UNAVAILABLE, "sealed"),
        Error::NotInitialized => (StatusCode::SERVICE_UNAVAILABLE, "not_initialized"),
        Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}
