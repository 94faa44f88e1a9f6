//! One instance, unsealed: the gate that every request passes, the mount table, token minting, background loops.
//!
//! Invariant: this crate knows no HTTP and no concrete secret engine.

pub mod accounts;
pub mod audit;
pub mod house;
pub mod inspection;
pub mod keys;
pub mod operators;
pub mod slots;
pub mod superblock;

mod chores;
mod engines;
mod gate;
mod generation;
mod instance;
mod internal;
mod lock;
mod mounts;
mod nodes;
mod tokens;
mod upkeep;

pub use engines::Engines;
pub use gate::{Core, Credential, Request};
pub use instance::{Foundations, NewInstance, OpenError, Settings, UNNAMED_APP};
pub use nodes::Node;
pub use strongroom_policy::{Lapse, Strictness};
pub use strongroom_sdk::{Room, Space};
pub use tokens::{TokenForm, random_text};
pub use upkeep::{OverdueList, OverdueSecret};
