//! The audit ledger.

use axum::response::Response;
use strongroom_core::audit::{FindLeaves, ProveGrowth, ProveLeaf, ReadLeaves};
use strongroom_dialect_kit::Body;

use crate::call::Call;
use crate::wire::audit::{
    GrowthReply, GrowthRequest, LeavesReply, LeavesRequest, ProofReply, ProofRequest, RequestReply,
    RequestRequest,
};

pub(crate) async fn leaves(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: LeavesRequest| ReadLeaves::try_from(request),
        LeavesReply::from,
    )
    .await
}

pub(crate) async fn request(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: RequestRequest| FindLeaves::try_from(request),
        RequestReply::from,
    )
    .await
}

pub(crate) async fn proof(call: Call, body: Body) -> Response {
    let decode = |request: ProofRequest| Ok(ProveLeaf { index: request.index });
    call.ask_json(body, decode, ProofReply::from).await
}

pub(crate) async fn growth(call: Call, body: Body) -> Response {
    let decode = |request: GrowthRequest| Ok(ProveGrowth { from: request.from });
    call.ask_json(body, decode, GrowthReply::from).await
}
