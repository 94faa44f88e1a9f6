//! `oo token`.

use std::io::Write;

use clap::Args;

use super::context::Context;
use crate::cli::failure::Failure;

/// Print the token that commands use, for other programs; it is as good as a password
#[derive(Debug, Args)]
pub(crate) struct Token {}

impl Token {
    pub(crate) fn run(self, mut cx: Context) -> Result<(), Failure> {
        let token = cx.token()?;
        Ok(writeln!(cx.console.out, "{}", token.expose())?)
    }
}
