//! `strongroom completions` and `manual`: made of the same definitions as the help texts.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;
use strongroom_secret::SecretBuffer;

use crate::cli::Strongroom;
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::oo::Oo;

/// A name of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Program {
    Strongroom,
    Oo,
}

/// Print what makes a shell complete this program's commands
///
/// In ~/.bashrc: `source <(strongroom completions bash)`. For zsh and fish write it to a file where the shell looks for
/// completions, such as ~/.config/fish/completions/strongroom.fish.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
    /// The name that the program is called by
    #[arg(long, value_name = "NAME", default_value = "strongroom")]
    program: Program,
}

impl Completions {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        let (mut command, name) = match self.program {
            Program::Strongroom => (Strongroom::command(), "strongroom"),
            Program::Oo => (Oo::command(), "oo"),
        };
        // The generator gives up its thread when it cannot write: it gets memory, and the pipe comes after.
        let mut script = SecretBuffer::default();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        Ok(console.out.write_all(&script.into_public())?)
    }
}

/// Write manual pages of every command into DIR: `man -l DIR/strongroom.1`
#[derive(Debug, Args)]
pub(super) struct Manual {
    /// Folder for the pages, such as ~/.local/share/man/man1; it is made if it does not exist
    dir: PathBuf,
}

impl Manual {
    pub(super) fn run(self, mut console: Console) -> Result<(), Failure> {
        let failed = |error| {
            Failure::new(format!(
                "cannot write manual pages to `{}`: {error}",
                self.dir.display()
            ))
        };
        fs::create_dir_all(&self.dir).map_err(failed)?;
        let mut count = 0;
        for mut program in [Strongroom::command(), Oo::command()] {
            program.build();
            count += write_pages(&program, &self.dir).map_err(failed)?;
        }
        Ok(writeln!(console.err, "Wrote {count} pages.")?)
    }
}

/// Writes the pages of `command` and all below it; how many.
fn write_pages(command: &clap::Command, dir: &std::path::Path) -> std::io::Result<usize> {
    let name = command
        .get_bin_name()
        .unwrap_or(command.get_name())
        .replace(' ', "-");
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    fs::write(dir.join(format!("{name}.1")), page)?;
    let mut count = 1;
    for child in command
        .get_subcommands()
        .filter(|child| child.get_name() != "help")
    {
        count += write_pages(child, dir)?;
    }
    Ok(count)
}
