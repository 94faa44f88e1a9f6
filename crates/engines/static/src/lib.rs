//! The static engine: it keeps values that someone else made.
//!
//! A secret is one row, found by its name: its current value (up to 8 KiB; larger ones lie beside it), its version
//! table and its six permission lists. Earlier values are rows of their own. For each reader there is an index row,
//! so that a listing reads what its caller may see and nothing else.
//!
//! | row | plane and key | written |
//! |---|---|---|
//! | secret | names: the name's segments | at each save |
//! | payload | ordered: secret id ‖ slot u32 | an earlier value at each new one; a current one over 8 KiB |
//! | by principal | ordered: principal id ‖ mount id ‖ secret id | when the readers change |
//! | removed secret | names, beside the mount: the name's segments | when it is removed, to be had back |
//! | access request | ordered: who asks ‖ random id | when somebody asks, and it is forgotten after 30 days |
//! | due | ordered: time ‖ secret id | while the secret expires or has to be rotated |
//! | removed | ordered: time ‖ secret id | with a removed secret |
//!
//! There are no leases here. Limits: 1 MiB a value, 10 versions, 256 entries a list, 1,000 secrets a save, 30 days until
//! a removed secret is purged.

mod asks;
mod care;
mod engine;
mod logic;
mod one;
pub mod ops;
mod questions;
mod records;
mod stale;

pub use engine::StaticEngine;
