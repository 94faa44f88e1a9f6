//! The program's command lines, and waiting for what they do.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use strongroom_testkit::Server;

/// How a command ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs `command` to its end with `stdin` to read.
///
/// # Errors
/// When it cannot be started, or ends by a signal.
pub fn run(mut command: Command, stdin: &str) -> Result<Ended> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    // A command that does not read closes its end first, which is no fault.
    let _ = child
        .stdin
        .take()
        .context("no stdin")?
        .write_all(stdin.as_bytes());
    let output = child.wait_with_output()?;
    Ok(Ended {
        code: output.status.code().context("it ended by a signal")?,
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Why the server that `command` starts refuses to, with its exit status.
///
/// # Errors
/// When it starts all the same.
pub fn refusal(command: Command) -> Result<String> {
    match Server::start(command) {
        Ok(server) => bail!("the server started: {}", server.greeting()),
        Err(error) => Ok(error.to_string()),
    }
}

/// Waits until `condition` gives something.
///
/// # Errors
/// The condition's own; and when half a minute has passed.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..3000 {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("after 30 s there is still not: {what}")
}
