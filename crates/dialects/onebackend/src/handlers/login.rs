//! How a caller gets a token.

use axum::response::Response;
use strongroom_core::accounts::{Login, Refresh, Register};
use strongroom_dialect_kit::Body;

use crate::call::Call;
use crate::claims::FORM;
use crate::wire::login::{LoginRequest, RegisterRequest, TokenReply};

pub(crate) async fn log_in(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: LoginRequest| Login::try_from(request),
        TokenReply::from,
    )
    .await
}

pub(crate) async fn register(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: RegisterRequest| Register::try_from(request),
        TokenReply::from,
    )
    .await
}

pub(crate) async fn refresh(call: Call) -> Response {
    call.ask(Refresh { form: FORM }, TokenReply::from).await
}
