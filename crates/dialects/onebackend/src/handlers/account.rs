//! What callers may know of themselves and of the server's key.

use axum::response::Response;
use strongroom_core::accounts::{PublicKey, WhoAmI};
use strongroom_dialect_kit::Body;

use crate::call::Call;
use crate::wire::account::{PublicKeyReply, SelfReply, SelfRequest};

pub(crate) async fn public_key(call: Call) -> Response {
    call.ask(PublicKey, PublicKeyReply::from).await
}

pub(crate) async fn who_am_i(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: SelfRequest| Ok(WhoAmI::from(request)),
        SelfReply::from,
    )
    .await
}
