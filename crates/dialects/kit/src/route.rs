//! The route table: the one list that a dialect's router is built from, and that tests enumerate.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};

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
    handler: MethodRouter<S>,
}

impl<S: Clone + Send + Sync + 'static> Route<S> {
    /// Answers `GET`.
    pub fn get<T: 'static>(template: &'static str, caller: Caller, handler: impl Handler<T, S>) -> Self {
        Self {
            method: Method::GET,
            template,
            caller,
            handler: routing::get(handler),
        }
    }

    /// Answers `POST`.
    pub fn post<T: 'static>(template: &'static str, caller: Caller, handler: impl Handler<T, S>) -> Self {
        Self {
            method: Method::POST,
            template,
            caller,
            handler: routing::post(handler),
        }
    }

    /// Answers `PUT`.
    pub fn put<T: 'static>(template: &'static str, caller: Caller, handler: impl Handler<T, S>) -> Self {
        Self {
            method: Method::PUT,
            template,
            caller,
            handler: routing::put(handler),
        }
    }

    /// Answers `DELETE`.
    pub fn delete<T: 'static>(template: &'static str, caller: Caller, handler: impl Handler<T, S>) -> Self {
        Self {
            method: Method::DELETE,
            template,
            caller,
            handler: routing::delete(handler),
        }
    }
}

/// A router of `routes`; `otherwise` answers every other path, and every other method of theirs.
///
/// # Panics
/// If two routes have the same method and path, so a dialect's first test finds it.
pub fn router<S, T>(routes: Vec<Route<S>>, otherwise: impl Handler<T, S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    T: 'static,
{
    routes
        .into_iter()
        .fold(Router::new(), |router, route| {
            router.route(route.template, route.handler)
        })
        .method_not_allowed_fallback(otherwise.clone())
        .fallback(otherwise)
}
