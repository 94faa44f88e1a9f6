//! What every HTTP dialect shares, so that a dialect is its routes, its wire types and its words, and nothing else.
//!
//! A dialect lists its [`Route`]s and makes an observed router of them ([`Dialect::router`]). Its handlers take a [`Call`]
//! and a [`Body`]; its [`Wire`] says how its requests and refusals are spelled.
//!
//! Invariant: knows no dialect, decides nothing, and neither logs nor counts anything that a caller chose.

mod body;
mod call;
mod head;
pub mod json;
mod metrics;
mod observe;
pub mod reply;
mod route;
mod url_token;

pub use body::{BODY_READ, Body};
pub use call::{Call, Wire};
pub use head::{Head, Peer};
pub use metrics::HttpMetrics;
pub use observe::{Dialect, Instruments, log_causes};
pub use route::{Caller, HandlerFn, Route, router};
