//! What follows the published ledger without ever holding it up: witnesses, which are asked to cosign its checkpoints, and
//! copies of its leaves. And those who are told by [`Webhooks`] which secrets are overdue.
//!
//! Invariant: it reads published files and waits for others here only; nothing waits for it, and what it could not do yet
//! is found in the files again.

mod copies;
mod health;
mod webhook;
mod witness;
mod witnesses;

use std::io;
use std::path::Path;
use std::sync::Arc;

use strongroom_ledger::Ledger;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};

pub use copies::{CopyConfig, CopyConfigError};
pub use health::FollowerMetrics;
pub use webhook::{GivenUp, Notice, Notices, WebhookConfig, WebhookUrl, WebhookUrlError};
pub use witness::{WitnessConfig, WitnessUrlError};

use copies::AuditCopy;
use health::{Health, Metrics};
use webhook::Webhook;
use witness::Witness;
use witnesses::Witnesses;

/// Why followers do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client cannot be made.
    #[error("cannot prepare to ask the witness `{0}`")]
    Http(String, #[source] reqwest::Error),
    /// A copy cannot be made.
    #[error("cannot prepare the audit copy `{0}`")]
    Copy(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The HTTP client of a webhook cannot be made.
    #[error("cannot prepare to call a webhook")]
    Webhook(#[source] reqwest::Error),
    /// Two copies would share a cursor.
    #[error("two audit copies are called `{0}`: give each a name of its own")]
    Twice(String),
}

/// The running followers; they end when this is dropped.
pub struct Followers {
    _tasks: JoinSet<()>,
    metrics: FollowerMetrics,
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.metrics.set(None);
    }
}

impl Followers {
    /// Starts asking `witnesses` and making `copies` on the current Tokio runtime, of which `told` tells from then on. `data_dir`
    /// is where the copies' cursors are, in `copies/`.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        ledger: &Arc<Ledger>,
        witnesses: &[WitnessConfig],
        copies: &[CopyConfig],
        data_dir: &Path,
        told: &FollowerMetrics,
    ) -> Result<Self, StartError> {
        let mut metrics = Metrics::new(ledger);
        let mut tasks = JoinSet::new();
        if !witnesses.is_empty() {
            let make = |config: &WitnessConfig| {
                let health = Health::new("witness", config.vkey.name());
                metrics.watch(&health);
                Witness::new(config, health)
                    .map_err(|error| StartError::Http(config.vkey.name().to_owned(), error))
            };
            let all = witnesses.iter().map(make).collect::<Result<_, _>>()?;
            tasks.spawn(Witnesses::new(Arc::clone(ledger), all).run());
        }
        for (number, config) in copies.iter().enumerate() {
            let name = &config.name;
            if copies.iter().take(number).any(|before| before.name == *name) {
                return Err(StartError::Twice(name.clone()));
            }
            let health = Health::new("copy", name);
            metrics.watch(&health);
            let copy = AuditCopy::new(ledger, config, &data_dir.join("copies"), health);
            let copy = copy.map_err(|error| StartError::Copy(name.clone(), error.into()))?;
            tasks.spawn(copy.run());
        }
        told.set(Some(metrics));
        Ok(Self {
            _tasks: tasks,
            metrics: told.clone(),
        })
    }
}

/// Those who are told which secrets are overdue; they end when this is dropped.
pub struct Webhooks {
    _tasks: JoinSet<()>,
}

impl Webhooks {
    /// Starts telling `webhooks` of what is new in `overdue`, on the current Tokio runtime; calls that were given up are
    /// counted in `given_up`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn start(
        webhooks: &[WebhookConfig],
        overdue: &watch::Receiver<Notices>,
        given_up: &GivenUp,
    ) -> Result<Self, StartError> {
        let mut tasks = JoinSet::new();
        for config in webhooks {
            let webhook = Webhook::new(config, given_up.clone()).map_err(StartError::Webhook)?;
            tasks.spawn(webhook.run(overdue.clone()));
        }
        Ok(Self { _tasks: tasks })
    }
}

/// Runs `work`, which waits for files, where it holds up no other task.
///
/// # Errors
/// When it panicked, or the program ends.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)
}
