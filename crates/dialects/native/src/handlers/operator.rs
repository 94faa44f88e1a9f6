//! Opening and closing an instance, and what comes before its first login.

use axum::response::Response;
use strongroom_core::house::{House, Initialize, Recover, ShowSeal, Unseal};
use strongroom_core::operators::SealInstance;
use strongroom_core::slots::{CancelRekey, ConfirmRekey, RekeySlot};
use strongroom_dialect_kit::Body;

use crate::call::Call;
use crate::wire::operator::{
    CancelledReply, ConfirmRequest, InitReply, InitRequest, RecoverReply, RecoverRequest, RekeyReply,
    RekeyRequest, RekeyStepReply, SealedReply, StatusReply, UnsealRequest,
};

pub(crate) async fn status(call: Call) -> Response {
    call.attend(ShowSeal, StatusReply::from).await
}

pub(crate) async fn init(call: Call, body: Body) -> Response {
    let decode = |request: InitRequest| Ok(Initialize::from(request));
    call.attend_json(body, decode, InitReply::from).await
}

pub(crate) async fn unseal(call: Call, body: Body) -> Response {
    call.attend_json(
        body,
        |request: UnsealRequest| Unseal::try_from(request),
        StatusReply::from,
    )
    .await
}

pub(crate) async fn seal(call: Call) -> Response {
    call.ask_by(SealInstance, House::seal, |()| SealedReply { sealed: true })
        .await
}

pub(crate) async fn generate_root(call: Call, body: Body) -> Response {
    call.attend_json(
        body,
        |request: RecoverRequest| Recover::try_from(request),
        RecoverReply::from,
    )
    .await
}

pub(crate) async fn rekey(call: Call, body: Body) -> Response {
    let decode = |request: RekeyRequest| Ok(RekeySlot::from(request));
    call.ask_json(body, decode, RekeyReply::from).await
}

pub(crate) async fn confirm_rekey(call: Call, body: Body) -> Response {
    let decode = |request: ConfirmRequest| ConfirmRekey::try_from(request);
    call.ask_json(body, decode, RekeyStepReply::from).await
}

pub(crate) async fn cancel_rekey(call: Call) -> Response {
    call.ask(CancelRekey, |()| CancelledReply { cancelled: true })
        .await
}
