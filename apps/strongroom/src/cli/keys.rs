//! `strongroom operator rotate` and `rewrap`: the keys of a running instance.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use strongroom_base::Timestamp;
use strongroom_client::keys::{Keys, Rewrap as Progress};

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::remote::{Asked, Remote};
use crate::cli::time::rfc3339;

/// How often a rewrap that is followed is asked how far it is: each question has its leaf in the ledger.
const EVERY: Duration = Duration::from_secs(2);
/// Characters of the bar.
const BAR: u64 = 40;

/// Give the running instance new keys for what is written from now on
///
/// A new key-encryption key is there at once, and each workspace gets a new data key with its next write. What old keys
/// sealed stays readable, by those who have an old key, too: `operator rewrap` ends that. For admins.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    remote: Remote,
}

impl Rotate {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let rotated = asked.client.rotate().await?;
        if asked.output != Output::Table {
            return output::document(&mut asked.console, asked.output, &rotated);
        }
        let out = &mut asked.console.out;
        writeln!(
            out,
            "KEK epoch {} seals what is written from now on.",
            rotated.kek_epoch
        )?;
        writeln!(
            out,
            "What is older is still sealed with old keys: `strongroom operator rewrap` ends that."
        )?;
        Ok(())
    }
}

/// Seal everything of the running instance anew that old keys sealed, then drop those keys
///
/// It runs in the server, beside requests, and goes on after a restart or a crash. On a terminal the command follows it
/// with a progress bar, and may be interrupted: the rewrap goes on. Started again, it follows the one that runs. For
/// admins.
#[derive(Debug, Args)]
pub(super) struct Rewrap {
    #[command(flatten)]
    remote: Remote,
    /// Start nothing, only say how far it is
    #[arg(long, conflicts_with = "wait")]
    status: bool,
    /// Follow it to its end also where no terminal is
    #[arg(long)]
    wait: bool,
}

impl Rewrap {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        if self.status {
            let keys = asked.client.keys().await?;
            return print(&mut asked, &keys);
        }
        let mut keys = asked.client.rewrap().await?;
        let shows_bar = asked.console.out_is_terminal && asked.output == Output::Table;
        if self.wait || shows_bar {
            keys = follow(&mut asked, keys, shows_bar).await?;
        }
        print(&mut asked, &keys)
    }
}

/// Waits until the rewrap is over.
async fn follow(asked: &mut Asked, mut keys: Keys, shows_bar: bool) -> Result<Keys, Failure> {
    while let Some(running) = keys.rewrap.as_ref().filter(|rewrap| rewrap.ended.is_none()) {
        if shows_bar {
            write!(asked.console.err, "\r{}", bar(running))?;
            asked.console.err.flush()?;
        }
        tokio::time::sleep(EVERY).await;
        keys = asked.client.keys().await?;
    }
    if let Some(ended) = keys.rewrap.as_ref().filter(|_| shows_bar) {
        writeln!(asked.console.err, "\r{}", bar(ended))?;
    }
    Ok(keys)
}

/// One line, always as long as the last one or longer, so that it covers that.
fn bar(rewrap: &Progress) -> String {
    let rows = rewrap.rows.max(1);
    let walked = if rewrap.ended.is_some() {
        rows
    } else {
        rewrap.walked.min(rows)
    };
    let filled = usize::try_from(walked * BAR / rows).unwrap_or_default();
    let (full, empty) = ("#".repeat(filled), "-".repeat(BAR as usize - filled));
    format!(
        "[{full}{empty}] {:3} %  {} of {} rows",
        walked * 100 / rows,
        rewrap.walked,
        rewrap.rows
    )
}

fn print(asked: &mut Asked, keys: &Keys) -> Result<(), Failure> {
    match asked.output {
        Output::Table => write_keys(&mut *asked.console.out, keys)?,
        form => output::document(&mut asked.console, form, keys)?,
    }
    match &keys.rewrap {
        Some(Progress {
            unreadable: 1..,
            ended: Some(_),
            ..
        }) => Err(
            Failure::found("some rows do not open, so the old keys of their workspaces are kept").advise(
                "Stop the server and run `strongroom operator check`: it names the rows. Once they are restored or \
                 removed, rewrap again.",
            ),
        ),
        _ => Ok(()),
    }
}

fn write_keys(out: &mut dyn Write, keys: &Keys) -> std::io::Result<()> {
    let epochs: Vec<_> = keys.kek_epochs.iter().map(u32::to_string).collect();
    writeln!(out, "KEK epochs   {}", epochs.join(" "))?;
    let Some(rewrap) = &keys.rewrap else {
        return writeln!(out, "rewrap       there was none yet");
    };
    let time = |time| rfc3339(Timestamp::from_millis(time));
    match rewrap.ended {
        Some(ended) => writeln!(out, "rewrap       done at {}", time(ended))?,
        None => writeln!(out, "rewrap       runs since {}", time(rewrap.started))?,
    }
    writeln!(
        out,
        "rows         {} of {} looked at, {} sealed anew, {} do not open",
        rewrap.walked, rewrap.rows, rewrap.rewrapped, rewrap.unreadable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(rows: u64, walked: u64, ended: Option<u64>) -> Progress {
        Progress {
            by: String::new(),
            started: 0,
            ended,
            rows,
            walked,
            rewrapped: walked,
            unreadable: 0,
        }
    }

    #[test]
    fn a_bar_is_never_longer_than_full() {
        for (rows, walked, ended, full, percent) in [
            (0, 0, None, 0, 0),
            (0, 0, Some(1), 40, 100),
            (3, 1, None, 13, 33),
            (2_000_000, 1_000_000, None, 20, 50),
            (10, 12, None, 40, 100), // rows were written meanwhile
        ] {
            let bar = bar(&progress(rows, walked, ended));
            let expected = format!("[{}{}]", "#".repeat(full), "-".repeat(40 - full));
            assert!(bar.starts_with(&expected), "{bar}");
            assert!(bar.contains(&format!("{percent:3} %")), "{bar}");
        }
    }

    #[test]
    fn what_is_said_of_keys() {
        let said = |keys: &Keys| {
            let mut out = Vec::new();
            write_keys(&mut out, keys).unwrap();
            String::from_utf8(out).unwrap()
        };
        let mut keys = Keys {
            kek_epochs: vec![1, 2],
            rewrap: None,
        };
        assert_eq!(said(&keys), "KEK epochs   1 2\nrewrap       there was none yet\n");
        keys.rewrap = Some(progress(3, 1, None));
        assert!(said(&keys).contains("runs since 1970-01-01T00:00:00.000Z\nrows         1 of 3 looked at"));
        keys.rewrap = Some(progress(3, 3, Some(1_000)));
        assert!(said(&keys).contains("done at 1970-01-01T00:00:01.000Z"));
    }
}
