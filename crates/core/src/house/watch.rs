//! What a closed house does by itself: it tries the slots that open unattended, again and again, and keeps what was recorded
//! durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strongroom_base::{limits, with_causes};
use strongroom_sdk::Error;
use strongroom_seal::Given;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::House;

impl House {
    /// Tries each slot that opens unattended, once. Gives whether the instance is open; if not, the status and the log say
    /// why.
    pub async fn open_unattended(&self) -> bool {
        let problems = match self.try_slots().await {
            Ok(problems) => problems,
            Err(Error::NotInitialized) => Vec::new(),
            Err(Error::Internal(cause)) => vec![with_causes(&*cause)],
            Err(error) => vec![with_causes(&error)],
        };
        if self.is_open() {
            return true;
        }
        let mut known = self.problems();
        if *known != problems {
            for problem in &problems {
                tracing::warn!(problem, "the seal does not open by itself");
            }
            *known = problems;
        }
        false
    }

    /// Watches a closed house until it is dropped.
    pub async fn watch(self: Arc<Self>) {
        tokio::join!(self.retry(), self.keep_records());
    }

    /// Tries again, at growing intervals, until the seal is open or somebody has closed it on purpose.
    async fn retry(&self) {
        let mut pause = Duration::from(limits::UNSEAL_PAUSE);
        while !self.is_open() && !self.was_closed.load(Ordering::Relaxed) {
            sleep(pause).await;
            if self.was_closed.load(Ordering::Relaxed) || self.open_unattended().await {
                return;
            }
            pause = (pause * 2).min(limits::UNSEAL_PAUSE_MAX.into());
        }
    }

    async fn keep_records(self: &Arc<Self>) {
        loop {
            sleep(limits::STANDBY_SYNC.into()).await;
            if self.is_open() {
                continue;
            }
            let house = self.clone();
            let settled = spawn_blocking(move || house.standby.settle()).await;
            if let Ok(Err(error)) = settled {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "what was recorded while sealed is not durable yet");
            }
        }
    }

    /// Opens the instance by the first unattended slot that gives its root key; otherwise gives what is wrong with each.
    async fn try_slots(&self) -> Result<Vec<String>, Error> {
        let (instance, slots) = self.slots().await?;
        let unattended: Vec<_> = slots.iter().filter(|slot| slot.kind().is_unattended()).collect();
        let mut problems = Vec::new();
        for slot in unattended {
            match slot.open(instance, self.site.reach(), &Given::default()).await {
                Ok((root, is_weak)) => {
                    self.open(&root, slot.id(), is_weak).await?;
                    return Ok(Vec::new());
                }
                Err(why) => {
                    let (id, kind) = (slot.id(), slot.kind().describe());
                    problems.push(format!("slot {id} ({kind}): {}", with_causes(&why)));
                }
            }
        }
        Ok(problems)
    }
}
