//! `strongroom operator`: look after an instance: its storage while its server is stopped, its seal and its keys while it runs.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use strongroom_core::inspection::{Check, Cited, Finding, Inspection, InspectionError, Misfitting, Scrub};

use crate::cli::console::Console;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::keys::{Rewrap, Rotate};
use crate::cli::output::{self, Output};
use crate::cli::run_async;
use crate::cli::seal;
use crate::cli::slots::Slots;
use crate::cli::unseal::Unseal;
use crate::cli::up::{complete, environment};
use crate::config::{DatabaseUrl, Settings};
use crate::server::boot::{AtRest, inspect};
use crate::server::environment::Environment;

#[derive(Debug, Subcommand)]
pub(super) enum Operator {
    /// Compare every row of storage with the ledger: find those put back, removed, or moved behind the server's back
    ///
    /// Encryption alone cannot tell an older version of a row from the newest, nor that a row is gone; the ledger can.
    /// The seal is opened as `strongroom up` does, and what a crash left is put in order, as at a start; nothing else
    /// is changed.
    #[command(after_help = exit::FINDING_HELP)]
    Scrub(Place),
    /// Read everything: whether each row opens, each index row has its record and each record its index rows
    ///
    /// The ledger is verified and each of its leaves opened, the journal is read, and rows are compared with each other.
    /// What was put back to an older state as a whole fits together all the same: `operator scrub` finds that.
    /// The seal is opened as `strongroom up` does, and what a crash left is put in order, as at a start; nothing else
    /// is changed.
    #[command(after_help = exit::FINDING_HELP)]
    Check(Place),
    Rotate(Rotate),
    #[command(after_help = exit::FINDING_HELP)]
    Rewrap(Rewrap),
    /// See, add, remove and try the ways to open a running instance
    #[command(subcommand)]
    Slots(Slots),
    Init(seal::Init),
    Unseal(seal::UnsealArgs),
    Seal(seal::Seal),
    Status(seal::Status),
    Rekey(seal::Rekey),
    GenerateRoot(seal::GenerateRoot),
}

/// Which instance, and how results are printed.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Folder of storage and ledger [default: $XDG_DATA_HOME/strongroom or ~/.local/share/strongroom]
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
    /// PostgreSQL database that the instance is in [default: a file in the --data folder]
    #[arg(long, value_name = "URL", env = "STRONGROOM_STORAGE", hide_env_values = true)]
    storage: Option<DatabaseUrl>,
    /// File with the password of the database
    #[arg(
        long,
        value_name = "FILE",
        env = "STRONGROOM_STORAGE_PASSWORD_FILE",
        hide_env_values = true
    )]
    storage_password_file: Option<PathBuf>,
    /// PKCS#11 module of the tokens that seal slots are in, a shared library
    #[arg(
        long,
        value_name = "FILE",
        env = "STRONGROOM_PKCS11_MODULE",
        hide_env_values = true
    )]
    pkcs11_module: Option<PathBuf>,
    /// File with the PIN of these tokens [default: the systemd credential `pkcs11-pin`]
    #[arg(
        long,
        value_name = "FILE",
        env = "STRONGROOM_PKCS11_PIN_FILE",
        hide_env_values = true
    )]
    pkcs11_pin_file: Option<PathBuf>,
    #[command(flatten)]
    unseal: Unseal,
    /// Data directory of another node of the same database, or a copy of it, whose ledger is used as well; repeatable
    #[arg(long = "ledger", value_name = "DIR")]
    ledgers: Vec<PathBuf>,
    /// How results are printed
    #[arg(long, value_name = "FORM", value_enum, default_value = "table")]
    output: Output,
}

impl Operator {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        match self {
            Self::Scrub(place) => {
                let output = place.output;
                let (found, verified) = place.inspect(&mut console, Inspection::scrub)?;
                print_scrub(&mut *console.out, output, &found).and(verified)
            }
            Self::Check(place) => {
                let output = place.output;
                let (found, verified) = place.inspect(&mut console, Inspection::check)?;
                print_check(&mut *console.out, output, &found).and(verified)
            }
            Self::Rotate(rotate) => run_async(rotate.run(console)),
            Self::Rewrap(rewrap) => run_async(rewrap.run(console)),
            Self::Slots(slots) => run_async(slots.run(console)),
            Self::Init(init) => run_async(init.run(console)),
            Self::Unseal(unseal) => run_async(unseal.run(console)),
            Self::Seal(seal) => run_async(seal.run(console)),
            Self::Status(status) => run_async(status.run(console)),
            Self::Rekey(rekey) => run_async(rekey.run(console)),
            Self::GenerateRoot(generate) => run_async(generate.run(console)),
        }
    }
}

impl Place {
    /// What `look` finds in the instance, and whether its storage file is whole.
    fn inspect<T>(
        self,
        console: &mut Console,
        look: impl AsyncFnOnce(&Inspection) -> Result<T, InspectionError>,
    ) -> Result<(T, Result<(), Failure>), Failure> {
        let environment = environment(&self.unseal, console)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let at_rest = Box::pin(self.open(environment)).await?;
            let found = look(&at_rest.inspection)
                .await
                .map_err(|error| Failure::of(&error))?;
            Ok((found, at_rest.verify().map_err(|error| Failure::of(&error))))
        })
    }

    /// Opens the instance.
    async fn open(self, environment: Environment) -> Result<AtRest, Failure> {
        let settings = Settings {
            data: self.data,
            storage: self.storage,
            storage_password_file: self.storage_password_file,
            pkcs11_module: self.pkcs11_module,
            pkcs11_pin_file: self.pkcs11_pin_file,
            ..Settings::default()
        };
        let config = complete(settings).map_err(|error| Failure::of(&error))?;
        inspect(&config, &environment, &self.ledgers)
            .await
            .map_err(|error| Failure::of(&error))
    }
}

fn print_scrub(out: &mut dyn Write, output: Output, scrub: &Scrub) -> Result<(), Failure> {
    match output {
        form @ (Output::Json | Output::Yaml | Output::Env) => {
            let findings: Vec<_> = scrub.findings.iter().map(finding_to_json).collect();
            let Scrub {
                rows,
                leaves,
                untold,
                elsewhere,
                ..
            } = scrub;
            let missing: Vec<_> = scrub.missing.iter().map(|node| node.0).collect();
            let document = json!({
                "rows": rows, "leaves": leaves, "untold": untold, "elsewhere": elsewhere, "missing_ledgers": missing,
                "findings": findings,
            });
            output::write_document(out, form, &document)?;
        }
        Output::Table => {
            for Finding { row, fault, last } in &scrub.findings {
                let last = last.map_or_else(String::new, |last| format!(" (last word: {last})"));
                writeln!(out, "{row} {fault}{last}")?;
            }
            writeln!(
                out,
                "{} rows were compared with {} leaves.",
                scrub.rows, scrub.leaves
            )?;
            for node in &scrub.missing {
                writeln!(
                    out,
                    "The ledger of node {node} was not looked at: give its data directory, or a copy of it, as --ledger."
                )?;
            }
            if scrub.elsewhere > 0 {
                writeln!(
                    out,
                    "{} rows were or may have been changed last by a node whose leaves are not here: nothing can be said \
                     of them.",
                    scrub.elsewhere
                )?;
            }
            if scrub.untold > 0 {
                writeln!(
                    out,
                    "{} rows are as old as leaves that do not tell of rows: nothing can be said of them.",
                    scrub.untold
                )?;
            }
        }
    }
    match scrub.findings.len() {
        0 => Ok(()),
        count => Err(
            Failure::found(format!("{count} rows are not what the ledger says")).advise(
                "Keep the data directory as it is. Somebody has written to storage, or it was restored in part: compare \
                 it with a backup.",
            ),
        ),
    }
}

fn finding_to_json(Finding { row, fault, last }: &Finding) -> serde_json::Value {
    let request = |cited: Option<Cited>| cited.map(|cited| cited.request.to_string());
    json!({
        "row": row.to_string(),
        "fault": fault.as_str(),
        "text": fault.to_string(),
        "request": request(*last),
    })
}

fn print_check(out: &mut dyn Write, output: Output, check: &Check) -> Result<(), Failure> {
    let Check {
        rows,
        leaves,
        findings,
    } = check;
    match output {
        form @ (Output::Json | Output::Yaml | Output::Env) => {
            let findings: Vec<_> = findings.iter().map(misfitting_to_json).collect();
            let document = json!({"rows": rows, "leaves": leaves, "findings": findings});
            output::write_document(out, form, &document)?;
        }
        Output::Table => {
            for Misfitting { row, misfit } in findings {
                writeln!(out, "{row} {misfit}")?;
            }
            writeln!(out, "{rows} rows and {leaves} leaves were read.")?;
        }
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(Failure::found(format!("{count} rows do not open or do not fit")).advise(
            "Keep the data directory as it is, see with `strongroom operator scrub` who changed what, and compare it with \
             a backup.",
        )),
    }
}

fn misfitting_to_json(Misfitting { row, misfit }: &Misfitting) -> serde_json::Value {
    json!({"row": row.to_string(), "fault": misfit.as_str(), "text": misfit.to_string()})
}
