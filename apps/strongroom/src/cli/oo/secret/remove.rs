//! `oo secret remove`.

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::oo::context::Context;

/// Remove secrets for good; a name that does not exist is no error
#[derive(Debug, Args)]
#[command(visible_alias = "rm")]
#[group(required = true, multiple = true)]
pub(crate) struct Remove {
    /// Name of a secret, may be repeated
    #[arg(short, long)]
    key: Vec<String>,
    /// Id of a secret, may be repeated
    #[arg(short, long)]
    id: Vec<String>,
}

impl Remove {
    pub(crate) async fn run(self, cx: Context) -> Result<(), Failure> {
        // The dialect takes names and ids in one list.
        let ids: Vec<String> = self.key.into_iter().chain(self.id).collect();
        Ok(cx.session()?.client.remove(&ids).await?)
    }
}
