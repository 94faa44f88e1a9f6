//! `strongroom secret rollback`, `rm` and `undelete`.

use std::io::Write;

use clap::Args;
use strongroom_base::Timestamp;

use super::{Place, named};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::shell::quote;
use crate::cli::time::rfc3339;

/// Give a secret the value again that an earlier version had
///
/// The value becomes that of a new version, so nothing is lost. `secret history` lists the versions.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    place: Place,
    /// Roll back only if this is the number of the current version
    #[arg(long, value_name = "VERSION")]
    cas: Option<u32>,
    /// Name of the secret
    name: String,
    /// The earlier version
    version: u32,
}

impl Rollback {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let (mut asked, app) = self.place.open(console).await?;
        let version = asked
            .client
            .roll_back_secret(named(&self.name, &app), self.version, self.cas)
            .await?;
        let name = self.name.escape_debug();
        let Self { version: earlier, .. } = self;
        Ok(writeln!(
            asked.console.err,
            "Version {version} of `{name}` has the value of version {earlier}."
        )?)
    }
}

/// Remove secrets; for 30 days `secret undelete` brings them back
///
/// Until then its values stay in storage, encrypted. A secret that is removed in the 1Backend dialect, by `oo secret
/// remove` say, is gone at once.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rm {
    #[command(flatten)]
    place: Place,
    /// Remove them for good, with all their versions, and what was removed earlier under their names
    #[arg(long)]
    destroy: bool,
    /// Names of the secrets
    #[arg(required = true)]
    name: Vec<String>,
}

impl Rm {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let (mut asked, app) = self.place.open(console).await?;
        for name in &self.name {
            let secret = named(name, &app);
            let until = asked.client.remove_secret(secret, self.destroy).await?;
            let shown = name.escape_debug();
            match until {
                Some(until) => {
                    let until = rfc3339(Timestamp::from_millis(until));
                    let command = format!("strongroom secret undelete {}", quote(name));
                    writeln!(
                        asked.console.err,
                        "Removed `{shown}`; `{command}` brings it back until {until}."
                    )?;
                }
                None => writeln!(asked.console.err, "Removed `{shown}` for good.")?,
            }
        }
        Ok(())
    }
}

/// Bring back a secret that `secret rm` has removed, with its versions and lists
#[derive(Debug, Args)]
pub(in crate::cli) struct Undelete {
    #[command(flatten)]
    place: Place,
    /// Name of the secret
    name: String,
}

impl Undelete {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let (mut asked, app) = self.place.open(console).await?;
        let version = asked.client.undelete_secret(named(&self.name, &app)).await?;
        let name = self.name.escape_debug();
        Ok(writeln!(
            asked.console.err,
            "`{name}` is back, at version {version}."
        )?)
    }
}
