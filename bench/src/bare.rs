//! The measure of all things: a handler that reads a body and answers, behind the same listeners on the same runtime.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use bytes::Bytes;
use strongroom::server::listen::Listeners;

/// The path that it answers `POST` and `PUT` on.
pub(crate) const PATH: &str = "/";

/// Serves replies of `reply_bytes` of JSON on a free port, which it prints as the server does, until it is killed.
pub(crate) fn serve(reply_bytes: usize) -> Result<()> {
    let reply = Bytes::from(format!("\"{}\"", "x".repeat(reply_bytes.saturating_sub(2))));
    let answer = move |_body: Bytes| {
        let reply = reply.clone();
        async move {
            (
                [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
                reply,
            )
        }
    };
    let router = Router::new().route(PATH, post(answer.clone()).put(answer));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listeners = Listeners::bind(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 0))], None)?;
        let address = listeners.addresses().first().context("no address was bound")?;
        writeln!(std::io::stdout(), "The bare server is ready at http://{address}")?;
        listeners.serve(router, std::future::pending()).await;
        Ok(())
    })
}
