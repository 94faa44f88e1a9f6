//! One function a route: decode, ask the core, encode.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod keys;
pub(crate) mod operator;
pub(crate) mod people;
pub(crate) mod secrets;
pub(crate) mod slots;

use axum::response::Response;
use strongroom_core::accounts::Describe;
use strongroom_sdk::Error;

use crate::call::Call;
use crate::error;

/// Every path and method that is no route.
pub(crate) async fn no_such_endpoint(call: Call) -> Response {
    call.for_anyone()
        .refuse(
            Error::NotFound(
                "there is no such endpoint: `/strongroom/v1/openapi.json` describes those there are"
                    .to_owned(),
            ),
            error::reply,
        )
        .await
}

/// The description of this dialect.
pub(crate) async fn document(call: Call) -> Response {
    call.ask(Describe, |()| crate::document()).await
}
