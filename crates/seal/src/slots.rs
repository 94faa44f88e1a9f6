//! The slot table: CBOR, in clear, at `system/slots` and in `DATA/slots.bak`.
//!
//! Instance, slot and kind are bound to what a slot has wrapped, so one that was copied from another instance, renumbered,
//! or made another kind does not open. Its parameters need not be bound: with others it does not open either.

use minicbor::{Decode, Encode};
use strongroom_barrier::RootKey;
use strongroom_base::{InstanceId, Rng, Timestamp, limits, with_causes};
use strongroom_secret::ct_eq;

use crate::kind::{NameError, SlotKind, slot_label};
use crate::open::Tried;
use crate::seal::{Seal, SealFault};

/// The format that is written. Format 1 is read, too.
const FORMAT: u8 = 2;

/// All slots of an instance: one at least.
#[derive(Encode, Decode)]
pub struct Slots {
    #[n(0)]
    format: u8,
    /// The id of the slot that comes next: ids are never used again.
    #[n(1)]
    next: u32,
    #[n(2)]
    slots: Vec<Slot>,
}

/// One way to the root key.
#[derive(Clone, Encode, Decode)]
pub struct Slot {
    #[n(0)]
    id: u32,
    #[n(1)]
    kind: SlotKind,
    #[n(2)]
    label: String,
    /// Format 1 did not say.
    #[n(3)]
    created: Option<Timestamp>,
    /// What [`Seal::wrap`] gave.
    #[cbor(n(4), with = "minicbor::bytes")]
    wrapped: Vec<u8>,
}

/// What a slot begins with.
pub struct NewSlot {
    /// How it opens.
    pub kind: SlotKind,
    /// What an operator calls it; may be empty.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
}

/// What is wrong with slots.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The table cannot be read.
    #[error("the seal slots are damaged; there is a copy of them in the data directory, `slots.bak`")]
    Slots,
    /// A newer version wrote it.
    #[error(
        "the seal slots have format {0}, and this version knows formats up to {FORMAT}: use a newer strongroom"
    )]
    Newer(u8),
    /// No slot gives the root key.
    #[error("no seal slot opens this instance: {}", list(.0))]
    NoneOpens(Vec<Tried>),
    /// There is no such slot.
    #[error("there is no slot {0}: `strongroom operator slots list` shows those there are")]
    NoSlot(u32),
    /// At least one stays.
    #[error("slot {0} is the only one: add another before you remove it, or nothing opens the instance")]
    LastSlot(u32),
    /// There is a bound.
    #[error(
        "there are {} slots, and there may be no more: remove one first",
        limits::SEAL_SLOTS
    )]
    TooMany,
    /// The label.
    #[error("the label {0}")]
    Label(#[from] NameError),
    /// The seal cannot wrap.
    #[error("the seal does not work")]
    Fault(#[from] SealFault),
    /// The seal gives back something else than it was given.
    #[error("the seal does not give back what it wrapped, so it was not added")]
    Untrue,
}

impl Slots {
    /// A table of one slot, whose `seal` wraps `root`.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn create(
        instance: InstanceId,
        root: &RootKey,
        new: NewSlot,
        seal: &dyn Seal,
        rng: &dyn Rng,
    ) -> Result<Self, SealError> {
        let mut slots = Self {
            format: FORMAT,
            next: 1,
            slots: Vec::new(),
        };
        slots.add(instance, root, new, seal, rng).await?;
        Ok(slots)
    }

    /// Adds a slot whose `seal` wraps `root`, after a trial whether the seal gives it back. Gives the slot's id.
    ///
    /// # Errors
    /// [`SealError`]; nothing was changed.
    pub async fn add(
        &mut self,
        instance: InstanceId,
        root: &RootKey,
        new: NewSlot,
        seal: &dyn Seal,
        rng: &dyn Rng,
    ) -> Result<u32, SealError> {
        if self.slots.len() >= limits::SEAL_SLOTS {
            return Err(SealError::TooMany);
        }
        let id = self.next;
        let next = id.checked_add(1).ok_or(SealError::TooMany)?;
        let label = slot_label(&new.label)?;
        let context = context(id, &new.kind, instance);
        let wrapped = seal.wrap(root, &context, rng).await?;
        let slot = Slot {
            id,
            kind: new.kind,
            label,
            created: Some(new.created),
            wrapped,
        };
        let again = slot.unwrap(instance, seal).await?;
        if !ct_eq(again.expose(), root.expose()) {
            return Err(SealError::Untrue);
        }
        self.slots.push(slot);
        self.next = next;
        Ok(id)
    }

    /// Removes the slot `id` and gives it.
    ///
    /// # Errors
    /// [`SealError::NoSlot`], [`SealError::LastSlot`]; nothing was changed.
    pub fn remove(&mut self, id: u32) -> Result<Slot, SealError> {
        let at = self.slots.iter().position(|slot| slot.id == id);
        let at = at.ok_or(SealError::NoSlot(id))?;
        if self.slots.len() == 1 {
            return Err(SealError::LastSlot(id));
        }
        Ok(self.slots.remove(at))
    }

    /// The slots, in the order in which they were made.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Slot> {
        self.slots.iter()
    }

    /// The slot `id`.
    ///
    /// # Errors
    /// [`SealError::NoSlot`].
    pub fn slot(&self, id: u32) -> Result<&Slot, SealError> {
        let found = self.slots.iter().find(|slot| slot.id == id);
        found.ok_or(SealError::NoSlot(id))
    }

    /// The id that the next slot gets.
    #[must_use]
    pub fn next_id(&self) -> u32 {
        self.next
    }

    /// The same table with the slot `id` alone.
    ///
    /// # Errors
    /// [`SealError::NoSlot`].
    pub fn only(&self, id: u32) -> Result<Self, SealError> {
        Ok(Self {
            format: FORMAT,
            next: self.next,
            slots: vec![self.slot(id)?.clone()],
        })
    }

    /// The table's bytes, in the newest format.
    ///
    /// # Errors
    /// Never in practice: encoding into memory does not fail.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SealError> {
        minicbor::to_vec(self).map_err(|_| SealError::Slots)
    }

    /// Reads [`Slots::to_bytes`] back, and what earlier versions wrote.
    ///
    /// # Errors
    /// [`SealError::Slots`], [`SealError::Newer`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let damaged = |_| SealError::Slots;
        let FormatOnly { format } = minicbor::decode(bytes).map_err(damaged)?;
        let slots: Self = match format {
            1 => minicbor::decode::<format_1::Slots>(bytes)
                .map_err(damaged)?
                .into(),
            FORMAT => minicbor::decode(bytes).map_err(damaged)?,
            0 => return Err(SealError::Slots),
            newer => return Err(SealError::Newer(newer)),
        };
        slots.is_sound().then_some(slots).ok_or(SealError::Slots)
    }

    fn is_sound(&self) -> bool {
        let grows = self
            .slots
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.id < b.id));
        let is_below = self.slots.last().is_some_and(|last| last.id < self.next);
        let are_sound = self
            .slots
            .iter()
            .all(|slot| slot.id > 0 && slot.kind.is_sound() && slot_label(&slot.label).is_ok());
        grows && is_below && are_sound && self.slots.len() <= limits::SEAL_SLOTS
    }
}

impl Slot {
    /// Its number, which no other slot of the instance ever has.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How it opens.
    #[must_use]
    pub fn kind(&self) -> &SlotKind {
        &self.kind
    }

    /// What an operator calls it; may be empty.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// When it was made, if that is known.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.created
    }

    /// The root key that `seal` has wrapped in this slot.
    ///
    /// # Errors
    /// [`SealFault`].
    pub async fn unwrap(&self, instance: InstanceId, seal: &dyn Seal) -> Result<RootKey, SealFault> {
        let context = context(self.id, &self.kind, instance);
        seal.unwrap(&self.wrapped, &context).await
    }

    /// What is wrapped, and what is bound to it.
    pub(crate) fn sealed(&self, instance: InstanceId) -> (&[u8], Vec<u8>) {
        (&self.wrapped, context(self.id, &self.kind, instance))
    }
}

/// Only the format, which any version can read.
#[derive(Decode)]
struct FormatOnly {
    #[n(0)]
    format: u8,
}

/// What version 0.1 wrote until there were commands for slots.
mod format_1 {
    use minicbor::Decode;

    use super::FORMAT;
    use crate::kind::SlotKind;

    #[derive(Decode)]
    pub(super) struct Slots {
        #[n(1)]
        slots: Vec<Slot>,
    }

    #[derive(Decode)]
    struct Slot {
        #[n(0)]
        id: u32,
        #[n(1)]
        kind: Kind,
        #[cbor(n(2), with = "minicbor::bytes")]
        wrapped: Vec<u8>,
    }

    #[derive(Decode)]
    #[cbor(index_only)]
    enum Kind {
        #[n(1)]
        KeyFile,
        #[n(2)]
        EnvVar,
    }

    impl From<Slots> for super::Slots {
        fn from(slots: Slots) -> Self {
            let last = slots.slots.iter().map(|slot| slot.id).max();
            Self {
                format: FORMAT,
                next: last.unwrap_or_default().saturating_add(1),
                slots: slots.slots.into_iter().map(super::Slot::from).collect(),
            }
        }
    }

    impl From<Slot> for super::Slot {
        fn from(slot: Slot) -> Self {
            Self {
                id: slot.id,
                kind: match slot.kind {
                    Kind::KeyFile => SlotKind::KeyFile,
                    Kind::EnvVar => SlotKind::EnvVar,
                },
                label: String::new(),
                created: None,
                wrapped: slot.wrapped,
            }
        }
    }
}

/// What is bound to a slot's wrapped key.
fn context(id: u32, kind: &SlotKind, instance: InstanceId) -> Vec<u8> {
    [
        b"strongroom/slot/v1",
        &id.to_be_bytes()[..],
        &[kind.number()],
        instance.as_bytes(),
    ]
    .concat()
}

fn list(tried: &[Tried]) -> String {
    let one = |tried: &Tried| {
        let label = match tried.label.as_str() {
            "" => String::new(),
            label => format!(" `{label}`"),
        };
        format!(
            "slot {}{label} ({}): {}",
            tried.slot,
            tried.kind,
            with_causes(&tried.why)
        )
    };
    tried.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
