//! The native dialect, `/strongroom/v1`: JSON in snake case, a bearer token, one form of error. Our own command line
//! speaks it, and `docs/reference/openapi.json` describes it.
//!
//! Invariant: it decides nothing. What is refused here is what has no meaning.

mod call;
mod error;
mod handlers;
mod openapi;
mod routes;
mod wire;

use std::sync::Arc;

use axum::Router;
use strongroom_core::house::House;
use strongroom_dialect_kit::{Dialect, Instruments};

pub use openapi::document;
pub use routes::routes;

/// What the paths of the dialect begin with.
pub const PREFIX: &str = "/strongroom/v1";

/// The dialect over the instance in `house`. Served with a [`Peer`](strongroom_dialect_kit::Peer), it
/// names it as the source of requests.
pub fn router(house: Arc<House>, instruments: Instruments) -> Router {
    let dialect = Dialect {
        name: "native",
        prefix: PREFIX,
        instruments,
        headers: |_| Vec::new(),
    };
    dialect
        .router(routes(), handlers::no_such_endpoint)
        .with_state(house)
}
