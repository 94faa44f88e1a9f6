//! Cross-origin requests (the Fetch standard's CORS protocol), as 1Backend allows them: from any origin, without
//! credentials. That is safe here: browsers add nothing by themselves to such requests, and without a token that a page
//! already has, a page learns no more than any stranger.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN, VARY,
};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Answers a preflight of any path, and lets pages read every other answer.
pub(crate) async fn answer(request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned().unwrap_or(HeaderValue::from_static("*"));
    let mut response =
        if request.method() == Method::OPTIONS { ().into_response() } else { next.run(request).await };
    response.headers_mut().extend([
        (ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (VARY, HeaderValue::from_static("Origin")),
        (ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("false")),
        (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE")),
        (ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type")),
    ]);
    response
}
