//! Nodes on one PostgreSQL database that are killed, paused and cut off, all in one run, while clients compare and set
//! through both. What the clients saw must be explained by some order in which everything happened at once, one after
//! the other (Herlihy and Wing, "Linearizability"), and each change must have its note.
//!
//! The nodes are processes ([`node`]) with nothing but storage in them, because no dialect shows a compare-and-set.

pub mod history;
pub mod node;

mod client;
mod dice;
mod run;

pub use run::{Options, Report, run};
