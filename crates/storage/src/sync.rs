//! What the committer and its callers meet with. It is std's; in this crate's own tests it is shuttle's, which decides who
//! runs next.

#[cfg(not(test))]
pub(crate) use std::{
    sync::atomic::AtomicU64,
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};

#[cfg(test)]
pub(crate) use shuttle::{
    sync::atomic::AtomicU64,
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
