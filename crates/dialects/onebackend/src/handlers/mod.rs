//! One function a route: decode, ask the core, encode.

pub(crate) mod account;
pub(crate) mod login;
pub(crate) mod secrets;

use axum::http::Method;
use axum::response::{IntoResponse, Response};
use strongroom_sdk::Error;

use crate::call::Call;
use crate::error;

/// Every path and method that is no route. A preflight of any path is allowed what the headers of all answers say.
pub(crate) async fn no_such_endpoint(method: Method, call: Call) -> Response {
    if method == Method::OPTIONS {
        return ().into_response();
    }
    call.refuse(
        Error::NotFound("404 page not found".into()),
        error::no_such_endpoint,
    )
    .await
}
