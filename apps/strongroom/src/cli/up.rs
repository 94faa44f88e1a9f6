//! `strongroom up`.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use strongroom_seal::Given;

use crate::cli::console::Console;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::shell::spell_program;
use crate::cli::unseal::Unseal;
use crate::config::{Config, ConfigError, Settings, Surroundings};
use crate::server::boot::BootError;
use crate::server::environment::Environment;
use crate::server::shutdown::StopSignals;
use crate::server::telemetry;
use crate::server::{Server, StartError};

/// Start the server; the first start creates the instance
///
/// A setting is taken from the flag, else from the environment, else from the configuration file, whose keys are the
/// names of the flags.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP, mut_args(|arg| arg.hide_env_values(true)))]
pub(super) struct Up {
    #[command(flatten)]
    start: Start,
    #[command(flatten)]
    unseal: Unseal,
}

/// How a server is started.
#[derive(Debug, Args)]
pub(super) struct Start {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Go on with what was restored from a backup: sets the ledger aside and begins a new generation of it, whose first entry
    /// holds this reason. For one start only
    #[arg(long, value_name = "REASON", value_parser = NonEmptyStringValueParser::new())]
    accept_restored: Option<String>,
}

impl Up {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        let config = self.start.config();
        let config =
            config.map_err(|failure| failure.advise("`strongroom up --help` shows every setting."))?;
        let environment = environment(&self.unseal, &mut console)?;
        let _log = telemetry::start(config.log_format, config.log_level);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let stop = StopSignals::catch()?;
            let server = Server::start(&config, &environment).await;
            let server = server.map_err(|error| explain(&error))?;
            greet(&mut console, [&server])?;
            // The console has standard error locked, which from here on is the log's.
            drop(console);
            server.serve(stop.received()).await;
            Ok(())
        })
    }
}

impl Start {
    /// What is to be served, checked.
    pub(super) fn config(self) -> Result<Config, Failure> {
        let (settings, accept_restored) = self.settings()?;
        let config = complete(settings).map_err(|error| Failure::of(&error))?;
        Ok(Config {
            accept_restored,
            ..config
        })
    }

    /// The settings of all layers, and why a restored instance is to go on.
    pub(super) fn settings(self) -> Result<(Settings, Option<String>), Failure> {
        let file = match &self.config {
            Some(path) => {
                let unread = |error| Failure::new(format!("cannot read `{}`: {error}", path.display()));
                Settings::from_toml(&fs::read_to_string(path).map_err(unread)?, path)
            }
            None => Ok(Settings::default()),
        };
        let file = file.map_err(|error| Failure::of(&error))?;
        Ok((self.settings.over(file), self.accept_restored))
    }
}

/// What this process has, and what an operator gives to open the seal.
pub(super) fn environment(unseal: &Unseal, console: &mut Console) -> Result<Environment, Failure> {
    let environment = Environment::of_process().ok_or_else(|| Failure::of(&BootError::NoHome))?;
    let Some(text) = unseal.read(console)? else {
        return Ok(environment);
    };
    let given = Given::read(&text).map_err(|error| Failure::of(&error))?;
    Ok(Environment { given, ..environment })
}

/// Fills in the defaults of this process.
pub(super) fn complete(settings: Settings) -> Result<Config, ConfigError> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let (xdg_data_home, home) = (variable("XDG_DATA_HOME"), variable("HOME"));
    settings.complete(Surroundings {
        xdg_data_home: xdg_data_home.as_deref(),
        home: home.as_deref(),
        stderr_is_terminal: io::stderr().is_terminal(),
    })
}

/// Says what each of `servers` is, to the person who started them.
pub(super) fn greet<'s>(
    console: &mut Console,
    servers: impl IntoIterator<Item = &'s Server>,
) -> Result<(), Failure> {
    let program = std::env::current_exe()?;
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let program = spell_program(&program, &search_path);
    for server in servers {
        console
            .out
            .write_all(server.greeting(&program).to_string().as_bytes())?;
    }
    Ok(console.out.flush()?)
}

/// Why the server did not start, and what to do about it where that is not plain.
pub(super) fn explain(error: &StartError) -> Failure {
    let failure = Failure::of(error);
    match error {
        StartError::Boot(BootError::Open(error)) if error.is_of_a_restore() => failure.advise(
            "Put the newer one back if you have it. If a backup was restored on purpose, start once with \
             --accept-restored REASON: the ledger is kept aside, and a new generation of it begins. If not, somebody \
             changed the data.",
        ),
        _ => failure,
    }
}
