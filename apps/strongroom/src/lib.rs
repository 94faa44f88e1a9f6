//! The one binary, as a library, so that tests can start a server in their own process. It reads configuration,
//! builds objects and runs them; no rule lives here.

pub mod cli;
pub mod config;
pub mod server;
