//! What was sent and what was answered, and so what may be stored after a crash. Pure.
//!
//! A server that died sends nothing any more, so what is found after it started again is settled: the histories go on
//! from there, and stay as short as one round.

use std::collections::BTreeMap;

use crate::Violation;

/// Names and their values.
pub type Values = BTreeMap<String, String>;

/// What one request makes of names: new values, and `None` where it removes.
pub type Write = BTreeMap<String, Option<String>>;

/// Every acknowledged write is there, or a later one that was sent.
pub const ACKNOWLEDGED_WRITES_ARE_KEPT: &str = "acknowledged_writes_are_kept";
/// A write whose answer was lost has happened as a whole or not at all.
pub const UNANSWERED_WRITES_ARE_WHOLE: &str = "unanswered_writes_are_whole";

/// Names that one writer alone writes, one request after the other.
#[derive(Debug, Default)]
pub struct Own {
    settled: Values,
    in_flight: Option<Write>,
}

impl Own {
    /// What is certainly stored while no write is in flight.
    #[must_use]
    pub fn settled(&self) -> &Values {
        &self.settled
    }

    /// `write`, which must change something, is sent.
    pub fn send(&mut self, write: Write) {
        self.in_flight = Some(write);
    }

    /// The write in flight was acknowledged.
    pub fn acknowledged(&mut self) {
        self.settled = self.after();
        self.in_flight = None;
    }

    /// `found` is stored after a crash; tells whether it has a write that was not acknowledged.
    ///
    /// # Errors
    /// [`ACKNOWLEDGED_WRITES_ARE_KEPT`], [`UNANSWERED_WRITES_ARE_WHOLE`].
    pub fn settle(&mut self, found: Values) -> Result<bool, Violation> {
        let after = self.after();
        let happened = found != self.settled;
        if happened && found != after {
            let explained = |name: &String| {
                let value = found.get(name);
                value == self.settled.get(name) || value == after.get(name)
            };
            let wrong = found
                .keys()
                .chain(self.settled.keys())
                .find(|name| !explained(name));
            return Err(match wrong {
                Some(name) => {
                    let [found, settled, after] =
                        [&found, &self.settled, &after].map(|values| value(values.get(name)));
                    let what =
                        format!("`{name}` is {found} after {settled} was acknowledged and {after} sent");
                    Violation::new(ACKNOWLEDGED_WRITES_ARE_KEPT, what)
                }
                None => {
                    let names = self
                        .in_flight
                        .iter()
                        .flat_map(BTreeMap::keys)
                        .cloned()
                        .collect::<Vec<_>>();
                    Violation::new(
                        UNANSWERED_WRITES_ARE_WHOLE,
                        format!("only a part of {names:?} was written"),
                    )
                }
            });
        }
        (self.settled, self.in_flight) = (found, None);
        Ok(happened)
    }

    /// What is stored once the write in flight has happened.
    fn after(&self) -> Values {
        let mut values = self.settled.clone();
        for (name, value) in self.in_flight.iter().flatten() {
            match value {
                Some(value) => values.insert(name.clone(), value.clone()),
                None => values.remove(name),
            };
        }
        values
    }
}

/// A name that all writers write, at the same time. It is never removed, and no two writes have one value.
#[derive(Debug, Default)]
pub struct Shared {
    settled: String,
    writes: BTreeMap<String, Interval>,
    /// Counts what happens, and so orders it.
    clock: u64,
}

/// When a write was sent, and when it was acknowledged.
#[derive(Debug)]
struct Interval {
    sent: u64,
    acknowledged: Option<u64>,
}

impl Shared {
    /// `value` is sent.
    pub fn send(&mut self, value: String) {
        let interval = Interval {
            sent: self.tick(),
            acknowledged: None,
        };
        self.writes.insert(value, interval);
    }

    /// The write of `value` was acknowledged.
    pub fn acknowledged(&mut self, value: &str) {
        let now = self.tick();
        if let Some(write) = self.writes.get_mut(value) {
            write.acknowledged = Some(now);
        }
    }

    /// The write of `value` was refused.
    pub fn refused(&mut self, value: &str) {
        self.writes.remove(value);
    }

    /// Writes that were not answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.writes
            .values()
            .filter(|write| write.acknowledged.is_none())
            .count()
    }

    /// `found` is stored after a crash: it must be a value that no write was certainly after.
    ///
    /// # Errors
    /// [`ACKNOWLEDGED_WRITES_ARE_KEPT`].
    pub fn settle(&mut self, found: Option<&String>) -> Result<(), Violation> {
        let wrong = |why: &str| {
            let what = format!("the shared name is {}, {why}", value(found));
            Violation::new(ACKNOWLEDGED_WRITES_ARE_KEPT, what)
        };
        let found = found.ok_or_else(|| wrong("and nobody removed it"))?;
        let written = match self.writes.get(found) {
            Some(write) => write.acknowledged.unwrap_or(u64::MAX),
            None if *found == self.settled => 0,
            None => return Err(wrong("which nobody wrote")),
        };
        let later = self
            .writes
            .iter()
            .find(|(_, write)| write.acknowledged.is_some() && write.sent > written);
        if let Some((later, _)) = later {
            return Err(wrong(&format!(
                "and {} was acknowledged after it",
                value(Some(later))
            )));
        }
        *self = Self {
            settled: found.clone(),
            ..Self::default()
        };
        Ok(())
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

/// A value as a message shows it: its beginning, or nothing.
fn value(value: Option<&String>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| format!("`{:.16}`", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(parts: &[(&str, Option<&str>)]) -> Write {
        parts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
            .collect()
    }

    fn values(parts: &[(&str, &str)]) -> Values {
        parts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn own_names_are_as_acknowledged_or_as_sent_last() {
        use {ACKNOWLEDGED_WRITES_ARE_KEPT as KEPT, UNANSWERED_WRITES_ARE_WHOLE as WHOLE};
        for (found, expected) in [
            (&[("a", "1"), ("b", "1")][..], Ok(false)),
            (&[("a", "2"), ("c", "2")], Ok(true)),
            (&[("a", "2"), ("b", "1")], Err(WHOLE)),
            (&[("a", "1"), ("b", "1"), ("c", "2")], Err(WHOLE)),
            (&[("a", "0"), ("b", "1")], Err(KEPT)),
            (&[("b", "1")], Err(KEPT)),
            (&[("a", "1"), ("b", "1"), ("d", "0")], Err(KEPT)),
        ] {
            let mut own = Own::default();
            own.send(write(&[("a", Some("1")), ("b", Some("1")), ("d", Some("0"))]));
            own.acknowledged();
            own.send(write(&[("d", None)]));
            own.acknowledged();
            own.send(write(&[("a", Some("2")), ("b", None), ("c", Some("2"))]));
            assert_eq!(
                own.settle(values(found)).map_err(|error| error.rule),
                expected,
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_shared_name_has_a_value_that_none_is_certainly_after() {
        let rivals = |found: Option<&str>| {
            let mut shared = Shared {
                settled: "0".into(),
                ..Shared::default()
            };
            for value in ["1", "2", "3"] {
                shared.send(value.into());
            }
            shared.acknowledged("1");
            shared.acknowledged("2");
            shared.send("4".into()); // after 1 and 2, at the same time as 3
            shared.send("refused".into());
            shared.acknowledged("4");
            shared.refused("refused");
            shared.settle(found.map(str::to_owned).as_ref()).is_ok()
        };
        let found = [
            None,
            Some("0"),
            Some("1"),
            Some("2"),
            Some("3"),
            Some("4"),
            Some("refused"),
        ];
        assert_eq!(found.map(rivals), [false, false, false, false, true, true, false]);
    }
}
