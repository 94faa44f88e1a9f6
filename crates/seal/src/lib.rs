//! Seal slots. Like LUKS: each slot wraps the root key by a way of its own, any one opens it, and the slots lie in
//! clear beside the data, worth nothing without what opens them.
//!
//! This crate knows the table ([`Slots`]) and its bytes, the ways that there are ([`SlotKind`]), what each of them must be
//! able to do ([`Seal`], [`contract`]), and the state of an instance that waits for shares ([`SealState`]). Where a slot's
//! seal is reached, a [`Reach`] knows; tokens and services have crates of their own. It does not know storage.

pub mod contract;
pub mod key_file;

mod given;
mod hex;
mod key;
mod kind;
mod open;
mod passphrase;
mod seal;
mod share;
mod slots;
mod state;
mod throttle;

pub use given::{Given, GivenError, SharesError};
pub use key::{SealKey, SealKeyError};
pub use kind::{CredentialName, Mechanism, NameError, SlotKind, TokenKey};
pub use open::{Opened, Reach, Tried, Unreached};
pub use passphrase::{PassphraseError, Stretch};
pub use seal::{Seal, SealFault};
pub use share::{SetId, ShareSet, ShareText, ShareTextError};
pub use slots::{NewSlot, SealError, Slot, Slots};
pub use state::{Progress, SealState, SubmitError, Waiting};
pub use strongroom_shamir::{ShamirError, Threshold};
pub use throttle::Throttle;
