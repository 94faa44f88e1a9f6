//! The project's chores: `cargo xtask ci | check | golden | torture`.
#![expect(clippy::print_stdout, reason = "it is a command line tool")]

mod ci;
mod metadata;
mod shell;
mod tidy;
mod torture;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask ci      install what the tests need, check, run every test
       cargo xtask check   tidiness, dependencies, formatting, lints, documentation
       cargo xtask golden  write golden files anew, for you to review
       cargo xtask torture [--seed N] [--points N]  storage on a simulated disk that loses power, for long
       cargo xtask torture [--seed N] --cluster SECONDS  two nodes that are killed, paused and cut off meanwhile";

fn main() -> Result<()> {
    std::env::set_current_dir(shell::root()?)?;
    match std::env::args().nth(1).as_deref() {
        Some("ci") => ci::run(),
        Some("check") => check(),
        Some("golden") => golden(),
        Some("torture") => torture::run(std::env::args().skip(2)),
        _ => bail!("{USAGE}"),
    }
}

fn check() -> Result<()> {
    tidy::run()?;
    shell::cargo(&["fmt", "--all", "--check"])?;
    shell::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--profile",
        "ci",
        "--",
        "-D",
        "warnings",
    ])?;
    shell::run(
        shell::command("cargo")
            .args(["doc", "--workspace", "--no-deps", "--profile", "ci"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Golden files are written by the tests that compare them, when asked to.
fn golden() -> Result<()> {
    tidy::update_golden()?;
    shell::run(
        shell::command("cargo")
            .args(["test", "--workspace", "--profile", "ci"])
            .env("UPDATE_GOLDEN", "1"),
    )
}
