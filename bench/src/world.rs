//! An instance with a service account and its secrets, and the requests that the account sends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strongroom_testkit::Home;

use crate::load::{Connection, Load, request};
use crate::process::Process;

/// Secrets that the account has.
const SECRETS: usize = 1_000;
/// Bytes of each value.
pub(crate) const VALUE_BYTES: usize = 200;
/// Who reads and writes: no administrator, so that the lists of each secret decide.
const SLUG: &str = "bench-svc";
pub(crate) const PATH: &str = "/secret-svc/secrets";
/// The slug of the first administrator, unless the operator chooses another.
const ADMIN: &str = "admin";
const PASSWORD: &str = "correct horse battery";

/// A home directory, in which an instance is started.
pub(crate) struct World {
    home: Home,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { home: Home::new()? })
    }

    /// A copy of the one whose home was at `home`.
    pub(crate) fn copy_of(home: &Path) -> Result<Self> {
        let world = Self::new()?;
        copy_dir(home, world.home.path())?;
        Ok(world)
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Bytes of the files under `folder` of the data directory.
    pub(crate) fn data_bytes(&self, folder: &str) -> Result<u64> {
        fn bytes(path: &Path) -> Result<u64> {
            let about = path.symlink_metadata()?;
            if !about.is_dir() {
                return Ok(about.len());
            }
            let mut sum = 0;
            for entry in path.read_dir()? {
                sum += bytes(&entry?.path())?;
            }
            Ok(sum)
        }
        bytes(&self.home.data().join(folder))
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

/// Copies what is in `from` into the folder `to`, which is made if need be.
pub(crate) fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp")
        .args(["--archive", "--reflink=auto", "--no-target-directory"])
        .args([from, to])
        .status()?;
    ensure!(copied.success(), "{} cannot be copied", from.display());
    Ok(())
}

/// An account, logged in.
pub(crate) struct Account {
    token: String,
}

impl Account {
    /// Registers one at the server at `address`, and saves its secrets.
    pub(crate) async fn create(address: SocketAddr) -> Result<Self> {
        let account = Self::register(address, SLUG).await?;
        let secrets: Vec<_> = (0..SECRETS).map(secret).collect();
        let save = account.request("PUT", PATH, &json!({ "secrets": secrets }));
        Connection::open(address).await?.send(&save).await?;
        Ok(account)
    }

    /// Registers `slug`, which has no secrets.
    pub(crate) async fn register(address: SocketAddr, slug: &str) -> Result<Self> {
        let body = json!({"appHost": "unnamed", "slug": slug, "name": slug, "password": PASSWORD});
        Self::enter(address, "/user-svc/register", &body).await
    }

    /// Logs `slug` in, which was registered earlier.
    pub(crate) async fn log_in(address: SocketAddr, slug: &str) -> Result<Self> {
        let body = json!({"appHost": "unnamed", "slug": slug, "password": PASSWORD});
        Self::enter(address, "/user-svc/login", &body).await
    }

    /// Logs the administrator of `world` in.
    pub(crate) async fn admin(address: SocketAddr, world: &World) -> Result<Self> {
        let body = json!({"appHost": "unnamed", "slug": ADMIN, "password": world.home.password()?});
        Self::enter(address, "/user-svc/login", &body).await
    }

    async fn enter(address: SocketAddr, path: &str, body: &Value) -> Result<Self> {
        let mut connection = Connection::open(address).await?;
        let reply = connection.call("POST", path, "", body).await?;
        let token = reply.pointer("/token/token").and_then(Value::as_str);
        let token = token.context("no token")?.to_owned();
        Ok(Self { token })
    }

    /// A request of it.
    pub(crate) fn request(&self, method: &str, path: &str, body: &Value) -> Vec<u8> {
        request(method, path, &self.token, &body.to_string())
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
        let request = |number| self.request(method, PATH, &body(number));
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
