//! What clients saw of one register, and whether there is an order that explains it. Pure.
//!
//! Every compare-and-set writes a value of its own. So the writes that happened form one chain, from the empty register
//! on, each from the value before it; the chain says their order, and what was read says where each read belongs. It is
//! left to find a moment for each, inside the time from its call to its answer: the earliest possible is right.

use std::collections::{BTreeMap, BTreeSet};

/// A value; `None` is the empty register.
pub type Value = Option<u64>;

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It read this.
    Read(Value),
    /// It changed `old` to `new`; or perhaps, if there was no answer.
    Set {
        /// What must be there.
        old: Value,
        /// What is there then. Nobody else writes it.
        new: u64,
    },
}

/// What a client did, and when, on a clock that all clients share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it called.
    pub called: u64,
    /// When it was answered; `None`: it never was, and what it did may happen at any time since, or never. A read
    /// without an answer is no event.
    pub answered: Option<u64>,
    /// What it did.
    pub action: Action,
}

/// Why no order explains a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Two changes of one value.
    #[error("{0} and {1} were both set in the place of one value: an update was lost")]
    Fork(u64, u64),
    /// Nobody wrote it.
    #[error("{0} was seen, and nobody wrote it")]
    Invented(u64),
    /// It was set in the place of what never was there.
    #[error("{0} was set in the place of what was never there")]
    Unfounded(u64),
    /// It must have happened after it was answered.
    #[error("{0:?} was answered before it can have happened: it is of the past")]
    Stale(Event),
}

/// Finds the chain of values in a history that is linearizable.
///
/// # Errors
/// The first [`Violation`] that is found.
pub fn chain(history: &[Event]) -> Result<Vec<u64>, Violation> {
    let mut writers = BTreeMap::new();
    for event in history {
        if let Action::Set { new, .. } = event.action {
            writers.insert(new, event);
        }
    }
    let mut next = BTreeMap::new();
    for value in required(history, &writers)? {
        if let Some(Event {
            action: Action::Set { old, .. },
            ..
        }) = writers.get(&value)
            && let Some(other) = next.insert(*old, value)
        {
            return Err(Violation::Fork(other, value));
        }
    }
    let mut reads: BTreeMap<Value, Vec<&Event>> = BTreeMap::new();
    for event in history {
        if let Action::Read(value) = event.action {
            reads.entry(value).or_default().push(event);
        }
    }
    let (mut chain, mut value, mut now) = (Vec::new(), None, 0);
    loop {
        now = place_all(reads.get(&value).map_or(&[], Vec::as_slice), now)?;
        let Some(after) = next.remove(&value) else { break };
        if let Some(writer) = writers.get(&after) {
            now = place(writer, now)?;
        }
        chain.push(after);
        value = Some(after);
    }
    match next.into_values().next() {
        Some(unfounded) => Err(Violation::Unfounded(unfounded)),
        None => Ok(chain),
    }
}

/// The values that were surely written: their writers were told so, or somebody saw them, or something that came after.
fn required(history: &[Event], writers: &BTreeMap<u64, &Event>) -> Result<BTreeSet<u64>, Violation> {
    let mut open: Vec<u64> = history
        .iter()
        .filter_map(|event| match event.action {
            Action::Read(seen) => seen,
            Action::Set { new, .. } => event.answered.map(|_| new),
        })
        .collect();
    let mut required = BTreeSet::new();
    while let Some(value) = open.pop() {
        if required.insert(value) {
            let writer = writers.get(&value).ok_or(Violation::Invented(value))?;
            if let Action::Set { old, .. } = writer.action {
                open.extend(old);
            }
        }
    }
    Ok(required)
}

/// Places `reads` of what is there since `now`; gives the moment of the last.
fn place_all(reads: &[&Event], now: u64) -> Result<u64, Violation> {
    let mut last = now;
    for read in reads {
        last = last.max(place(read, now)?);
    }
    Ok(last)
}

/// The first moment of `event` that is not before `now`.
fn place(event: &Event, now: u64) -> Result<u64, Violation> {
    let moment = event.called.max(now);
    if event.answered.is_some_and(|answered| answered < moment) {
        Err(Violation::Stale(*event))
    } else {
        Ok(moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(called: u64, answered: u64, value: Value) -> Event {
        Event {
            called,
            answered: Some(answered),
            action: Action::Read(value),
        }
    }

    fn set(called: u64, answered: impl Into<Option<u64>>, old: Value, new: u64) -> Event {
        Event {
            called,
            answered: answered.into(),
            action: Action::Set { old, new },
        }
    }

    #[test]
    fn good_histories_are_explained() {
        assert_eq!(chain(&[]), Ok(vec![]));
        // Two that overlap may be seen in either order.
        for seen in [None, Some(1)] {
            assert_eq!(chain(&[set(0, 9, None, 1), read(3, 5, seen)]), Ok(vec![1]));
        }
        // Without an answer it may happen late, or never.
        let late = [set(0, None, None, 1), read(5, 6, None), read(8, 9, Some(1))];
        assert_eq!(chain(&late), Ok(vec![1]));
        assert_eq!(chain(&[set(0, None, None, 1), read(5, 6, None)]), Ok(vec![]));
        // It must have happened if another built on it.
        let built_on = [set(0, None, None, 1), set(5, 6, Some(1), 2)];
        assert_eq!(chain(&built_on), Ok(vec![1, 2]));
    }

    #[test]
    fn bad_histories_are_found() {
        let lost = [set(0, 1, None, 1), read(2, 3, Some(1)), read(4, 5, None)];
        assert_eq!(chain(&lost), Err(Violation::Stale(lost[0])));
        let stale = [set(0, 1, None, 1), set(2, 3, Some(1), 2), read(4, 5, Some(1))];
        assert!(matches!(chain(&stale), Err(Violation::Stale(_))));
        let early = [read(0, 1, Some(1)), set(2, 3, None, 1)];
        assert_eq!(chain(&early), Err(Violation::Stale(early[0])));
        let fork = [set(0, 9, None, 1), set(0, 9, None, 2)];
        assert_eq!(chain(&fork), Err(Violation::Fork(1, 2)));
        assert_eq!(chain(&[read(0, 1, Some(7))]), Err(Violation::Invented(7)));
        let unfounded = [set(0, 1, Some(8), 9), set(0, 1, None, 1)];
        assert_eq!(chain(&unfounded), Err(Violation::Invented(8)));
        let circle = [set(0, 9, Some(2), 1), set(0, 9, Some(1), 2)];
        assert_eq!(chain(&circle), Err(Violation::Unfounded(2)));
        // It was answered, and then somebody reads what was before.
        let forgotten = [
            set(0, 1, None, 1),
            set(2, None, Some(1), 2),
            read(3, 4, Some(2)),
            read(5, 6, Some(1)),
        ];
        assert!(chain(&forgotten).is_err());
    }

    /// Whether some order explains `history`: all of them are tried.
    fn is_explained(history: &[Event], value: Value) -> bool {
        if history.iter().all(|event| event.answered.is_none()) {
            return true;
        }
        // Next comes one that no other must precede.
        let first_answer = history.iter().filter_map(|event| event.answered).min();
        (0..history.len()).any(|index| {
            let mut rest = history.to_vec();
            let event = rest.remove(index);
            if first_answer.is_some_and(|answer| event.called > answer) {
                return false;
            }
            let happens = match event.action {
                Action::Read(seen) => seen == value && is_explained(&rest, value),
                Action::Set { old, new } => old == value && is_explained(&rest, Some(new)),
            };
            happens || (event.answered.is_none() && is_explained(&rest, value))
        })
    }

    fn histories() -> impl Strategy<Value = Vec<Event>> {
        let value = || proptest::option::of(1..5_u64);
        let event = (0..8_u64, 0..8_u64, any::<bool>(), value(), 0..4_u8);
        proptest::collection::vec(event, 0..7).prop_map(|drawn| {
            let mut new = 0;
            let events = drawn.into_iter().map(|(one, other, is_read, value, luck)| {
                let (called, answered) = (one.min(other), one.max(other));
                if is_read {
                    read(called, answered, value)
                } else {
                    new += 1;
                    set(called, (luck > 0).then_some(answered), value, new)
                }
            });
            events.collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]
        #[test]
        fn it_agrees_with_trying_every_order(history in histories()) {
            prop_assert_eq!(chain(&history).is_ok(), is_explained(&history, None), "{:?}", chain(&history));
        }
    }
}
