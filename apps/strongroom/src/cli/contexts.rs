//! `strongroom context`: the servers that the command line knows, with the tokens of their logins. They are the environments of
//! `oo`: one file keeps both.

use clap::Subcommand;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::oo::{AddEnv, Context, Env, NamedEnv, Overrides};

/// The parts of `strongroom context`.
#[derive(Debug, Subcommand)]
pub(super) enum Contexts {
    Add(AddEnv),
    /// Use a server from now on
    Use(NamedEnv),
    /// List the servers, and whether they answer
    List,
}

impl Contexts {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let cx = Context::new(console, Overrides::default(), std::env::var_os("HOME"));
        let command = match self {
            Self::Add(add) => Env::Add(add),
            Self::Use(named) => Env::Select(named),
            Self::List => Env::List,
        };
        command.run(cx).await
    }
}
