//! The instance's keys through the gate: rotation, the rewrap of what old keys sealed, a new root key.

mod engine;
mod ops;
mod rewrapper;

pub use engine::Keys;
pub use ops::{KeysShown, RotateKeys, Rotated, ShowKeys, StartRewrap};
pub(crate) use rewrapper::{Rewrapper, run};
pub use strongroom_barrier::Rewrap;
