//! What the process asks of the kernel to keep its memory to itself.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Turns core dumps and `ptrace` by others off, and makes new files private to their owner.
///
/// Call it first in `main`: a crash before it could leave keys in a core file.
///
/// # Errors
/// What the kernel refused.
pub fn harden() -> std::io::Result<()> {
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}
