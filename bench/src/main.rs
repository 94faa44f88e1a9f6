//! How fast the server is: one command, one report. `docs/performance.md` says what each figure means.
//!
//! The server runs on one core and the load generator, which is this process, on another. The unit is processor time
//! of the server per request, beside a bare HTTP handler in the same run: it depends less than a rate does on what
//! else the machine does, and the ratio less than the time.

mod bare;
mod bulk;
mod cost;
mod load;
mod machine;
mod population;
mod process;
mod recorder;
mod report;
mod rewrap;
mod rows;
mod scale;
mod start;
mod stats;
mod syncs;
mod tap;
mod world;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use report::Report;
use scale::Million;

/// The server's allocator, for the bare server's sake.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the server beside a bare HTTP handler.
#[derive(Parser)]
struct Cli {
    /// What to measure [default: everything]
    scenarios: Vec<Scenario>,
    /// Keep the home of the instance with 1,000,000 secrets here, and take it from here the next time
    #[arg(long)]
    million: Option<PathBuf>,
    /// Be the recording server, of the instance in this home
    #[arg(long, hide = true)]
    record: Option<PathBuf>,
    /// Be the bare server, with replies of so many bytes
    #[arg(long, hide = true)]
    bare: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scenario {
    /// Processor time of an audited read
    Reads,
    /// Processor time of a durable write
    Writes,
    /// Syncs per durable write
    Syncs,
    /// Rows that the update of a secret puts
    Rows,
    /// Time from start to ready, and idle memory
    Start,
    /// Time that three shares take to open the seal
    Unseal,
    /// Rates of loading and of updates, beside redb alone with the same rows
    Bulk,
    /// Reads while everything is sealed anew, with 50,000 secrets
    Rewrap,
    /// Load 1,000,000 secrets, if they are not kept
    Million,
    /// Start after a kill, with 1,000,000 secrets
    MillionStart,
    /// Reads of 1,000,000 secrets, beside reads of 1,000
    MillionReads,
    /// Lists of 100 readable secrets among 1,000,000, beside the same among 1,000
    MillionLists,
    /// Paging through folders, by an administrator and by who may read them
    MillionPages,
    /// Reads while 1,000,000 secrets are sealed anew
    MillionRewrap,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(reply_bytes) = cli.bare {
        return bare::serve(reply_bytes);
    }
    if let Some(home) = cli.record {
        return recorder::serve(&home);
    }
    ensure!(
        !cfg!(debug_assertions),
        "run it with --release: anything else measures the compiler"
    );
    build_server()?;
    process::pin_self()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&cli.scenarios, cli.million))
}

async fn measure(scenarios: &[Scenario], million: Option<PathBuf>) -> Result<()> {
    let scenarios = if scenarios.is_empty() {
        Scenario::value_variants()
    } else {
        scenarios
    };
    let mut report = Report::new();
    machine::describe(&mut report)?;
    let mut million = Million::new(million)?;
    for scenario in scenarios {
        match scenario {
            Scenario::Reads => cost::reads(&mut report).await?,
            Scenario::Writes => cost::writes(&mut report).await?,
            Scenario::Syncs => syncs::measure(&mut report).await?,
            Scenario::Rows => Box::pin(rows::measure(&mut report)).await?,
            Scenario::Start => start::measure(&mut report).await?,
            Scenario::Unseal => start::unseal(&mut report).await?,
            Scenario::Bulk => bulk::measure(&mut report).await?,
            Scenario::Rewrap => rewrap::few(&mut report).await?,
            Scenario::Million => drop(million.world(&mut report).await?),
            Scenario::MillionStart => scale::start(&mut report, &mut million).await?,
            Scenario::MillionReads => scale::reads(&mut report, &mut million).await?,
            Scenario::MillionLists => scale::lists(&mut report, &mut million).await?,
            Scenario::MillionPages => scale::pages(&mut report, &mut million).await?,
            Scenario::MillionRewrap => rewrap::million(&mut report, &mut million).await?,
        }
    }
    Ok(())
}

/// Builds the program beside this one. Cargo has nothing to do when it is there.
fn build_server() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "strongroom",
            "--bin",
            "strongroom",
        ])
        .status()?;
    ensure!(built.success(), "the server does not build");
    Ok(())
}
