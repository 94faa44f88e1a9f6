//! The log: events of our own crates at the level asked for, warnings of the others, on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};

/// Makes panics log where they happened and nothing else: a panic's message may quote what it was working on.
fn hush_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

/// Starts the log of this process. A second call changes nothing: a test may start many servers.
pub fn start(format: LogFormat, level: LogLevel) {
    hush_panics();
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter(level))
        .with_ansi(std::io::stderr().is_terminal());
    let _already_started = match format {
        LogFormat::Human => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
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
