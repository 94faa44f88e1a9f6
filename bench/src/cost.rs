//! What a request costs in processor time, beside a bare handler that answers as many bytes.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bare;
use crate::load::{Connection, Load, request};
use crate::process::Process;
use crate::report::Report;
use crate::stats::{median, percentile, ratio};
use crate::world::{Account, World};

pub(crate) const READ_CONNECTIONS: usize = 16;
pub(crate) const WRITE_CONNECTIONS: usize = 64;
/// Rounds that the medians are taken of. Each measures both servers, one after the other.
pub(crate) const ROUNDS: usize = 5;
/// Long enough that the 10 ms that processor time is counted in are far below 1 %.
const ROUND: Duration = Duration::from_secs(5);
/// What a server does after its last reply counts, too: the ledger is published within a second.
const AFTERMATH: Duration = Duration::from_secs(1);
const READ_RATIO_MAX: f64 = 4.0;

/// Audited reads.
pub(crate) async fn reads(report: &mut Report) -> Result<()> {
    report.heading("Audited reads of one 200-byte secret of 1,000, 16 connections")?;
    let (bare, ours) = measure(report, |account| account.reads(READ_CONNECTIONS)).await?;
    report.at_most("ours / bare", ours / bare, READ_RATIO_MAX, "")
}

/// Durable writes.
pub(crate) async fn writes(report: &mut Report) -> Result<()> {
    report.heading("Durable updates of 200-byte secrets, 64 connections")?;
    let (bare, ours) = measure(report, |account| account.writes(WRITE_CONNECTIONS)).await?;
    report.figure("ours / bare", &format!("{:.2}", ours / bare))
}

/// Microseconds of processor time per request, of the bare server and of ours.
async fn measure(report: &mut Report, load: impl Fn(&Account) -> Load) -> Result<(f64, f64)> {
    let world = World::new()?;
    let server = world.start(&[])?;
    let account = Account::create(server.address()).await?;
    let load = load(&account);
    let first = load.requests.first().context("no request")?;
    let reply_bytes = Connection::open(server.address()).await?.send(first).await?.len();
    let bare = start_bare(reply_bytes, &world)?;
    let bare_load = to_bare(&load)?;

    let (mut of_bare, mut of_ours) = (Rounds::default(), Rounds::default());
    let ledger_before = world.data_bytes("ledger")?;
    for _ in 0..ROUNDS {
        of_bare.add(&bare, &bare_load).await?;
        of_ours.add(&server, &load).await?;
    }
    let costs = (
        of_bare.report(report, "bare handler")?,
        of_ours.report(report, "strongroom")?,
    );
    let ledger = world.data_bytes("ledger")? - ledger_before;
    report.figure(
        "ledger bytes a request",
        &format!("{:.0}", ratio(ledger, of_ours.requests)),
    )?;
    report.figure("resident afterwards", &format!("{} KiB", server.resident_kib()?))?;
    server.stop()?;
    Ok(costs)
}

fn start_bare(reply_bytes: usize, world: &World) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--bare", &reply_bytes.to_string()]);
    Process::start(&command, &[], &world.log())
}

/// The same requests, to the bare server's one path.
fn to_bare(load: &Load) -> Result<Load> {
    let requests = load.requests.iter().map(|bytes| {
        let text = std::str::from_utf8(bytes)?;
        let (head, body) = text.split_once("\r\n\r\n").context("a request without a body")?;
        let method = head.split(' ').next().unwrap_or_default();
        let token = head
            .split_once("Bearer ")
            .and_then(|(_, rest)| rest.lines().next())
            .unwrap_or_default();
        Ok(request(method, bare::PATH, token, body))
    });
    Ok(Load {
        requests: requests.collect::<Result<_>>()?,
        connections: load.connections,
    })
}

/// The figures of each round.
#[derive(Default)]
pub(crate) struct Rounds {
    requests: u64,
    cpu_us: Vec<f64>,
    per_second: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
}

impl Rounds {
    #[expect(
        clippy::cast_precision_loss,
        reason = "requests of one round are far below 2^53"
    )]
    pub(crate) async fn add(&mut self, server: &Process, load: &Load) -> Result<()> {
        let before = server.cpu_time()?;
        let mut sent = load.run(server.address(), ROUND).await?;
        tokio::time::sleep(AFTERMATH).await;
        let cpu = server.cpu_time()?.saturating_sub(before);
        self.requests += sent.requests;
        self.cpu_us.push(cpu.as_secs_f64() * 1e6 / sent.requests as f64);
        self.per_second
            .push(sent.requests as f64 / sent.took.as_secs_f64());
        self.p50_us.push(percentile(&mut sent.latencies_us, 0.5));
        self.p99_us.push(percentile(&mut sent.latencies_us, 0.99));
        Ok(())
    }

    /// Prints the medians; gives the processor time per request.
    pub(crate) fn report(&mut self, report: &mut Report, name: &str) -> Result<f64> {
        let cpu_us = median(&mut self.cpu_us);
        let (least, most) = (
            percentile(&mut self.cpu_us, 0.0),
            percentile(&mut self.cpu_us, 1.0),
        );
        let (p50_ms, p99_ms) = (median(&mut self.p50_us) / 1e3, median(&mut self.p99_us) / 1e3);
        let rate = median(&mut self.per_second);
        report.figure(
            name,
            &format!(
                "{cpu_us:.1} us CPU a request ({least:.1} to {most:.1}), {rate:.0} a second, \
                 p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms"
            ),
        )?;
        Ok(cpu_us)
    }
}
