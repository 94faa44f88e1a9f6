//! How long a grant lives. Pure: terms and `now` in, an answer out.
//!
//! A lease is a record with a [`Term`] and a row in the expiry index. The term alone says whether the lease is live;
//! the index only finds what can be cleaned up.

use minicbor::{Decode, Encode};
use strongroom_base::{Timestamp, Ttl};

/// When a lease ends: at `deadline` in any case, and before that at `idle_until` unless it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Term {
    /// When it was granted.
    #[n(0)]
    pub created: Timestamp,
    /// When it ends if it is not used again.
    #[n(1)]
    pub idle_until: Timestamp,
    /// When it ends even if it is used.
    #[n(2)]
    pub deadline: Timestamp,
}

impl Term {
    /// A term from `now` that lasts `idle` without use and `absolute` with it.
    #[must_use]
    pub fn starting(now: Timestamp, idle: Ttl, absolute: Ttl) -> Self {
        Self {
            created: now,
            idle_until: now,
            deadline: now.after(absolute),
        }
        .renewed(now, idle)
    }

    /// Whether the lease is live at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.ends()
    }

    /// When it ends unless it is used again; its place in the expiry index.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.idle_until.min(self.deadline)
    }

    /// The term after a use at `now`, or `None` when the idle end would move by less than `every`: a record that is
    /// read a thousand times a second must not be written as often.
    #[must_use]
    pub fn used(&self, now: Timestamp, idle: Ttl, every: Ttl) -> Option<Self> {
        let renewed = self.renewed(now, idle);
        (renewed.ends().since(self.ends()) >= every).then_some(renewed)
    }

    fn renewed(self, now: Timestamp, idle: Ttl) -> Self {
        Self {
            idle_until: now.after(idle).min(self.deadline),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDLE: Ttl = Ttl::from_hours(12);
    const ABSOLUTE: Ttl = Ttl::from_hours(720);
    const EVERY: Ttl = Ttl::from_hours(1);

    proptest! {
        /// Whatever the pattern of use, a lease never outlives its deadline, dies after `IDLE` without use, and while
        /// it is used at least every `IDLE - EVERY` it lives on until the deadline.
        #[test]
        fn a_year_of_use(gaps in proptest::collection::vec(1u64..14 * 3_600_000, 1..200)) {
            let start = Timestamp::from_millis(1_000_000);
            let mut term = Term::starting(start, IDLE, ABSOLUTE);
            let mut now = start;
            for gap in gaps {
                let gap = Ttl::from_millis(gap);
                now = now.after(gap);
                let live = term.is_live(now);
                prop_assert!(!live || now < start.after(ABSOLUTE));
                prop_assert!(!(gap >= IDLE && live));
                prop_assert!(live || gap.as_millis() >= IDLE.as_millis() - EVERY.as_millis() || now >= start.after(ABSOLUTE));
                if !live {
                    break;
                }
                if let Some(renewed) = term.used(now, IDLE, EVERY) {
                    prop_assert!(renewed.ends().since(term.ends()) >= EVERY);
                    term = renewed;
                }
            }
        }
    }
}
