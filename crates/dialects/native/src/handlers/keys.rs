//! The instance's keys.

use axum::response::Response;
use strongroom_core::keys::{RotateKeys, ShowKeys, StartRewrap};

use crate::call::Call;
use crate::wire::keys::{KeysReply, RotatedReply};

pub(crate) async fn show(call: Call) -> Response {
    call.ask(ShowKeys, KeysReply::from).await
}

pub(crate) async fn rotate(call: Call) -> Response {
    call.ask(RotateKeys, RotatedReply::from).await
}

pub(crate) async fn rewrap(call: Call) -> Response {
    call.ask(StartRewrap, KeysReply::from).await
}
