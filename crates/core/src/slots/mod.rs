//! The seal slots of an open instance through the gate: which there are, adding, removing and trying them, and the drill
//! that one alone opens the instance.
//!
//! The root key stays in memory while the instance is open, so that a slot can be added whatever opened it. That gives
//! nothing away: the keys that it protects are in memory as well.

mod drill;
mod engine;
mod health;
mod ops;
mod rekey;

pub use engine::{SealParts, SealSlots, SlotsCopy};
pub use health::SlotHealth;
pub use ops::{
    AddSlot, Added, CancelRekey, CheckSlots, ConfirmRekey, DrillSlot, Drilled, ListSlots, NewKind, RekeySlot,
    RekeyStep, Rekeyed, RemoveSlot, Removed, SlotCheck, SlotFacts, Verdict,
};
