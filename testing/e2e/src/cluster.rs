//! Several servers on one PostgreSQL database, each with a data directory of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strongroom_testkit::{Home, Postgres, Server};

use crate::{Caller, Reply, ledger, run};

/// A database, and a home in which all nodes find their seal key.
pub struct Cluster {
    /// The database's server.
    pub postgres: Postgres,
    /// The database.
    pub database: String,
    /// The home.
    pub home: Home,
    replies: Arc<Mutex<Vec<Reply>>>,
}

impl Cluster {
    /// One without any node.
    ///
    /// # Errors
    /// When there is no PostgreSQL.
    pub fn new() -> Result<Self> {
        let postgres = Postgres::start("")?;
        let database = postgres.database()?;
        Ok(Self {
            postgres,
            database,
            home: Home::new()?,
            replies: Arc::default(),
        })
    }

    /// The URL of the database.
    #[must_use]
    pub fn url(&self) -> String {
        self.postgres.url(&self.database)
    }

    /// The data directory called `name`.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// `strongroom up` for the node in the data directory `name`, which reaches the database at `url`.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn up(&self, name: &str, url: &str) -> Result<Command> {
        let mut command = self.home.command("strongroom")?;
        command.args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--open-registration",
            "--storage",
            url,
        ]);
        command.arg("--data").arg(self.data(name));
        command.arg("--credentials-out").arg(self.home.credentials());
        Ok(command)
    }

    /// Starts the node in the data directory `name`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, name: &str) -> Result<Server> {
        Server::start(self.up(name, &self.url())?)
    }

    /// A caller of `server` with the token of a new session of the administrator.
    ///
    /// # Errors
    /// When the login fails.
    pub async fn admin(&self, server: &Server) -> Result<Caller> {
        let caller = self.caller(server)?;
        let token = server.login("admin", &self.home.password()?).await?;
        Ok(caller.with(&token))
    }

    /// A caller of `server` without a token.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn caller(&self, server: &Server) -> Result<Caller> {
        Caller::new(server.url(), &self.replies)
    }

    /// Every reply so far, to all callers.
    #[must_use]
    pub fn replies(&self) -> Vec<Reply> {
        self.replies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What the database says to `sql`.
    ///
    /// # Errors
    /// When it refuses.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.postgres.sql(&self.database, sql)
    }

    /// How many rows there are in the outbox of the node with this number.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn outbox(&self, node: u32) -> Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM strongroom_rows WHERE value IS NOT NULL \
             AND substring(key FROM 1 FOR 5) = '\\x04{node:08x}'"
        );
        Ok(self.sql(&sql)?.parse()?)
    }

    /// The leaves of the stopped node in the data directory `name`, which must verify.
    ///
    /// # Errors
    /// When they do not.
    pub fn leaves(&self, name: &str) -> Result<Vec<Value>> {
        let data = self.data(name);
        let mut verify = self.home.command("strongroom")?;
        verify.args(["audit", "verify"]).arg(data.join("ledger"));
        verify.arg("--key").arg(data.join("ledger.vkey"));
        let verified = run(verify, "")?;
        ensure!(verified.code == 0, "{name}: {}", verified.err);
        ledger::leaves(&data.join("ledger"))
    }

    /// How many requests of each id the leaves of the stopped nodes tell of.
    ///
    /// # Errors
    /// When a ledger does not verify.
    pub fn requests(&self, names: &[&str]) -> Result<BTreeMap<String, u32>> {
        let mut requests = BTreeMap::new();
        for name in names {
            for leaf in self.leaves(name)? {
                if leaf.get("part") == Some(&Value::from(1)) {
                    *requests.entry(ledger::text(&leaf, "id").to_owned()).or_insert(0) += 1;
                }
            }
        }
        Ok(requests)
    }

    /// Sees that each request that was answered has one record in the ledgers of the stopped nodes, and no request
    /// two; gives how many there are. (A request that was answered 503 may have none.)
    ///
    /// # Errors
    /// When it is not so.
    pub fn check_records(&self, names: &[&str]) -> Result<usize> {
        let requests = self.requests(names)?;
        let twice: Vec<_> = requests.iter().filter(|(_, times)| **times > 1).collect();
        ensure!(twice.is_empty(), "requests that are recorded twice: {twice:?}");
        let mut answered = 0;
        for reply in self.replies().iter().filter(|reply| reply.status != 503) {
            let id = reply
                .id()
                .with_context(|| format!("{} was answered without an id", reply.call))?;
            ensure!(
                requests.contains_key(id),
                "{} {} was answered {} and has no record",
                reply.call,
                id,
                reply.status
            );
            answered += 1;
        }
        Ok(answered)
    }
}
