//! An instance with a service account and its secrets, and the requests that the account sends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use strongroom_testkit::Home;

use crate::load::{Connection, Load, request};
use crate::process::Process;

/// Secrets that the account has.
const SECRETS: usize = 1_000;
/// Bytes of each value.
const VALUE_BYTES: usize = 200;
/// Who reads and writes: no administrator, so that the lists of each secret decide.
const SLUG: &str = "bench-svc";
const PATH: &str = "/secret-svc/secrets";

/// A home directory, in which an instance is started.
pub(crate) struct World {
    home: Home,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { home: Home::new()? })
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Starts the program, with the defaults of an operator who lets others register and keeps the log in a file.
    pub(crate) fn start(&self, wrapper: &[&str]) -> Result<Process> {
        Process::start(&self.home.up(&["--open-registration"])?, wrapper, &self.log())
    }

    /// The log of its servers.
    pub(crate) fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }
}

/// The account, logged in.
pub(crate) struct Account {
    token: String,
}

impl Account {
    /// Registers it at the server at `address`, and saves its secrets.
    pub(crate) async fn create(address: SocketAddr) -> Result<Self> {
        let mut connection = Connection::open(address).await?;
        let body =
            json!({"appHost": "unnamed", "slug": SLUG, "name": SLUG, "password": "correct horse battery"});
        let reply = connection.call("POST", "/user-svc/register", "", &body).await?;
        let token = reply.pointer("/token/token").and_then(Value::as_str);
        let token = token.context("a registration without a token")?.to_owned();
        let secrets: Vec<_> = (0..SECRETS).map(secret).collect();
        connection
            .call("PUT", PATH, &token, &json!({ "secrets": secrets }))
            .await?;
        Ok(Self { token })
    }

    /// Reads of one secret each.
    pub(crate) fn reads(&self, connections: usize) -> Load {
        self.load(connections, "POST", |number| json!({ "id": name(number) }))
    }

    /// Updates of one secret each; no two connections share a secret.
    pub(crate) fn writes(&self, connections: usize) -> Load {
        self.load(
            connections,
            "PUT",
            |number| json!({ "secrets": [secret(number)] }),
        )
    }

    fn load(&self, connections: usize, method: &str, body: impl Fn(usize) -> Value) -> Load {
        let request = |number| request(method, PATH, &self.token, &body(number).to_string());
        let requests: Arc<[_]> = (0..SECRETS).map(request).collect();
        Load {
            requests,
            connections,
        }
    }
}

fn name(number: usize) -> String {
    format!("{SLUG}/secret-{number:04}")
}

fn secret(number: usize) -> Value {
    json!({ "id": name(number), "value": "v".repeat(VALUE_BYTES) })
}
