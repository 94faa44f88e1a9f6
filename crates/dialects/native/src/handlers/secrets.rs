//! Secrets one by one, and lists of them without values.

use axum::response::Response;
use strongroom_dialect_kit::Body;
use strongroom_engine_static::ops::{
    AnnotateSecret, BrowseSecrets, DescribeSecret, FindStale, PutSecret, ReadSecret, RemoveSecret,
    RestoreSecret, RollBack, SearchNames,
};

use crate::call::Call;
use crate::wire::access::{SearchReply, SearchRequest};
use crate::wire::secrets::{
    AnnotateRequest, FactsReply, ListReply, ListRequest, NameRequest, PutRequest, ReadReply, ReadRequest,
    RemoveReply, RemoveRequest, RollbackRequest, StaleRequest, VersionReply,
};

pub(crate) async fn read(call: Call, body: Body) -> Response {
    let decode = |request: ReadRequest| Ok(ReadSecret::from(request));
    call.ask_json(body, decode, ReadReply::from).await
}

pub(crate) async fn put(call: Call, body: Body) -> Response {
    let decode = |request: PutRequest| PutSecret::try_from(request);
    call.ask_json(body, decode, VersionReply::from).await
}

pub(crate) async fn rollback(call: Call, body: Body) -> Response {
    let decode = |request: RollbackRequest| Ok(RollBack::from(request));
    call.ask_json(body, decode, VersionReply::from).await
}

pub(crate) async fn remove(call: Call, body: Body) -> Response {
    let decode = |request: RemoveRequest| Ok(RemoveSecret::from(request));
    call.ask_json(body, decode, RemoveReply::from).await
}

pub(crate) async fn undelete(call: Call, body: Body) -> Response {
    let decode = |request: NameRequest| Ok(RestoreSecret::from(request));
    call.ask_json(body, decode, VersionReply::from).await
}

pub(crate) async fn describe(call: Call, body: Body) -> Response {
    let decode = |request: NameRequest| Ok(DescribeSecret::from(request));
    call.ask_json(body, decode, FactsReply::from).await
}

pub(crate) async fn annotate(call: Call, body: Body) -> Response {
    let decode = |request: AnnotateRequest| Ok(AnnotateSecret::from(request));
    call.ask_json(body, decode, VersionReply::from).await
}

pub(crate) async fn stale(call: Call, body: Body) -> Response {
    let decode = |request: StaleRequest| Ok(FindStale::from(request));
    call.ask_json(body, decode, ListReply::from).await
}

pub(crate) async fn list(call: Call, body: Body) -> Response {
    let decode = |request: ListRequest| Ok(BrowseSecrets::from(request));
    call.ask_json(body, decode, ListReply::from).await
}

pub(crate) async fn search(call: Call, body: Body) -> Response {
    let decode = |request: SearchRequest| Ok(SearchNames::from(request));
    call.ask_json(body, decode, SearchReply::from).await
}
