//! Who may do what must be done once: rules over revisions and one's own clock, without I/O.
//!
//! Whoever has the lock puts its row again and again. A rival takes it over once it has watched the *same revision* for a
//! whole TTL on its own clock, so clocks need not agree. That may still be too early (the holder was paused), so the
//! time only says when to try: what keeps two from working at once is that each commit of the work requires the lock's
//! row to be as its holder put it last ([`Fence`]).

use std::time::Duration;

use strongroom_base::{Monotonic, limits};
use strongroom_storage::{Change, Precondition, Revision};

use crate::nodes::lock_key;

/// A row that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// Its revision, if it is there.
    pub(crate) revision: Option<Revision>,
    /// When it was asked for.
    pub(crate) asked: Monotonic,
    /// When the answer was there.
    pub(crate) answered: Monotonic,
}

/// A row that is watched: as long as it changes, somebody lives who changes it.
#[derive(Debug, Default)]
pub(crate) struct Watch(Option<(Option<Revision>, Monotonic)>);

impl Watch {
    /// Takes in what was seen; whether the row was surely the same for `ttl`.
    pub(crate) fn is_still(&mut self, sight: Sight, ttl: Duration) -> bool {
        match self.0 {
            Some((revision, since)) if revision == sight.revision => sight.asked.since(since) >= ttl,
            _ => {
                self.0 = Some((sight.revision, sight.answered));
                false
            }
        }
    }
}

/// One rival's part of the lock.
#[derive(Debug, Default)]
pub(crate) struct Lock {
    /// The revision of the row as this one put it.
    held: Option<Revision>,
    watch: Watch,
}

/// What to do about the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Put its row, if it has this revision: to take it, or to keep it. Tell [`Lock::has_put`] what came of it.
    Put(Option<Revision>),
    /// Leave it: another has it.
    Wait,
}

impl Lock {
    /// What to do now that the lock's row was seen.
    pub(crate) fn next(&mut self, sight: Sight) -> Move {
        let is_mine = self.held.is_some() && self.held == sight.revision;
        self.held = None;
        let is_left = self.watch.is_still(sight, limits::LOCK_TTL.into());
        if is_mine || sight.revision.is_none() || is_left {
            Move::Put(sight.revision)
        } else {
            Move::Wait
        }
    }

    /// The row was put at `revision`; or it was not, or perhaps: `None`.
    pub(crate) fn has_put(&mut self, revision: Option<Revision>) {
        self.held = revision;
    }

    /// What the work may be done under; `None` when it is not this one's turn.
    pub(crate) fn fence(&self) -> Option<Fence> {
        let precondition = |revision| Precondition {
            key: lock_key().as_bytes().to_vec(),
            revision: Some(revision),
        };
        self.held.map(|revision| Fence(Some(precondition(revision))))
    }
}

/// What every commit of once-only work requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence(Option<Precondition>);

impl Fence {
    /// Where there are no rivals.
    pub(crate) const NONE: Self = Self(None);

    /// Makes `change` a conflict as soon as another has the lock.
    pub(crate) fn guard(&self, change: &mut Change) {
        change.preconditions.extend(self.0.clone());
    }

    /// The lock's precondition, if there are rivals.
    pub(crate) fn precondition(&self) -> Option<&Precondition> {
        self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use strongroom_base::{Clock, ManualClock, Timestamp, Ttl};

    fn at(millis: u64) -> Monotonic {
        let clock = ManualClock::at(Timestamp::from_millis(0));
        clock.advance(Ttl::from_millis(millis));
        clock.monotonic()
    }

    fn seen(revision: Option<u64>, millis: u64) -> Sight {
        Sight {
            revision: revision.map(Revision),
            asked: at(millis),
            answered: at(millis),
        }
    }

    const TTL: u64 = limits::LOCK_TTL.as_millis();

    #[test]
    fn a_free_lock_is_taken_and_kept() {
        let mut lock = Lock::default();
        assert_eq!(lock.fence(), None);
        assert_eq!(lock.next(seen(None, 0)), Move::Put(None));
        lock.has_put(Some(Revision(5)));
        assert!(lock.fence().is_some());
        assert_eq!(lock.next(seen(Some(5), 1)), Move::Put(Some(Revision(5))));
        lock.has_put(Some(Revision(6)));
        assert_eq!(lock.next(seen(Some(9), 2)), Move::Wait, "somebody took it");
        assert_eq!(lock.fence(), None);
    }

    #[test]
    fn a_lock_that_another_renews_is_never_taken() {
        let mut lock = Lock::default();
        for beat in 0..100 {
            assert_eq!(lock.next(seen(Some(beat), beat * (TTL - 1))), Move::Wait);
        }
    }

    #[test]
    fn a_lock_is_taken_over_after_a_whole_ttl_of_the_same_revision() {
        let mut lock = Lock::default();
        let slow = Sight {
            answered: at(500),
            ..seen(Some(5), 0)
        };
        assert_eq!(lock.next(slow), Move::Wait);
        // What was seen was so at some moment up to 500.
        assert_eq!(lock.next(seen(Some(5), TTL + 499)), Move::Wait);
        assert_eq!(lock.next(seen(Some(5), TTL + 500)), Move::Put(Some(Revision(5))));
    }

    #[test]
    fn who_does_not_know_whether_it_has_the_lock_waits_like_a_rival() {
        let mut lock = Lock::default();
        lock.next(seen(None, 0));
        lock.has_put(None);
        assert_eq!(lock.fence(), None);
        assert_eq!(lock.next(seen(Some(1), 10)), Move::Wait);
        assert_eq!(lock.next(seen(Some(1), 10 + TTL)), Move::Put(Some(Revision(1))));
    }

    /// What one of the rivals does next.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        /// Looks at the lock and moves; its commit is answered, or the answer is lost.
        Turn { is_answered: bool },
        /// Does a piece of the work with the fence it has, which may be an old one.
        Work,
        /// Takes the fence that it will work with.
        TakeFence,
        /// Time passes for it alone: its clock is its own.
        Pass(u64),
    }

    fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
        let act = prop_oneof![
            4 => any::<bool>().prop_map(|is_answered| Act::Turn { is_answered }),
            3 => Just(Act::Work),
            2 => Just(Act::TakeFence),
            3 => (0..2 * TTL).prop_map(Act::Pass),
        ];
        proptest::collection::vec((0..3_usize, act), 1..200)
    }

    proptest! {
        /// However the clocks of three rivals run, and however late one works with what it was once given: a piece of
        /// work is committed only by whom the lock's row names at that moment.
        #[test]
        fn no_two_work_at_once(acts in acts()) {
            let (mut revision, mut row) = (0, None::<(u64, usize)>);
            let mut rivals: Vec<_> = (0..3).map(|_| (Lock::default(), 0_u64, None::<Fence>)).collect();
            for (rival, act) in acts {
                let (lock, clock, fence) = &mut rivals[rival];
                match act {
                    Act::Pass(millis) => *clock += millis,
                    Act::TakeFence => *fence = lock.fence(),
                    Act::Turn { is_answered } => {
                        let found = row.map(|(revision, _)| revision);
                        if let Move::Put(expected) = lock.next(seen(found, *clock)) {
                            prop_assert_eq!(expected, found.map(Revision));
                            revision += 1;
                            row = Some((revision, rival));
                            lock.has_put(is_answered.then_some(Revision(revision)));
                        }
                    }
                    Act::Work => {
                        let Some(fence) = fence else { continue };
                        let required = fence.precondition().and_then(|required| required.revision);
                        if required == row.map(|(revision, _)| Revision(revision)) {
                            prop_assert_eq!(row.map(|(_, holder)| holder), Some(rival));
                        }
                    }
                }
            }
        }
    }
}
