//! The recent past: which keys the last groups wrote, for followers that keep caches. In memory, so a restart
//! forgets it; bounded, so it forgets the oldest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use strongroom_base::limits;

use crate::{Changes, Revision};

/// The keys that the last groups wrote.
pub struct Recent {
    /// The newest revision, apart from the log so that a follower who is up to date takes no lock.
    head: AtomicU64,
    log: Mutex<Log>,
}

struct Log {
    /// All keys written after this revision are in `keys`.
    floor: Revision,
    /// Keys under the last revision of the group that wrote them, in order of revisions.
    keys: VecDeque<(Revision, Vec<u8>)>,
}

impl Recent {
    /// Nothing is known of what led to `head`.
    #[must_use]
    pub fn new(head: Revision) -> Self {
        let log = Log {
            floor: head,
            keys: VecDeque::new(),
        };
        Self {
            head: AtomicU64::new(head.0),
            log: Mutex::new(log),
        }
    }

    /// The newest revision.
    #[must_use]
    pub fn head(&self) -> Revision {
        Revision(self.head.load(Ordering::Acquire))
    }

    /// Keys written after `after`; whole groups, until there are `limit` keys.
    #[must_use]
    pub fn after(&self, after: Revision, limit: usize) -> Changes {
        let head = self.head();
        if after == head {
            return Changes::Page {
                keys: Vec::new(),
                upto: head,
            };
        }
        let log = self.lock();
        let head = self.head();
        if after < log.floor || after > head {
            return Changes::Compacted { head };
        }
        let start = log.keys.partition_point(|(revision, _)| *revision <= after);
        let last = start.saturating_add(limit.max(1)).saturating_sub(1);
        let upto = log.keys.get(last).map_or(head, |(revision, _)| *revision);
        let page = log
            .keys
            .range(start..)
            .take_while(|(revision, _)| *revision <= upto);
        Changes::Page {
            keys: page.map(|(_, key)| key.clone()).collect(),
            upto,
        }
    }

    /// Groups that wrote `keys`, all those since the head or more, moved it to `head`. One that is not ahead is old news.
    pub fn publish(&self, head: Revision, keys: impl Iterator<Item = Vec<u8>>) {
        let mut log = self.lock();
        if head <= self.head() {
            return;
        }
        log.keys.extend(keys.map(|key| (head, key)));
        while log.keys.len() > limits::CHANGED_KEYS_KEPT
            || log
                .keys
                .front()
                .is_some_and(|(revision, _)| *revision <= log.floor)
        {
            let Some((revision, _)) = log.keys.pop_front() else {
                break;
            };
            log.floor = revision;
        }
        self.head.store(head.0, Ordering::Release);
    }

    /// Forgets everything before `head`. One that is behind is old news.
    pub fn reset(&self, head: Revision) {
        let mut log = self.lock();
        if head < self.head() {
            return;
        }
        *log = Log {
            floor: head,
            keys: VecDeque::new(),
        };
        self.head.store(head.0, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(recent: &Recent, head: u64, keys: &[&str]) {
        recent.publish(Revision(head), keys.iter().map(|key| key.as_bytes().to_vec()));
    }

    fn check(recent: &Recent, after: u64, limit: usize, expect: (&[&str], u64)) {
        let keys = expect.0.iter().map(|key| key.as_bytes().to_vec()).collect();
        assert_eq!(
            recent.after(Revision(after), limit),
            Changes::Page {
                keys,
                upto: Revision(expect.1)
            }
        );
    }

    #[test]
    fn a_page_ends_with_a_group() {
        let recent = Recent::new(Revision(5));
        publish(&recent, 7, &["a", "b"]);
        publish(&recent, 8, &["c"]);
        publish(&recent, 9, &[]);
        check(&recent, 5, 0, (&["a", "b"], 7));
        check(&recent, 5, 1, (&["a", "b"], 7));
        check(&recent, 6, 2, (&["a", "b"], 7));
        check(&recent, 5, 3, (&["a", "b", "c"], 8));
        check(&recent, 7, 9, (&["c"], 9));
        check(&recent, 8, 9, (&[], 9));
        check(&recent, 9, 9, (&[], 9));
        for unknown in [4, 10] {
            assert_eq!(
                recent.after(Revision(unknown), 9),
                Changes::Compacted { head: Revision(9) }
            );
        }
    }

    #[test]
    fn the_oldest_groups_are_forgotten_whole() {
        let recent = Recent::new(Revision(0));
        publish(&recent, 2, &["a", "b"]);
        let many = (0..limits::CHANGED_KEYS_KEPT - 1).map(|n| n.to_be_bytes().to_vec());
        recent.publish(Revision(3), many);
        assert_eq!(
            recent.after(Revision(1), 1),
            Changes::Compacted { head: Revision(3) }
        );
        let Changes::Page { keys, .. } = recent.after(Revision(2), usize::MAX) else {
            panic!("forgotten")
        };
        assert_eq!(keys.len(), limits::CHANGED_KEYS_KEPT - 1);
    }
}
