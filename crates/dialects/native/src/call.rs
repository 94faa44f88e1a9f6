//! The way of every request through the core.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_base::RequestId;
use strongroom_core::accounts::Malformed;
use strongroom_core::{Core, Credential, Request};
use strongroom_dialect_kit::{Body, Head, json, reply};
use strongroom_sdk::{Error, Op};

use crate::credential::credential;
use crate::error;

/// A request on its way to the core.
pub(crate) struct Call {
    core: Arc<Core>,
    id: RequestId,
    source: Arc<str>,
    caller: Credential,
    is_for_anyone: bool,
}

impl FromRequestParts<Arc<Core>> for Call {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, core: &Arc<Core>) -> Result<Self, StatusCode> {
        let head = Head::from_request_parts(parts, core).await?;
        Ok(Self {
            core: core.clone(),
            id: head.id,
            source: head.source,
            caller: credential(&parts.headers, head.url_token),
            is_for_anyone: false,
        })
    }
}

impl Call {
    /// The same request, of which also strangers are told what is wrong with it.
    pub(crate) fn for_anyone(self) -> Self {
        Self {
            is_for_anyone: true,
            ..self
        }
    }

    /// Reads a `W` from `body`, makes an op of it, and answers what `encode` makes of the op's outcome.
    pub(crate) async fn ask_json<W, O, R>(
        self,
        body: Body,
        decode: impl FnOnce(W) -> Result<O, Error>,
        encode: impl FnOnce(O::Outcome) -> R,
    ) -> Response
    where
        W: DeserializeOwned,
        O: Op,
        R: Serialize,
    {
        let read = body.into_bytes().and_then(|bytes| {
            // No body at all is `{}`.
            let bytes = bytes.expose().trim_ascii();
            json::from_slice::<json::Object<W>>(if bytes.is_empty() { b"{}" } else { bytes })
        });
        match read.and_then(|json::Object(wire)| decode(wire)) {
            Ok(op) => self.ask(op, encode).await,
            Err(error) => self.refuse(error).await,
        }
    }

    /// Runs `op`, and answers what `encode` makes of its outcome.
    pub(crate) async fn ask<O: Op, R: Serialize>(
        self,
        op: O,
        encode: impl FnOnce(O::Outcome) -> R,
    ) -> Response {
        let id = self.id;
        let outcome = self.run(op).await;
        outcome
            .and_then(|outcome| reply::json(StatusCode::OK, &encode(outcome)))
            .unwrap_or_else(|error| error::reply(id, &error))
    }

    /// Has the request recorded as one that is no op, and answers `error`, or whatever kept the record from being
    /// written.
    pub(crate) async fn refuse(self, error: Error) -> Response {
        let id = self.id;
        let op = Malformed {
            error,
            is_for_anyone: self.is_for_anyone,
        };
        match self.run(op).await {
            Err(error) => error::reply(id, &error),
            Ok(never) => match never {},
        }
    }

    async fn run<O: Op>(self, op: O) -> Result<O::Outcome, Error> {
        let request = Request {
            id: self.id,
            caller: self.caller,
            source: self.source,
            op,
        };
        self.core.call(request).await
    }
}
