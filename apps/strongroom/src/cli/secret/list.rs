//! `strongroom secret list`.

use clap::Args;
use strongroom_base::Timestamp;
use strongroom_client::secrets::{Facts, ListRequest};

use super::Place;
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::time::rfc3339;

/// List the secrets that you may read, without their values
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    place: Place,
    /// Only those whose names begin with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
}

impl List {
    pub(in crate::cli) async fn run(self, console: Console) -> Result<(), Failure> {
        let (mut asked, app) = self.place.open(console).await?;
        let mut printer = asked.printer(["NAME", "VERSION", "SAVED", "OWNER", "DUE"]);
        let mut request = ListRequest {
            app,
            prefix: self.prefix,
            after: None,
        };
        loop {
            let page = asked.client.list_secrets(&request).await?;
            for facts in &page.secrets {
                let cells = row(facts);
                printer.item(&mut asked.console, facts, cells.each_ref().map(String::as_str))?;
            }
            request.after = page.next;
            if request.after.is_none() {
                return printer.end(&mut asked.console);
            }
        }
    }
}

fn row(facts: &Facts) -> [String; 5] {
    let due = facts.due.map(|due| rfc3339(Timestamp::from_millis(due)));
    let flag = if facts.overdue.is_some() { " OVERDUE" } else { "" };
    [
        facts.name.clone(),
        facts.version.to_string(),
        rfc3339(Timestamp::from_millis(facts.saved)),
        facts.owner.clone().unwrap_or_default(),
        format!("{}{flag}", due.unwrap_or_default()),
    ]
}
