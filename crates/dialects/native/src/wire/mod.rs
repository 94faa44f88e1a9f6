//! Requests and replies as this dialect spells them, and how they become ops and come from outcomes. Fields that a
//! request may leave out have a default here; times are milliseconds since 1970.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod keys;
pub(crate) mod operator;
pub(crate) mod people;
pub(crate) mod secrets;
pub(crate) mod slots;

use strongroom_base::RequestId;
use strongroom_engine_static::ops::Scope;
use strongroom_sdk::Error;

fn request_id(text: &str) -> Result<RequestId, Error> {
    text.parse()
        .map_err(|_| Error::invalid("id", "is not a request id: it is in `X-Request-Id` and in errors"))
}

fn scope(all_apps: bool) -> Scope {
    if all_apps { Scope::All } else { Scope::Session }
}
