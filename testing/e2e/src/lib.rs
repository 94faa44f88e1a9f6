//! What the end-to-end tests share: a world with a server and its callers ([`World`]), the tables of everything that
//! can be called ([`surface`]), and two ways to look at what a server leaves behind ([`Canary`], [`ledger`]).

mod caller;
mod canary;
mod cluster;
pub mod ledger;
mod program;
pub mod surface;
mod witness;
mod world;

pub use caller::{Caller, Reply};
pub use canary::{Canary, Found, files_below};
pub use cluster::Cluster;
pub use program::{Ended, eventually, refusal, run};
pub use witness::Witness;
pub use world::{PASSWORD, World};
