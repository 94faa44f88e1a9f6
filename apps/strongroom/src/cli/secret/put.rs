//! `strongroom secret put`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use strongroom_client::secrets::Put as Saving;

use super::said::Said;
use super::{Place, named};
use crate::cli::console::{Console, value_from};
use crate::cli::failure::Failure;

/// Create a secret, or give it a new value
///
/// The value is asked for at a terminal, and otherwise read from standard input, without the end of its last line. It is
/// never an argument, where other users of this machine could see it. Unless you are an administrator, the names of your
/// secrets begin with your slug and `/`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Put {
    #[command(flatten)]
    place: Place,
    /// Read the value from this file, to the last byte
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Save only if this is the number of the current version; 0: only if there is no such secret
    #[arg(long, value_name = "VERSION")]
    cas: Option<u32>,
    #[command(flatten)]
    said: Said,
    /// Name of the secret
    name: String,
}

impl Put {
    pub(in crate::cli) async fn run(self, mut console: Console) -> Result<(), Failure> {
        let prompt = format!("Value of `{}`", self.name.escape_debug());
        let (lists, care) = (self.said.lists(), self.said.care()?);
        let value = value_from(&mut console, self.from_file.as_deref(), &prompt)?;
        let (mut asked, app) = self.place.open(console).await?;
        let saving = Saving {
            value: &value,
            expected: self.cas,
            lists,
            care,
        };
        let version = asked.client.put_secret(named(&self.name, &app), saving).await?;
        let name = self.name.escape_debug();
        Ok(writeln!(asked.console.err, "Saved `{name}`, version {version}.")?)
    }
}
