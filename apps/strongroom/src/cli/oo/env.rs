//! `oo env`: the servers that `oo` knows, and which is selected.

use std::io::Write;

use clap::{Args, Subcommand};

use super::context::{Context, environment};
use super::settings::Environment;
use crate::cli::failure::Failure;
use crate::cli::table::Table;

#[derive(Debug, Subcommand)]
pub(crate) enum Env {
    Add(Add),
    /// List the servers, and whether they answer
    #[command(visible_alias = "ls")]
    List,
    /// Use a server from now on
    #[command(visible_alias = "s")]
    Select(Named),
    /// Print the name of the selected server
    #[command(visible_alias = "c")]
    Current,
    /// Forget a server and the logins to it
    #[command(visible_alias = "rm")]
    Remove(Named),
}

/// Add a server, and select it
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name to call it by
    name: String,
    /// Where it is, such as https://secrets.example.org
    url: String,
    /// What it is for
    #[arg(default_value = "", hide_default_value = true)]
    description: String,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The server's name
    name: String,
}

impl Env {
    pub(crate) async fn run(self, cx: Context) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(&cx),
            Self::List => list(cx).await,
            Self::Select(named) => select(&cx, named.name),
            Self::Current => current(cx),
            Self::Remove(named) => remove(&cx, &named.name),
        }
    }
}

impl Add {
    fn run(self, cx: &Context) -> Result<(), Failure> {
        cx.client(&self.url)?; // it refuses what is no server's URL
        let mut settings = cx.settings()?;
        let known = settings.environments.entry(self.name.clone()).or_default();
        // The logins of another server are not this one's.
        if known.url != self.url {
            *known = Environment::new(&self.name, &self.url, &self.description);
        }
        settings.selected_environment = self.name;
        cx.store(&settings)
    }
}

async fn list(mut cx: Context) -> Result<(), Failure> {
    let settings = cx.settings()?;
    let mut table = Table::new(["ENV NAME", "SELECTED", "URL", "DESCRIPTION", "REACHABLE"]);
    for (name, environment) in &settings.environments {
        let selected = if *name == settings.selected_environment {
            "*"
        } else {
            ""
        };
        let reachable = match cx.client(&environment.url) {
            Ok(client) if client.is_reachable().await => "true",
            _ => "false",
        };
        table.row([
            name,
            selected,
            &environment.url,
            &environment.description,
            reachable,
        ]);
    }
    Ok(table.write(&mut cx.console.out)?)
}

fn select(cx: &Context, name: String) -> Result<(), Failure> {
    let mut settings = cx.settings()?;
    environment(&mut settings, &name)?;
    settings.selected_environment = name;
    cx.store(&settings)
}

fn current(mut cx: Context) -> Result<(), Failure> {
    let settings = cx.settings()?;
    Ok(writeln!(cx.console.out, "{}", settings.selected_environment)?)
}

fn remove(cx: &Context, name: &str) -> Result<(), Failure> {
    let mut settings = cx.settings()?;
    environment(&mut settings, name)?;
    if name == settings.selected_environment {
        return Err(Failure::new(format!("`{name}` is selected"))
            .advise("Select another with `oo env select` first."));
    }
    settings.environments.remove(name);
    cx.store(&settings)
}
