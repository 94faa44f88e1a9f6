//! Counting wrong shares and passphrases: plain state, with `now` as an argument.

use quick_cache::unsync::Cache;
use strongroom_base::{Timestamp, Ttl, limits};

/// Failures by source. Bounded: under pressure the least used counters are forgotten.
pub struct Throttle(Cache<String, Window>);

#[derive(Clone, Copy, Default)]
struct Window {
    start: Timestamp,
    failures: u32,
}

impl Default for Throttle {
    fn default() -> Self {
        Self(Cache::new(limits::UNSEAL_SOURCES))
    }
}

impl Throttle {
    /// Whether an attempt may be made.
    ///
    /// # Errors
    /// When to come back.
    pub fn admit(&self, source: &str, now: Timestamp) -> Result<(), Ttl> {
        let window = self.0.get(source).copied().unwrap_or_default();
        let wait = window.start.after(limits::UNSEAL_WINDOW).since(now);
        if window.failures < limits::UNSEAL_FAILURES_PER_SOURCE || wait == Ttl::default() {
            Ok(())
        } else {
            Err(wait)
        }
    }

    /// Counts a failure.
    pub fn failed(&mut self, source: &str, now: Timestamp) {
        let known = self.0.get(source).copied().unwrap_or_default();
        let is_over = now.since(known.start) >= limits::UNSEAL_WINDOW;
        let window = if is_over {
            Window {
                start: now,
                failures: 1,
            }
        } else {
            Window {
                failures: known.failures.saturating_add(1),
                ..known
            }
        };
        self.0.insert(source.to_owned(), window);
    }
}
