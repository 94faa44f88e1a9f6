//! What a handler learns of a request before its body, beside the headers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use strongroom_base::RequestId;
use strongroom_secret::SecretText;

use crate::url_token;

/// Who is at the other end of a connection: a listener gives it with each request, as [`ConnectInfo<Peer>`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    source: Arc<str>,
}

impl Peer {
    /// The peer at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            source: address.ip().to_canonical().to_string().into(),
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What every handler needs of a request's head.
pub struct Head {
    /// The request's id, which [`Dialect::router`](crate::Dialect::router) gave it.
    pub id: RequestId,
    /// The peer's IP address as text; `unknown` where the listener says nothing of its peers.
    pub source: Arc<str>,
    /// A token that the URL carries. It is there to be refused, recorded and revoked, never to be accepted.
    pub url_token: Option<SecretText>,
}

impl<S: Send + Sync> FromRequestParts<S> for Head {
    /// Only a router that is not observed rejects: its requests have no id.
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let id = parts
            .extensions
            .get::<RequestId>()
            .ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        Ok(Self {
            id: *id,
            source: peer.map_or("unknown".into(), |peer| peer.source.clone()),
            url_token: url_token::find(&parts.uri),
        })
    }
}
