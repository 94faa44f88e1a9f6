//! `strongroom audit verify`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use strongroom_base::Timestamp;
use strongroom_ledger::{Report, verify, verify_since};
use strongroom_tlog::CosignerKey;

use super::{read, read_key};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::time::rfc3339;

/// Verify a ledger, or a copy of one: that every file is what the signed checkpoint says
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// Folder of the ledger (`ledger` in the server's data folder)
    dir: PathBuf,
    /// The ledger's public key (`ledger.vkey` in the server's data folder), from a place you trust
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// An older checkpoint of the ledger, kept elsewhere: verify that the ledger only grew since
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,
    /// Public key of a witness, may be repeated: verify that it has cosigned a checkpoint that the ledger continues
    #[arg(long, value_name = "VKEY")]
    witness: Vec<CosignerKey>,
    /// How many of the witnesses must have cosigned [default: all]
    #[arg(long, value_name = "N", requires = "witness")]
    witness_quorum: Option<usize>,
}

impl Verify {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        let key = read_key(&self.key)?;
        let older = self.since.as_deref().map(read).transpose()?;
        let report = verify(&self.dir, &key).map_err(|error| {
            Failure::of(&error).advise(
                "The ledger is damaged, changed, or of another key. Keep it as it is, and compare it with a copy.",
            )
        })?;
        let older = older
            .map(|older| verify_since(&self.dir, &key, &older))
            .transpose();
        let older = older.map_err(|error| {
            Failure::of(&error).advise(
                "The ledger by itself is intact, but it is not the one that the older checkpoint is of. Keep both.",
            )
        })?;
        let cosigners = self.cosigners(&report)?;
        let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), rfc3339);
        let out = &mut console.out;
        writeln!(out, "The ledger is intact.")?;
        writeln!(out, "origin     {}", report.origin)?;
        writeln!(out, "leaves     {}", report.size)?;
        writeln!(out, "requests   {}", report.requests)?;
        writeln!(out, "first      {}", time(report.first))?;
        writeln!(out, "last       {}", time(report.last))?;
        if let Some(older) = older {
            writeln!(out, "continues  {} leaves of the older checkpoint", older.size)?;
        }
        let size = report.cosigned.as_ref().map_or(0, |(cosigned, _)| cosigned.size);
        for (witness, time) in cosigners {
            writeln!(
                out,
                "cosigned   {size} leaves, by {} at {}",
                witness.name(),
                rfc3339(time)
            )?;
        }
        Ok(())
    }

    /// Those of the witnesses that have cosigned, if they are enough.
    fn cosigners(&self, report: &Report) -> Result<Vec<(&CosignerKey, Timestamp)>, Failure> {
        let cosigners = report.cosigners(&self.witness).map_err(|error| {
            Failure::of(&error)
                .advise("The ledger by itself is intact, but a witness did not sign what stands there.")
        })?;
        let needed = self.witness_quorum.unwrap_or(self.witness.len());
        if cosigners.len() >= needed {
            return Ok(cosigners);
        }
        let is_missing = |witness: &&CosignerKey| cosigners.iter().all(|(known, _)| known != witness);
        let missing: Vec<_> = self
            .witness
            .iter()
            .filter(is_missing)
            .map(CosignerKey::name)
            .collect();
        let text = format!(
            "{} of the {needed} witnesses that are needed have cosigned; not: {}",
            cosigners.len(),
            missing.join(", ")
        );
        Err(Failure::new(text).advise(
            "The ledger by itself is intact. Without a witness's word it may be one of several histories: ask the \
             witness for its newest checkpoint, and compare with --since.",
        ))
    }
}
