//! Principals and tokens.

use axum::response::Response;
use strongroom_core::accounts::{
    AcceptInvitation, AddPrincipal, Invite, ListPrincipals, ListTokens, RevokeToken,
};
use strongroom_dialect_kit::Body;

use crate::call::Call;
use crate::wire::people::{
    AcceptRequest, AddRequest, InvitationReply, MembershipRequest, PrincipalReply, PrincipalsReply,
    PrincipalsRequest, RevokeReply, RevokeRequest, SlugRequest, TokensReply, TokensRequest,
};

pub(crate) async fn add(call: Call, body: Body) -> Response {
    let decode = |request: AddRequest| Ok(AddPrincipal::from(request));
    call.ask_json(body, decode, PrincipalReply::from).await
}

pub(crate) async fn list(call: Call, body: Body) -> Response {
    let decode = |request: PrincipalsRequest| Ok(ListPrincipals::from(request));
    call.ask_json(body, decode, PrincipalsReply::from).await
}

pub(crate) async fn disable(call: Call, body: Body) -> Response {
    let decode = |request: SlugRequest| Ok(request.standing(false));
    call.ask_json(body, decode, PrincipalReply::from).await
}

pub(crate) async fn enable(call: Call, body: Body) -> Response {
    let decode = |request: SlugRequest| Ok(request.standing(true));
    call.ask_json(body, decode, PrincipalReply::from).await
}

pub(crate) async fn join(call: Call, body: Body) -> Response {
    let decode = |request: MembershipRequest| Ok(request.membership(true));
    call.ask_json(body, decode, PrincipalReply::from).await
}

pub(crate) async fn leave(call: Call, body: Body) -> Response {
    let decode = |request: MembershipRequest| Ok(request.membership(false));
    call.ask_json(body, decode, PrincipalReply::from).await
}

pub(crate) async fn invite(call: Call, body: Body) -> Response {
    let decode = |request: SlugRequest| Ok(Invite::from(request));
    call.ask_json(body, decode, InvitationReply::from).await
}

pub(crate) async fn accept(call: Call, body: Body) -> Response {
    let decode = |request: AcceptRequest| AcceptInvitation::try_from(request);
    call.for_anyone()
        .ask_json(body, decode, PrincipalReply::from)
        .await
}

pub(crate) async fn list_tokens(call: Call, body: Body) -> Response {
    let decode = |request: TokensRequest| ListTokens::try_from(request);
    call.ask_json(body, decode, TokensReply::from).await
}

pub(crate) async fn revoke_token(call: Call, body: Body) -> Response {
    let decode = |request: RevokeRequest| RevokeToken::try_from(request);
    call.ask_json(body, decode, RevokeReply::from).await
}
