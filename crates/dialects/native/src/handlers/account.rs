//! How a caller gets a token, and who it is.

use axum::response::Response;
use strongroom_core::accounts::{Login, WhoAmI};
use strongroom_dialect_kit::Body;

use crate::call::Call;
use crate::wire::account::{LoginRequest, TokenReply, WhoAmIReply};

pub(crate) async fn log_in(call: Call, body: Body) -> Response {
    call.for_anyone()
        .ask_json(
            body,
            |request: LoginRequest| Login::try_from(request),
            TokenReply::from,
        )
        .await
}

pub(crate) async fn who_am_i(call: Call) -> Response {
    call.ask(
        WhoAmI {
            count_sessions: false,
        },
        WhoAmIReply::from,
    )
    .await
}
