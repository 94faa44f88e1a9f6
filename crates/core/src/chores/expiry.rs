//! Cleaning up what has expired. Whether a lease is live never depends on it.

use strongroom_base::limits;
use strongroom_identity::Sessions;
use strongroom_sdk::{Error, Surroundings};
use strongroom_storage::Change;

use super::holds;
use crate::internal;
use crate::lock::Fence;

/// Ends what has expired, a bounded batch for each commit.
pub(super) async fn sweep(
    surroundings: &Surroundings,
    sessions: &Sessions,
    fence: &Fence,
) -> Result<(), Error> {
    loop {
        let mut change = Change::default();
        let ended = sessions
            .end_expired(&mut change, surroundings.clock.now(), limits::EXPIRY_BATCH)
            .await?;
        if ended == 0 {
            return Ok(());
        }
        fence.guard(&mut change);
        match internal::commit(surroundings, "lease.expire", None, change).await {
            // A session was used meanwhile. But if another node has the lock, it does this now.
            Err(Error::Conflict(_)) if holds(&*surroundings.storage, fence).await? => {}
            Err(Error::Conflict(_)) => return Ok(()),
            done => done?,
        }
        if ended < limits::EXPIRY_BATCH {
            return Ok(());
        }
    }
}
