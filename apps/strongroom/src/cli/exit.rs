//! Exit codes, and how each program's help explains them.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// It did not; stderr says why.
    Failed = 1,
    /// It was asked for something that does not exist.
    Usage = 2,
    /// It looked for what is wrong, and something is.
    Found = 3,
}

/// The part of a help text about exit codes.
pub(crate) const HELP: &str = "Exit codes: 0 done, 1 failed (stderr says why), 2 wrong usage.";

/// The same of commands that look for what is wrong.
pub(crate) const FINDING_HELP: &str = "Exit codes: 0 nothing is wrong, 1 failed (stderr says why), 2 wrong usage, 3 something is wrong (stdout says what).";

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
