//! The door of a sealed house: shares and passphrases are given here, by anyone, one at a time.

use std::sync::atomic::Ordering;

use strongroom_base::{InstanceId, limits};
use strongroom_sdk::Error;
use strongroom_seal::{Given, Progress, SealState, SlotKind, Slots, SubmitError, Throttle, Waiting};
use strongroom_secret::SecretText;

use super::{House, SealShown, Unseal, Visit};

/// What was given so far, and by whom wrongly. All of it is forgotten when the seal opens.
#[derive(Default)]
pub(super) struct Door {
    /// The shares to open the seal; made with the first.
    unsealing: Option<SealState>,
    /// The shares to get a new root token; made with the first.
    pub(super) recovery: Option<SealState>,
    passphrases: Throttle,
}

impl House {
    /// How the seal is.
    pub(super) async fn show(&self, visit: &Visit) -> Result<SealShown, Error> {
        let is_sealed = !self.is_open();
        let progress = if is_sealed && self.is_made() {
            self.progress().await?
        } else {
            Vec::new()
        };
        let problems = if visit.is_local() {
            self.problems().clone()
        } else {
            Vec::new()
        };
        Ok(SealShown {
            is_initialized: self.is_made(),
            is_sealed,
            progress,
            problems,
        })
    }

    /// Takes a step to open the seal. Does nothing when it is open.
    pub(super) async fn unseal(&self, visit: &Visit, step: Unseal) -> Result<SealShown, Error> {
        if !self.is_open() {
            match step {
                Unseal::Share(share) => self.take_share(visit, &share).await?,
                Unseal::Passphrase(passphrase) => self.take_passphrase(visit, passphrase).await?,
                Unseal::Reset => self.forget_shares().await?,
            }
        }
        self.show(visit).await
    }

    /// Takes a share. The last one that is needed opens the seal.
    async fn take_share(&self, visit: &Visit, share: &SecretText) -> Result<(), Error> {
        self.prepare_door().await?;
        let step = {
            let mut door = self.door();
            let state = door.unsealing.as_mut().ok_or_else(|| self.closed())?;
            state.submit(&visit.source, share, self.clock.now())
        };
        match step.map_err(share_refusal)? {
            Progress::Waiting(_) => Ok(()),
            Progress::Opened { slot, root } => {
                self.still_has(slot).await?;
                self.open(&root, slot, false).await
            }
        }
    }

    /// Whether the slot `id`, whose shares were gathered for a while, is there still: those of one that was removed prove
    /// nothing any more.
    pub(super) async fn still_has(&self, id: u32) -> Result<(), Error> {
        let (_, slots) = self.slots().await?;
        slots.slot(id).map(drop).map_err(|_| {
            *self.door() = Door::default();
            Error::Conflict("the slot of these shares was removed meanwhile: begin again".to_owned())
        })
    }

    /// Opens the seal by a passphrase.
    async fn take_passphrase(&self, visit: &Visit, passphrase: SecretText) -> Result<(), Error> {
        let admitted = self.door().passphrases.admit(&visit.source, self.clock.now());
        admitted.map_err(|retry_after| Error::RateLimited { retry_after })?;
        let Ok(_alone) = self.stretching.try_lock() else {
            let retry_after = limits::PASSPHRASE_BUSY;
            return Err(Error::RateLimited { retry_after });
        };
        let (instance, slots) = self.slots().await?;
        let given = Given::from_passphrase(passphrase);
        let of_passphrases = slots
            .iter()
            .filter(|slot| matches!(slot.kind(), SlotKind::Passphrase(_)));
        let of_passphrases: Vec<_> = of_passphrases.collect();
        if of_passphrases.is_empty() {
            return Err(no_such_slot("a passphrase"));
        }
        for slot in of_passphrases {
            if let Ok((root, is_weak)) = slot.open(instance, self.site.reach(), &given).await {
                return self.open(&root, slot.id(), is_weak).await;
            }
        }
        self.door().passphrases.failed(&visit.source, self.clock.now());
        Err(Error::invalid(
            "passphrase",
            "opens no seal slot of this instance",
        ))
    }

    async fn forget_shares(&self) -> Result<(), Error> {
        self.prepare_door().await?;
        if let Some(state) = &mut self.door().unsealing {
            state.reset();
        }
        Ok(())
    }

    /// The seal slots of the instance as they are now.
    pub(super) async fn slots(&self) -> Result<(InstanceId, Slots), Error> {
        let slots = self.site.slots().await.map_err(Error::internal)?;
        // Another node of the same storage may have made it.
        self.is_made.fetch_or(slots.is_some(), Ordering::Relaxed);
        slots.ok_or(Error::NotInitialized)
    }

    async fn progress(&self) -> Result<Vec<Waiting>, Error> {
        self.prepare_door().await?;
        let door = self.door();
        Ok(door.unsealing.as_ref().map_or_else(Vec::new, SealState::progress))
    }

    async fn prepare_door(&self) -> Result<(), Error> {
        if self.door().unsealing.is_none() {
            let (instance, slots) = self.slots().await?;
            let state = SealState::new(instance, &slots);
            self.door().unsealing.get_or_insert(state);
        }
        Ok(())
    }
}

/// What a caller is told of a share that was not taken.
pub(crate) fn share_refusal(error: SubmitError) -> Error {
    match error {
        SubmitError::Throttled { retry_after } => Error::RateLimited { retry_after },
        SubmitError::NoSlot => no_such_slot("shares"),
        SubmitError::Text(_)
        | SubmitError::OtherSet
        | SubmitError::Doubled
        | SubmitError::WrongSet { .. } => Error::invalid("share", format_args!("is not taken: {error}")),
    }
}

fn no_such_slot(what: &str) -> Error {
    Error::Conflict(format!("no seal slot of this instance opens by {what}"))
}
