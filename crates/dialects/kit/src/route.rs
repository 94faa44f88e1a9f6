//! The route table: the one list that a dialect's router is built from, and that tests enumerate.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{self, MethodFilter};
use futures::future::BoxFuture;

/// Whom a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Also those that have not proved who they are.
    Anyone,
    /// Only those with a valid token.
    LoggedIn,
}

/// One method of one path, and the handler that answers it with the dialect's state `S`.
pub struct Route<S> {
    /// The HTTP method.
    pub method: Method,
    /// The path, with parameters in braces.
    pub template: &'static str,
    /// Whom it answers. The gate decides; this is what a test holds it to.
    pub caller: Caller,
    filter: MethodFilter,
    answer: Answer<S>,
}

impl<S: 'static> Route<S> {
    /// Answers `GET`.
    pub fn get<T: 'static>(template: &'static str, caller: Caller, handler: impl HandlerFn<T, S>) -> Self {
        Self::new((Method::GET, MethodFilter::GET), template, caller, handler)
    }

    /// Answers `POST`.
    pub fn post<T: 'static>(template: &'static str, caller: Caller, handler: impl HandlerFn<T, S>) -> Self {
        Self::new((Method::POST, MethodFilter::POST), template, caller, handler)
    }

    /// Answers `PUT`.
    pub fn put<T: 'static>(template: &'static str, caller: Caller, handler: impl HandlerFn<T, S>) -> Self {
        Self::new((Method::PUT, MethodFilter::PUT), template, caller, handler)
    }

    /// Answers `DELETE`.
    pub fn delete<T: 'static>(template: &'static str, caller: Caller, handler: impl HandlerFn<T, S>) -> Self {
        Self::new((Method::DELETE, MethodFilter::DELETE), template, caller, handler)
    }

    fn new<T: 'static>(
        (method, filter): (Method, MethodFilter),
        template: &'static str,
        caller: Caller,
        handler: impl HandlerFn<T, S>,
    ) -> Self {
        Self {
            method,
            template,
            caller,
            filter,
            answer: Answer::of(handler),
        }
    }
}

/// What axum takes for an async function of extractors.
pub trait HandlerFn<T, S>: Handler<T, S, Future = BoxFuture<'static, Response>> {}
impl<T, S, H: Handler<T, S, Future = BoxFuture<'static, Response>>> HandlerFn<T, S> for H {}

/// A handler whose type is forgotten.
pub(crate) struct Answer<S>(Arc<dyn Fn(Request, S) -> BoxFuture<'static, Response> + Send + Sync>);

impl<S: 'static> Answer<S> {
    /// That of `handler`.
    pub(crate) fn of<T: 'static>(handler: impl HandlerFn<T, S>) -> Self {
        Self::new(move |request, state| handler.clone().call(request, state))
    }

    pub(crate) fn new(
        answer: impl Fn(Request, S) -> BoxFuture<'static, Response> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(answer))
    }
}

impl<S> Clone for Answer<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: 'static> Handler<(), S> for Answer<S> {
    type Future = BoxFuture<'static, Response>;

    fn call(self, request: Request, state: S) -> Self::Future {
        (self.0)(request, state)
    }
}

/// A router of `routes` alone.
///
/// # Panics
/// If two routes have the same method and path, so a dialect's first test finds it.
pub fn router<S: Clone + Send + Sync + 'static>(routes: Vec<Route<S>>) -> Router<S> {
    wrapped(routes, |_, answer| answer)
}

/// A router of `routes`, each with the answer that `wrap` makes of its template and its own.
pub(crate) fn wrapped<S: Clone + Send + Sync + 'static>(
    routes: Vec<Route<S>>,
    wrap: impl Fn(&'static str, Answer<S>) -> Answer<S>,
) -> Router<S> {
    routes.into_iter().fold(Router::new(), |router, route| {
        let answer = wrap(route.template, route.answer);
        router.route(route.template, routing::on(route.filter, answer))
    })
}
