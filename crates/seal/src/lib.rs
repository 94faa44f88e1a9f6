//! Seal slots. Like LUKS: each slot wraps the root key by a way of its own, any one opens it, and the slots lie in
//! clear beside the data, worth nothing without what opens them.
//!
//! This crate knows what a slot is made of ([`Slots`]) and where a slot's key comes from ([`key_file`],
//! [`SealKey::from_text`]). It does not know storage.

pub mod key_file;

mod key;
mod slots;

pub use key::{SealKey, SealKeyError};
pub use slots::{Opened, SealError, SlotKind, Slots};
