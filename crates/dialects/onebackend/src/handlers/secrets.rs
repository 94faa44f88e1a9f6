//! Static secrets.

use axum::response::Response;
use strongroom_core::accounts::IsSecure;
use strongroom_dialect_kit::Body;
use strongroom_engine_static::ops::{ListSecrets, RemoveSecrets, Removed, SaveSecrets, Saved};

use crate::call::Call;
use crate::wire::Nothing;
use crate::wire::secrets::{IsSecureReply, ListReply, ListRequest, RemoveRequest, SaveRequest};

pub(crate) async fn list(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: ListRequest| Ok(ListSecrets::from(request)),
        ListReply::from,
    )
    .await
}

pub(crate) async fn save(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: SaveRequest| SaveSecrets::try_from(request),
        |Saved| Nothing {},
    )
    .await
}

pub(crate) async fn remove(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: RemoveRequest| Ok(RemoveSecrets::from(request)),
        |Removed| Nothing {},
    )
    .await
}

pub(crate) async fn is_secure(call: Call) -> Response {
    call.ask(IsSecure, |is_secure| IsSecureReply { is_secure }).await
}
