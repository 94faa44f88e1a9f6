//! `strongroom doctor`: what is wrong, or will be, with an installation, each with its remedy. It only looks.

mod here;
mod there;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::console::Console;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::output::Printer;
use crate::cli::remote::Remote;

/// Look for what is wrong with this installation, or will be
///
/// On this machine it looks at the data directory, if there is one: permissions, seal slots, the room on the disk, the
/// clock. Of the server it asks whether the ledger grows, whose clock is right, whether its seal key can be guessed, which
/// secrets are overdue and, for admins, which principals are only reserved. The server may run; nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = exit::FINDING_HELP)]
pub(super) struct Doctor {
    #[command(flatten)]
    remote: Remote,
    /// Look at this machine only
    #[arg(long)]
    offline: bool,
    /// Folder of storage and ledger [default: $XDG_DATA_HOME/strongroom or ~/.local/share/strongroom]
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
    /// Leave out what this check finds, may be repeated
    #[arg(long, value_name = "CHECK", value_enum)]
    ignore: Vec<Check>,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    /// Somebody else on this machine can read what only the server should
    Permissions,
    /// The seal has one way to open it, and that is a file
    KeyFileOnly,
    /// A seal slot cannot be read, or the key file is not where it should be
    Slots,
    /// The first administrator's password lies in a file still
    InitialPassword,
    /// The disk is nearly full, or has no reserve
    Disk,
    /// This machine's clock, or the server's, is wrong
    Clock,
    /// The ledger does not grow
    Ledger,
    /// Somebody can guess the seal key
    WeakSealKey,
    /// Secrets are overdue
    Overdue,
    /// Permission lists name principals that nobody is yet
    Reserved,
}

/// Something that was found.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: Check,
    /// What is wrong.
    found: String,
    /// What to do.
    remedy: String,
}

impl Finding {
    pub(super) fn new(check: Check, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}

impl Doctor {
    pub(super) fn run(self, console: Console) -> Result<(), Failure> {
        let output = self.remote.output;
        let mut findings = here::look(self.data)?;
        let mut console = if self.offline {
            console
        } else {
            let asking = async {
                let mut asked = self.remote.open(console).await?;
                findings.extend(there::look(&mut asked).await?);
                Ok::<_, Failure>(asked.console)
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let asked: Result<_, Failure> = runtime.block_on(asking);
            asked.map_err(|failure| {
                failure.advise("`strongroom doctor --offline` looks at this machine only.")
            })?
        };
        findings.retain(|finding| !self.ignore.contains(&finding.check));
        let mut printer = Printer::new(output, ["CHECK", "FOUND", "REMEDY"]);
        for finding in &findings {
            let check = serde_json::to_value(finding.check).map_err(|error| Failure::of(&error))?;
            let cells = [
                check.as_str().unwrap_or_default(),
                &finding.found,
                &finding.remedy,
            ];
            printer.item(&mut console, finding, cells)?;
        }
        match findings.len() {
            0 => Ok(()),
            count => {
                printer.end(&mut console)?;
                let what = if count == 1 { "thing is" } else { "things are" };
                Err(Failure::found(format!("{count} {what} not as it should be")))
            }
        }
    }
}
