//! `oo`: the command line of the 1Backend dialect, for people and scripts that know 1Backend's own.

mod context;
mod env;
mod login;
mod secret;
mod settings;
mod token;
mod user;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use settings::FIRST_URL;

pub(super) use self::context::{Context, Overrides};
pub(super) use self::env::{Add as AddEnv, Env, Named as NamedEnv};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::{exit, run_async};

const ENVIRONMENT_HELP: &str = "\
Environment variables, which go above ~/.1backend/cliConfig.yaml:
  OO_URL    URL of the server
  OO_TOKEN  token to use instead of that of a login";

/// What every command takes.
const GLOBAL: &str = "Global options";

/// Work with the secrets of a strongroom or 1Backend server
#[derive(Debug, Parser)]
#[command(name = "oo", version, after_help = help_end())]
pub struct Oo {
    /// Environment (server) to use instead of the selected one
    #[arg(short, long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    env: Option<String>,
    /// Trust these certificate authorities (PEM) instead of the system's
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = GLOBAL,
        env = "OO_CA_FILE",
        hide_env_values = true
    )]
    ca_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Login(login::Login),
    Whoami(user::Whoami),
    /// Ask about users
    #[command(subcommand, visible_alias = "u", alias = "users")]
    User(user::User),
    Token(token::Token),
    /// Save, list and remove secrets
    #[command(subcommand, visible_alias = "s", alias = "secrets")]
    Secret(secret::Secret),
    /// Choose between servers
    #[command(subcommand)]
    Env(env::Env),
}

impl Oo {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, for a person.
    pub fn run(self, console: Console) -> Result<(), Failure> {
        let overrides = Overrides::of_process(self.env, self.ca_file);
        let cx = Context::new(console, overrides, std::env::var_os("HOME"));
        match self.command {
            Command::Login(login) => run_async(login.run(cx)),
            Command::Whoami(whoami) | Command::User(user::User::Whoami(whoami)) => run_async(whoami.run(cx)),
            Command::Token(token) => token.run(cx),
            Command::Secret(secret::Secret::Save(save)) => run_async(save.run(cx)),
            Command::Secret(secret::Secret::List(list)) => run_async(list.run(cx)),
            Command::Secret(secret::Secret::Remove(remove)) => run_async(remove.run(cx)),
            Command::Secret(secret::Secret::IsSecure(is_secure)) => run_async(is_secure.run(cx)),
            Command::Env(command) => run_async(command.run(cx)),
        }
    }
}

fn help_end() -> String {
    format!("{ENVIRONMENT_HELP}\n\n{}", exit::HELP)
}
