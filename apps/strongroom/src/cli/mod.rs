//! The command lines: `strongroom` here, `oo` in [`oo`]. One file per command; each holds its clap definition, which
//! is the one source of the help texts and of `docs/reference/cli.md`.

mod access;
mod audit;
pub mod console;
mod contexts;
mod doctor;
pub mod exit;
pub mod failure;
mod keys;
mod names;
pub mod oo;
mod operator;
mod output;
mod pages;
mod principal;
mod remote;
mod seal;
mod secret;
mod server;
pub mod shell;
mod slots;
mod table;
pub(crate) mod time;
mod token;
mod unseal;
mod up;
mod witness;
mod yaml;

use std::ffi::OsString;
use std::future::Future;
use std::path::Path;

use clap::{Parser, Subcommand};

use self::console::Console;
use self::exit::Exit;
use self::failure::Failure;
use self::oo::Oo;

/// A secrets manager that you host yourself
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, after_help = exit::HELP)]
pub struct Strongroom {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(Box<up::Up>),
    Server(Box<server::Server>),
    /// The names this program can be called by
    #[command(subcommand)]
    Names(names::Names),
    /// Work with the audit ledger
    #[command(subcommand)]
    Audit(audit::Audit),
    Explain(access::Explain),
    WhoCan(access::WhoCan),
    /// Look at who may do what
    #[command(subcommand)]
    Access(access::Access),
    RequestAccess(access::RequestAccess),
    Search(access::Search),
    /// Work with secrets
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Look after the accounts of people
    #[command(subcommand)]
    User(principal::Principal),
    /// Look after the accounts of programs
    #[command(subcommand)]
    Service(principal::Principal),
    /// Look after groups, which permission lists can name
    #[command(subcommand)]
    Group(principal::Group),
    Invite(principal::Invite),
    Accept(principal::Accept),
    /// See and revoke what logins have left
    #[command(subcommand)]
    Token(token::Token),
    /// Vouch for the ledgers of others
    #[command(subcommand)]
    Witness(witness::Witness),
    Doctor(Box<doctor::Doctor>),
    Completions(pages::Completions),
    Manual(pages::Manual),
    /// Choose between servers; `oo login` logs in to the one in use
    #[command(subcommand)]
    Context(contexts::Contexts),
    /// Look after an instance: its seal and its keys while it runs, its storage while it is stopped
    #[command(subcommand)]
    Operator(operator::Operator),
}

impl Strongroom {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, for a person.
    pub fn run(self, console: Console) -> Result<(), Failure> {
        match self.command {
            Command::Up(up) => up.run(console),
            Command::Server(server) => server.run(console),
            Command::Names(names::Names::Install(install)) => install.run(console),
            Command::Audit(audit) => audit.run(console),
            Command::Explain(explain) => run_async(explain.run(console)),
            Command::WhoCan(who_can) => run_async(who_can.run(console)),
            Command::Access(access) => run_async(access.run(console)),
            Command::RequestAccess(request) => run_async(request.run(console)),
            Command::Search(search) => run_async(search.run(console)),
            Command::User(user) => run_async(user.run("user", console)),
            Command::Service(service) => run_async(service.run("service", console)),
            Command::Group(group) => run_async(group.run(console)),
            Command::Invite(invite) => run_async(invite.run(console)),
            Command::Accept(accept) => run_async(accept.run(console)),
            Command::Token(token) => run_async(token.run(console)),
            Command::Secret(secret) => run_async(secret.run(console)),
            Command::Witness(witness::Witness::Serve(serve)) => serve.run(console),
            Command::Doctor(doctor) => doctor.run(console),
            Command::Completions(completions) => completions.run(console),
            Command::Manual(manual) => manual.run(console),
            Command::Context(contexts) => run_async(contexts.run(console)),
            Command::Operator(operator) => operator.run(console),
        }
    }
}

/// Runs the program that `args` call: the first is its name, as the system gives it.
pub fn main(args: Vec<OsString>) -> Exit {
    let name = args.first().and_then(|path| Path::new(path).file_name());
    if name.is_some_and(|name| name == names::OO) {
        parse_and_run(args, Oo::run)
    } else {
        parse_and_run(args, Strongroom::run)
    }
}

fn parse_and_run<P: Parser>(args: Vec<OsString>, run: fn(P, Console) -> Result<(), Failure>) -> Exit {
    let program = match P::try_parse_from(args) {
        Ok(program) => program,
        Err(message) => {
            // Help is an error to clap, too. If it cannot be printed, nobody is there to tell.
            let _ = message.print();
            return if message.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
        }
    };
    match run(program, Console::of_process()) {
        Ok(()) => Exit::Done,
        Err(failure) if failure.is_broken_pipe() => Exit::Done,
        Err(failure) => {
            let _ = failure.write(&mut std::io::stderr());
            failure.exit()
        }
    }
}

/// Runs a command that calls a server.
fn run_async(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}
