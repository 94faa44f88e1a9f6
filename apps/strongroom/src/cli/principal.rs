//! `strongroom user`, `service` and `group`: who there is, for admins. `invite` and `accept`: how somebody comes.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use strongroom_base::{SystemRng, Timestamp};
use strongroom_client::people::NewPrincipal;
use strongroom_core::random_text;
use strongroom_secret::SecretText;

use crate::cli::console::{Console, value_from};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::remote::{Remote, Server};
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

#[derive(Debug, Subcommand)]
pub(super) enum Group {
    Add(AddGroup),
    List(List),
    /// Let the group count no more: what lists give it, its members do not have any more
    Disable(Named),
    /// Let the group count again
    Enable(Named),
    /// Take a user or service into the group
    Join(Member),
    /// Take a user or service out of the group
    Leave(Member),
}

impl Group {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(console).await,
            Self::List(list) => list.run("group", console).await,
            Self::Disable(named) => named.set(false, console).await,
            Self::Enable(named) => named.set(true, console).await,
            Self::Join(member) => member.set(true, console).await,
            Self::Leave(member) => member.set(false, console).await,
        }
    }
}

/// Make a group
///
/// Its slug can stand in permission lists like that of a user: what they give the group, all who join it have.
#[derive(Debug, Args)]
pub(super) struct AddGroup {
    #[command(flatten)]
    remote: Remote,
    /// Its slug
    slug: String,
    /// What people call it
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
}

impl AddGroup {
    async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let new = NewPrincipal {
            kind: "group",
            slug: &self.slug,
            name: &self.name,
            password: None,
            is_admin: false,
        };
        let made = asked.client.add_principal(&new).await?;
        Ok(writeln!(asked.console.err, "Made the group `{}`.", made.slug)?)
    }
}

/// A group and one who is in it, or shall be.
#[derive(Debug, Args)]
pub(super) struct Member {
    #[command(flatten)]
    remote: Remote,
    /// The group's slug
    group: String,
    /// The slug of the user or service
    member: String,
}

impl Member {
    async fn set(self, is_member: bool, console: Console) -> Result<(), Failure> {
        let asked = self.remote.open(console).await?;
        let set = asked.client.set_membership(&self.group, &self.member, is_member);
        Ok(set.await?)
    }
}

/// Invite somebody to an account: print a code that makes it, once, within a week
///
/// Whoever has the code runs `strongroom accept SLUG`. An earlier invitation to the same account is void.
#[derive(Debug, Args)]
pub(super) struct Invite {
    #[command(flatten)]
    remote: Remote,
    /// The slug that the account is to have; permission lists may name it already
    slug: String,
}

impl Invite {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut asked = self.remote.open(console).await?;
        let invitation = asked.client.invite(&self.slug).await?;
        print_secret(&mut asked.console, &invitation.code)?;
        let until = rfc3339(Timestamp::from_millis(invitation.expires));
        Ok(writeln!(
            asked.console.err,
            "Give it to them alone; it is good until {until}: strongroom accept {}",
            self.slug.escape_debug()
        )?)
    }
}

/// Make the account that you were invited to: takes the code and a password, from a prompt or two lines of standard input
#[derive(Debug, Args)]
pub(super) struct Accept {
    #[command(flatten)]
    server: Server,
    /// The slug that you were invited as
    slug: String,
    /// What people call you
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
}

impl Accept {
    pub(super) async fn run(self, console: Console) -> Result<(), Failure> {
        let (client, mut console) = self.server.stranger(console)?;
        let code = console.ask_hidden("Code")?;
        let password = console.ask_hidden("New password")?;
        let made = client
            .accept_invitation(&self.slug, &self.name, &code, &password)
            .await?;
        Ok(writeln!(
            console.err,
            "You are `{}`. Log in with `oo login {}`.",
            made.slug, made.slug
        )?)
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
            password: Some(&password),
            is_admin: self.admin,
        };
        let made = asked.client.add_principal(&new).await?;
        writeln!(asked.console.err, "Made the {kind} `{}`.", made.slug)?;
        if self.generate {
            print_secret(&mut asked.console, &password)?;
        }
        Ok(())
    }
}

/// What is made up here is nowhere else.
fn print_secret(console: &mut Console, text: &SecretText) -> Result<(), Failure> {
    console.out.write_all(text.expose().as_bytes())?;
    Ok(writeln!(console.out)?)
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
        let mut printer = asked.printer(["SLUG", "STANDING", "ROLE", "MADE", "GROUPS", "NAME"]);
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
                    &principal.groups.join(" "),
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
            Output::Table => Ok(writeln!(
                asked.console.err,
                "`{}` is {}.",
                principal.slug, principal.standing
            )?),
            form => output::document(&mut asked.console, form, &principal),
        }
    }
}
