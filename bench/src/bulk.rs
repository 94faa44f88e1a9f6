//! What the server stores in a second, beside redb alone: the same rows in the same groups, in the same run.

use std::time::Duration;

use anyhow::Result;
use strongroom_base::{Clock, SystemClock};

use crate::cost::WRITE_CONNECTIONS;
use crate::population::{BATCH, Population};
use crate::recorder::Recorder;
use crate::report::Report;
use crate::stats::{median, ratio};
use crate::world::{Account, World};

const SECRETS: usize = 100_000;
const ROUNDS: usize = 3;
const UPDATES: Duration = Duration::from_secs(5);
const SHARE_OF_REDB_MIN: f64 = 0.6;
/// The generator has nearly nothing to do: the committer gets a core, as redb has one when it is alone.
const BOTH_CORES: [&str; 3] = ["taskset", "--cpu-list", "0,1"];

/// Loading, and updates of single secrets.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    report.heading(&format!(
        "Loading {SECRETS} secrets in saves of {BATCH}, 8 connections"
    ))?;
    loads(report, "one core", &[]).await?;
    loads(report, "two cores", &BOTH_CORES).await?;
    report.heading("Durable updates of 200-byte secrets, 64 connections")?;
    updates(report, "one core", &[]).await
}

async fn loads(report: &mut Report, name: &str, wrapper: &[&str]) -> Result<()> {
    let clock = SystemClock::new();
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        let world = World::new()?;
        let recorder = Recorder::start(&world, wrapper)?;
        let from = recorder.position()?;
        let before = clock.monotonic();
        Population::load(recorder.server.address(), SECRETS).await?;
        rounds.add(recorder, from, SECRETS as u64, clock.monotonic().since(before))?;
    }
    rounds.report(report, name)
}

async fn updates(report: &mut Report, name: &str, wrapper: &[&str]) -> Result<()> {
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        let world = World::new()?;
        let recorder = Recorder::start(&world, wrapper)?;
        let address = recorder.server.address();
        let account = Account::create(address).await?;
        let from = recorder.position()?;
        let sent = account.writes(WRITE_CONNECTIONS).run(address, UPDATES).await?;
        rounds.add(recorder, from, sent.requests, sent.took)?;
    }
    rounds.report(report, name)
}

#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    share_of_redb: Vec<f64>,
    rows_a_group: Vec<f64>,
}

impl Rounds {
    /// Plays the recording since `from`, in which `writes` took `took`.
    fn add(&mut self, recorder: Recorder, from: u64, writes: u64, took: Duration) -> Result<()> {
        let to = recorder.position()?;
        let recording = recorder.stop();
        let replay = recording.replay(from, to)?;
        self.per_second.push(ratio(writes, 1) / took.as_secs_f64());
        self.share_of_redb
            .push(replay.took.as_secs_f64() / took.as_secs_f64());
        self.rows_a_group.push(ratio(replay.rows, replay.groups));
        Ok(())
    }

    fn report(&mut self, report: &mut Report, name: &str) -> Result<()> {
        let (rate, rows) = (median(&mut self.per_second), median(&mut self.rows_a_group));
        report.figure(
            name,
            &format!("{rate:.0} secrets a second, {rows:.0} rows a group"),
        )?;
        let share = median(&mut self.share_of_redb);
        report.at_least("of redb alone", share, SHARE_OF_REDB_MIN, "")
    }
}
