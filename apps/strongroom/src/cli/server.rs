//! `strongroom server`.

use clap::Args;
use futures::future::{join_all, try_join_all};
use tokio::sync::watch;

use crate::cli::console::Console;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::unseal::Unseal;
use crate::cli::up::{Start, complete, environment, explain, greet};
use crate::config::{Config, ConfigError};
use crate::server;
use crate::server::environment::Environment;
use crate::server::shutdown::StopSignals;
use crate::server::telemetry;

/// Start the server of a real installation: nothing is made by itself, and it may start sealed
///
/// The seal opens by the slots that need nobody: a key file, the environment, a systemd credential, a token. They are tried
/// again and again, and `operator status` and the log say what is wrong. Where there is none, operators open it with
/// `strongroom operator unseal`. A server without an instance waits for `strongroom operator init`. The settings are
/// those of `strongroom up`; --credentials-out has no use here. A configuration file may have several environments,
/// `[environment.NAME]`, each with the settings of an instance of its own.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP, mut_args(|arg| arg.hide_env_values(true)))]
pub(super) struct Server {
    #[command(flatten)]
    start: Start,
}

impl Server {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        let configs = self.configs();
        let configs =
            configs.map_err(|failure| failure.advise("`strongroom server --help` shows every setting."))?;
        let environment = environment(&Unseal::default(), &mut console)?;
        let environment = if configs.len() > 1 {
            environment.without_key()
        } else {
            environment
        };
        // The log is that of all.
        let first = configs.first();
        let _log = first.map(|(_, config)| telemetry::start(config.log_format, config.log_level));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(serve(&configs, &environment, console))
    }

    /// What is to be served, each with the name of its environment.
    fn configs(self) -> Result<Vec<(String, Config)>, Failure> {
        let (settings, accept_restored) = self.start.settings()?;
        let environments = settings.environments().map_err(|error| Failure::of(&error))?;
        if environments.len() > 1 && accept_restored.is_some() {
            return Err(Failure::new(
                "--accept-restored is for one instance, and the file has several environments",
            )
            .advise("Start that one alone, from a file of its own."));
        }
        let config = |(name, settings)| {
            let config = complete(settings)?;
            let accept_restored = accept_restored.clone();
            Ok((
                name,
                Config {
                    accept_restored,
                    ..config
                },
            ))
        };
        let named = environments.into_iter().map(|environment| {
            let name = environment.name.map_or_else(String::new, |name| name.to_string());
            (name, environment.settings)
        });
        let configs = named.map(config).collect::<Result<Vec<_>, ConfigError>>();
        configs.map_err(|error| Failure::of(&error))
    }
}

/// Starts all of them or none, and serves them until told to stop.
async fn serve(
    configs: &[(String, Config)],
    environment: &Environment,
    mut console: Console,
) -> Result<(), Failure> {
    let stop = StopSignals::catch()?;
    let starting = configs.iter().map(async |(name, config)| {
        let server = server::Server::start_sealed(config, environment).await;
        server.map_err(|error| match name.as_str() {
            "" => explain(&error),
            name => explain(&error).of_environment(name),
        })
    });
    let servers = try_join_all(starting).await?;
    greet(&mut console, &servers)?;
    // The console has standard error locked, which from here on is the log's.
    drop(console);
    let (stopping, stopped) = watch::channel(false);
    let serving = servers.into_iter().map(|server| {
        let mut stopped = stopped.clone();
        server.serve(async move {
            let _ = stopped.wait_for(|stopped| *stopped).await; // an error would say the same
        })
    });
    tokio::join!(join_all(serving), async {
        stop.received().await;
        stopping.send_replace(true);
    });
    Ok(())
}
