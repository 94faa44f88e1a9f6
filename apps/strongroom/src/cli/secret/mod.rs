//! `strongroom secret`: secrets in the native dialect.

mod change;
mod get;
mod list;
mod meta;
mod put;
mod said;
mod stale;

use clap::{Args, Subcommand};
use strongroom_client::secrets::SecretName;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::remote::{Asked, Remote};

#[derive(Debug, Subcommand)]
pub(super) enum Secret {
    Get(get::Get),
    Put(put::Put),
    #[command(visible_alias = "ls")]
    List(list::List),
    /// See and change what is known of a secret beside its value
    #[command(subcommand)]
    Meta(meta::Meta),
    History(meta::History),
    Rollback(change::Rollback),
    #[command(visible_alias = "delete")]
    Rm(change::Rm),
    Undelete(change::Undelete),
    Stale(stale::Stale),
    Search(crate::cli::access::Search),
}

impl Secret {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        match self {
            Self::Get(get) => get.run(console).await,
            Self::Put(put) => put.run(console).await,
            Self::List(list) => list.run(console).await,
            Self::Meta(meta) => meta.run(console).await,
            Self::History(history) => history.run(console).await,
            Self::Rollback(rollback) => rollback.run(console).await,
            Self::Rm(rm) => rm.run(console).await,
            Self::Undelete(undelete) => undelete.run(console).await,
            Self::Stale(stale) => stale.run(console).await,
            Self::Search(search) => search.run(console).await,
        }
    }
}

/// Which app's secrets are meant.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    remote: Remote,
    /// The app that the secret is in, for admins [default: that of the login]
    #[arg(long, value_name = "HOST")]
    app: Option<String>,
}

impl Place {
    /// The server, and the app that was named.
    async fn open(self, console: Console) -> Result<(Asked, Option<String>), Failure> {
        Ok((self.remote.open(console).await?, self.app))
    }
}

fn named<'a>(name: &'a str, app: &'a Option<String>) -> SecretName<'a> {
    SecretName {
        name,
        app: app.as_deref(),
    }
}
