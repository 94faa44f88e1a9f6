//! An instance that waits for shares: plain state, one step for each share that somebody gives. Who asks for it, records
//! it and opens the instance is somebody else.

use strongroom_barrier::RootKey;
use strongroom_base::{InstanceId, Timestamp, Ttl};
use strongroom_secret::SecretText;

use crate::given::of_set;
use crate::kind::SlotKind;
use crate::share::{ShareSet, ShareText, ShareTextError};
use crate::slots::{Slot, Slots};
use crate::throttle::Throttle;

/// The shares so far, and who gave wrong ones.
pub struct SealState {
    instance: InstanceId,
    slots: Vec<(Slot, ShareSet)>,
    given: Vec<ShareText>,
    throttle: Throttle,
}

/// What a share has done.
pub enum Progress {
    /// More are needed.
    Waiting(Waiting),
    /// It was the last one that was needed. The shares are forgotten.
    Opened {
        /// The slot that opened.
        slot: u32,
        /// The root key.
        root: RootKey,
    },
}

/// How far the shares of a slot have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The slot.
    pub slot: u32,
    /// Shares that were given.
    pub given: usize,
    /// Shares that are needed.
    pub needed: u8,
}

/// Why a share was not taken. None of these tells which share of a set is wrong: nobody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many wrong shares came from there.
    #[error("too many wrong shares: try again in {} s", .retry_after.as_secs_ceil())]
    Throttled {
        /// When to come back.
        retry_after: Ttl,
    },
    /// The instance is not opened by shares.
    #[error("no seal slot of this instance opens by shares")]
    NoSlot,
    /// The text is no share.
    #[error(transparent)]
    Text(#[from] ShareTextError),
    /// It is one of another slot or instance, or of a slot that was removed.
    #[error("the share is of another set")]
    OtherSet,
    /// It was given before.
    #[error("the share was given before: give another one")]
    Doubled,
    /// Enough are there, and do not belong together. All of them are forgotten.
    #[error(
        "the shares do not open slot {slot}: they are not all of its set; begin again with the first share"
    )]
    WrongSet {
        /// The slot.
        slot: u32,
    },
}

impl SealState {
    /// Waits for the shares of `slots`.
    #[must_use]
    pub fn new(instance: InstanceId, slots: &Slots) -> Self {
        let with_shares = slots.iter().filter_map(|slot| match slot.kind() {
            SlotKind::Shares(set) => Some((slot.clone(), set.clone())),
            _ => None,
        });
        Self {
            instance,
            slots: with_shares.collect(),
            given: Vec::new(),
            throttle: Throttle::default(),
        }
    }

    /// Takes the share that somebody at `source` gave.
    ///
    /// # Errors
    /// [`SubmitError`]; except for [`SubmitError::Throttled`] it counts against `source`.
    pub fn submit(
        &mut self,
        source: &str,
        text: &SecretText,
        now: Timestamp,
    ) -> Result<Progress, SubmitError> {
        let throttled = |retry_after| SubmitError::Throttled { retry_after };
        self.throttle.admit(source, now).map_err(throttled)?;
        let step = self.step(text);
        if step.is_err() {
            self.throttle.failed(source, now);
        }
        step
    }

    fn step(&mut self, text: &SecretText) -> Result<Progress, SubmitError> {
        if self.slots.is_empty() {
            return Err(SubmitError::NoSlot);
        }
        let share = ShareText::parse(text)?;
        let may_be_of = self.slots.iter().map(|(_, set)| share.may_be_of(set.id));
        let touched: Vec<bool> = may_be_of.collect();
        if !touched.contains(&true) {
            return Err(SubmitError::OtherSet);
        }
        let is_known = |known: &ShareText| {
            known.share.x() == share.share.x() && known.set.is_none_or(|set| share.may_be_of(set))
        };
        if self.given.iter().any(is_known) {
            return Err(SubmitError::Doubled);
        }
        self.given.push(share);
        self.settle(&touched)
    }

    /// What the shares so far give, in the slots that the newest may be of.
    fn settle(&mut self, touched: &[bool]) -> Result<Progress, SubmitError> {
        let (mut waiting, mut wrong) = (None, None);
        let slots = self.slots.iter().zip(touched).filter(|(_, touched)| **touched);
        for ((slot, set), _) in slots {
            let state = self.waiting(slot, set);
            if state.given < usize::from(state.needed) {
                waiting = waiting.or(Some(state));
            } else if let Some(root) = self.root(slot, set) {
                self.given.clear();
                let slot = slot.id();
                return Ok(Progress::Opened { slot, root });
            } else {
                wrong = wrong.or(Some((slot.id(), set.id)));
            }
        }
        match (waiting, wrong) {
            // Shares in Vault's form may be of the slot that needs more of them.
            (Some(waiting), _) => Ok(Progress::Waiting(waiting)),
            (None, Some((slot, set))) => {
                self.given.retain(|share| !share.may_be_of(set));
                Err(SubmitError::WrongSet { slot })
            }
            (None, None) => Err(SubmitError::OtherSet),
        }
    }

    fn root(&self, slot: &Slot, set: &ShareSet) -> Option<RootKey> {
        let key = set.combine(of_set(&self.given, set)).ok()?;
        let (wrapped, context) = slot.sealed(self.instance);
        key.open(wrapped, &context)
    }

    fn waiting(&self, slot: &Slot, set: &ShareSet) -> Waiting {
        Waiting {
            slot: slot.id(),
            given: of_set(&self.given, set).len(),
            needed: set.needed,
        }
    }

    /// How far each slot has come that opens by shares.
    #[must_use]
    pub fn progress(&self) -> Vec<Waiting> {
        let slots = self.slots.iter();
        slots.map(|(slot, set)| self.waiting(slot, set)).collect()
    }

    /// Forgets the shares so far.
    pub fn reset(&mut self) {
        self.given.clear();
    }
}

#[cfg(test)]
mod tests;
