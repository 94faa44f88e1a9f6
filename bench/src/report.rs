//! What is printed: headings, figures, and whether a figure meets its target.

use std::io::{self, Write};

use anyhow::Result;

/// The report, on standard output.
pub(crate) struct Report(io::Stdout);

impl Report {
    pub(crate) fn new() -> Self {
        Self(io::stdout())
    }

    /// Begins a group of figures.
    pub(crate) fn heading(&mut self, text: &str) -> Result<()> {
        Ok(writeln!(self.0, "\n{text}")?)
    }

    /// A figure, with its unit.
    pub(crate) fn figure(&mut self, name: &str, value: &str) -> Result<()> {
        Ok(writeln!(self.0, "  {name:<26} {value}")?)
    }

    /// A figure that should be at most `target`.
    pub(crate) fn at_most(&mut self, name: &str, value: f64, target: f64, unit: &str) -> Result<()> {
        let word = if value <= target { "met" } else { "MISSED" };
        self.figure(
            name,
            &format!("{value:.2}{unit} (target: at most {target}{unit}: {word})"),
        )
    }

    /// A figure that should be at least `target`.
    pub(crate) fn at_least(&mut self, name: &str, value: f64, target: f64, unit: &str) -> Result<()> {
        let word = if value >= target { "met" } else { "MISSED" };
        self.figure(
            name,
            &format!("{value:.2}{unit} (target: at least {target}{unit}: {word})"),
        )
    }
}
