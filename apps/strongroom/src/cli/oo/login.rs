//! `oo login`.

use std::io::Write;

use clap::Args;
use strongroom_client::DEFAULT_APP;
use strongroom_secret::SecretText;

use super::context::{Context, environment};
use crate::cli::failure::Failure;

/// What the session is called at the server, as 1Backend's own `oo` calls it.
const DEVICE: &str = "cli";

/// Log in, and keep the token for the commands that follow
///
/// What is not given is asked for; without a terminal it is read from stdin, a line each.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Who logs in
    slug: Option<String>,
    /// The password; better left out, since other users of this machine can see arguments
    password: Option<String>,
}

impl Login {
    pub(crate) async fn run(self, mut cx: Context) -> Result<(), Failure> {
        let slug = match self.slug {
            Some(slug) => slug,
            None => cx.console.ask("Enter slug: ")?,
        };
        let password = match self.password.map(SecretText::new) {
            Some(password) => {
                writeln!(
                    cx.console.err,
                    "Warning: other users of this machine can see a password that is an argument."
                )?;
                password
            }
            None => cx.console.ask_hidden("Enter password")?,
        };
        let mut settings = cx.settings()?;
        let name = cx.environment_name(&mut settings);
        let environment = environment(&mut settings, &name)?;
        let token = cx
            .client(&environment.url)?
            .login(DEFAULT_APP, &slug, &password, DEVICE)
            .await?;
        environment.log_in(&slug, &token);
        cx.store(&settings)
    }
}
