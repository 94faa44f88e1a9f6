//! `oo whoami`, also as `oo user whoami`.

use std::io::Write;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::cli::failure::Failure;
use crate::cli::yaml::Yaml;

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    Whoami(Whoami),
}

/// Print who is logged in, as YAML
#[derive(Debug, Args)]
pub(crate) struct Whoami {}

impl Whoami {
    pub(crate) async fn run(self, mut cx: Context) -> Result<(), Failure> {
        let account = cx.session()?.client.whoami().await?;
        let yaml = Yaml::Fields(vec![
            ("slug", Yaml::Text(&account.slug)),
            ("id", Yaml::Text(&account.id)),
            (
                "roles",
                Yaml::Flow(account.roles.iter().map(String::as_str).collect()),
            ),
        ]);
        Ok(cx.console.out.write_all(yaml.to_document().expose())?)
    }
}
