//! `strongroom audit`: offline work with the audit ledger. It needs no server and no key but the public one.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use strongroom_base::Timestamp;
use strongroom_ledger::verify;
use strongroom_tlog::VerifierKey;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::time::rfc3339;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    Verify(Verify),
}

/// Verify a ledger, or a copy of one: that every file is what the signed checkpoint says
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Folder of the ledger (`ledger` in the server's data folder)
    dir: PathBuf,
    /// The ledger's public key (`ledger.vkey` in the server's data folder), from a place you trust
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

impl Verify {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        let unusable =
            |why: &dyn std::fmt::Display| Failure::new(format!("key `{}`: {why}", self.key.display()));
        let key = fs::read_to_string(&self.key).map_err(|error| unusable(&error))?;
        let key: VerifierKey = key.trim_end().parse().map_err(|error| unusable(&error))?;
        let report = verify(&self.dir, &key).map_err(|error| {
            Failure::of(&error).advise(
                "The ledger is damaged, changed, or of another key. Keep it as it is, and compare it with a copy.",
            )
        })?;
        let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), rfc3339);
        let out = &mut console.out;
        writeln!(out, "The ledger is intact.")?;
        writeln!(out, "origin     {}", report.origin)?;
        writeln!(out, "leaves     {}", report.size)?;
        writeln!(out, "requests   {}", report.requests)?;
        writeln!(out, "first      {}", time(report.first))?;
        Ok(writeln!(out, "last       {}", time(report.last))?)
    }
}
