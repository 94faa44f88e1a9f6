//! The 1Backend dialect, today's generation: a secret is named by `id`, belongs to an app, and replies have exactly the
//! fields that 1Backend's strict Go client knows.
//!
//! `routes.rs` has all routes, `wire/` the JSON as that API spells it, `handlers/` one short function a route.
//! Where 1Backend answers 500, or 200 without doing anything, this dialect says what is wrong: its clients only ask
//! whether a status is 2xx.
//!
//! Invariant: decides nothing and stores nothing. Every request, also one that cannot be decoded, goes through
//! [`House::call`], so that it is recorded; only a CORS preflight, which asks for nothing, does not.

mod call;
mod claims;
mod cors;
mod error;
mod handlers;
mod routes;
mod wire;

use std::sync::Arc;

use axum::Router;
use strongroom_core::house::House;
use strongroom_dialect_kit::{Dialect, Instruments};

pub use routes::routes;

/// The dialect over the instance in `house`. Served with a [`Peer`](strongroom_dialect_kit::Peer), it
/// names it as the source of requests.
pub fn router(house: Arc<House>, instruments: Instruments) -> Router {
    let dialect = Dialect {
        name: "onebackend",
        prefix: "",
        instruments,
        headers: cors::headers,
    };
    dialect
        .router(routes(), handlers::no_such_endpoint)
        .with_state(house)
}
