//! `oo secret is-secure`.

use std::io::Write;

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::oo::context::Context;

/// Ask whether the server encrypts with a key of its own; exits with 1 when it does not
#[derive(Debug, Args)]
#[command(visible_alias = "is")]
pub(crate) struct IsSecure {}

impl IsSecure {
    pub(crate) async fn run(self, mut cx: Context) -> Result<(), Failure> {
        if cx.session()?.client.is_secure().await? {
            return Ok(writeln!(cx.console.out, "Service is secure.")?);
        }
        // The text that scripts know from 1Backend's own `oo`.
        Err(Failure::new(
            "secret svc is not secure: it is using the default encryption key from the open-source codebase",
        ))
    }
}
