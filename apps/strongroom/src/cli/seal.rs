//! `strongroom operator init|unseal|seal|status|rekey|generate-root`: opening and closing a running server.
//!
//! Shares and passphrases are asked for at a hidden prompt, or read from standard input, one a call: each of those who
//! hold a share gives it from where they are.

use std::io::Write;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use strongroom_client::seal::{
    Initialized, NewInstance, Progress, RekeyStep, Rekeyed, RootStep, SealStatus, Unseal,
};
use strongroom_secret::{SecretBuffer, SecretText};

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::remote::{Asked, Output, Remote};

/// Make the instance of a server that has none, and print its shares and its first credentials, once
///
/// The root key is split into shares, of which a threshold opens the seal. Further slots open the seal without anyone. From
/// the server's machine, or over TLS.
#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    split: Split,
    /// A slot that opens unattended: key-file, env-var or systemd-credential:NAME; repeatable
    #[arg(long = "slot", value_name = "KIND")]
    slots: Vec<String>,
    /// Slug of the first administrator
    #[arg(long, value_name = "SLUG", default_value = "admin")]
    admin_slug: String,
}

/// Into how many shares a key is split.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Split {
    /// How many shares are made
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..))]
    shares: u8,
    /// How many of them are needed
    #[arg(long, value_name = "M", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..))]
    threshold: u8,
}

/// Give one share, or the passphrase of a slot, to open the seal
///
/// It is asked for, or read from standard input. Each who has a share gives it, from wherever they are.
#[derive(Debug, Args)]
pub(super) struct UnsealArgs {
    #[command(flatten)]
    remote: Remote,
    /// Give a passphrase instead of a share
    #[arg(long)]
    passphrase: bool,
    /// Have the shares so far forgotten
    #[arg(long, conflicts_with = "passphrase")]
    reset: bool,
}

/// Close the seal: nothing is answered, and no key is in memory, until it is opened again
///
/// For admins. Requests in flight are answered, and the ledger is published. It does not open by itself before a restart.
#[derive(Debug, Args)]
pub(super) struct Seal {
    #[command(flatten)]
    remote: Remote,
}

/// Say whether there is an instance, whether it is sealed, and how far its shares have come
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    remote: Remote,
}

/// Make new shares for a slot; the old ones open it until enough of the new ones were shown with --confirm
///
/// For admins.
#[derive(Debug, Args)]
pub(super) struct Rekey {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    split: Split,
    /// The slot's number [default: the one that opens by shares]
    #[arg(long, value_name = "ID")]
    slot: Option<u32>,
    /// Give one of the new shares, asked for or read from standard input; the last one needed ends the old ones
    #[arg(long, conflicts_with_all = ["slot", "shares", "threshold"])]
    confirm: bool,
    /// Drop the new shares
    #[arg(long, conflicts_with_all = ["slot", "shares", "threshold", "confirm"])]
    cancel: bool,
}

/// Give one share to get a new root token, when no admin can log in any more
///
/// It is asked for, or read from standard input. Whoever gives the last share that is needed gets the token, of an admin
/// that is made for it.
#[derive(Debug, Args)]
pub(super) struct GenerateRoot {
    #[command(flatten)]
    remote: Remote,
    /// Have the shares so far forgotten
    #[arg(long)]
    cancel: bool,
}

impl Init {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.knock(console)?;
        let new = NewInstance {
            shares: self.split.shares,
            threshold: self.split.threshold,
            slots: &self.slots,
            admin: &self.admin_slug,
        };
        let made = asked.client.initialize(&new).await?;
        print_initialized(&mut asked, &made, self.split)
    }
}

impl UnsealArgs {
    pub(super) async fn run(self, mut console: Console) -> Result<(), Failure> {
        let given = match (self.reset, self.passphrase) {
            (true, _) => None,
            (false, true) => Some(console.ask_hidden("The passphrase")?),
            (false, false) => Some(console.ask_hidden("A share")?),
        };
        let mut asked = self.remote.knock(console)?;
        let step = match &given {
            Some(passphrase) if self.passphrase => Unseal::Passphrase(passphrase),
            Some(share) => Unseal::Share(share),
            None => Unseal::Reset,
        };
        let status = asked.client.unseal(step).await?;
        print_status(&mut asked, &status)
    }
}

impl Seal {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let asked = self.remote.open(console).await?;
        asked.client.seal().await?;
        let Asked {
            mut console, output, ..
        } = asked;
        if output == Output::Table {
            writeln!(console.out, "The server is sealed.")?;
            return Ok(());
        }
        output::document(&mut console, output, &json!({ "sealed": true }))
    }
}

impl Status {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.knock(console)?;
        let status = asked.client.seal_status().await?;
        print_status(&mut asked, &status)
    }
}

impl Rekey {
    pub(super) async fn run(self, mut console: Console) -> Result<(), Failure> {
        let share = match self.confirm {
            true => Some(console.ask_hidden("A new share")?),
            false => None,
        };
        let mut asked = self.remote.open(console).await?;
        if let Some(share) = share {
            let step = asked.client.confirm_rekey(&share).await?;
            return print_rekey_step(&mut asked, &step);
        }
        if self.cancel {
            asked.client.cancel_rekey().await?;
            if asked.output != Output::Table {
                let document = json!({ "cancelled": true });
                return output::document(&mut asked.console, asked.output, &document);
            }
            return Ok(writeln!(
                asked.console.out,
                "The new shares are dropped; the old ones open the seal as before."
            )?);
        }
        let Split { shares, threshold } = self.split;
        let rekeyed = asked.client.rekey(self.slot, shares, threshold).await?;
        print_rekeyed(&mut asked, &rekeyed, self.split)
    }
}

impl GenerateRoot {
    pub(super) async fn run(self, mut console: Console) -> Result<(), Failure> {
        let share = match self.cancel {
            true => None,
            false => Some(console.ask_hidden("A share")?),
        };
        let mut asked = self.remote.knock(console)?;
        let step = asked.client.generate_root(share.as_ref()).await?;
        print_root_step(&mut asked, &step)
    }
}

fn print_status(asked: &mut Asked, status: &SealStatus) -> Result<(), Failure> {
    if asked.output != Output::Table {
        return output::document(&mut asked.console, asked.output, status);
    }
    let out = &mut asked.console.out;
    match (status.initialized, status.sealed) {
        (false, _) => writeln!(
            out,
            "There is no instance yet: `strongroom operator init` makes it."
        )?,
        (true, true) => writeln!(out, "The seal is closed.")?,
        (true, false) => writeln!(out, "The seal is open.")?,
    }
    for progress in &status.progress {
        writeln!(out, "{}", told(progress))?;
    }
    for problem in &status.problems {
        writeln!(out, "It does not open by itself: {problem}")?;
    }
    Ok(writeln!(out, "The server's version is {}.", status.version)?)
}

fn told(progress: &Progress) -> String {
    let Progress { slot, given, needed } = progress;
    format!("Slot {slot}: {given} of {needed} shares are given.")
}

fn print_initialized(asked: &mut Asked, made: &Initialized, split: Split) -> Result<(), Failure> {
    if asked.output != Output::Table {
        #[derive(Serialize)]
        struct Document<'a> {
            shares: Vec<&'a str>,
            admin: Admin<'a>,
            root_token: &'a str,
        }
        #[derive(Serialize)]
        struct Admin<'a> {
            slug: &'a str,
            password: &'a str,
        }
        return print_secret_json(
            asked,
            &Document {
                shares: texts(&made.shares),
                admin: Admin {
                    slug: &made.admin.slug,
                    password: made.admin.password.expose(),
                },
                root_token: made.root_token.expose(),
            },
        );
    }
    let out = &mut asked.console.out;
    for share in &made.shares {
        writeln!(out, "share        {}", share.expose())?;
    }
    writeln!(out, "admin        {}", made.admin.slug)?;
    writeln!(out, "password     {}", made.admin.password.expose())?;
    writeln!(out, "root token   {}", made.root_token.expose())?;
    Ok(writeln!(
        asked.console.err,
        "The instance is made, and open. None of this is shown again: give each share to another person, of whom {} \
         open the seal after a restart with `strongroom operator unseal`.",
        split.threshold
    )?)
}

fn print_rekeyed(asked: &mut Asked, rekeyed: &Rekeyed, split: Split) -> Result<(), Failure> {
    if asked.output != Output::Table {
        #[derive(Serialize)]
        struct Document<'a> {
            old: u32,
            new: u32,
            shares: Vec<&'a str>,
        }
        let document = Document {
            old: rekeyed.old,
            new: rekeyed.new,
            shares: texts(&rekeyed.shares),
        };
        return print_secret_json(asked, &document);
    }
    for share in &rekeyed.shares {
        writeln!(asked.console.out, "{}", share.expose())?;
    }
    let Rekeyed { old, new, .. } = rekeyed;
    Ok(writeln!(
        asked.console.err,
        "These shares open slot {new} and are not shown again. Slot {old} opens as before, until {} of them were shown \
         with `strongroom operator rekey --confirm`.",
        split.threshold
    )?)
}

fn print_rekey_step(asked: &mut Asked, step: &RekeyStep) -> Result<(), Failure> {
    if asked.output != Output::Table {
        return output::document(&mut asked.console, asked.output, step);
    }
    let out = &mut asked.console.out;
    if let Some(progress) = &step.progress {
        writeln!(out, "{}", told(progress))?;
    }
    if let Some(removed) = step.removed {
        writeln!(
            out,
            "The new shares are confirmed. Slot {removed} is removed, and its shares open nothing."
        )?;
    }
    Ok(())
}

fn print_root_step(asked: &mut Asked, step: &RootStep) -> Result<(), Failure> {
    if asked.output != Output::Table {
        #[derive(Serialize)]
        struct Document<'a> {
            progress: Option<&'a Progress>,
            slug: Option<&'a str>,
            root_token: Option<&'a str>,
        }
        let document = Document {
            progress: step.progress.as_ref(),
            slug: step.slug.as_deref(),
            root_token: step.root_token.as_ref().map(SecretText::expose),
        };
        return print_secret_json(asked, &document);
    }
    let out = &mut asked.console.out;
    match (&step.progress, &step.slug, &step.root_token) {
        (Some(progress), ..) => writeln!(out, "{}", told(progress))?,
        (None, Some(slug), Some(token)) => {
            writeln!(out, "admin        {slug}")?;
            writeln!(out, "root token   {}", token.expose())?;
        }
        _ => writeln!(out, "The shares so far are forgotten.")?,
    }
    Ok(())
}

fn texts(secrets: &[SecretText]) -> Vec<&str> {
    secrets.iter().map(SecretText::expose).collect()
}

/// Prints one JSON document that holds secrets on a line, through memory that is wiped. JSON is YAML, too.
fn print_secret_json(asked: &mut Asked, document: &impl Serialize) -> Result<(), Failure> {
    let mut line = SecretBuffer::with_capacity(4096);
    serde_json::to_writer(&mut line, document).map_err(|error| Failure::of(&error))?;
    line.extend(b"\n");
    Ok(asked.console.out.write_all(line.expose())?)
}
