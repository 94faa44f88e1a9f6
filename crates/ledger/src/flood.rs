//! The brake on requests of unknown callers: a few per source and second get leaves of their own, the rest are counted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use strongroom_base::{Monotonic, limits};

/// The seconds' counters. A window of one second is for all sources, so that it can be forgotten at once.
#[derive(Default)]
pub(crate) struct Flood(Mutex<Window>);

#[derive(Default)]
struct Window {
    start: Option<Monotonic>,
    sources: HashMap<String, u32>,
    counted: u64,
}

impl Flood {
    /// Whether a refusal of `source` gets a leaf of its own; if not, it is counted.
    pub(crate) fn admits(&self, source: &str, now: Monotonic) -> bool {
        let window = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window
            .start
            .is_none_or(|start| now.since(start) >= Duration::from_secs(1))
        {
            window.start = Some(now);
            window.sources.clear();
        }
        let has_room = window.sources.len() < limits::REFUSAL_SOURCES;
        let admitted = match window.sources.get_mut(source) {
            Some(seen) => {
                *seen += 1;
                *seen <= limits::ANONYMOUS_REFUSALS_PER_SECOND
            }
            None if has_room => {
                window.sources.insert(source.to_owned(), 1);
                true
            }
            None => false,
        };
        if !admitted {
            window.counted += 1;
        }
        admitted
    }

    /// How many were counted since the last call.
    pub(crate) fn take(&self) -> u64 {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).counted)
    }

    /// Counts `count` again, which could not be written.
    pub(crate) fn give_back(&self, count: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counted += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_base::{Clock, ManualClock, Ttl};

    #[test]
    fn a_few_per_source_and_second_the_rest_is_counted() {
        let (flood, clock) = (Flood::default(), ManualClock::default());
        let burst = |source: &str| {
            (0..20)
                .filter(|_| flood.admits(source, clock.monotonic()))
                .count()
        };
        assert_eq!((burst("a"), burst("b"), burst("a")), (5, 5, 0));
        assert_eq!(flood.take(), 50);
        clock.advance(Ttl::from_millis(999));
        assert_eq!(burst("a"), 0);
        clock.advance(Ttl::from_millis(1));
        assert_eq!(burst("a"), 5);
        assert_eq!(flood.take(), 35);
        assert_eq!(flood.take(), 0);
    }

    #[test]
    fn sources_are_bounded() {
        let (flood, clock) = (Flood::default(), ManualClock::default());
        let admitted = (0..10_000)
            .filter(|n: &u32| flood.admits(&n.to_string(), clock.monotonic()))
            .count();
        assert_eq!(admitted, limits::REFUSAL_SOURCES);
        assert_eq!(flood.take(), 10_000 - limits::REFUSAL_SOURCES as u64);
    }
}
