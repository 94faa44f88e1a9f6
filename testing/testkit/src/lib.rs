//! Real servers for tests: the program itself as a child process, in a home of its own, on a free port.
//!
//! What a test wants that cannot be had fails it, by name; nothing is skipped.

mod home;
mod postgres;
mod proxy;
mod server;
mod softhsm;

pub use home::Home;
pub use postgres::{Postgres, free_port, signal};
pub use proxy::{Cut, Message, Moment, Proxy, Side};
pub use server::{Server, program};
pub use softhsm::SoftHsm;
