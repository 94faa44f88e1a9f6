//! The OpenAPI 3.1 document, made from the route table and the wire types. `docs/reference/openapi.json` is a copy.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use strongroom_dialect_kit::Caller;

use crate::error::ErrorReply;
use crate::routes::routes;
use crate::wire::access::{
    ExplainReply, ExplainRequest, ReviewReply, ReviewRequest, SearchReply, SearchRequest, WhoCanReply,
    WhoCanRequest,
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
    let mut entry =
        |summary, request: fn(&mut SchemaGenerator) -> Value, reply: fn(&mut SchemaGenerator) -> Value| {
            Some(Entry {
                summary,
                request: Some(request(schemas)).filter(|schema| !schema.is_null()),
                reply: Some(reply(schemas)).filter(|schema| !schema.is_null()),
            })
        };
    let none = |_: &mut SchemaGenerator| Value::Null;
    match template.strip_prefix(crate::PREFIX)? {
        "/openapi.json" => entry("This document", none, none),
        "/login" => entry(
            "Log in with a password",
            schema::<LoginRequest>,
            schema::<TokenReply>,
        ),
        "/whoami" => entry("Who the token is of", none, schema::<WhoAmIReply>),
        "/audit/leaves" => entry(
            "Leaves of the audit ledger",
            schema::<LeavesRequest>,
            schema::<LeavesReply>,
        ),
        "/audit/request" => entry(
            "The leaves of one request",
            schema::<RequestRequest>,
            schema::<RequestReply>,
        ),
        "/audit/proof" => entry(
            "The proof that a leaf is in the ledger",
            schema::<ProofRequest>,
            schema::<ProofReply>,
        ),
        "/audit/growth" => entry(
            "The newest checkpoint, and the proof that it continues an older tree",
            schema::<GrowthRequest>,
            schema::<GrowthReply>,
        ),
        "/access/explain" => entry(
            "Why a request was refused, for admins and owners",
            schema::<ExplainRequest>,
            schema::<ExplainReply>,
        ),
        "/access/who-can" => entry(
            "Who may do something to a secret, for admins and its owner",
            schema::<WhoCanRequest>,
            schema::<WhoCanReply>,
        ),
        "/access/review" => entry(
            "What is odd about who may read what, for admins",
            schema::<ReviewRequest>,
            schema::<ReviewReply>,
        ),
        "/secrets/search" => entry(
            "Names that the caller may read",
            schema::<SearchRequest>,
            schema::<SearchReply>,
        ),
        "/keys" => entry(
            "The keys, and how far a rewrap has come, for admins",
            none,
            schema::<KeysReply>,
        ),
        "/keys/rotate" => entry(
            "New keys for what is written from now on, for admins",
            none,
            schema::<RotatedReply>,
        ),
        "/keys/rewrap" => entry(
            "Seal anew what old keys sealed, and drop those, for admins: starts it, unless it runs",
            none,
            schema::<KeysReply>,
        ),
        _ => operator_entry(template, schemas),
    }
}

/// The same of the routes that run the instance.
fn operator_entry(template: &str, schemas: &mut SchemaGenerator) -> Option<Entry> {
    let (summary, request, reply) = match template.strip_prefix(crate::PREFIX)? {
        "/operator/slots/list" => ("The seal slots", None, schema::<SlotsReply>(schemas)),
        "/operator/slots/add" => (
            "Add a seal slot",
            Some(schema::<AddSlotRequest>(schemas)),
            schema::<AddedReply>(schemas),
        ),
        "/operator/slots/remove" => (
            "Remove a seal slot; the last one stays",
            Some(schema::<RemoveSlotRequest>(schemas)),
            schema::<RemovedReply>(schemas),
        ),
        "/operator/slots/check" => (
            "Try whether seal slots open",
            Some(schema::<CheckSlotsRequest>(schemas)),
            schema::<ChecksReply>(schemas),
        ),
        "/operator/slots/drill" => (
            "Prove on a copy that a seal slot alone opens the instance",
            Some(schema::<DrillSlotRequest>(schemas)),
            schema::<DrilledReply>(schemas),
        ),
        "/operator/status" => ("How the seal is", None, schema::<StatusReply>(schemas)),
        "/operator/init" => (
            "Make the instance; only where there is none, from the server's machine or over TLS",
            Some(schema::<InitRequest>(schemas)),
            schema::<InitReply>(schemas),
        ),
        "/operator/unseal" => (
            "One step to open the seal",
            Some(schema::<UnsealRequest>(schemas)),
            schema::<StatusReply>(schemas),
        ),
        "/operator/seal" => ("Close the seal", None, schema::<SealedReply>(schemas)),
        "/operator/generate-root" => (
            "One step to a new root token, for those who hold enough shares",
            Some(schema::<RecoverRequest>(schemas)),
            schema::<RecoverReply>(schemas),
        ),
        "/operator/rekey" => (
            "New shares for a seal slot",
            Some(schema::<RekeyRequest>(schemas)),
            schema::<RekeyReply>(schemas),
        ),
        "/operator/rekey/confirm" => (
            "One of the new shares; when enough arrived, the old ones are worth nothing",
            Some(schema::<ConfirmRequest>(schemas)),
            schema::<RekeyStepReply>(schemas),
        ),
        "/operator/rekey/cancel" => (
            "Keep the old shares, and drop the new ones",
            None,
            schema::<CancelledReply>(schemas),
        ),
        _ => return None,
    };
    Some(Entry {
        summary,
        request,
        reply: Some(reply),
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
