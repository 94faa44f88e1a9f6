//! A home directory with one instance in it, which lives as long as the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::server::{Server, program};

/// An empty home, outside which the program puts nothing.
pub struct Home(TempDir);

impl Home {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no temporary directory.
    pub fn new() -> Result<Self> {
        Ok(Self(
            tempfile::Builder::new().prefix("strongroom-test").tempdir()?,
        ))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The data directory of its instance.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The JSON file that the first start writes.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.path().join("credentials.json")
    }

    /// The program called as `name` (`strongroom`, `oo`), in this home and with no other environment but `PATH`.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn command(&self, name: &str) -> Result<Command> {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program()?);
        command
            .arg0(name)
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Ok(command)
    }

    /// `strongroom up` for this home's instance on a free port, with `flags`.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn up(&self, flags: &[&str]) -> Result<Command> {
        let mut command = self.command("strongroom")?;
        command
            .arg("up")
            .arg("--data")
            .arg(self.data())
            .arg("--credentials-out")
            .arg(self.credentials());
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        Ok(command)
    }

    /// Starts [`Home::up`] and waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, with what it said.
    pub fn start(&self, flags: &[&str]) -> Result<Server> {
        Server::start(self.up(flags)?)
    }

    /// Starts `strongroom server` for this home's instance on a free port, with `flags`, and waits until it answers. It may
    /// be sealed then, or have no instance.
    ///
    /// # Errors
    /// When it ends instead, with what it said.
    pub fn serve(&self, flags: &[&str]) -> Result<Server> {
        Server::start(self.server(flags)?)
    }

    /// The command of [`Home::serve`].
    ///
    /// # Errors
    /// When the program is not built.
    pub fn server(&self, flags: &[&str]) -> Result<Command> {
        let mut command = self.command("strongroom")?;
        command.arg("server").arg("--data").arg(self.data());
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        Ok(command)
    }

    /// The password of the first administrator.
    ///
    /// # Errors
    /// Before the first start.
    pub fn password(&self) -> Result<String> {
        let credentials = std::fs::read(self.credentials()).context("there was no first start yet")?;
        let credentials: serde_json::Value = serde_json::from_slice(&credentials)?;
        let password = credentials
            .pointer("/admin/password")
            .and_then(serde_json::Value::as_str);
        Ok(password.context("the credentials have no password")?.to_owned())
    }
}
