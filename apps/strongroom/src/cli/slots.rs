//! `strongroom operator slots`: the ways in which the root key of a running instance can be opened.

use std::io::{self, IsTerminal, Write};

use clap::{Args, Subcommand};
use serde_json::json;
use strongroom_base::Timestamp;
use strongroom_client::slots::{Added, Check, NewSlot, Slot};
use strongroom_secret::{SecretText, ct_eq};

use crate::cli::console::Console;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::remote::{Asked, Remote};
use crate::cli::table::Table;
use crate::cli::time::rfc3339;
use crate::cli::unseal::Unseal;

/// The parts of `strongroom operator slots`.
#[derive(Debug, Subcommand)]
pub(super) enum Slots {
    List(List),
    /// Add a way to open the instance
    #[command(subcommand)]
    Add(Add),
    Remove(Remove),
    Check(Box<CheckArgs>),
}

/// List the slots: how each opens, and whether it did when it was last tried
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    remote: Remote,
}

/// What every new slot has.
#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    remote: Remote,
    /// What you call it, for instance where its shares are kept
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
}

/// The kinds of slots.
#[derive(Debug, Subcommand)]
pub(super) enum Add {
    /// A new key file on the server's machine, outside the data directory
    KeyFile(Common),
    /// The key that the server has in its environment, STRONGROOM_SEAL_KEY
    EnvVar(Common),
    /// A passphrase, asked for or read from standard input
    Passphrase(Common),
    Shares(Shares),
    Pkcs11(Pkcs11),
    SystemdCredential(SystemdCredential),
}

/// Shares for several people, some of whom together open the instance; they are printed once
#[derive(Debug, Args)]
pub(super) struct Shares {
    #[command(flatten)]
    common: Common,
    /// How many are made
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..))]
    shares: u8,
    /// How many are needed
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..))]
    threshold: u8,
}

/// A new key in a PKCS#11 token, which never leaves it; the server's --pkcs11-module and PIN reach it
#[derive(Debug, Args)]
pub(super) struct Pkcs11 {
    #[command(flatten)]
    common: Common,
    /// Label of the token
    #[arg(long, value_name = "LABEL")]
    token: String,
    /// Label of the new key [default: made of the instance and the slot]
    #[arg(long, value_name = "LABEL")]
    key: Option<String>,
}

/// A key that systemd gives the server as a credential (LoadCredential=, LoadCredentialEncrypted=)
#[derive(Debug, Args)]
pub(super) struct SystemdCredential {
    #[command(flatten)]
    common: Common,
    /// Name of the credential
    #[arg(long, value_name = "NAME")]
    name: String,
}

/// Remove a slot; the last one stays
#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    remote: Remote,
    /// The slot's number
    id: u32,
}

/// Try slots: does each give the root key?
///
/// Those that open by themselves are tried as they are, the others with what --unseal-from gives. The server does the same
/// with the former at its start and once a day, and has `strongroom_seal_slot_ok` in its metrics.
#[derive(Debug, Args)]
#[command(after_help = exit::FINDING_HELP)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    unseal: Unseal,
    /// The slot's number [default: all]
    id: Option<u32>,
    /// Prove on a copy of all keys that this slot alone opens the instance
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    drill: Option<u32>,
}

impl Slots {
    pub(super) async fn run(self, mut console: Console) -> Result<(), Failure> {
        match self {
            Self::List(list) => {
                let mut asked = list.remote.open(console).await?;
                let slots = asked.client.slots().await?;
                print_slots(&mut asked, &slots)
            }
            Self::Add(add) => {
                let (common, new) = add.ask(&mut console)?;
                let mut asked = common.remote.open(console).await?;
                let label = common.label;
                let added = asked.client.add_slot(&NewSlot { label, ..new }).await?;
                print_added(&mut asked, &added)
            }
            Self::Remove(remove) => {
                let mut asked = remove.remote.open(console).await?;
                let removed = asked.client.remove_slot(remove.id).await?;
                if asked.output != Output::Table {
                    return output::document(&mut asked.console, asked.output, &removed);
                }
                let Asked { console, .. } = &mut asked;
                writeln!(console.out, "Slot {} is removed.", removed.slot.id)?;
                if removed.slot.is_in_use {
                    let err = &mut console.err;
                    writeln!(
                        err,
                        "It is the slot that opened the instance: the next start needs another one."
                    )?;
                }
                if removed.unattended_left == 0 {
                    let err = &mut console.err;
                    writeln!(
                        err,
                        "No slot is left that opens by itself: the next start needs `--unseal-from`."
                    )?;
                }
                Ok(())
            }
            Self::Check(check) => check.run(console).await,
        }
    }
}

impl Add {
    /// The new slot, with what has to be asked for.
    fn ask(self, console: &mut Console) -> Result<(Common, NewSlot), Failure> {
        let new = |kind| NewSlot {
            kind,
            ..NewSlot::default()
        };
        Ok(match self {
            Self::KeyFile(common) => (common, new("key-file")),
            Self::EnvVar(common) => (common, new("env-var")),
            Self::Passphrase(common) => {
                let passphrase = Some(ask_passphrase(console)?);
                (
                    common,
                    NewSlot {
                        passphrase,
                        ..new("passphrase")
                    },
                )
            }
            Self::Shares(Shares {
                common,
                shares,
                threshold,
            }) => {
                let (shares, threshold) = (Some(shares), Some(threshold));
                (
                    common,
                    NewSlot {
                        shares,
                        threshold,
                        ..new("shares")
                    },
                )
            }
            Self::Pkcs11(Pkcs11 { common, token, key }) => {
                let token = Some(token);
                (
                    common,
                    NewSlot {
                        token,
                        key,
                        ..new("pkcs11")
                    },
                )
            }
            Self::SystemdCredential(SystemdCredential { common, name }) => {
                let name = Some(name);
                (
                    common,
                    NewSlot {
                        name,
                        ..new("systemd-credential")
                    },
                )
            }
        })
    }
}

/// A person types a passphrase twice; a script gives it once.
fn ask_passphrase(console: &mut Console) -> Result<SecretText, Failure> {
    let passphrase = console.ask_hidden("New passphrase")?;
    if io::stdin().is_terminal() {
        let again = console.ask_hidden("The same once more")?;
        if !ct_eq(passphrase.expose().as_bytes(), again.expose().as_bytes()) {
            return Err(Failure::new("the two are not the same: nothing was changed"));
        }
    }
    Ok(passphrase)
}

impl CheckArgs {
    async fn run(self, mut console: Console) -> Result<(), Failure> {
        let given = self.unseal.read(&mut console)?;
        let mut asked = self.remote.open(console).await?;
        if let Some(id) = self.drill {
            let drilled = asked.client.drill_slot(id, given.as_ref()).await?;
            if asked.output != Output::Table {
                return output::document(&mut asked.console, asked.output, &drilled);
            }
            let (rows, workspaces) = (drilled.rows, drilled.workspaces);
            writeln!(
                asked.console.out,
                "Slot {id} alone opens a copy of the instance: {rows} rows, the keys of {workspaces} workspaces."
            )?;
            return Ok(());
        }
        let checks = asked.client.check_slots(self.id, given.as_ref()).await?;
        print_checks(&mut asked, &checks)
    }
}

fn print_slots(asked: &mut Asked, slots: &[Slot]) -> Result<(), Failure> {
    if asked.output != Output::Table {
        return output::document(&mut asked.console, asked.output, &json!({ "slots": slots }));
    }
    let mut table = Table::new(["SLOT", "KIND", "OPENS BY", "LABEL", "MADE", "STATE"]);
    for slot in slots {
        let made = slot
            .created
            .map_or_else(|| "-".to_owned(), |time| rfc3339(Timestamp::from_millis(time)));
        let id = slot.id.to_string();
        table.row([&id, &slot.kind, &slot.opens_by, &slot.label, &made, &state(slot)]);
    }
    Ok(table.write(&mut *asked.console.out)?)
}

fn state(slot: &Slot) -> String {
    let trial = match slot.is_ok {
        Some(true) => "opens",
        Some(false) => "DOES NOT OPEN",
        None => "not tried",
    };
    let in_use = if slot.is_in_use { ", in use" } else { "" };
    format!("{trial}{in_use}")
}

fn print_added(asked: &mut Asked, added: &Added) -> Result<(), Failure> {
    let Asked { console, output, .. } = asked;
    let shares = || added.shares.iter().map(SecretText::expose);
    match output {
        // Shares are secrets, and this is written from memory that is wiped. JSON is YAML, too.
        Output::Json | Output::Yaml | Output::Env => {
            #[derive(serde::Serialize)]
            struct Document<'a> {
                slot: &'a Slot,
                shares: Vec<&'a str>,
            }
            let document = Document {
                slot: &added.slot,
                shares: shares().collect(),
            };
            let mut line = strongroom_secret::SecretBuffer::with_capacity(4096);
            serde_json::to_writer(&mut line, &document).map_err(|error| Failure::of(&error))?;
            line.extend(b"\n");
            console.out.write_all(line.expose())?;
        }
        Output::Table => {
            for share in shares() {
                writeln!(console.out, "{share}")?;
            }
            let Slot { id, opens_by, .. } = &added.slot;
            let err = &mut console.err;
            writeln!(err, "Slot {id} is added: it opens by {opens_by}.")?;
            if !added.shares.is_empty() {
                writeln!(
                    err,
                    "The shares are not shown again: give each to another person, and try them with `strongroom operator \
                     slots check --drill {id} --unseal-from prompt`."
                )?;
            }
        }
    }
    Ok(())
}

fn print_checks(asked: &mut Asked, checks: &[Check]) -> Result<(), Failure> {
    match asked.output {
        form @ (Output::Json | Output::Yaml | Output::Env) => {
            output::document(&mut asked.console, form, &json!({ "checks": checks }))?;
        }
        Output::Table => {
            let mut table = Table::new(["SLOT", "KIND", "LABEL", "TRIAL"]);
            for check in checks {
                let trial = match (check.verdict.as_str(), &check.why) {
                    ("opens", _) => "opens",
                    ("not_tried", _) => "not tried: give what opens it with `--unseal-from`",
                    (_, Some(why)) => why,
                    (other, None) => other,
                };
                let id = check.slot.id.to_string();
                table.row([&id, &check.slot.kind, &check.slot.label, trial]);
            }
            table.write(&mut *asked.console.out)?;
        }
    }
    match checks.iter().filter(|check| check.verdict == "fails").count() {
        0 => Ok(()),
        1 => Err(Failure::found("a slot does not open the instance").advise(ADVICE)),
        count => Err(Failure::found(format!("{count} slots do not open the instance")).advise(ADVICE)),
    }
}

const ADVICE: &str = "Mend what it opens by; or add another slot, and remove this one.";
