//! A witness: `strongroom witness serve` as a child process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use strongroom_testkit::Home;
use strongroom_tlog::{CosignerKey, VerifierKey};

/// A running witness, killed when dropped.
pub struct Witness {
    child: Child,
    /// Where it is reached.
    pub url: String,
    /// Its public key.
    pub key: CosignerKey,
}

impl Witness {
    /// Starts the witness of `logs` that keeps what it must not forget in `dir`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(home: &Home, dir: &Path, logs: &[&VerifierKey]) -> Result<Self> {
        let mut command = home.command("strongroom")?;
        command
            .args(["witness", "serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir)
            .stdout(Stdio::piped());
        for log in logs {
            command.args(["--log", &log.to_string()]);
        }
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let mut line = || {
            lines
                .next()
                .context("the witness did not start")?
                .map_err(anyhow::Error::from)
        };
        let (ready, vkey) = (line()?, line()?);
        let url = ready.strip_prefix("The witness is ready at ").context("no URL")?;
        Ok(Self {
            child,
            url: url.to_owned(),
            key: vkey.parse()?,
        })
    }

    /// Sends `body` as an `add-checkpoint`; gives the status and the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn add(&self, body: String) -> Result<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let sent = client
            .post(format!("{}/add-checkpoint", self.url))
            .body(body)
            .send();
        let reply = sent.await?;
        Ok((reply.status().as_u16(), reply.text().await?))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}
