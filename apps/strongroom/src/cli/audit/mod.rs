//! `strongroom audit`: work with the audit ledger. Verifying needs no server and no key but the public one.

mod online;
mod proof;
mod verify;

use std::fmt::Display;
use std::fs;
use std::path::Path;

use clap::Subcommand;
use strongroom_tlog::VerifierKey;

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::run_async;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    Tail(online::Tail),
    Show(online::Show),
    Prove(online::Prove),
    Export(online::Export),
    Verify(verify::Verify),
    VerifyProof(proof::VerifyProof),
}

impl Audit {
    pub(super) fn run(self, console: Console) -> Result<(), Failure> {
        match self {
            Self::Tail(tail) => run_async(tail.run(console)),
            Self::Show(show) => run_async(show.run(console)),
            Self::Prove(prove) => run_async(prove.run(console)),
            Self::Export(export) => run_async(export.run(console)),
            Self::Verify(verify) => verify.run(console),
            Self::VerifyProof(verify) => verify.run(console),
        }
    }
}

/// The ledger's public key, from its file.
fn read_key(file: &Path) -> Result<VerifierKey, Failure> {
    let unusable = |why: &dyn Display| Failure::new(format!("key `{}`: {why}", file.display()));
    let key = fs::read_to_string(file).map_err(|error| unusable(&error))?;
    key.trim_end().parse().map_err(|error| unusable(&error))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| Failure::new(format!("cannot read `{}`: {error}", file.display())))
}
