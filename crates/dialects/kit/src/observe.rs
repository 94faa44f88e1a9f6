//! Around every handler: the request's id, one log line, one count, no caching, and no panic that leaves.

use std::error::Error as _;
use std::iter::successors;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use strongroom_base::{Clock, RequestId, Rng};
use strongroom_sdk::Error;

use crate::HttpMetrics;
use crate::metrics::{Labels, class};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What requests are observed with.
#[derive(Clone)]
pub struct Instruments {
    /// Gives ids their time, and measures durations.
    pub clock: Arc<dyn Clock>,
    /// Gives ids their random part.
    pub rng: Arc<dyn Rng>,
    /// Counts.
    pub metrics: HttpMetrics,
}

struct Observer {
    dialect: &'static str,
    instruments: Instruments,
}

/// Wraps everything that `router` answers by itself: each request gets an id, which its handler finds in a
/// [`Head`](crate::Head) and its caller in `X-Request-Id`; the answer is logged, counted under the name `dialect`, and
/// not to be cached; a panic becomes a 500 without text.
pub fn observe<S>(router: Router<S>, dialect: &'static str, instruments: Instruments) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(from_fn_with_state(
        Arc::new(Observer { dialect, instruments }),
        answer,
    ))
}

async fn answer(State(observer): State<Arc<Observer>>, mut request: Request, next: Next) -> Response {
    let Instruments { clock, rng, metrics } = &observer.instruments;
    let id = RequestId::generate(&**clock, &**rng);
    let started = clock.monotonic();
    let method = name(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    request.extensions_mut().insert(id);

    let mut response = or_500(id, next.run(request)).await;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }

    let took = clock.monotonic().since(started);
    let status = response.status();
    let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(request_id = %id, method, route, status = status.as_u16(), duration_us, "request");
    metrics.count(
        &Labels {
            dialect: observer.dialect,
            route,
            method,
            status: class(status),
        },
        took,
    );
    response
}

/// What `response` becomes, or a bare 500 if it panics: what the panic says may hold a secret, so it is not repeated.
async fn or_500(id: RequestId, response: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(response)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            tracing::error!(request_id = %id, "a handler panicked");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })
}

/// The name of a method that some dialect knows. HTTP lets callers invent others (RFC 9110 §16.1): they are `other`.
fn name(method: &Method) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "LIST"];
    KNOWN
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

/// Logs what `error` keeps from its caller, the chain of its causes, under the request's id. An error without a cause
/// leaves nothing in the log: its text may repeat what the caller sent.
pub fn log_causes(id: RequestId, error: &Error) {
    let causes: Vec<_> = successors(error.source(), |&cause| cause.source())
        .map(ToString::to_string)
        .collect();
    if !causes.is_empty() {
        tracing::error!(request_id = %id, causes = causes.join(": "), "{error}");
    }
}
