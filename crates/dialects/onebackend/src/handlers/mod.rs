//! One function a route: decode, ask the core, encode.

pub(crate) mod account;
pub(crate) mod login;
pub(crate) mod secrets;

use axum::response::Response;
use strongroom_sdk::Error;

use crate::call::Call;
use crate::error;

/// Every path and method that is no route.
pub(crate) async fn no_such_endpoint(call: Call) -> Response {
    call.refuse(
        Error::NotFound("404 page not found".into()),
        error::no_such_endpoint,
    )
    .await
}
