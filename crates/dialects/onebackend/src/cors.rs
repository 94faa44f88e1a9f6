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
    let origin = request
        .headers()
        .get(ORIGIN)
        .cloned()
        .unwrap_or(HeaderValue::from_static("*"));
    let mut response = if request.method() == Method::OPTIONS {
        ().into_response()
    } else {
        next.run(request).await
    };
    response.headers_mut().extend([
        (ACCESS_CONTROL_ALLOW_ORIGIN, origin),
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
    ]);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use tower::ServiceExt;

    async fn send(method: &str, origin: Option<&str>) -> Response {
        let router: Router = Router::new()
            .fallback(async || StatusCode::NOT_FOUND)
            .layer(from_fn(answer));
        let mut request = Request::builder()
            .method(method)
            .uri("/any")
            .body(Body::empty())
            .unwrap();
        request
            .headers_mut()
            .extend(origin.map(|origin| (ORIGIN, origin.parse().unwrap())));
        router.oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_preflight_is_answered_and_other_requests_go_on() {
        assert_eq!(send("OPTIONS", None).await.status(), StatusCode::OK);
        assert_eq!(send("GET", None).await.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn any_origin_is_echoed_and_never_with_credentials() {
        for (origin, allowed) in [(Some("https://app.example"), "https://app.example"), (None, "*")] {
            let headers = send("GET", origin).await.headers().clone();
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], allowed);
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "false");
            assert_eq!(headers[VARY], "Origin");
        }
    }
}
