//! Questions about who may do what.

use axum::response::Response;
use strongroom_core::audit::Explain;
use strongroom_dialect_kit::Body;
use strongroom_engine_static::ops::{ReviewAccess, WhoCan};

use crate::call::Call;
use crate::wire::access::{
    ExplainReply, ExplainRequest, ReviewReply, ReviewRequest, WhoCanReply, WhoCanRequest,
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
