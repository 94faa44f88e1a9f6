//! The background loop that cleans up what has expired. Whether a lease is live never depends on it.

use std::sync::Arc;
use std::time::Duration;

use strongroom_base::limits;
use strongroom_identity::Sessions;
use strongroom_sdk::{Error, Surroundings};
use strongroom_storage::Change;
use tokio::sync::watch;

use crate::internal;

/// Runs until `stopped` says so.
pub(crate) async fn run(
    surroundings: Arc<Surroundings>,
    sessions: Sessions,
    mut stopped: watch::Receiver<bool>,
) {
    let pause = Duration::from(limits::EXPIRY_EVERY);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(pause) => {}
        }
        if let Err(error) = sweep(&surroundings, &sessions).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "expired sessions stay until the next sweep"
            );
        }
    }
}

/// Ends what has expired, a bounded batch for each commit.
async fn sweep(surroundings: &Surroundings, sessions: &Sessions) -> Result<(), Error> {
    loop {
        let mut change = Change::default();
        let ended = sessions
            .end_expired(&mut change, surroundings.clock.now(), limits::EXPIRY_BATCH)
            .await?;
        if ended == 0 {
            return Ok(());
        }
        match internal::commit(surroundings, "lease.expire", None, change).await {
            Err(Error::Conflict(_)) => {}
            done => done?,
        }
        if ended < limits::EXPIRY_BATCH {
            return Ok(());
        }
    }
}
