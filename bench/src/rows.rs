//! How many rows an update puts, counted between storage's committer and redb, in a server inside this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use strongroom::server::Server;
use strongroom_storage::Group;

use crate::cost::WRITE_CONNECTIONS;
use crate::recorder::configuration;
use crate::report::Report;
use crate::stats::ratio;
use crate::tap::Tap;
use crate::world::{Account, World};

const DURATION: Duration = Duration::from_secs(5);
const ROWS_PER_UPDATE_MAX: f64 = 3.0;

/// Counts everything that is written meanwhile, also what the ledger's sequencer writes.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    report.heading("Rows, 64 connections")?;
    let world = World::new()?;
    let home = world.home().path();
    let (config, environment) = configuration(home)?;
    let counts = Arc::new(Mutex::new(Counts::default()));
    let seen = counts.clone();
    let counting = |backend| Tap {
        backend,
        see: move |group: &Group| {
            lock(&seen).add(group);
            Ok(())
        },
    };
    let server = Server::start_on(&config, &environment, counting).await?;
    let address = server
        .url()
        .trim_start_matches("http://")
        .parse()
        .context("no address")?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async { drop(stopped.await) }));

    let account = Account::create(address).await?;
    let before = *lock(&counts);
    let sent = account.writes(WRITE_CONNECTIONS).run(address, DURATION).await?;
    let after = *lock(&counts);
    drop(stop);
    serving.await?;

    let (groups, puts, deletes) = (
        after.groups - before.groups,
        after.puts - before.puts,
        after.deletes - before.deletes,
    );
    report.figure("updates", &format!("{} in {groups} commits", sent.requests))?;
    report.figure(
        "rows deleted an update",
        &format!("{:.2}", ratio(deletes, sent.requests)),
    )?;
    report.at_most(
        "rows put an update",
        ratio(puts, sent.requests),
        ROWS_PER_UPDATE_MAX,
        "",
    )
}

/// What was written so far.
#[derive(Clone, Copy, Default)]
struct Counts {
    groups: u64,
    puts: u64,
    deletes: u64,
}

impl Counts {
    fn add(&mut self, group: &Group) {
        let puts = group.writes.values().filter(|row| row.is_some()).count();
        self.groups += 1;
        self.puts += 1 + puts as u64; // redb keeps the revision of each group in a row of its own
        self.deletes += (group.writes.len() - puts) as u64;
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
