//! The loop: start, let the writers at it, kill, start again, compare.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use strongroom_testkit::{Home, Server};

use crate::aim::Aim;
use crate::dice::Dice;
use crate::history::{ACKNOWLEDGED_WRITES_ARE_KEPT, Values};
use crate::ledger::leaves;
use crate::site::{Account, Site, lock};
use crate::writer::Writer;
use crate::{Announcement, Bug, Violation};

/// The name that all writers write.
pub(crate) const SHARED_NAME: &str = "shared/name";

/// A killed server opens again.
const THE_SERVER_OPENS: &str = "the_server_opens";
/// Who may read a secret finds it in the list, and nothing else.
const LISTS_AGREE_WITH_RECORDS: &str = "lists_agree_with_records";

const WRITERS: usize = 8;
/// Acknowledged writes of a round before the kill, at least.
const WRITES_A_ROUND: usize = 20;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// `strongroom-crashable`.
    pub program: PathBuf,
    /// How often the server is killed.
    pub rounds: u32,
    /// After how many kills it is stopped in peace, and its ledger checked. That happens after the last one, too.
    pub ledger_every: u32,
    /// What chooses requests and moments.
    pub seed: u64,
    /// The bug of the server, if it has one.
    pub bug: Option<Bug>,
}

/// What a run without a violation has seen.
#[derive(Debug)]
pub struct Report {
    /// Kills.
    pub kills: u32,
    /// Those among them that fell inside a commit.
    pub inside: u32,
    /// Requests that were answered.
    pub answers: usize,
    /// Leaves in the ledger.
    pub leaves: usize,
}

/// Runs the loop on a new data directory.
///
/// # Errors
/// A [`Violation`] when the server broke a rule; other errors when it could not be tried.
pub async fn run(options: &Options) -> Result<Report> {
    let mut run = Run::start(options).await?;
    for round in 1..=options.rounds {
        run.crash().await?;
        run.compare().await?;
        if round.is_multiple_of(options.ledger_every) || round == options.rounds {
            run.check_ledger()?;
        }
    }
    let Run { report, .. } = run;
    Ok(report)
}

struct Run {
    options: Options,
    home: Home,
    /// `None` only between a stop and a start.
    server: Option<Server>,
    site: Site,
    admin: Account,
    writers: Vec<Writer>,
    aim: Aim,
    report: Report,
}

impl Run {
    async fn start(options: &Options) -> Result<Self> {
        let home = Home::new()?;
        let mut site = Site::new()?;
        let server = start(options, &home)?;
        server.url().clone_into(&mut site.url);
        let admin = site.log_in("admin", &home.password()?).await?;
        let users = [site.register("alice").await?, site.register("bob").await?];
        lock(&site.shared).send("first".to_owned());
        site.write(
            &admin,
            &[(SHARED_NAME.to_owned(), Some("first".to_owned()))].into(),
        )
        .await?;
        lock(&site.shared).acknowledged("first");

        let mut dice = Dice::new(options.seed);
        let writers = users.iter().cycle().take(WRITERS).enumerate();
        let writers = writers
            .map(|(number, user)| Writer::new(number, user.clone(), admin.clone(), Dice::new(dice.roll())));
        let writers = writers.collect();
        let aim = Aim::new(dice.roll());
        let report = Report {
            kills: 0,
            inside: 0,
            answers: 0,
            leaves: 0,
        };
        Ok(Self {
            options: options.clone(),
            home,
            server: Some(server),
            site,
            admin,
            writers,
            aim,
            report,
        })
    }

    /// Lets the writers at the server until it is killed, and starts it again.
    async fn crash(&mut self) -> Result<()> {
        let server = self.server.take().context("the server runs")?;
        let (announcement, acknowledged) = (
            Announcement::path_in(self.home.path()),
            self.site.acknowledged.clone(),
        );
        acknowledged.store(0, Ordering::Relaxed);
        let shot = self.aim.next();
        let kill = async {
            let kill = move || shot.kill(server, &announcement, &acknowledged, WRITES_A_ROUND);
            tokio::task::spawn_blocking(kill).await?
        };
        let writing = try_join_all(self.writers.iter_mut().map(|writer| writer.run(&self.site)));
        let (inside, _) = tokio::try_join!(kill, writing)?;
        self.aim.learn(inside);
        self.report.kills += 1;
        self.report.inside += u32::from(inside);
        self.restart()
    }

    fn restart(&mut self) -> Result<()> {
        let opened = start(&self.options, &self.home);
        let server = opened.map_err(|error| Violation::new(THE_SERVER_OPENS, format!("{error:#}")))?;
        server.url().clone_into(&mut self.site.url);
        self.server = Some(server);
        Ok(())
    }

    /// Compares what is stored with what was answered. The sessions of before the crash must still be good for it.
    async fn compare(&mut self) -> Result<()> {
        let gone = "the server is gone";
        let mut found = self.site.read(&self.admin, None).await?.context(gone)?;
        let shared = found.remove(SHARED_NAME);
        let unknown = lock(&self.site.shared).unanswered();
        lock(&self.site.shared).settle(shared.as_ref())?;
        lock(&self.site.answers).add_unknown(self.admin.slug, unknown);
        for writer in &mut self.writers {
            let (own, others) = found
                .into_iter()
                .partition::<Values, _>(|(name, _)| writer.owns(name));
            if writer.own.settle(own)? {
                lock(&self.site.answers).add_happened(writer.account.slug);
            }
            found = others;
        }
        if let Some((name, _)) = found.first_key_value() {
            return Err(
                Violation::new(ACKNOWLEDGED_WRITES_ARE_KEPT, format!("nobody wrote `{name}`")).into(),
            );
        }
        for account in self.writers.iter().take(2).map(|writer| &writer.account) {
            let listed = self.site.read(account, None).await?.context(gone)?;
            let owners = self
                .writers
                .iter()
                .filter(|writer| writer.account.slug == account.slug);
            let own: Values = owners.flat_map(|writer| writer.own.settled().clone()).collect();
            if listed != own {
                let what = format!(
                    "`{}` is shown {:?} and not {:?}",
                    account.slug,
                    listed.keys(),
                    own.keys()
                );
                return Err(Violation::new(LISTS_AGREE_WITH_RECORDS, what).into());
            }
        }
        Ok(())
    }

    /// Stops the server in peace, checks its ledger, and starts it again.
    fn check_ledger(&mut self) -> Result<()> {
        let ended = self.server.take().context("the server runs")?.stop()?;
        ensure!(
            ended.success(),
            "the server was stopped in peace and ended with {ended}"
        );
        let leaves = leaves(&self.home.data())?;
        let answers = lock(&self.site.answers);
        answers.check(&leaves)?;
        (self.report.answers, self.report.leaves) = (answers.count(), leaves.len());
        drop(answers);
        self.restart()
    }
}

fn start(options: &Options, home: &Home) -> Result<Server> {
    let mut command = std::process::Command::new(&options.program);
    command
        .args(options.bug.map(Bug::name))
        .env_clear()
        .env("HOME", home.path());
    Server::start(command)
}
