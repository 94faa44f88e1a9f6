//! `strongroom audit`: work with the audit ledger. Verifying needs no server and no key but the public one.

mod proof;
mod verify;

use std::fmt::Display;
use std::fs;
use std::path::Path;

use clap::Subcommand;
use strongroom_tlog::VerifierKey;

use crate::cli::console::Console;
use crate::cli::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    Verify(verify::Verify),
    VerifyProof(proof::VerifyProof),
}

impl Audit {
    pub(super) fn run(self, console: Console) -> Result<(), Failure> {
        match self {
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
