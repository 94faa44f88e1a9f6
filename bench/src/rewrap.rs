//! What reads lose while everything is sealed anew, and how long that takes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strongroom_base::{Clock, SystemClock};

use crate::cost::READ_CONNECTIONS;
use crate::load::{Connection, Load};
use crate::population::Population;
use crate::process::Process;
use crate::report::Report;
use crate::scale::{Million, SECRETS, resident};
use crate::stats::{median, percentile, ratio};
use crate::world::{Account, World};

/// Secrets of the scenario that takes a minute.
const FEW_SECRETS: usize = 50_000;
/// Rounds of reads before the rewrap, and after it: what the machine itself does differs from one to the next.
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_secs(2);
const ROTATE_MS_MAX: f64 = 50.0;
const READS_LOST_MAX: f64 = 20.0;
/// For 1,000,000 secrets; for fewer as much less.
const REWRAP_SECS_MAX: f64 = 180.0;

/// With few secrets.
pub(crate) async fn few(report: &mut Report) -> Result<()> {
    let world = World::new()?;
    let server = world.start(&[])?;
    let population = Population::load(server.address(), FEW_SECRETS).await?;
    measure(report, &world, server, &population, FEW_SECRETS).await
}

/// With 1,000,000.
pub(crate) async fn million(report: &mut Report, million: &mut Million) -> Result<()> {
    let world = million.world(report).await?;
    let server = world.start(&[])?;
    let population = Population::log_in(server.address(), SECRETS).await?;
    measure(report, &world, server, &population, SECRETS).await
}

async fn measure(
    report: &mut Report,
    world: &World,
    server: Process,
    population: &Population,
    secrets: usize,
) -> Result<()> {
    report.heading(&format!(
        "Reads of one secret, 16 connections, while {secrets} are sealed anew"
    ))?;
    let (load, address) = (population.reads(READ_CONNECTIONS)?, server.address());
    let mut operator = Operator {
        admin: Account::admin(address, world).await?,
        connection: Connection::open(address).await?,
    };
    let mut quiet = Vec::new();
    for _ in 0..ROUNDS {
        quiet.push(rate(&load, address).await?);
    }
    let (clock, ledger) = (SystemClock::new(), world.data_bytes("ledger")?);
    let began = clock.monotonic();
    operator.ask("POST", "/strongroom/v1/keys/rotate").await?;
    let rotated = clock.monotonic();
    let rotate_ms = rotated.since(began).as_secs_f64() * 1e3;
    report.at_most("rotate", rotate_ms, ROTATE_MS_MAX, " ms")?;

    operator.ask("POST", "/strongroom/v1/keys/rewrap").await?;
    let mut busy = Vec::new();
    let rewrap = loop {
        let busy_rate = rate(&load, address).await?;
        let keys = operator.ask("GET", "/strongroom/v1/keys").await?;
        let rewrap = keys.get("rewrap").cloned().context("no rewrap runs")?;
        if rewrap.get("ended").is_some() {
            break rewrap;
        }
        // The last round is busy in part only.
        busy.push(busy_rate);
    };
    let figure = |name: &str| rewrap.get(name).and_then(Value::as_u64).unwrap_or_default();
    let secs = ratio(figure("ended") - figure("started"), 1_000);
    ensure!(figure("unreadable") == 0, "rows do not open");
    ensure!(!busy.is_empty(), "it was over before a round of reads was");
    report.figure("rows", &format!("{} of {}", figure("rewrapped"), figure("rows")))?;
    let share = ratio(secrets as u64, SECRETS as u64);
    report.at_most("rewrap", secs, REWRAP_SECS_MAX * share, " s")?;
    report.figure(
        "ledger bytes a row",
        &format!(
            "{:.0}, with those of the reads",
            ratio(world.data_bytes("ledger")? - ledger, figure("rewrapped").max(1))
        ),
    )?;
    for _ in 0..ROUNDS {
        quiet.push(rate(&load, address).await?);
    }
    let (of_quiet, of_busy) = (
        show(report, "reads, quiet", &mut quiet)?,
        show(report, "reads, meanwhile", &mut busy)?,
    );
    report.at_most(
        "reads lost",
        100.0 - of_busy * 100.0 / of_quiet,
        READS_LOST_MAX,
        " %",
    )?;
    resident(report, "resident", &server).await?;
    server.stop()
}

/// Reads a second, in one round.
async fn rate(load: &Load, address: SocketAddr) -> Result<f64> {
    let sent = load.run(address, ROUND).await?;
    Ok(ratio(sent.requests, 1) / sent.took.as_secs_f64())
}

/// Prints the median of `rates` and gives it.
fn show(report: &mut Report, name: &str, rates: &mut [f64]) -> Result<f64> {
    let (least, most) = (percentile(rates, 0.0), percentile(rates, 1.0));
    let middle = median(rates);
    report.figure(name, &format!("{middle:.0} a second ({least:.0} to {most:.0})"))?;
    Ok(middle)
}

/// Who rotates.
struct Operator {
    admin: Account,
    connection: Connection,
}

impl Operator {
    async fn ask(&mut self, method: &str, path: &str) -> Result<Value> {
        let request = self.admin.request(method, path, &json!({}));
        Ok(serde_json::from_slice(self.connection.send(&request).await?)?)
    }
}
