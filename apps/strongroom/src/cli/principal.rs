//! `strongroom user` and `strongroom service`: accounts, for admins.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use strongroom_base::{SystemRng, Timestamp};
use strongroom_client::people::NewPrincipal;
use strongroom_core::random_text;
use strongroom_secret::SecretText;

use crate::cli::console::{Console, value_from};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Form};
use crate::cli::remote::{Asked, Remote};
use crate::cli::time::rfc3339;

/// Characters of a generated password: 24 of 62 are 142 bits.
const PASSWORD_LENGTH: usize = 24;

/// What both kinds of principals have.
#[derive(Debug, Subcommand)]
pub(super) enum Principal {
    Add(Add),
    List(List),
    /// Keep it from logging in, and end its sessions at once
    ///
    /// What its secrets' lists say stays as it is, so `enable` brings it back as it was.
    Disable(Named),
    /// Let it log in again
    Enable(Named),
}

impl Principal {
    /// Runs the command for principals of `kind`, as the dialect calls it.
    pub(super) async fn run(self, kind: &'static str, console: Console) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(kind, console).await,
            Self::List(list) => list.run(kind, console).await,
            Self::Disable(named) => named.set(false, console).await,
            Self::Enable(named) => named.set(true, console).await,
        }
    }
}

/// Make an account
///
/// Its password is asked for at a terminal, and otherwise read from standard input. A slug that permission lists already
/// name becomes this account, with what was shared with it.
#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    remote: Remote,
    /// Its slug: lower-case letters and digits in groups joined by hyphens
    slug: String,
    /// What people call it
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Give it the admin role
    #[arg(long)]
    admin: bool,
    /// Make up a password, and print it
    #[arg(long, conflicts_with = "password_file")]
    generate: bool,
    /// Read the password from this file, to the last byte
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Add {
    async fn run(self, kind: &'static str, mut console: Console) -> Result<(), Failure> {
        let password = if self.generate {
            random_text(PASSWORD_LENGTH, &SystemRng::default())
        } else {
            let prompt = format!("Password of `{}`", self.slug.escape_debug());
            value_from(&mut console, self.password_file.as_deref(), &prompt)?
        };
        let mut asked = self.remote.open(console).await?;
        let new = NewPrincipal {
            kind,
            slug: &self.slug,
            name: &self.name,
            password: &password,
            is_admin: self.admin,
        };
        let made = asked.client.add_principal(&new).await?;
        writeln!(asked.console.err, "Made the {kind} `{}`.", made.slug)?;
        if self.generate {
            print_password(&mut asked, &password)?;
        }
        Ok(())
    }
}

/// A generated password is on no other medium than here.
fn print_password(asked: &mut Asked, password: &SecretText) -> Result<(), Failure> {
    asked.console.out.write_all(password.expose().as_bytes())?;
    Ok(writeln!(asked.console.out)?)
}

/// List accounts
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    remote: Remote,
}

impl List {
    async fn run(self, kind: &'static str, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let mut printer = asked.printer(["SLUG", "STANDING", "ROLE", "MADE", "NAME"]);
        let mut after = None;
        loop {
            let page = asked.client.principals(kind, after.as_deref()).await?;
            for principal in &page.principals {
                let made = rfc3339(Timestamp::from_millis(principal.created));
                let role = if principal.is_admin { "admin" } else { "" };
                let cells = [
                    principal.slug.as_str(),
                    &principal.standing,
                    role,
                    &made,
                    &principal.name,
                ];
                printer.item(&mut asked.console, principal, cells)?;
            }
            after = page.next;
            if after.is_none() {
                return printer.end(&mut asked.console);
            }
        }
    }
}

/// One account.
#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    remote: Remote,
    /// Its slug
    slug: String,
}

impl Named {
    async fn set(self, is_active: bool, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let principal = asked.client.set_standing(&self.slug, is_active).await?;
        match asked.output {
            Form::Table => Ok(writeln!(
                asked.console.err,
                "`{}` is {}.",
                principal.slug, principal.standing
            )?),
            form => output::document(&mut asked.console, form, &principal),
        }
    }
}
