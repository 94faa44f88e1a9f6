//! Secret material, in two tiers. *Keys* ([`Key`]) are boxed, filled in place, wiped when dropped, and have
//! nothing else. *Payloads* ([`SecretBytes`], [`SecretText`]) sit inside requests, so they print their type's name.
//!
//! Reading either is one greppable verb, `expose`; a golden list names every file that calls it.
//! Invariant: nothing here implements `Display`, `Serialize`, `Clone` or `PartialEq`.

mod buffer;
mod key;
mod payload;
mod wiped;

pub use buffer::SecretBuffer;
pub use key::Key;
pub use payload::{SecretBytes, SecretText};

/// Compares two byte strings in time that depends on their lengths only.
#[must_use]
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
