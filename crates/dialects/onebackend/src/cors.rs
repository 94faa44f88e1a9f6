//! Cross-origin requests (the Fetch standard's CORS protocol), as 1Backend allows them: from any origin, without
//! credentials. That is safe here: browsers add nothing by themselves to such requests, and without a token that a page
//! already has, a page learns no more than any stranger.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, HeaderName, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue};

/// The headers that let a page read the answer to a request with the headers `request`.
pub(crate) fn headers(request: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let origin = request.get(ORIGIN).cloned();
    vec![
        (
            ACCESS_CONTROL_ALLOW_ORIGIN,
            origin.unwrap_or(HeaderValue::from_static("*")),
        ),
        (VARY, HeaderValue::from_static("Origin")),
        (
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("false"),
        ),
        (
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE"),
        ),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("Authorization, Content-Type"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_origin_is_echoed_and_never_with_credentials() {
        for (origin, allowed) in [(Some("https://app.example"), "https://app.example"), (None, "*")] {
            let request: HeaderMap = origin
                .map(|origin| (ORIGIN, HeaderValue::from_static(origin)))
                .into_iter()
                .collect();
            let headers: HeaderMap = headers(&request).into_iter().collect();
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], allowed);
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "false");
            assert_eq!(headers[VARY], "Origin");
        }
    }
}
