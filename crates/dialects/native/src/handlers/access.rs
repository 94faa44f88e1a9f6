//! Questions about who may do what.

use axum::response::Response;
use strongroom_core::audit::Explain;
use strongroom_dialect_kit::Body;
use strongroom_engine_static::ops::{AskAccess, ListAccessRequests, ReviewAccess, WhoCan};

use crate::call::Call;
use crate::wire::access::{
    AskReply, AskRequest, ExplainReply, ExplainRequest, RequestsReply, RequestsRequest, ReviewReply,
    ReviewRequest, WhoCanReply, WhoCanRequest,
};

pub(crate) async fn explain(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: ExplainRequest| Explain::try_from(request),
        ExplainReply::from,
    )
    .await
}

pub(crate) async fn who_can(call: Call, body: Body) -> Response {
    call.ask_json(
        body,
        |request: WhoCanRequest| Ok(WhoCan::from(request)),
        WhoCanReply::from,
    )
    .await
}

pub(crate) async fn review(call: Call, body: Body) -> Response {
    let decode = |request: ReviewRequest| Ok(ReviewAccess::from(request));
    call.ask_json(body, decode, ReviewReply::from).await
}

pub(crate) async fn ask(call: Call, body: Body) -> Response {
    let decode = |request: AskRequest| Ok(AskAccess::from(request));
    call.ask_json(body, decode, AskReply::from).await
}

pub(crate) async fn requests(call: Call, body: Body) -> Response {
    let decode = |request: RequestsRequest| Ok(ListAccessRequests::from(request));
    call.ask_json(body, decode, RequestsReply::from).await
}
