//! What follows the published ledger without ever holding it up: witnesses, which are asked to cosign its checkpoints.
//!
//! Invariant: it reads published files and waits for others here only; nothing waits for it, and what it could not do yet
//! is found in the files again.

mod health;
mod witness;
mod witnesses;

use std::io;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use strongroom_ledger::Ledger;
use tokio::task::{JoinSet, spawn_blocking};

pub use witness::{WitnessConfig, WitnessUrlError};

use health::{Health, Metrics};
use witness::Witness;
use witnesses::Witnesses;

/// Why followers do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client cannot be made.
    #[error("cannot prepare to ask the witness `{0}`")]
    Http(String, #[source] reqwest::Error),
}

/// The running followers; they end when this is dropped.
pub struct Followers {
    _tasks: JoinSet<()>,
}

impl Followers {
    /// Starts asking `witnesses` on the current Tokio runtime, and registers the metrics.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        ledger: &Arc<Ledger>,
        witnesses: &[WitnessConfig],
        registry: &mut Registry,
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
        registry.register_collector(Box::new(metrics));
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
