//! The kit around the smallest of dialects: one that echoes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::ConnectInfo;
use axum::http::header::SERVER;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use strongroom_base::{ManualClock, RequestId, SystemRng, limits};
use strongroom_dialect_kit::{
    BODY_READ, Body, Caller, Dialect, Head, HttpMetrics, Instruments, Peer, Route, log_causes,
};
use strongroom_sdk::Error;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

async fn echo(head: Head, body: Body) -> Response {
    match body.into_bytes() {
        Ok(bytes) => format!("{} {}", head.source, bytes.expose().len()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn panics(_: Head) -> Response {
    panic!("hunter2")
}

async fn fails(head: Head) -> Response {
    let error = Error::internal(io::Error::other("disk on fire"));
    log_causes(head.id, &error);
    log_causes(head.id, &Error::Denied("secret/name".into()));
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

async fn otherwise(head: Head) -> Response {
    (
        StatusCode::NOT_FOUND,
        head.url_token.map_or("nothing here", |_| "a token").to_owned(),
    )
        .into_response()
}

fn dialect() -> (Router, Registry) {
    under("")
}

/// The dialect, answering only what begins with `prefix`.
fn under(prefix: &'static str) -> (Router, Registry) {
    let routes = vec![
        Route::post("/echo/{name}", Caller::Anyone, echo),
        Route::get("/panics", Caller::Anyone, panics),
        Route::get("/fails", Caller::LoggedIn, fails),
    ];
    let mut registry = Registry::default();
    let instruments = Instruments {
        clock: Arc::new(ManualClock::default()),
        rng: Arc::new(SystemRng::default()),
        metrics: HttpMetrics::register(&mut registry),
    };
    let dialect = Dialect {
        name: "test",
        prefix,
        instruments,
        headers: |request| vec![(SERVER, HeaderValue::from(request.len()))],
    };
    (dialect.router(routes, otherwise), registry)
}

fn request(method: &str, uri: &str, body: impl Into<HttpBody>) -> Request<HttpBody> {
    Request::builder()
        .method(method)
        .uri(uri)
        .body(body.into())
        .unwrap()
}

async fn send(request: Request<HttpBody>) -> (StatusCode, String) {
    let response = dialect().0.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    (
        head.status,
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn every_answer_has_an_id_and_the_dialects_headers_and_is_not_cached() {
    for (method, uri) in [
        ("POST", "/echo/a"),
        ("GET", "/panics"),
        ("GET", "/nowhere"),
        ("PATCH", "/echo/a"),
    ] {
        let response = dialect().0.oneshot(request(method, uri, "")).await.unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap();
        assert!(id.parse::<RequestId>().is_ok(), "{id}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{method} {uri}");
        assert_eq!(response.headers()["server"], "0", "{method} {uri}");
    }
}

#[tokio::test]
async fn other_paths_and_other_methods_get_the_dialects_answer() {
    for (method, uri) in [
        ("GET", "/nowhere"),
        ("DELETE", "/echo/a"),
        ("INVENTED", "/echo/a"),
    ] {
        assert_eq!(
            send(request(method, uri, "")).await,
            (StatusCode::NOT_FOUND, "nothing here".into()),
            "{method} {uri}"
        );
    }
    assert_eq!(send(request("GET", "/nowhere?token=x", "")).await.1, "a token");
}

#[tokio::test]
async fn a_dialect_with_a_prefix_leaves_other_paths_to_others() {
    let router = under("/test/v1").0.fallback(async || StatusCode::IM_A_TEAPOT);
    for (uri, status) in [
        ("/test/v1", StatusCode::NOT_FOUND),
        ("/test/v1/", StatusCode::NOT_FOUND),
        ("/test/v1/a/b", StatusCode::NOT_FOUND),
        ("/test/v10", StatusCode::IM_A_TEAPOT),
        ("/", StatusCode::IM_A_TEAPOT),
    ] {
        let response = router.clone().oneshot(request("GET", uri, "")).await.unwrap();
        assert_eq!(response.status(), status, "{uri}");
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing() {
    assert_eq!(
        send(request("GET", "/panics", "")).await,
        (StatusCode::INTERNAL_SERVER_ERROR, String::new())
    );
}

#[tokio::test]
async fn a_handler_learns_the_peer() {
    let mut with_peer = request("POST", "/echo/a", "12345");
    let peer = Peer::new(SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], 1)));
    with_peer.extensions_mut().insert(ConnectInfo(peer));
    assert_eq!(send(with_peer).await.1, "192.0.2.1 5");
    assert_eq!(send(request("POST", "/echo/a", "")).await.1, "unknown 0");
}

#[tokio::test]
async fn a_body_is_bounded_whether_or_not_it_says_its_length() {
    let chunks = |sizes: &[usize]| {
        let chunks: Vec<_> = sizes
            .iter()
            .map(|size| Ok::<_, Infallible>(vec![b'x'; *size]))
            .collect();
        HttpBody::from_stream(stream::iter(chunks))
    };
    let max = limits::BODY_BYTES;
    let too_large = format!("the request's body is over the limit of {max} bytes");
    assert_eq!(
        send(request("POST", "/echo/a", vec![b'x'; max])).await.1,
        format!("unknown {max}")
    );
    assert_eq!(
        send(request("POST", "/echo/a", chunks(&[1, max - 1]))).await.1,
        format!("unknown {max}")
    );
    assert_eq!(
        send(request("POST", "/echo/a", vec![b'x'; max + 1])).await.1,
        too_large
    );
    assert_eq!(
        send(request("POST", "/echo/a", chunks(&[1, max]))).await.1,
        too_large
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_or_breaks_is_refused() {
    let silent = HttpBody::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
    let started = tokio::time::Instant::now();
    assert_eq!(
        send(request("POST", "/echo/a", silent)).await.1,
        "`body` did not arrive within 30 s"
    );
    assert_eq!(started.elapsed(), Duration::from(BODY_READ));

    let broken = HttpBody::from_stream(stream::iter([Ok(vec![1]), Err(io::Error::other("reset"))]));
    assert_eq!(
        send(request("POST", "/echo/a", broken)).await.1,
        "`body` ended early"
    );
}

#[tokio::test(start_paused = true)]
async fn large_bodies_that_do_not_end_hold_up_other_large_ones_only() {
    let begun = || {
        let beginning = stream::iter([Ok::<_, Infallible>(vec![b'x'; limits::SMALL_BODY_BYTES + 1])]);
        HttpBody::from_stream(beginning.chain(stream::pending()))
    };
    let started = tokio::time::Instant::now();
    for _ in 0..limits::LARGE_BODIES {
        tokio::spawn(send(request("POST", "/echo/a", begun())));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for bytes in [1, limits::SMALL_BODY_BYTES] {
        let small = request("POST", "/echo/a", vec![b'x'; bytes]);
        assert_eq!(send(small).await.1, format!("unknown {bytes}"));
    }
    assert_eq!(started.elapsed(), Duration::from_secs(1));
    let large = request("POST", "/echo/a", vec![b'x'; limits::SMALL_BODY_BYTES + 1]);
    assert_eq!(
        send(large).await.1,
        format!("unknown {}", limits::SMALL_BODY_BYTES + 1)
    );
    assert_eq!(started.elapsed(), Duration::from(BODY_READ));
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let with_coding = |coding: &str| {
        let mut request = request("POST", "/echo/a", "1234");
        request
            .headers_mut()
            .insert("content-encoding", coding.parse().unwrap());
        request
    };
    let refusal = "`Content-Encoding` is not supported: send the body uncompressed";
    assert_eq!(send(with_coding("gzip")).await.1, refusal);
    assert_eq!(send(with_coding("br")).await.1, refusal);
    assert_eq!(send(with_coding("identity")).await.1, "unknown 4");
}

#[tokio::test]
async fn requests_are_counted_without_anything_that_callers_choose() {
    let (router, registry) = dialect();
    for (method, uri) in [
        ("POST", "/echo/hunter2"),
        ("INVENTED", "/echo/hunter2"),
        ("GET", "/hunter2?hunter2"),
    ] {
        router.clone().oneshot(request(method, uri, "")).await.unwrap();
    }
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for (route, method, status) in [
        ("/echo/{name}", "POST", "2xx"),
        ("/echo/{name}", "other", "4xx"),
        ("none", "GET", "4xx"),
    ] {
        let labels = format!(r#"{{dialect="test",route="{route}",method="{method}",status="{status}"}} 1"#);
        assert!(
            text.contains(&format!("strongroom_http_requests_total{labels}")),
            "{labels} in {text}"
        );
        assert!(
            text.contains(&format!("strongroom_http_request_duration_seconds_count{labels}")),
            "{labels} in {text}"
        );
    }
    assert!(!text.contains("hunter2") && !text.contains("INVENTED"), "{text}");
}

#[tokio::test]
async fn the_log_has_the_template_and_the_causes_and_nothing_that_callers_choose() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(
        tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(log.clone())
            .finish(),
    );
    let mut ids = Vec::new();
    for (method, uri) in [
        ("POST", "/echo/hunter2"),
        ("INVENTED", "/hunter2?hunter2"),
        ("GET", "/panics"),
        ("GET", "/fails"),
    ] {
        let response = dialect()
            .0
            .oneshot(request(method, uri, "hunter2"))
            .await
            .unwrap();
        ids.push(response.headers()["x-request-id"].to_str().unwrap().to_owned());
    }
    drop(guard);

    let text = log.text();
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.split_once(": ").unwrap().1.to_owned())
        .collect();
    let expected = [
        format!(
            r#"request request_id={} method="POST" route="/echo/{{name}}" status=200 duration_us=0"#,
            ids[0]
        ),
        format!(
            r#"request request_id={} method="other" route="none" status=404 duration_us=0"#,
            ids[1]
        ),
        format!("a handler panicked request_id={}", ids[2]),
        format!(
            r#"request request_id={} method="GET" route="/panics" status=500 duration_us=0"#,
            ids[2]
        ),
        format!(
            "internal error; the server's log names its cause under this request's id request_id={} causes=\"disk on fire\"",
            ids[3]
        ),
        format!(
            r#"request request_id={} method="GET" route="/fails" status=500 duration_us=0"#,
            ids[3]
        ),
    ];
    assert_eq!(lines, expected);
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
