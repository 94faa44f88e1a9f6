//! `strongroom audit verify-proof`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use strongroom_ledger::Disclosure;
use strongroom_tlog::ProofFile;

use super::{read, read_key};
use crate::cli::console::Console;
use crate::cli::failure::Failure;

/// Verify a proof that an entry is in a ledger, and what was disclosed of it; the ledger is not needed
#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyProof {
    /// The proof (`.tlog-proof`)
    proof: PathBuf,
    /// The ledger's public key (`ledger.vkey` in the server's data folder), from a place you trust
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The entry's exact bytes [default: those in the proof]
    #[arg(long, value_name = "FILE")]
    leaf: Option<PathBuf>,
    /// A field of the entry that was disclosed, may be repeated
    #[arg(long, value_name = "FILE")]
    disclosed: Vec<PathBuf>,
}

impl VerifyProof {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        let key = read_key(&self.key)?;
        let refused = |why: &dyn std::fmt::Display| {
            Failure::new(format!("proof `{}` is refused: {why}", self.proof.display()))
        };
        let text = String::from_utf8(read(&self.proof)?).map_err(|_| refused(&"it is no text"))?;
        let proof: ProofFile = text.parse().map_err(|error| refused(&error))?;
        let leaf = match &self.leaf {
            Some(file) => without_newline(read(file)?),
            None => proof
                .extra
                .clone()
                .ok_or_else(|| refused(&"it does not have the entry in it: give --leaf"))?,
        };
        let checkpoint = proof.verify(&leaf, &key).map_err(|error| refused(&error))?;
        let disclosed: Vec<_> = self
            .disclosed
            .iter()
            .map(|file| verify_disclosure(file, &leaf))
            .collect::<Result<_, _>>()?;

        let out = &mut console.out;
        writeln!(out, "The entry is in the ledger.")?;
        writeln!(out, "origin     {}", checkpoint.origin)?;
        writeln!(out, "entry      {} of {}", proof.index, checkpoint.size)?;
        for Disclosure {
            field, index, value, ..
        } in disclosed
        {
            writeln!(out, "{:<10} {} ({index})", field.as_str(), value.escape_debug())?;
        }
        Ok(writeln!(out, "leaf       {}", leaf.escape_ascii())?)
    }
}

fn verify_disclosure(file: &Path, leaf: &[u8]) -> Result<Disclosure, Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::new(format!("disclosure `{}` is refused: {why}", file.display()))
    };
    let disclosure: Disclosure = serde_json::from_slice(&read(file)?).map_err(|error| refused(&error))?;
    disclosure.verify(leaf).map_err(|error| refused(&error))?;
    Ok(disclosure)
}

/// An editor, or a shell, adds a newline that no leaf has.
fn without_newline(mut leaf: Vec<u8>) -> Vec<u8> {
    if leaf.last() == Some(&b'\n') {
        leaf.pop();
    }
    leaf
}
