//! The seal slots.

use axum::response::Response;
use strongroom_core::slots::{AddSlot, CheckSlots, DrillSlot, ListSlots, RemoveSlot};
use strongroom_dialect_kit::Body;

use crate::call::Call;
use crate::wire::slots::{
    AddSlotRequest, AddedReply, CheckSlotsRequest, ChecksReply, DrillSlotRequest, DrilledReply,
    RemoveSlotRequest, RemovedReply, SlotsReply,
};

pub(crate) async fn list(call: Call) -> Response {
    call.ask(ListSlots, SlotsReply::from).await
}

pub(crate) async fn add(call: Call, body: Body) -> Response {
    let decode = |request: AddSlotRequest| AddSlot::try_from(request);
    call.ask_json(body, decode, AddedReply::from).await
}

pub(crate) async fn remove(call: Call, body: Body) -> Response {
    let decode = |request: RemoveSlotRequest| Ok(RemoveSlot::from(request));
    call.ask_json(body, decode, RemovedReply::from).await
}

pub(crate) async fn check(call: Call, body: Body) -> Response {
    let decode = |request: CheckSlotsRequest| Ok(CheckSlots::from(request));
    call.ask_json(body, decode, ChecksReply::from).await
}

pub(crate) async fn drill(call: Call, body: Body) -> Response {
    let decode = |request: DrillSlotRequest| Ok(DrillSlot::from(request));
    call.ask_json(body, decode, DrilledReply::from).await
}
