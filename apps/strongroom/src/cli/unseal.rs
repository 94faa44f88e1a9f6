//! Where a passphrase or shares come from: standard input, a file descriptor, a prompt. Never the arguments: other
//! users of the machine can see those.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use strongroom_base::limits;
use strongroom_secret::{SecretBuffer, SecretText};

use crate::cli::console::Console;
use crate::cli::failure::Failure;

/// What opens seal slots that do not open by themselves.
#[derive(Debug, Default, Args)]
pub(super) struct Unseal {
    /// Where a passphrase or shares come from, one a line: `-` for standard input, `prompt`, or a file such as /dev/fd/3
    #[arg(
        long,
        value_name = "FROM",
        env = "STRONGROOM_UNSEAL_FROM",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    unseal_from: Option<String>,
}

impl Unseal {
    /// What was given, if anything was to be.
    pub(super) fn read(&self, console: &mut Console) -> Result<Option<SecretText>, Failure> {
        Ok(match self.unseal_from.as_deref() {
            None => None,
            Some("prompt") => Some(ask(console)?),
            Some("-") => Some(read(io::stdin().lock(), "standard input")?),
            Some(path) => Some(read(open(Path::new(path))?, path)?),
        })
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::new(format!("cannot read `{}`: {error}", path.display())))
}

fn read(from: impl Read, name: &str) -> Result<SecretText, Failure> {
    let mut text = SecretBuffer::with_capacity(4096);
    let bytes = io::copy(&mut from.take(limits::UNSEAL_BYTES + 1), &mut text)?;
    if bytes > limits::UNSEAL_BYTES {
        let limit = limits::UNSEAL_BYTES;
        return Err(Failure::new(format!(
            "`{name}` is over {limit} bytes: it holds no passphrase and no shares"
        )));
    }
    let text = std::str::from_utf8(text.expose());
    let text = text.map_err(|_| Failure::new(format!("`{name}` is not UTF-8 text")))?;
    Ok(SecretText::new(text.to_owned()))
}

/// Asks for lines that are not shown, until one is empty.
fn ask(console: &mut Console) -> Result<SecretText, Failure> {
    if !io::stdin().is_terminal() {
        return Err(
            Failure::new("standard input is no terminal, so nobody can be asked").advise(
                "Give the passphrase or the shares on standard input with `--unseal-from -`, or in a file.",
            ),
        );
    }
    let mut lines = SecretBuffer::with_capacity(4096);
    loop {
        let line = console.ask_hidden("The passphrase, or a share (nothing more: Enter)")?;
        if line.is_empty() {
            break;
        }
        lines.extend(line.expose().as_bytes());
        lines.extend(b"\n");
    }
    // Lines were text, so together they are.
    let text = std::str::from_utf8(lines.expose()).unwrap_or_default();
    Ok(SecretText::new(text.to_owned()))
}
