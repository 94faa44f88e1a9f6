//! Around every handler: the request's id, one log line, one count, no caching, and no panic that leaves.

use std::error::Error as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::handler::Handler;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures::FutureExt;
use strongroom_base::{Clock, RequestId, Rng, with_causes};
use strongroom_sdk::Error;

use crate::HttpMetrics;
use crate::metrics::{Labels, class};
use crate::route::{Answer, HandlerFn, Route, wrapped};

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

/// What is the same for every request of a dialect.
pub struct Dialect {
    /// Its name in metrics.
    pub name: &'static str,
    /// What its paths begin with: others are another dialect's. Empty for the dialect that answers all that are left.
    pub prefix: &'static str,
    /// What it is observed with.
    pub instruments: Instruments,
    /// The headers that every answer to a request with these headers has.
    pub headers: fn(&HeaderMap) -> Vec<(HeaderName, HeaderValue)>,
}

impl Dialect {
    /// A router of `routes`; `otherwise` answers every other path under the prefix, and every other method of theirs. Each request gets
    /// an id, which its handler finds in a [`Head`](crate::Head) and its caller in `X-Request-Id`; the answer is
    /// logged, counted, and not to be cached; a panic becomes a 500 without text.
    ///
    /// # Panics
    /// If two routes have the same method and path, so a dialect's first test finds it.
    pub fn router<S, T>(self, routes: Vec<Route<S>>, otherwise: impl HandlerFn<T, S>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
        T: 'static,
    {
        let dialect = Arc::new(self);
        let templates: Vec<_> = routes.iter().map(|route| route.template).collect();
        let template_of = move |request: &Request| {
            let matched = request.extensions().get::<MatchedPath>();
            let matched =
                matched.and_then(|path| templates.iter().find(|template| **template == path.as_str()));
            matched.copied().unwrap_or("none")
        };
        let otherwise = observed(dialect.clone(), template_of, Answer::of(otherwise));
        let observed = |template, answer| observed(dialect.clone(), move |_| template, answer);
        let router = wrapped(routes, observed).method_not_allowed_fallback(otherwise.clone());
        if dialect.prefix.is_empty() {
            return router.fallback(otherwise);
        }
        ["", "/", "/{*rest}"].into_iter().fold(router, |router, rest| {
            router.route(&format!("{}{rest}", dialect.prefix), any(otherwise.clone()))
        })
    }

    async fn answer<F: Future<Output = Response>>(
        &self,
        template: &'static str,
        mut request: Request,
        answer: impl FnOnce(Request) -> F,
    ) -> Response {
        let Instruments { clock, rng, metrics } = &self.instruments;
        let id = RequestId::generate(&**clock, &**rng);
        let started = clock.monotonic();
        let method = name(request.method());
        let headers = (self.headers)(request.headers());
        request.extensions_mut().insert(id);

        let mut response = or_500(id, answer(request)).await;
        let reply = response.headers_mut();
        reply.extend(headers);
        reply.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(&id.text()) {
            reply.insert(X_REQUEST_ID, id);
        }

        let took = clock.monotonic().since(started);
        let status = response.status();
        let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(request_id = %id, method, route = template, status = status.as_u16(), duration_us, "request");
        metrics.count(
            &Labels {
                dialect: self.name,
                route: template,
                method,
                status: class(status),
            },
            took,
        );
        response
    }
}

/// `answer`, observed. A layer would do the same, and cost a handful of allocations for each request.
fn observed<S: Send + 'static>(
    dialect: Arc<Dialect>,
    template_of: impl Fn(&Request) -> &'static str + Send + Sync + 'static,
    answer: Answer<S>,
) -> Answer<S> {
    Answer::new(move |request, state| {
        let (dialect, answer, template) = (dialect.clone(), answer.clone(), template_of(&request));
        let answer = move |request| answer.call(request, state);
        async move { dialect.answer(template, request, answer).await }.boxed()
    })
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
    if let Some(cause) = error.source() {
        tracing::error!(request_id = %id, causes = with_causes(cause), "{error}");
    }
}
