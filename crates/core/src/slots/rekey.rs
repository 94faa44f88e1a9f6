//! New shares for a slot that opens by shares: the old ones stay good until enough of the new ones were shown to open the
//! new slot, so that shares which got lost on their way cost nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use strongroom_sdk::{Error, Permit};
use strongroom_seal::{Progress, SealState, SlotKind, Slots};

use super::engine::{SealSlots, refusal};
use super::ops::{AddSlot, CancelRekey, ConfirmRekey, NewKind, RekeySlot, RekeyStep, Rekeyed, RemoveSlot};
use crate::house::share_refusal;

/// The rekey that waits for its new shares, if one does.
#[derive(Default)]
pub(super) struct Rekeying(Mutex<Option<Pending>>);

struct Pending {
    old: u32,
    new: u32,
    state: SealState,
}

impl Rekeying {
    fn pending(&self) -> MutexGuard<'_, Option<Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SealSlots {
    /// Adds a slot of new shares in the place of one, which goes when they are confirmed.
    ///
    /// # Errors
    /// [`Error::Conflict`] while another one waits, [`Error::NotFound`], and those of adding a slot.
    pub async fn rekey(&self, permit: &Permit, op: RekeySlot) -> Result<Rekeyed, Error> {
        if let Some(Pending { new, .. }) = &*self.rekeying().pending() {
            return Err(Error::Conflict(format!(
                "a rekey waits for the shares of slot {new}: confirm it with `--confirm`, or end it with `--cancel`"
            )));
        }
        let (slots, _) = self.load().await?;
        let (old, label) = of_shares(&slots, op.id)?;
        let kind = NewKind::Shares {
            needed: op.needed,
            shares: op.shares,
        };
        let added = self.add(permit, AddSlot { kind, label }).await?;
        let new = added.slot.id;
        let (slots, _) = self.load().await?;
        let alone = slots.only(new).map_err(|error| refusal(&error))?;
        let state = SealState::new(self.instance(), &alone);
        *self.rekeying().pending() = Some(Pending { old, new, state });
        Ok(Rekeyed {
            old,
            new: added.slot,
            shares: added.shares,
        })
    }

    /// Takes one of the new shares. The last one that is needed removes the old slot.
    ///
    /// # Errors
    /// [`Error::Conflict`] when no rekey waits, [`Error::Invalid`] for a share that is none of the new ones.
    pub async fn confirm_rekey(&self, permit: &Permit, op: ConfirmRekey) -> Result<RekeyStep, Error> {
        let (old, step) = {
            let mut pending = self.rekeying().pending();
            let Pending { old, state, .. } = pending.as_mut().ok_or_else(none_waits)?;
            (*old, state.submit(permit.source(), &op.share, permit.now()))
        };
        match step.map_err(share_refusal)? {
            Progress::Waiting(waiting) => Ok(RekeyStep::Waiting(waiting)),
            Progress::Opened { slot: new, .. } => {
                match self.remove(permit, RemoveSlot { id: old }).await {
                    // Somebody has removed it meanwhile.
                    Ok(_) | Err(Error::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
                *self.rekeying().pending() = None;
                Ok(RekeyStep::Done { old, new })
            }
        }
    }

    /// Ends a rekey without its new shares: their slot is removed.
    ///
    /// # Errors
    /// [`Error::Conflict`] when none waits.
    pub async fn cancel_rekey(&self, permit: &Permit, _: CancelRekey) -> Result<(), Error> {
        let new = self.rekeying().pending().as_ref().map(|pending| pending.new);
        let id = new.ok_or_else(none_waits)?;
        match self.remove(permit, RemoveSlot { id }).await {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        *self.rekeying().pending() = None;
        Ok(())
    }
}

/// The slot `id` and its label, or without an id, those of the one slot that opens by shares.
fn of_shares(slots: &Slots, id: Option<u32>) -> Result<(u32, String), Error> {
    let are_shares = |kind: &SlotKind| matches!(kind, SlotKind::Shares(_));
    if let Some(id) = id {
        let slot = slots.slot(id).map_err(|error| refusal(&error))?;
        return if are_shares(slot.kind()) {
            Ok((id, slot.label().to_owned()))
        } else {
            Err(Error::invalid("slot", "does not open by shares"))
        };
    }
    let mut all = slots.iter().filter(|slot| are_shares(slot.kind()));
    match (all.next(), all.next()) {
        (Some(slot), None) => Ok((slot.id(), slot.label().to_owned())),
        (None, _) => Err(Error::invalid("slot", "cannot be chosen: none opens by shares")),
        _ => Err(Error::invalid("slot", "must be given: several open by shares")),
    }
}

fn none_waits() -> Error {
    Error::Conflict("no rekey waits: begin one with `strongroom operator rekey`".to_owned())
}
