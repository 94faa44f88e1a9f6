//! `strongroom secret stale`.

use clap::Args;
use strongroom_base::Timestamp;
use strongroom_client::native::Page;

use crate::cli::console::Console;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::remote::Remote;
use crate::cli::time::rfc3339;

/// List the secrets that are overdue, longest first: they have expired, or should have got a new value
///
/// Of those that you may read. `secret meta set` says when a secret expires and how often it has to get a new value.
#[derive(Debug, Args)]
#[command(after_help = exit::FINDING_HELP)]
pub(in crate::cli) struct Stale {
    #[command(flatten)]
    remote: Remote,
    /// In every app, not only that of the login
    #[arg(long)]
    all_apps: bool,
}

impl Stale {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let mut printer = asked.printer(["PATH", "OVERDUE SINCE", "WHY", "OWNER"]);
        let mut page = Page {
            all_apps: self.all_apps,
            after: None,
        };
        let mut count = 0;
        loop {
            let found = asked.client.stale_secrets(&page).await?;
            for facts in &found.secrets {
                count += 1;
                let since = facts.due.map(|due| rfc3339(Timestamp::from_millis(due)));
                let cells = [
                    facts.path.as_str(),
                    &since.unwrap_or_default(),
                    why(facts.overdue.as_deref()),
                    facts.owner.as_deref().unwrap_or_default(),
                ];
                printer.item(&mut asked.console, facts, cells)?;
            }
            page.after = found.next;
            if page.after.is_none() {
                break;
            }
        }
        printer.end(&mut asked.console)?;
        match count {
            0 => Ok(()),
            1 => Err(Failure::found("a secret is overdue").advise(ADVICE)),
            _ => Err(Failure::found(format!("{count} secrets are overdue")).advise(ADVICE)),
        }
    }
}

const ADVICE: &str =
    "`strongroom secret put` gives it a new value, `strongroom secret meta set` another date.";

/// Why a secret is overdue, for people.
pub(super) fn why(overdue: Option<&str>) -> &str {
    match overdue {
        Some("expired") => "expired",
        Some("rotation_due") => "needs a new value",
        other => other.unwrap_or_default(),
    }
}
