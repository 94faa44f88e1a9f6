//! `strongroom secret meta` and `history`.

use std::io::Write;

use clap::{Args, Subcommand};
use strongroom_base::Timestamp;
use strongroom_client::secrets::Facts;

use super::said::Said;
use super::stale::why;
use super::{Place, named};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::time::{rfc3339, span};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Meta {
    Get(Get),
    Set(Set),
}

impl Meta {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        match self {
            Self::Get(get) => get.run(console).await,
            Self::Set(set) => set.run(console).await,
        }
    }
}

/// Change what is known of a secret beside its value; what is not given stays as it is
#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    said: Said,
    /// Name of the secret
    name: String,
}

impl Set {
    async fn run(self, console: Console) -> Result<(), Failure> {
        let (lists, care) = (self.said.lists(), self.said.care()?);
        let (asked, app) = self.place.open(console).await?;
        asked
            .client
            .annotate_secret(named(&self.name, &app), &care, &lists)
            .await?;
        Ok(())
    }
}

/// Show what is known of a secret beside its value
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    #[command(flatten)]
    place: Place,
    /// Name of the secret
    name: String,
}

impl Get {
    async fn run(self, console: Console) -> Result<(), Failure> {
        let (mut asked, app) = self.place.open(console).await?;
        let facts = asked.client.describe_secret(named(&self.name, &app)).await?;
        match asked.output {
            Output::Table => Ok(write_facts(&mut *asked.console.out, &facts)?),
            form => output::document(&mut asked.console, form, &facts),
        }
    }
}

/// A field a line; lists that are empty are left out.
fn write_facts(out: &mut dyn Write, facts: &Facts) -> std::io::Result<()> {
    let time = |millis| rfc3339(Timestamp::from_millis(millis));
    writeln!(out, "name       {}", facts.name.escape_debug())?;
    writeln!(out, "path       {}", facts.path.escape_debug())?;
    writeln!(out, "id         {}", facts.id)?;
    writeln!(out, "version    {}, saved {}", facts.version, time(facts.saved))?;
    if let Some(owner) = &facts.owner {
        writeln!(out, "owner      {owner}")?;
    }
    writeln!(out, "created    {}", time(facts.created))?;
    writeln!(out, "updated    {}", time(facts.updated))?;
    if let Some(expires) = facts.expires {
        writeln!(out, "expires    {}", time(expires))?;
    }
    if let Some(seconds) = facts.rotate_every_seconds {
        writeln!(out, "rotate     every {}", span(seconds))?;
    }
    if let (Some(due), Some(overdue)) = (facts.due, &facts.overdue) {
        writeln!(out, "OVERDUE    since {}: {}", time(due), why(Some(overdue)))?;
    }
    for (key, value) in &facts.labels {
        writeln!(out, "label      {key}={}", value.escape_debug())?;
    }
    let lists = &facts.lists;
    for (name, list) in [
        ("readers", &lists.readers),
        ("writers", &lists.writers),
        ("deleters", &lists.deleters),
        ("may change readers", &lists.can_change_readers),
        ("may change writers", &lists.can_change_writers),
        ("may change deleters", &lists.can_change_deleters),
    ] {
        if !list.is_empty() {
            writeln!(out, "{name:<10} {}", list.join(" "))?;
        }
    }
    Ok(())
}

/// List the versions of a secret that are kept: their numbers, when they were saved and by whom
///
/// `secret get --version` prints an earlier value, `secret rollback` makes it the current one again.
#[derive(Debug, Args)]
pub(in crate::cli) struct History {
    #[command(flatten)]
    place: Place,
    /// Name of the secret
    name: String,
}

impl History {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let (mut asked, app) = self.place.open(console).await?;
        let facts = asked.client.describe_secret(named(&self.name, &app)).await?;
        let mut printer = asked.printer(["VERSION", "SAVED", "BY"]);
        for version in &facts.versions {
            let saved = rfc3339(Timestamp::from_millis(version.saved));
            let by = version.by.as_deref().unwrap_or_default();
            printer.item(
                &mut asked.console,
                version,
                [&version.version.to_string(), &saved, by],
            )?;
        }
        printer.end(&mut asked.console)
    }
}
