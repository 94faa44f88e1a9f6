//! Questions about who may do what: `strongroom explain`, `who-can`, `access review` and `search`.

use std::io::Write;

use clap::{Args, Subcommand};
use strongroom_base::Timestamp;
use strongroom_client::native::{Explanation, Page};

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::remote::Remote;
use crate::cli::table::Table;
use crate::cli::time::rfc3339;

/// Say why a request was refused, and the smallest change that would have allowed it
///
/// For admins, and for whoever owns all that the request was about. A request of the last second is not in the ledger
/// yet.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    remote: Remote,
    /// The request's id, as in `X-Request-Id` and in errors
    id: String,
}

impl Explain {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let explanation = asked.client.explain(&self.id).await?;
        match asked.output {
            Output::Table => Ok(write_explanation(&mut asked.console.out, &explanation)?),
            form => output::document(&mut asked.console, form, &explanation),
        }
    }
}

fn write_explanation(out: &mut dyn Write, explanation: &Explanation) -> std::io::Result<()> {
    let who = match &explanation.principal {
        Some(principal) if principal.is_admin => format!("{} (an admin)", principal.slug),
        Some(principal) => principal.slug.clone(),
        None => "somebody who did not prove who it is".to_owned(),
    };
    let time = rfc3339(Timestamp::from_millis(explanation.time));
    writeln!(
        out,
        "{time}  {who} asked for {}: {}",
        explanation.op, explanation.outcome
    )?;
    for path in &explanation.paths {
        writeln!(out, "about      {}", path.escape_debug())?;
    }
    for reason in &explanation.why {
        writeln!(out, "decided    {reason}")?;
    }
    if explanation.refusals.is_empty() {
        writeln!(out, "Nothing was denied.")?;
    }
    for refusal in &explanation.refusals {
        let about = refusal.path.as_deref().unwrap_or("the request");
        writeln!(out, "denied     {}: {}", about.escape_debug(), refusal.reason)?;
        match (&refusal.remedy, refusal.is_allowed_now) {
            (_, Some(true)) => writeln!(out, "now        it would be allowed")?,
            (Some(remedy), _) => writeln!(out, "to allow   {remedy}")?,
            (None, _) => {}
        }
    }
    Ok(())
}

/// Say who may do something to a secret, and why
///
/// For admins and the secret's owner. Everyone with the admin role may, too.
#[derive(Debug, Args)]
pub(super) struct WhoCan {
    #[command(flatten)]
    remote: Remote,
    /// What they may do
    #[arg(value_parser = ["read", "write", "delete", "change_readers", "change_writers", "change_deleters"])]
    capability: String,
    /// The secret's name
    name: String,
}

impl WhoCan {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let audience = asked.client.who_can(&self.capability, &self.name).await?;
        if asked.output != Output::Table {
            return output::document(&mut asked.console, asked.output, &audience);
        }
        let mut table = Table::new(["WHO", "WHY"]);
        table.row(["everyone with the admin role", "admin role"]);
        for member in &audience.members {
            let reserved = if member.is_reserved {
                " (nobody is this principal yet)"
            } else {
                ""
            };
            table.row([&member.slug, &format!("{}{reserved}", member.reason)]);
        }
        table.print(&mut asked.console)?;
        if !audience.exists {
            writeln!(asked.console.err, "There is no such secret: these may make it.")?;
        }
        Ok(())
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Access {
    Review(Review),
    Requests(Requests),
}

impl Access {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        match self {
            Self::Review(review) => review.run(console).await,
            Self::Requests(requests) => requests.run(console).await,
        }
    }
}

/// Ask for access to a secret: its owner sees that in `strongroom access requests`, and the ledger keeps it
///
/// The answer is the same whether there is such a secret or not. A request waits for 30 days.
#[derive(Debug, Args)]
pub(super) struct RequestAccess {
    #[command(flatten)]
    remote: Remote,
    /// Ask to write it, not to read it
    #[arg(long)]
    write: bool,
    /// Why you need it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The secret's name
    name: String,
}

impl RequestAccess {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let wanted = if self.write { "write" } else { "read" };
        asked.client.ask_access(&self.name, wanted, &self.reason).await?;
        Ok(writeln!(
            asked.console.err,
            "Asked: if there is such a secret, its owner sees it."
        )?)
    }
}

/// List the requests for access that wait for you: to secrets that you own, or to any if you are an admin
///
/// `strongroom secret meta set NAME --readers …` answers one.
#[derive(Debug, Args)]
pub(super) struct Requests {
    #[command(flatten)]
    remote: Remote,
    /// In every app, not only that of the login
    #[arg(long)]
    all_apps: bool,
}

impl Requests {
    async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let mut printer = asked.printer(["PATH", "WHO", "TO", "ASKED", "REASON"]);
        for request in asked.client.access_requests(self.all_apps).await? {
            let at = rfc3339(Timestamp::from_millis(request.at));
            let cells = [
                request.path.as_str(),
                &request.who,
                &request.wanted,
                &at,
                &request.reason,
            ];
            printer.item(&mut asked.console, &request, cells)?;
        }
        printer.end(&mut asked.console)
    }
}

/// List secrets with something odd about who may read them: nobody but admins, very many, or a principal that nobody is
/// yet
#[derive(Debug, Args)]
pub(super) struct Review {
    #[command(flatten)]
    remote: Remote,
    /// In every app, not only that of the login
    #[arg(long)]
    all_apps: bool,
    /// More readers than this are very many
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    readers_over: usize,
}

impl Review {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let mut printer = asked.printer(["PATH", "READERS", "CONCERNS"]);
        let mut page = Page {
            all_apps: self.all_apps,
            after: None,
        };
        loop {
            let review = asked.client.review(self.readers_over, &page).await?;
            for finding in &review.findings {
                let cells = [
                    &*finding.path,
                    &finding.readers.to_string(),
                    &finding.concerns.join(" "),
                ];
                printer.item(&mut asked.console, finding, cells)?;
            }
            page.after = review.next;
            if page.after.is_none() {
                return printer.end(&mut asked.console);
            }
        }
    }
}

/// List the names with a text in them that you may read; no value is opened
#[derive(Debug, Args)]
pub(super) struct Search {
    #[command(flatten)]
    remote: Remote,
    /// The text
    text: String,
    /// In every app, not only that of the login
    #[arg(long)]
    all_apps: bool,
}

impl Search {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let mut page = Page {
            all_apps: self.all_apps,
            after: None,
        };
        loop {
            let found = asked.client.search(&self.text, &page).await?;
            for path in &found.paths {
                match asked.output {
                    Output::Table => writeln!(asked.console.out, "{}", path.escape_debug())?,
                    form => output::document(&mut asked.console, form, path)?,
                }
            }
            page.after = found.next;
            if page.after.is_none() {
                return Ok(());
            }
        }
    }
}
