//! `strongroom token`: the sessions that tokens stand for.

use std::io::Write;

use clap::{Args, Subcommand};
use strongroom_base::Timestamp;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::remote::Remote;
use crate::cli::time::rfc3339;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    List(List),
    Revoke(Revoke),
}

impl Token {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(console).await,
            Self::Revoke(revoke) => revoke.run(console).await,
        }
    }
}

/// List your tokens, without the tokens themselves
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    remote: Remote,
    /// Those of another user or service, for admins
    #[arg(long, value_name = "SLUG")]
    of: Option<String>,
}

impl List {
    async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let mut printer = asked.printer(["ID", "APP", "BEGAN", "ENDS UNLESS USED", "DEVICE"]);
        let mut after = None;
        loop {
            let page = asked.client.tokens(self.of.as_deref(), after.as_deref()).await?;
            for token in &page.tokens {
                let time = |millis| rfc3339(Timestamp::from_millis(millis));
                let mine = if token.is_current { " (this one)" } else { "" };
                let cells = [
                    token.id.as_str(),
                    &token.app,
                    &time(token.created),
                    &time(token.idle_until),
                    &format!("{}{mine}", token.device),
                ];
                printer.item(&mut asked.console, token, cells)?;
            }
            after = page.next;
            if after.is_none() {
                return printer.end(&mut asked.console);
            }
        }
    }
}

/// Revoke a token: it is refused from then on
#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    remote: Remote,
    /// It is of another user or service, for admins
    #[arg(long, value_name = "SLUG")]
    of: Option<String>,
    /// The token's id, as `token list` tells it
    id: String,
}

impl Revoke {
    async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        asked.client.revoke_token(self.of.as_deref(), &self.id).await?;
        Ok(writeln!(asked.console.err, "Revoked.")?)
    }
}
