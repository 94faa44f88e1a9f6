//! How many rows an update puts, counted between storage's committer and redb, in a server inside this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use strongroom::server::Server;
use strongroom_storage::{Backend, Failure, Group, KeyRange, Revision, Row};

use crate::cost::WRITE_CONNECTIONS;
use crate::recorder::configuration;
use crate::report::Report;
use crate::stats::ratio;
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
    let counting = |backend| Counting {
        backend,
        counts: counts.clone(),
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

/// A backend that counts what it is given.
struct Counting<B> {
    backend: B,
    counts: Arc<Mutex<Counts>>,
}

impl<B: Backend> Backend for Counting<B> {
    const SCANS_BLOCK: bool = B::SCANS_BLOCK;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        self.backend.get(key)
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        self.backend.scan(range, limit)
    }

    fn apply(&self, group: Group) -> Result<(), Failure> {
        let puts = group.writes.values().filter(|row| row.is_some()).count();
        let deletes = group.writes.len() - puts;
        self.backend.apply(group)?;
        let mut counts = lock(&self.counts);
        counts.groups += 1;
        counts.puts += 1 + puts as u64; // redb keeps the revision of each group in a row of its own
        counts.deletes += deletes as u64;
        Ok(())
    }

    fn head(&self) -> Result<Revision, Failure> {
        self.backend.head()
    }

    fn reopen(&self) -> Result<(), Failure> {
        self.backend.reopen()
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
