//! A whole instance in this process, through its one door, `Core::call`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "fixtures of tests may panic"
)]

mod house;
mod inspection;
mod interleaving;
mod keys;
mod lists;
mod meddled;
mod nodes;
mod overdue;
mod preconditions;
mod search;
mod sessions;
mod slots;
mod tampering;
mod unavailable;
