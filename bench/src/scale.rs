//! What 1,000,000 secrets change: the same things are measured with them and with few.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use strongroom_base::{Clock, SystemClock};

use crate::cost::{READ_CONNECTIONS, ROUNDS, Rounds, WRITE_CONNECTIONS};
use crate::load::{Connection, Load};
use crate::population::{self, BATCH, FOLDER, NARROW, Population, WIDE};
use crate::process::Process;
use crate::report::Report;
use crate::start::{resident_mib, timed_start};
use crate::stats::{median, percentile, ratio};
use crate::syncs::Strace;
use crate::world::{Account, PATH, World, copy_dir};

pub(crate) const SECRETS: usize = 1_000_000;
const FEW_SECRETS: usize = 1_000;
const STARTS: usize = 10;
/// Writes before each kill.
const BUSY: Duration = Duration::from_secs(1);
const READY_MS_MAX: f64 = 1_000.0;
const READ_RATIO_MAX: f64 = 1.15;
const LIST_CONNECTIONS: usize = 4;
const LIST_RATIO_MAX: f64 = 3.0;
/// Names that are walked by once the folder is in memory.
const WALKED: usize = 200_000;
/// Names on a page.
const PAGE: usize = 1_000;
/// A name of the folder of ten times as many may cost a little more; were paging quadratic, it would cost ten times as much.
const NAME_RATIO_MAX: f64 = 1.5;
const RESIDENT_MIB_MAX: f64 = 160.0;

/// The home of the instance with [`SECRETS`], which no scenario changes.
pub(crate) struct Million {
    home: PathBuf,
    /// Removes it in the end, unless it is kept.
    _temporary: Option<tempfile::TempDir>,
}

impl Million {
    /// Nothing is done yet.
    pub(crate) fn new(kept: Option<PathBuf>) -> Result<Self> {
        Ok(match kept {
            Some(home) => Self {
                home,
                _temporary: None,
            },
            None => {
                let temporary = tempfile::tempdir()?;
                Self {
                    home: temporary.path().join("million"),
                    _temporary: Some(temporary),
                }
            }
        })
    }

    /// A copy of the instance, which is loaded by the first call.
    pub(crate) async fn world(&mut self, report: &mut Report) -> Result<World> {
        if !self.home.exists() {
            let world = World::new()?;
            load(report, &world).await?;
            copy_dir(world.home().path(), &self.home)?;
        }
        World::copy_of(&self.home)
    }
}

async fn load(report: &mut Report, world: &World) -> Result<()> {
    report.heading(&format!(
        "Loading {SECRETS} secrets in saves of {BATCH}, 8 connections, under strace"
    ))?;
    let (strace, clock) = (Strace::new(world), SystemClock::new());
    let server = world.start(&strace.wrapper())?;
    let before = clock.monotonic();
    Population::load(server.address(), SECRETS).await?;
    let rate = ratio(SECRETS as u64, 1) / clock.monotonic().since(before).as_secs_f64();
    report.figure("secrets a second", &format!("{rate:.0}"))?;
    let cpu_us = server.cpu_time()?.as_secs_f64() * 1e6 / ratio(SECRETS as u64, 1);
    report.figure("us CPU a secret", &format!("{cpu_us:.1}"))?;
    resident(report, "resident afterwards", &server).await?;
    server.stop()?;
    let requests = (SECRETS / BATCH) as u64;
    for (name, count) in [
        ("syncs a request", strace.syncs().await?),
        ("ledger bytes a request", world.data_bytes("ledger")?),
        ("storage bytes a request", world.data_bytes("strongroom.redb")?),
    ] {
        report.figure(name, &format!("{:.2}", ratio(count, requests)))?;
    }
    Ok(())
}

/// Start to ready, after a kill in the middle of writes.
pub(crate) async fn start(report: &mut Report, million: &mut Million) -> Result<()> {
    let world = million.world(report).await?;
    report.heading(&format!(
        "Start to ready after `kill -9`, {SECRETS} secrets (median of {STARTS})"
    ))?;
    let server = world.start(&[])?;
    let account = Account::create(server.address()).await?;
    let mut server = Some(server);
    let mut times = Vec::new();
    for _ in 0..STARTS {
        if let Some(server) = server.take() {
            account
                .writes(WRITE_CONNECTIONS)
                .run(server.address(), BUSY)
                .await?;
            drop(server); // kills it
        }
        let (took, started) = timed_start(&world).await?;
        times.push(took);
        server = Some(started);
    }
    let (least, most) = (percentile(&mut times, 0.0), percentile(&mut times, 1.0));
    report.figure("range", &format!("{least:.0} to {most:.0} ms"))?;
    report.at_most("start", median(&mut times), READY_MS_MAX, " ms")?;
    if let Some(server) = server {
        resident(report, "resident", &server).await?;
    }
    Ok(())
}

/// Audited reads of single secrets, spread over all.
pub(crate) async fn reads(report: &mut Report, million: &mut Million) -> Result<()> {
    let load = |population: &Population| population.reads(READ_CONNECTIONS);
    compare(
        report,
        million,
        "Reads of one secret, 16 connections",
        load,
        READ_RATIO_MAX,
    )
    .await
}

/// Lists of all that one caller may read: 100 secrets.
pub(crate) async fn lists(report: &mut Report, million: &mut Million) -> Result<()> {
    let load = |population: &Population| population.lists(LIST_CONNECTIONS);
    compare(
        report,
        million,
        "Lists of 100 readable secrets, 4 connections",
        load,
        LIST_RATIO_MAX,
    )
    .await
}

async fn compare(
    report: &mut Report,
    million: &mut Million,
    what: &str,
    load: impl Fn(&Population) -> Result<Load>,
    ratio_max: f64,
) -> Result<()> {
    let (few, many) = (World::new()?, million.world(report).await?);
    report.heading(what)?;
    let (of_few, of_many) = (few.start(&[])?, many.start(&[])?);
    let few_load = load(&Population::load(of_few.address(), FEW_SECRETS).await?)?;
    let many_load = load(&Population::log_in(of_many.address(), SECRETS).await?)?;
    let (mut few_rounds, mut many_rounds) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        few_rounds.add(&of_few, &few_load).await?;
        many_rounds.add(&of_many, &many_load).await?;
    }
    let few_us = few_rounds.report(report, "of 1,000 secrets")?;
    let many_us = many_rounds.report(report, "of 1,000,000 secrets")?;
    report.at_most("1,000,000 / 1,000", many_us / few_us, ratio_max, "")?;
    resident(report, "resident", &of_many).await
}

/// Every name of a folder, page by page.
pub(crate) async fn pages(report: &mut Report, million: &mut Million) -> Result<()> {
    let world = million.world(report).await?;
    let server = world.start(&[])?;
    let address = server.address();
    let population = Population::log_in(address, SECRETS).await?;
    let admin = Account::admin(address, &world).await?;
    for (who, is_writing) in [
        ("an administrator", false),
        ("an administrator, a write before each page", true),
        ("its reader", false),
        ("its reader, a write before each page", true),
    ] {
        report.heading(&format!("Paging through a folder: {who}"))?;
        let mut costs = Vec::new();
        for (slug, names) in [NARROW, WIDE] {
            let owner = population.service(slug)?;
            let reader = if who.starts_with("an") { &admin } else { owner };
            let mut walk = Walk {
                connection: Connection::open(address).await?,
                writer: is_writing.then_some(owner),
                slug,
                pages: 0,
            };
            let mut cost = async |walks: usize| {
                let before = server.cpu_time()?;
                for _ in 0..walks {
                    walk.through(reader).await?;
                }
                let cpu = server.cpu_time()?.saturating_sub(before);
                anyhow::Ok(cpu.as_secs_f64() * 1e6 / ratio((walks * names) as u64, 1))
            };
            let first = cost(1).await?;
            let cost = cost(WALKED / names).await?;
            report.figure(
                &format!("{names} names"),
                &format!("{cost:.2} us CPU a name, in the first walk {first:.2}"),
            )?;
            costs.push(cost);
        }
        let [narrow, wide] = costs[..] else { continue };
        report.at_most("100,000 / 10,000", wide / narrow, NAME_RATIO_MAX, "")?;
        resident(report, "resident", &server).await?;
    }
    Ok(())
}

/// A walk through the one folder of a service.
struct Walk<'p> {
    connection: Connection,
    /// Who writes into the folder before each page.
    writer: Option<&'p Account>,
    slug: &'p str,
    pages: usize,
}

impl Walk<'_> {
    /// Asks for page after page until the folder ends; gives the number of names.
    async fn through(&mut self, reader: &Account) -> Result<usize> {
        let folder = format!("apps/unnamed/{}/{FOLDER}", self.slug);
        let (mut after, mut found) = (folder.clone(), 0);
        loop {
            if let Some(writer) = self.writer {
                let save = population::one_more(self.slug, self.pages % BATCH);
                self.connection.send(&writer.request("PUT", PATH, &save)).await?;
            }
            self.pages += 1;
            let body = json!({ "text": "", "after": after, "limit": PAGE });
            let request = reader.request("POST", "/strongroom/v1/secrets/search", &body);
            let page: Value = serde_json::from_slice(self.connection.send(&request).await?)?;
            let paths = page
                .get("paths")
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            let inside = |path: &&Value| path.as_str().is_some_and(|path| path.starts_with(&folder));
            let names = paths.iter().filter(inside).count();
            ensure!(found > 0 || names > 0, "the folder is empty");
            found += names;
            match page.get("next").and_then(Value::as_str) {
                Some(next) if names == paths.len() => after = next.to_owned(),
                _ => return Ok(found),
            }
        }
    }
}

pub(crate) async fn resident(report: &mut Report, name: &str, server: &Process) -> Result<()> {
    report.at_most(name, resident_mib(server).await?, RESIDENT_MIB_MAX, " MiB")
}
