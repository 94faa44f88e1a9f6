//! `oo secret save`.

use std::io::Write;

use clap::Args;
use strongroom_client::{ClientError, Lists, SecretToSave};
use strongroom_secret::SecretText;

use crate::cli::console::read_value;
use crate::cli::failure::Failure;
use crate::cli::oo::context::{Context, Session};

/// Create a secret, or give it a new value
///
/// Unless you are an administrator, the names of your secrets begin with your slug and `/`. If the server refuses
/// KEY, it is tried once more with that in front.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Name of the secret
    key: String,
    /// Its value; `-` reads it from stdin, where other users of this machine cannot see it, without the last line's end
    #[arg(allow_hyphen_values = true)]
    value: String,
}

impl Save {
    pub(crate) async fn run(self, mut cx: Context) -> Result<(), Failure> {
        let value = if self.value == "-" {
            read_value()?
        } else {
            SecretText::new(self.value)
        };
        let session = cx.session()?;
        let refusal = match save(&session, &self.key, &value).await {
            Err(refusal @ ClientError::Refused { status: 403, .. }) => refusal,
            other => return Ok(other?),
        };
        let prefix = format!("{}/", session.client.whoami().await?.slug);
        if self.key.starts_with(&prefix) {
            return Err(refusal.into());
        }
        let own = prefix + &self.key;
        save(&session, &own, &value).await?;
        Ok(writeln!(
            cx.console.err,
            "Saved as `{own}`: `{}` is not yours to write.",
            self.key
        )?)
    }
}

async fn save(session: &Session, id: &str, value: &SecretText) -> Result<(), ClientError> {
    session
        .client
        .save(&[SecretToSave {
            id,
            value,
            lists: Lists::default(),
        }])
        .await
}
