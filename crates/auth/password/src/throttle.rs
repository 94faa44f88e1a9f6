//! Counting failures: plain state, with `now` as an argument.

use quick_cache::unsync::Cache;
use strongroom_base::{Slug, Timestamp, Ttl, limits};

/// Failures by slug and by source. Bounded: under pressure the least used counters are forgotten.
pub(crate) struct Throttle {
    slugs: Cache<Slug, Failures>,
    sources: Cache<String, Window>,
}

#[derive(Clone, Copy, Default)]
struct Failures {
    in_a_row: u32,
    locked_until: Timestamp,
}

#[derive(Clone, Copy, Default)]
struct Window {
    start: Timestamp,
    failures: u32,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            slugs: Cache::new(limits::LOGIN_COUNTERS),
            sources: Cache::new(limits::LOGIN_COUNTERS),
        }
    }
}

impl Throttle {
    /// Whether an attempt may be made; if not, when to come back.
    pub(crate) fn admit(&self, slug: &Slug, source: &str, now: Timestamp) -> Result<(), Ttl> {
        let locked_until = self.slugs.get(slug).map_or(now, |failures| failures.locked_until);
        let window = self.sources.get(source).copied().unwrap_or_default();
        let window_end = window.start.after(limits::LOGIN_SOURCE_WINDOW);
        let source_until = if window.failures >= limits::LOGIN_FAILURES_PER_SOURCE {
            window_end
        } else {
            now
        };
        match locked_until.max(source_until).since(now) {
            wait if wait == Ttl::default() => Ok(()),
            wait => Err(wait),
        }
    }

    /// Counts a failure. Gives the end of the lock when this one is the last allowed in a row. A slug that nobody has
    /// is locked like any other, or the lock would tell that it is nobody's.
    pub(crate) fn failed(&mut self, slug: &Slug, source: &str, now: Timestamp) -> Option<Timestamp> {
        let mut window = self.sources.get(source).copied().unwrap_or_default();
        if now.since(window.start) >= limits::LOGIN_SOURCE_WINDOW {
            window = Window {
                start: now,
                failures: 0,
            };
        }
        window.failures = window.failures.saturating_add(1);
        self.sources.insert(source.to_owned(), window);

        let known = self.slugs.get(slug).copied().unwrap_or_default();
        if now < known.locked_until {
            // Attempts that were admitted before the lock came do not lift it.
            return None;
        }
        let in_a_row = known.in_a_row.saturating_add(1);
        let lock = (in_a_row >= limits::LOGIN_FAILURES_PER_PRINCIPAL).then(|| now.after(limits::LOGIN_LOCK));
        let failures = match lock {
            Some(locked_until) => Failures {
                in_a_row: 0,
                locked_until,
            },
            None => Failures {
                in_a_row,
                locked_until: Timestamp::default(),
            },
        };
        self.slugs.insert(slug.clone(), failures);
        lock
    }

    /// The right password: earlier failures no longer count.
    pub(crate) fn succeeded(&mut self, slug: &Slug) {
        self.slugs.remove(slug);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn slug(text: &str) -> Slug {
        Slug::new(text).unwrap()
    }

    #[test]
    fn ten_failures_in_a_row_lock_a_slug_for_a_while_from_any_source() {
        let (mut throttle, alice) = (Throttle::default(), slug("alice"));
        for failure in 1..limits::LOGIN_FAILURES_PER_PRINCIPAL {
            assert_eq!(throttle.failed(&alice, &format!("10.0.0.{failure}"), NOON), None);
        }
        let until = NOON.after(limits::LOGIN_LOCK);
        assert_eq!(throttle.failed(&alice, "10.0.0.99", NOON), Some(until));
        assert_eq!(throttle.admit(&alice, "elsewhere", NOON), Err(limits::LOGIN_LOCK));
        assert_eq!(throttle.admit(&slug("bob"), "elsewhere", NOON), Ok(()));
        assert_eq!(throttle.admit(&alice, "elsewhere", until), Ok(()));
    }

    #[test]
    fn attempts_that_were_under_way_do_not_lift_a_lock() {
        let (mut throttle, alice) = (Throttle::default(), slug("alice"));
        for _ in 0..limits::LOGIN_FAILURES_PER_PRINCIPAL + 5 {
            throttle.failed(&alice, "s", NOON);
        }
        assert_eq!(throttle.admit(&alice, "elsewhere", NOON), Err(limits::LOGIN_LOCK));
    }

    #[test]
    fn a_success_forgives() {
        let (mut throttle, alice) = (Throttle::default(), slug("alice"));
        for _ in 0..3 {
            for _ in 1..limits::LOGIN_FAILURES_PER_PRINCIPAL {
                assert_eq!(throttle.failed(&alice, "s", Timestamp::default()), None);
            }
            throttle.succeeded(&alice);
        }
    }

    #[test]
    fn a_source_that_tries_many_slugs_waits_for_its_window() {
        let mut throttle = Throttle::default();
        for failure in 0..limits::LOGIN_FAILURES_PER_SOURCE {
            assert_eq!(throttle.admit(&slug("x"), "source", NOON), Ok(()));
            throttle.failed(&slug(&format!("user{failure}")), "source", NOON);
        }
        assert_eq!(
            throttle.admit(&slug("x"), "source", NOON),
            Err(limits::LOGIN_SOURCE_WINDOW)
        );
        assert_eq!(throttle.admit(&slug("x"), "another", NOON), Ok(()));
        assert_eq!(
            throttle.admit(&slug("x"), "source", NOON.after(limits::LOGIN_SOURCE_WINDOW)),
            Ok(())
        );
    }
}
