//! One run: two nodes, clients at both, and everything that can happen to the nodes, until the time is over.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strongroom_base::SystemClock;
use strongroom_storage::{OutboxKey, Storage, notes_in};
use strongroom_storage_postgres::{Database, Settings};
use strongroom_testkit::{Cut, Moment, Postgres, Proxy, Side, signal};

use crate::client::{self, Notebook, REGISTERS};
use crate::dice::Dice;
use crate::history::{Action, Event, chain};
use crate::node::{Bug, number, row_key};

const NODES: usize = 2;
const CLIENTS_OF_A_NODE: u64 = 3;
/// The statement that begins a commit.
const BEGIN: &str = "BEGIN ISOLATION LEVEL";
/// More than the messages of a commit on either side.
const MESSAGES: u64 = 20;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// `strongroom-register-node`.
    pub program: PathBuf,
    /// How long.
    pub length: Duration,
    /// What chooses what happens.
    pub seed: u64,
    /// The bug of the nodes, if they have one.
    pub bug: Option<Bug>,
}

/// What a run in which everything was explained has seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events of all registers.
    pub events: usize,
    /// Sets that were answered.
    pub done: u64,
    /// Sets whose fate was unknown to their clients.
    pub unknown: u64,
    /// Values that registers held, one after the other.
    pub values: usize,
    /// Nodes that were killed.
    pub kills: u32,
    /// Nodes that were paused, for a moment or for longer than the database waits.
    pub pauses: u32,
    /// Connections that were cut at a chosen message of a commit.
    pub cuts: u32,
    /// Times that all connections of a node were cut, or refused for a while.
    pub outages: u32,
}

struct Node {
    process: Child,
    proxy: Proxy,
    url: String,
    /// Where clients find it.
    port: Arc<AtomicU64>,
}

/// Runs until the time is over, and looks for an order that explains what the clients saw.
///
/// # Errors
/// When there is none, or a change has not its one note; other errors when it could not be tried.
pub async fn run(options: &Options) -> Result<Report> {
    let postgres = Postgres::start("")?;
    let database = postgres.database()?;
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Node::start(options, &postgres, &database)?);
    }
    let notebook = Arc::new(Notebook::new());
    let mut dice = Dice::new(options.seed);
    let mut clients = Vec::new();
    for node in &nodes {
        for _ in 0..CLIENTS_OF_A_NODE {
            let (notebook, port) = (notebook.clone(), node.port.clone());
            clients.push(tokio::spawn(client::run(notebook, port, dice.next())));
        }
    }
    let mut report = Report::default();
    let mut deck = Vec::new();
    while !notebook.has_taken(options.length) {
        let Some(misfortune) = deck.pop() else {
            deck = shuffled(&mut dice);
            continue;
        };
        disturb(options, &mut nodes, misfortune, &mut dice, &mut report).await?;
        tokio::time::sleep(Duration::from_millis(100 + dice.below(300))).await;
    }
    notebook.is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await?;
    }
    drop(nodes);
    judge(&postgres.url(&database), &notebook, &mut report).await?;
    Ok(report)
}

/// What can happen to a node.
#[derive(Clone, Copy, Debug)]
enum Misfortune {
    /// It is killed, and starts again.
    Kill,
    /// It sleeps.
    Pause,
    /// All its connections to the database are cut.
    CutAll,
    /// And refused for a while.
    Outage,
    /// A connection is cut at a message of a commit.
    Cut,
}

/// Everything that can happen, some of it more often, in any order: so a run has all of it.
fn shuffled(dice: &mut Dice) -> Vec<Misfortune> {
    use Misfortune::{Cut, CutAll, Kill, Outage, Pause};
    let mut deck = vec![Kill, Pause, Pause, CutAll, Outage, Cut, Cut, Cut];
    let mut shuffled = Vec::new();
    while !deck.is_empty() {
        let card = usize::try_from(dice.below(deck.len() as u64)).unwrap_or_default();
        shuffled.push(deck.swap_remove(card));
    }
    shuffled
}

/// Makes `misfortune` happen to one node.
async fn disturb(
    options: &Options,
    nodes: &mut [Node],
    misfortune: Misfortune,
    dice: &mut Dice,
    report: &mut Report,
) -> Result<()> {
    let which = usize::try_from(dice.below(nodes.len() as u64))?;
    let node = nodes.get_mut(which).context("a node too many")?;
    match misfortune {
        Misfortune::Kill => {
            node.kill()?;
            tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
            node.revive(options)?;
            report.kills += 1;
        }
        Misfortune::Pause => {
            // Sometimes it sleeps longer than the database waits for it.
            let long = if dice.below(6) == 0 { 6_000 } else { 700 };
            signal("STOP", node.process.id())?;
            tokio::time::sleep(Duration::from_millis(50 + dice.below(long))).await;
            signal("CONT", node.process.id())?;
            report.pauses += 1;
        }
        Misfortune::CutAll => {
            node.proxy.cut_all();
            report.outages += 1;
        }
        Misfortune::Outage => {
            node.proxy.set_down(true);
            node.proxy.cut_all();
            tokio::time::sleep(Duration::from_millis(dice.below(500))).await;
            node.proxy.set_down(false);
            report.outages += 1;
        }
        Misfortune::Cut => {
            let side = if dice.below(2) == 0 {
                Side::Client
            } else {
                Side::Server
            };
            let moment = if dice.below(2) == 0 {
                Moment::Before
            } else {
                Moment::After
            };
            let number = usize::try_from(dice.below(MESSAGES))?;
            node.proxy.watch(BEGIN, Some(Cut { side, number, moment }));
            tokio::time::sleep(Duration::from_millis(150)).await;
            report.cuts += u32::from(node.proxy.stop_watching().1.is_some());
        }
    }
    Ok(())
}

/// Looks for an order for each register, and compares the outbox with it.
async fn judge(url: &str, notebook: &Notebook, report: &mut Report) -> Result<()> {
    let database = Database::open(Settings::new(url, None)?, Arc::new(SystemClock::new())).await?;
    let storage = database.storage(Arc::new(()));
    // A commit of a dead node may still be on its way: whoever commits now comes after it.
    storage.commit(strongroom_storage::Change::default()).await?;
    let mut written = BTreeSet::new();
    for key in 0..REGISTERS {
        let row = storage.get(&row_key(key)).await?;
        let value = row.map(|row| number(&row.value)).transpose()?;
        let now = notebook.now();
        notebook.add(
            key,
            Event {
                called: now,
                answered: Some(now),
                action: Action::Read(value),
            },
        );
        let history = notebook.history(key);
        let chain = chain(&history).with_context(|| format!("register {key}"))?;
        ensure!(
            chain.last().copied() == value,
            "register {key} holds {value:?}, and the chain ends with {:?}",
            chain.last()
        );
        report.events += history.len();
        report.values += chain.len();
        written.extend(chain);
    }
    let (mut noted, mut after) = (BTreeSet::new(), None);
    loop {
        let page = storage.scan(OutboxKey::all(), after, 1_000).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (_, row) in &page {
            for note in notes_in(&row.value).context("a torn note")? {
                let value = number(note)?;
                ensure!(noted.insert(value), "{value} has two notes");
            }
        }
    }
    let mut odd = written.symmetric_difference(&noted);
    let first = odd.next();
    ensure!(
        first.is_none(),
        "written or noted, but not both: {first:?} and {} more",
        odd.count()
    );
    report.done = notebook.done.load(Ordering::SeqCst);
    report.unknown = notebook.unknown.load(Ordering::SeqCst);
    Ok(())
}

impl Node {
    fn start(options: &Options, postgres: &Postgres, database: &str) -> Result<Self> {
        let proxy = Proxy::start(postgres.port())?;
        let url = Postgres::url_through(proxy.port(), database);
        let (process, port) = spawn(options, &url)?;
        Ok(Self {
            process,
            proxy,
            url,
            port: Arc::new(AtomicU64::new(port)),
        })
    }

    fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    fn revive(&mut self, options: &Options) -> Result<()> {
        let (process, port) = spawn(options, &self.url)?;
        self.process = process;
        self.port.store(port, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill(); // it may be gone
    }
}

/// Starts a node; its port.
fn spawn(options: &Options, url: &str) -> Result<(Child, u64)> {
    let mut command = Command::new(&options.program);
    command.arg(url).args(options.bug.map(Bug::name));
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = process.stdout.take().context("no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let port = line.trim().parse().context("the node did not start")?;
    Ok((process, port))
}
