//! A server in a home of its own, and the callers of it.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use strongroom_testkit::{Home, Server};

use crate::{Caller, Reply};

/// The password of every user of a [`World`] but the administrator.
pub const PASSWORD: &str = "correct horse battery";

/// A home, and the server that runs in it.
pub struct World {
    /// The home.
    pub home: Home,
    /// The server.
    pub server: Server,
    replies: Arc<Mutex<Vec<Reply>>>,
}

impl World {
    /// A new instance, where anyone may register, with further `flags`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn new(flags: &[&str]) -> Result<Self> {
        let home = Home::new()?;
        let server = home.start(&[&["--open-registration"], flags].concat())?;
        Ok(Self::of(home, server))
    }

    /// `server`, which runs in `home`.
    #[must_use]
    pub fn of(home: Home, server: Server) -> Self {
        Self {
            home,
            server,
            replies: Arc::default(),
        }
    }

    /// Stops the server, and starts it again with `flags` only. Gives what the old one has logged.
    ///
    /// # Errors
    /// When it does not stop well or start.
    pub fn restart(&mut self, flags: &[&str]) -> Result<String> {
        self.server.terminate()?;
        let status = self.server.wait()?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        let log = self.server.log();
        self.server = self.home.start(flags)?;
        Ok(log)
    }

    /// A new caller without a token.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn stranger(&self) -> Result<Caller> {
        Caller::new(self.server.url(), &self.replies)
    }

    /// The administrator, logged in.
    ///
    /// # Errors
    /// When the login fails.
    pub async fn admin(&self) -> Result<Caller> {
        let stranger = self.stranger()?;
        let reply = stranger.log_in("admin", &self.home.password()?).await?;
        with_token_of(&stranger, &reply)
    }

    /// A new user called `slug`, logged in.
    ///
    /// # Errors
    /// When the registration fails.
    pub async fn user(&self, slug: &str) -> Result<Caller> {
        let stranger = self.stranger()?;
        let reply = stranger.register(slug, PASSWORD).await?;
        with_token_of(&stranger, &reply)
    }

    /// Every reply so far, to all callers.
    #[must_use]
    pub fn replies(&self) -> Vec<Reply> {
        self.replies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// `oo` with `args`, for this server.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn oo(&self, args: &[&str]) -> Result<Command> {
        let mut command = self.home.command("oo")?;
        command.args(args).env("OO_URL", self.server.url());
        Ok(command)
    }
}

fn with_token_of(caller: &Caller, reply: &Reply) -> Result<Caller> {
    let json = reply.json();
    let token = json.pointer("/token/token").and_then(Value::as_str);
    let token = token.with_context(|| format!("no token: {} {}", reply.status, reply.text))?;
    Ok(caller.with(token))
}
