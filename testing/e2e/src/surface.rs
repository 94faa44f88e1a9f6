//! Everything that can be called: the rows of every route table, and the leaves of the command lines. Tests that
//! promise something of each go through these, so that what is added later is held to it or fails them.

use clap::{Command, CommandFactory};
use strongroom::cli::Strongroom;
use strongroom::cli::oo::Oo;
use strongroom_dialect_kit::{Caller, Route};

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Row {
    /// `METHOD /path`.
    pub call: String,
    /// Whether it answers callers who have not proved who they are.
    pub is_for_anyone: bool,
}

/// Every route of the server.
#[must_use]
pub fn routes() -> Vec<Row> {
    fn row<S>(route: &Route<S>) -> Row {
        let call = format!("{} {}", route.method, route.template);
        Row {
            call,
            is_for_anyone: route.caller == Caller::Anyone,
        }
    }
    let operations = strongroom::server::operations::routes();
    let onebackend = strongroom_dialect_onebackend::routes();
    let native = strongroom_dialect_native::routes();
    let dialects = onebackend.iter().chain(&native).map(row);
    operations.iter().map(row).chain(dialects).collect()
}

/// Every command that does something, as it is typed.
#[must_use]
pub fn commands() -> Vec<String> {
    let mut leaves = Vec::new();
    for program in [Strongroom::command(), Oo::command()] {
        collect(&program, "", &mut leaves);
    }
    leaves
}

fn collect(command: &Command, above: &str, leaves: &mut Vec<String>) {
    let name = format!("{above} {}", command.get_name()).trim().to_owned();
    if command.get_subcommands().next().is_none() {
        leaves.push(name);
        return;
    }
    for child in command.get_subcommands() {
        collect(child, &name, leaves);
    }
}
