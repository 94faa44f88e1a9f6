//! `strongroom witness`.

use std::io::{IsTerminal, Write, stderr};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use strongroom_base::{SystemClock, SystemRng};
use strongroom_tlog::VerifierKey;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::config::{LogFormat, LogLevel};
use crate::server::shutdown::StopSignals;
use crate::server::telemetry;
use crate::server::witness::WitnessServer;

#[derive(Debug, Subcommand)]
pub(super) enum Witness {
    Serve(Serve),
}

/// Witness the ledgers of others: cosign each checkpoint that continues the one cosigned last
///
/// Speaks c2sp.org/tlog-witness over HTTP. All it says is public, and what it cosigns is signed. The first start makes
/// the witness's key; its public half is printed at each.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Folder of the witness's key, and of what it cosigned. If it is lost or rolled back, the witness must not go on
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on, may be repeated
    #[arg(long, value_name = "ADDR", required = true)]
    listen: Vec<SocketAddr>,
    /// Public key of a ledger to witness (the line in its `ledger.vkey`), may be repeated
    #[arg(long, value_name = "VKEY", required = true)]
    log: Vec<VerifierKey>,
}

impl Serve {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        let format = if stderr().is_terminal() {
            LogFormat::Human
        } else {
            LogFormat::Json
        };
        let _log = telemetry::start(format, LogLevel::Info);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let stop = StopSignals::catch()?;
            let clock = Arc::new(SystemClock::new());
            let server =
                WitnessServer::start(&self.data, &self.listen, self.log, clock, &SystemRng::default());
            let server = server.map_err(|error| Failure::of(&error))?;
            for address in server.addresses() {
                writeln!(console.out, "The witness is ready at http://{address}")?;
            }
            writeln!(console.out, "{}", server.vkey())?;
            console.out.flush()?;
            // The console has standard error locked, which from here on is the log's.
            drop(console);
            server.serve(stop.received()).await;
            Ok(())
        })
    }
}
