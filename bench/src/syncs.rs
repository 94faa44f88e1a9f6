//! How many writes share a sync, counted by strace(1). It slows the server a little, which makes groups larger or
//! smaller; the rate is printed beside the count.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cost::WRITE_CONNECTIONS;
use crate::report::Report;
use crate::stats::ratio;
use crate::world::{Account, World};

const DURATION: Duration = Duration::from_secs(10);
/// strace(1) writes its table after the server has ended.
const TABLE_WAIT: Duration = Duration::from_secs(10);
const SYNCS_PER_WRITE_MAX: f64 = 1.0 / 8.0;

/// Counts every sync of a server's life but its first start: those of its start and its end are a few dozen.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    report.heading("Syncs, 64 connections, under strace")?;
    let world = World::new()?;
    let server = world.start(&[])?;
    let account = Account::create(server.address()).await?;
    server.stop()?;

    let strace = Strace::new(&world);
    let server = world.start(&strace.wrapper()).context("is `strace` installed?")?;
    let sent = account
        .writes(WRITE_CONNECTIONS)
        .run(server.address(), DURATION)
        .await?;
    server.stop()?;
    let syncs = strace.syncs().await?;

    let rate = ratio(sent.requests, 1) / sent.took.as_secs_f64();
    report.figure("writes", &format!("{} ({rate:.0} a second)", sent.requests))?;
    report.figure("syncs", &syncs.to_string())?;
    report.at_most(
        "syncs a write",
        ratio(syncs, sent.requests),
        SYNCS_PER_WRITE_MAX,
        "",
    )
}

/// Counts the syncs of a server that is started behind its wrapper.
pub(crate) struct Strace {
    table: String,
}

impl Strace {
    pub(crate) fn new(world: &World) -> Self {
        let table = world.home().path().join("syncs").to_string_lossy().into_owned();
        Self { table }
    }

    /// What to start the server behind. `-D` leaves the server in the place of the command, and `--seccomp-bpf` stops it
    /// at these calls only.
    pub(crate) fn wrapper(&self) -> [&str; 9] {
        let trace = "--trace=fsync,fdatasync,sync_file_range,msync";
        [
            "strace",
            "-D",
            "-f",
            "-c",
            "--seccomp-bpf",
            trace,
            "-o",
            &self.table,
            "--",
        ]
    }

    /// The syncs of the server's life, once it has ended.
    pub(crate) async fn syncs(&self) -> Result<u64> {
        let reading = async {
            loop {
                let text = fs::read_to_string(&self.table).unwrap_or_default();
                if text.contains("total") {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let written = tokio::time::timeout(TABLE_WAIT, reading).await;
        calls(&written.context("strace wrote no table")?)
    }
}

/// The calls of the last line, `100.00  seconds  usecs/call  calls  [errors]  total`.
fn calls(table: &str) -> Result<u64> {
    let Some(line) = table.lines().find(|line| line.ends_with(" total")) else {
        bail!("no total in {table}")
    };
    Ok(line.split_whitespace().nth(3).context("no calls")?.parse()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_total_is_read() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     100.00    0.4        9        12           fdatasync\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.4        9        34         1 total\n";
        assert_eq!(super::calls(table).unwrap(), 34);
        assert!(super::calls("").is_err());
    }
}
