//! The OpenAPI 3.1 document, made from the route table and the wire types. `docs/reference/openapi.json` is a copy.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use strongroom_dialect_kit::Caller;

use crate::error::ErrorReply;
use crate::routes::routes;
use crate::wire::access::{
    AskReply, AskRequest, ExplainReply, ExplainRequest, RequestsReply, RequestsRequest, ReviewReply,
    ReviewRequest, SearchReply, SearchRequest, WhoCanReply, WhoCanRequest,
};
use crate::wire::account::{LoginRequest, TokenReply, WhoAmIReply};
use crate::wire::audit::{
    GrowthReply, GrowthRequest, LeavesReply, LeavesRequest, ProofReply, ProofRequest, RequestReply,
    RequestRequest,
};
use crate::wire::keys::{KeysReply, RotatedReply};
use crate::wire::operator::{
    CancelledReply, ConfirmRequest, InitReply, InitRequest, RecoverReply, RecoverRequest, RekeyReply,
    RekeyRequest, RekeyStepReply, SealedReply, StatusReply, UnsealRequest,
};
use crate::wire::people::{
    AcceptRequest, AddRequest, InvitationReply, MembershipRequest, PrincipalReply, PrincipalsReply,
    PrincipalsRequest, RevokeReply, RevokeRequest, SlugRequest, TokensReply, TokensRequest,
};
use crate::wire::secrets::{
    AnnotateRequest, FactsReply, ListReply, ListRequest, NameRequest, PutRequest, ReadReply, ReadRequest,
    RemoveReply, RemoveRequest, RollbackRequest, StaleRequest, VersionReply,
};
use crate::wire::slots::{
    AddSlotRequest, AddedReply, CheckSlotsRequest, ChecksReply, DrillSlotRequest, DrilledReply,
    RemoveSlotRequest, RemovedReply, SlotsReply,
};

/// What the document says of one route.
struct Entry {
    summary: &'static str,
    request: Option<Value>,
    reply: Option<Value>,
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut schemas = settings.into_generator();
    let refusal = schema::<ErrorReply>(&mut schemas);
    let mut paths = Map::new();
    for route in routes() {
        let Some(entry) = entry(route.template, &mut schemas) else {
            continue;
        };
        let mut operation = json!({
            "summary": entry.summary,
            "responses": {
                "200": response("The answer", entry.reply),
                "default": response("A refusal", Some(refusal.clone())),
            },
        });
        if let (Some(body), Some(operation)) = (entry.request, operation.as_object_mut()) {
            operation.insert(
                "requestBody".into(),
                json!({ "content": { "application/json": { "schema": body } } }),
            );
        }
        if let (Caller::LoggedIn, Some(operation)) = (route.caller, operation.as_object_mut()) {
            operation.insert("security".into(), json!([{ "token": [] }]));
        }
        paths.insert(
            route.template.to_owned(),
            json!({ route.method.as_str().to_lowercase(): operation }),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Strongroom, native dialect",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn entry(template: &str, schemas: &mut SchemaGenerator) -> Option<Entry> {
    let path = template.strip_prefix(crate::PREFIX)?;
    let rooms = [sessions, audit, access, people, secrets, keys, slots, seal];
    let (summary, request, reply) = rooms.into_iter().find_map(|about| about(path))?;
    Some(Entry {
        summary,
        request: Some(request(schemas)).filter(|schema| !schema.is_null()),
        reply: Some(reply(schemas)).filter(|schema| !schema.is_null()),
    })
}

/// What makes the schema of a body.
type Schema = fn(&mut SchemaGenerator) -> Value;

/// There is no body.
fn none(_: &mut SchemaGenerator) -> Value {
    Value::Null
}

fn sessions(path: &str) -> Option<(&'static str, Schema, Schema)> {
    Some(match path {
        "/openapi.json" => ("This document", none, none),
        "/login" => (
            "Log in with a password",
            schema::<LoginRequest>,
            schema::<TokenReply>,
        ),
        "/whoami" => ("Who the token is of", none, schema::<WhoAmIReply>),
        _ => return None,
    })
}

fn audit(path: &str) -> Option<(&'static str, Schema, Schema)> {
    Some(match path {
        "/audit/leaves" => (
            "Leaves of the audit ledger",
            schema::<LeavesRequest>,
            schema::<LeavesReply>,
        ),
        "/audit/request" => (
            "The leaves of one request",
            schema::<RequestRequest>,
            schema::<RequestReply>,
        ),
        "/audit/proof" => (
            "The proof that a leaf is in the ledger",
            schema::<ProofRequest>,
            schema::<ProofReply>,
        ),
        "/audit/growth" => (
            "The newest checkpoint, and the proof that it continues an older tree",
            schema::<GrowthRequest>,
            schema::<GrowthReply>,
        ),
        _ => return None,
    })
}

fn access(path: &str) -> Option<(&'static str, Schema, Schema)> {
    Some(match path {
        "/access/explain" => (
            "Why a request was refused, for admins and owners",
            schema::<ExplainRequest>,
            schema::<ExplainReply>,
        ),
        "/access/who-can" => (
            "Who may do something to a secret, for admins and its owner",
            schema::<WhoCanRequest>,
            schema::<WhoCanReply>,
        ),
        "/access/request" => (
            "Ask the owner of a secret for access to it",
            schema::<AskRequest>,
            schema::<AskReply>,
        ),
        "/access/requests" => (
            "The requests for access that wait for the caller",
            schema::<RequestsRequest>,
            schema::<RequestsReply>,
        ),
        "/access/review" => (
            "What is odd about who may read what, for admins",
            schema::<ReviewRequest>,
            schema::<ReviewReply>,
        ),
        _ => return None,
    })
}

fn people(path: &str) -> Option<(&'static str, Schema, Schema)> {
    Some(match path {
        "/principals/add" => (
            "Make an account, for admins",
            schema::<AddRequest>,
            schema::<PrincipalReply>,
        ),
        "/principals/list" => (
            "Who there is, for admins",
            schema::<PrincipalsRequest>,
            schema::<PrincipalsReply>,
        ),
        "/principals/disable" => (
            "Keep a principal from logging in and end its sessions, for admins",
            schema::<SlugRequest>,
            schema::<PrincipalReply>,
        ),
        "/principals/enable" => (
            "Let a principal log in again, for admins",
            schema::<SlugRequest>,
            schema::<PrincipalReply>,
        ),
        "/groups/join" => (
            "Take a user or service into a group, for admins",
            schema::<MembershipRequest>,
            schema::<PrincipalReply>,
        ),
        "/groups/leave" => (
            "Take a user or service out of a group, for admins",
            schema::<MembershipRequest>,
            schema::<PrincipalReply>,
        ),
        "/invitations/create" => (
            "Invite somebody to an account, for admins",
            schema::<SlugRequest>,
            schema::<InvitationReply>,
        ),
        "/invitations/accept" => (
            "Make the account that one was invited to",
            schema::<AcceptRequest>,
            schema::<PrincipalReply>,
        ),
        "/tokens/list" => (
            "The caller's tokens, or for admins those of others, named without them",
            schema::<TokensRequest>,
            schema::<TokensReply>,
        ),
        "/tokens/revoke" => (
            "Revoke a token of the caller, or for admins of others",
            schema::<RevokeRequest>,
            schema::<RevokeReply>,
        ),
        _ => return None,
    })
}

fn secrets(path: &str) -> Option<(&'static str, Schema, Schema)> {
    Some(match path {
        "/secrets/read" => (
            "The value of a secret, or of an earlier version of it",
            schema::<ReadRequest>,
            schema::<ReadReply>,
        ),
        "/secrets/put" => (
            "Create a secret, or give it a new value",
            schema::<PutRequest>,
            schema::<VersionReply>,
        ),
        "/secrets/rollback" => (
            "Make a new version with the value of an earlier one",
            schema::<RollbackRequest>,
            schema::<VersionReply>,
        ),
        "/secrets/remove" => (
            "Remove a secret, to be had back for 30 days or for good",
            schema::<RemoveRequest>,
            schema::<RemoveReply>,
        ),
        "/secrets/undelete" => (
            "Have a removed secret back",
            schema::<NameRequest>,
            schema::<VersionReply>,
        ),
        "/secrets/describe" => (
            "What is known of a secret beside its value",
            schema::<NameRequest>,
            schema::<FactsReply>,
        ),
        "/secrets/annotate" => (
            "Change what is said of a secret beside its value",
            schema::<AnnotateRequest>,
            schema::<VersionReply>,
        ),
        "/secrets/stale" => (
            "The secrets that are overdue and that the caller may read, longest first",
            schema::<StaleRequest>,
            schema::<ListReply>,
        ),
        "/secrets/list" => (
            "The secrets that the caller may read, without their values",
            schema::<ListRequest>,
            schema::<ListReply>,
        ),
        "/secrets/search" => (
            "Names that the caller may read",
            schema::<SearchRequest>,
            schema::<SearchReply>,
        ),
        _ => return None,
    })
}

fn keys(path: &str) -> Option<(&'static str, Schema, Schema)> {
    Some(match path {
        "/keys" => (
            "The keys, and how far a rewrap has come, for admins",
            none,
            schema::<KeysReply>,
        ),
        "/keys/rotate" => (
            "New keys for what is written from now on, for admins",
            none,
            schema::<RotatedReply>,
        ),
        "/keys/rewrap" => (
            "Seal anew what old keys sealed, and drop those, for admins: starts it, unless it runs",
            none,
            schema::<KeysReply>,
        ),
        _ => return None,
    })
}

fn slots(path: &str) -> Option<(&'static str, Schema, Schema)> {
    Some(match path {
        "/operator/slots/list" => ("The seal slots", none, schema::<SlotsReply>),
        "/operator/slots/add" => ("Add a seal slot", schema::<AddSlotRequest>, schema::<AddedReply>),
        "/operator/slots/remove" => (
            "Remove a seal slot; the last one stays",
            schema::<RemoveSlotRequest>,
            schema::<RemovedReply>,
        ),
        "/operator/slots/check" => (
            "Try whether seal slots open",
            schema::<CheckSlotsRequest>,
            schema::<ChecksReply>,
        ),
        "/operator/slots/drill" => (
            "Prove on a copy that a seal slot alone opens the instance",
            schema::<DrillSlotRequest>,
            schema::<DrilledReply>,
        ),
        _ => return None,
    })
}

fn seal(path: &str) -> Option<(&'static str, Schema, Schema)> {
    Some(match path {
        "/operator/status" => ("How the seal is", none, schema::<StatusReply>),
        "/operator/init" => (
            "Make the instance; only where there is none, from the server's machine or over TLS",
            schema::<InitRequest>,
            schema::<InitReply>,
        ),
        "/operator/unseal" => (
            "One step to open the seal",
            schema::<UnsealRequest>,
            schema::<StatusReply>,
        ),
        "/operator/seal" => ("Close the seal", none, schema::<SealedReply>),
        "/operator/generate-root" => (
            "One step to a new root token, for those who hold enough shares",
            schema::<RecoverRequest>,
            schema::<RecoverReply>,
        ),
        "/operator/rekey" => (
            "New shares for a seal slot",
            schema::<RekeyRequest>,
            schema::<RekeyReply>,
        ),
        "/operator/rekey/confirm" => (
            "One of the new shares; when enough arrived, the old ones are worth nothing",
            schema::<ConfirmRequest>,
            schema::<RekeyStepReply>,
        ),
        "/operator/rekey/cancel" => (
            "Keep the old shares, and drop the new ones",
            none,
            schema::<CancelledReply>,
        ),
        _ => return None,
    })
}

fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

fn response(description: &str, schema: Option<Value>) -> Value {
    match schema {
        Some(schema) => {
            json!({ "description": description, "content": { "application/json": { "schema": schema } } })
        }
        None => json!({ "description": description }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_checked_in_document_is_this_one() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../docs/reference/openapi.json"
        );
        let text = format!("{:#}\n", document());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            checked_in == text,
            "docs/reference/openapi.json is old: `cargo xtask golden` writes it anew"
        );
    }

    #[test]
    fn every_route_is_described() {
        let document = document();
        for route in routes() {
            let method = route.method.as_str().to_lowercase();
            assert!(
                document["paths"][route.template][&method].is_object(),
                "{method} {}",
                route.template
            );
        }
    }
}
