//! What every command starts from that asks a server in the native dialect.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use strongroom_client::{Client, ClientError};
use strongroom_secret::SecretText;
use strongroom_tlog::{Checkpoint, Hash, Note, VerifierKey, verify_consistency};

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::oo::{Context, Overrides};
pub(super) use crate::cli::output::Output;
use crate::cli::output::{self, Printer};

/// Which server, for a command that needs no login.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// URL of the server [default: that of `oo login`]
    #[arg(
        long = "address",
        value_name = "URL",
        env = "STRONGROOM_ADDR",
        hide_env_values = true
    )]
    address: Option<String>,
    /// Trust these certificate authorities (PEM) instead of the system's
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CACERT", hide_env_values = true)]
    ca_file: Option<PathBuf>,
}

impl Server {
    /// The server, as somebody who has not proved who they are.
    pub(super) fn stranger(self, console: Console) -> Result<(Client, Console), Failure> {
        let overrides = Overrides {
            environment: None,
            url: self.address.filter(|url| !url.is_empty()),
            token: None,
            ca_file: self.ca_file,
        };
        let cx = Context::new(console, overrides, std::env::var_os("HOME"));
        let url = cx.url()?;
        Ok((cx.client(&url)?, cx.console))
    }
}

/// Which server, and how its answers are printed. The token is STRONGROOM_TOKEN, or that of `oo login`
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// URL of the server [default: that of `oo login`]
    #[arg(
        long = "address",
        value_name = "URL",
        env = "STRONGROOM_ADDR",
        hide_env_values = true
    )]
    address: Option<String>,
    /// Trust these certificate authorities (PEM) instead of the system's
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CACERT", hide_env_values = true)]
    ca_file: Option<PathBuf>,
    /// How results are printed
    #[arg(long, value_name = "FORM", value_enum, default_value = "table")]
    pub(super) output: Output,
}

/// A server that has been asked for its newest checkpoint, and did not take anything back.
pub(super) struct Asked {
    pub(super) client: Client,
    pub(super) console: Console,
    pub(super) output: Output,
}

impl Remote {
    /// The server, after its log was compared with what was seen of it before.
    pub(super) async fn open(self, console: Console) -> Result<Asked, Failure> {
        let output = self.output;
        let cx = self.context(console);
        let (client, url) = (cx.session()?.client, cx.url()?);
        Memory::of(&url)?.compare(&client).await?;
        Ok(Asked {
            client,
            console: cx.console,
            output,
        })
    }

    /// The server as somebody without a token sees it, perhaps sealed.
    pub(super) fn knock(self, console: Console) -> Result<Asked, Failure> {
        let output = self.output;
        let cx = self.context(console);
        let client = cx.client(&cx.url()?)?;
        Ok(Asked {
            client,
            console: cx.console,
            output,
        })
    }

    fn context(self, console: Console) -> Context {
        let token = std::env::var("STRONGROOM_TOKEN")
            .ok()
            .filter(|text| !text.is_empty());
        let overrides = Overrides {
            environment: None,
            url: self.address.filter(|url| !url.is_empty()),
            token: token.map(SecretText::new),
            ca_file: self.ca_file,
        };
        Context::new(console, overrides, std::env::var_os("HOME"))
    }
}

impl Asked {
    /// A printer of a list in the form that was asked for.
    pub(super) fn printer<const N: usize>(&self, header: [&str; N]) -> Printer<N> {
        Printer::new(self.output, header)
    }

    /// Prints one JSON document on a line.
    pub(super) fn print_json(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        output::document(&mut self.console, Output::Json, document)
    }
}

/// The last checkpoint that was seen of a server: whoever rolls its log back together with its storage cannot take it
/// back from here.
struct Memory {
    file: PathBuf,
    seen: Option<Checkpoint>,
}

impl Memory {
    fn of(url: &str) -> Result<Self, Failure> {
        let name: String = url
            .trim_end_matches('/')
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-.".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let file = state_dir()?.join("checkpoints").join(name);
        let seen = match fs::read_to_string(&file) {
            Ok(text) => Some(text.parse().map_err(|error| {
                Failure::new(format!("`{}` is damaged: {error}", file.display())).advise(
                    "It is the last checkpoint that was seen of the server. Remove it to forget that.",
                )
            })?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file, seen })
    }

    /// Asks the server for a proof that its log continues what was seen, and remembers its newest checkpoint.
    async fn compare(&self, client: &Client) -> Result<(), Failure> {
        let from = self.seen.as_ref().map_or(0, |seen| seen.size);
        let growth = match client.growth(from).await {
            // A log that is too small for the proof; its checkpoint says how small.
            Err(ClientError::Refused { status: 404, .. }) if from > 0 => client.growth(0).await?,
            answered => answered?,
        };
        let untrue =
            |why: &dyn std::fmt::Display| Failure::new(format!("the server's checkpoint is refused: {why}"));
        let key: VerifierKey = growth.key.parse().map_err(|error| untrue(&error))?;
        let note = Note::parse(growth.checkpoint.as_bytes()).map_err(|error| untrue(&error))?;
        let text = note.verify(&key).map_err(|error| untrue(&error))?;
        let now: Checkpoint = text.parse().map_err(|error| untrue(&error))?;
        if now.origin != key.name() {
            return Err(untrue(&"it is of another log than its key"));
        }
        let path = growth
            .path
            .iter()
            .map(|hash| hash.parse::<Hash>())
            .collect::<Result<Vec<_>, _>>();
        let path = path.map_err(|error| untrue(&error))?;
        if let Some(seen) = &self.seen {
            self.judge(seen, &now, &path)?;
        }
        self.remember(&now)
    }

    fn judge(&self, seen: &Checkpoint, now: &Checkpoint, path: &[Hash]) -> Result<(), Failure> {
        let forget = format!(
            "If you know why, remove `{}`, which remembers the old one. If not, somebody rewrote the ledger.",
            self.file.display()
        );
        if seen.origin != now.origin {
            let text = format!(
                "the server's ledger was `{}`, and is `{}` now",
                seen.origin, now.origin
            );
            return Err(Failure::new(text).advise(forget));
        }
        if now.size < seen.size {
            let text = format!(
                "the server's ledger shrank: it had {} leaves, and has {}",
                seen.size, now.size
            );
            return Err(Failure::new(text).advise(forget));
        }
        verify_consistency(seen.size, seen.root, now.size, now.root, path).map_err(|_| {
            let text = format!(
                "the server's ledger does not continue the {} leaves that it had",
                seen.size
            );
            Failure::new(text).advise(forget)
        })
    }

    fn remember(&self, now: &Checkpoint) -> Result<(), Failure> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let aside = self.file.with_added_extension(format!("{}", std::process::id()));
        fs::write(&aside, now.to_string())?;
        Ok(fs::rename(aside, &self.file)?)
    }
}

/// `$XDG_STATE_HOME/strongroom`.
fn state_dir() -> Result<PathBuf, Failure> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let state = state
        .or_else(home)
        .ok_or_else(|| Failure::new("there is no home directory: set HOME"))?;
    Ok(state.join("strongroom"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_tlog::leaf_hash;

    fn checkpoint(origin: &str, size: u64, root: Hash) -> Checkpoint {
        Checkpoint {
            origin: origin.into(),
            size,
            root,
        }
    }

    #[test]
    fn a_log_that_takes_something_back_is_refused() {
        let memory = Memory {
            file: "seen".into(),
            seen: None,
        };
        let (one, other) = (leaf_hash(b"1"), leaf_hash(b"2"));
        let seen = checkpoint("i/1/1", 1, one);
        assert!(memory.judge(&seen, &seen, &[]).is_ok());
        let grown = checkpoint("i/1/1", 2, strongroom_tlog::node_hash(&one, &other));
        assert!(memory.judge(&seen, &grown, &[other]).is_ok());
        for (now, path) in [
            (checkpoint("i/1/2", 1, one), vec![]),
            (checkpoint("i/1/1", 0, Hash::empty_root()), vec![]),
            (checkpoint("i/1/1", 1, other), vec![]),
            (checkpoint("i/1/1", 2, grown.root), vec![one]),
        ] {
            assert!(memory.judge(&seen, &now, &path).is_err(), "{now:?}");
        }
    }
}
