//! From the start of the program to its first answer that it is ready, and the memory that it then takes.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use strongroom_base::{Clock, SystemClock};

use crate::load::{Connection, request};
use crate::process::Process;
use crate::report::Report;
use crate::stats::{median, percentile};
use crate::world::{Account, World};

const STARTS: usize = 10;
const READY_MS_MAX: f64 = 200.0;
const REQUESTS: usize = 1_000;
const UNSEALS: usize = 20;
const UNSEAL_MS_MAX: f64 = 100.0;
/// Until what a start or a burst of requests leaves to do is done.
const SETTLE: Duration = Duration::from_secs(2);
const IDLE_MIB_MAX: f64 = 40.0;

/// Ten first starts and ten later ones, and the memory of a server that has just started and of one that has worked.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    report.heading("Start to ready (median of 10), and idle memory")?;
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let world = World::new()?;
        for times in [&mut first, &mut later] {
            let (took, server) = timed_start(&world).await?;
            times.push(took);
            server.stop()?;
        }
    }
    for (name, times) in [("first start", &mut first), ("later start", &mut later)] {
        let (least, most) = (percentile(times, 0.0), percentile(times, 1.0));
        report.figure(&format!("{name}, range"), &format!("{least:.0} to {most:.0} ms"))?;
        report.at_most(name, median(times), READY_MS_MAX, " ms")?;
    }

    let world = World::new()?;
    let server = world.start(&[])?;
    let account = Account::create(server.address()).await?;
    let name = "after a save of 1,000";
    report.at_most(name, resident_mib(&server).await?, IDLE_MIB_MAX, " MiB")?;
    server.stop()?;
    let server = world.start(&[])?;
    report.at_most(
        "after a start",
        resident_mib(&server).await?,
        IDLE_MIB_MAX,
        " MiB",
    )?;
    let mut connection = Connection::open(server.address()).await?;
    for request in account.reads(1).requests.iter().take(REQUESTS) {
        connection.send(request).await?;
    }
    drop(connection);
    report.at_most(
        "and 1,000 reads",
        resident_mib(&server).await?,
        IDLE_MIB_MAX,
        " MiB",
    )
}

/// The time that three shares take to open a server of 1,000 secrets, each given over a connection of its own.
pub(crate) async fn unseal(report: &mut Report) -> Result<()> {
    report.heading("Three shares open the seal (median of 20)")?;
    let world = World::new()?;
    let server = world.start(&[])?;
    Account::create(server.address()).await?;
    let admin = Account::admin(server.address(), &world).await?;
    let ask = async |path: &str, body: Value| {
        let path = format!("/strongroom/v1/operator/{path}");
        let request = admin.request("POST", &path, &body);
        let mut connection = Connection::open(server.address()).await?;
        anyhow::Ok(serde_json::from_slice::<Value>(connection.send(&request).await?)?)
    };
    let wish = json!({"kind": "shares", "shares": 5, "threshold": 3});
    let made = ask("slots/add", wish).await?;
    let shares = made.get("shares").and_then(Value::as_array);
    let shares = shares.context("there are shares")?.clone();
    let (clock, mut times) = (SystemClock::new(), Vec::new());
    for _ in 0..UNSEALS {
        ask("seal", json!({})).await?;
        let before = clock.monotonic();
        for share in shares.iter().take(3) {
            ask("unseal", json!({ "share": share })).await?;
        }
        times.push(clock.monotonic().since(before).as_secs_f64() * 1e3);
    }
    report.at_most("three shares", median(&mut times), UNSEAL_MS_MAX, " ms")?;
    server.stop()?;
    Ok(())
}

/// Milliseconds from the start of the program to its answer, and the server.
pub(crate) async fn timed_start(world: &World) -> Result<(f64, Process)> {
    let clock = SystemClock::new();
    let before = clock.monotonic();
    let server = world.start(&[])?;
    let mut connection = Connection::open(server.address()).await?;
    connection.send(&request("GET", "/readyz", "", "")).await?;
    let took = clock.monotonic().since(before);
    Ok((took.as_secs_f64() * 1e3, server))
}

/// Its memory, once it has nothing more to do.
pub(crate) async fn resident_mib(server: &Process) -> Result<f64> {
    tokio::time::sleep(SETTLE).await;
    #[expect(
        clippy::cast_precision_loss,
        reason = "kilobytes of memory are far below 2^53"
    )]
    let kib = server.resident_kib()? as f64;
    Ok(kib / 1024.0)
}
