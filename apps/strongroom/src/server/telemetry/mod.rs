//! The log: events of our own crates at the level asked for, warnings of the others, on stderr.

mod json;
mod lines;

use std::io::{IsTerminal, Stderr, stderr};

use strongroom_base::SystemClock;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};
use json::Json;
use lines::Lines;

/// Makes panics log where they happened and nothing else: a panic's message may quote what it was working on.
fn hush_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

/// The log of this process. Dropping it writes what is not written yet.
#[must_use = "dropping it is the last moment at which lines are sure to be written"]
pub struct Log(Lines<Stderr>);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Starts the log of this process. A second call changes nothing: a test may start many servers.
pub fn start(format: LogFormat, level: LogLevel) -> Log {
    hush_panics();
    let lines = Lines::new(stderr());
    let log = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_env_filter(filter(level))
        .with_ansi(stderr().is_terminal());
    let _already_started = match format {
        LogFormat::Human => log.try_init(),
        LogFormat::Json => log.event_format(Json(SystemClock::new())).try_init(),
    };
    Log(lines)
}

/// The names of our crates all begin with `strongroom`, which is how a filter matches.
fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    EnvFilter::new(format!("warn,strongroom={level}"))
}
