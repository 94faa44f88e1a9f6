//! The rules, without I/O: what a save makes of a version table, and what a change of lists needs.

use std::collections::BTreeSet;

use strongroom_base::{PrincipalId, Timestamp, limits};
use strongroom_policy::{Capability, Lists, PrincipalSet};

use crate::records::Version;

/// What happens to a secret's payloads when it gets a new value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NextVersion {
    /// The table afterwards; its last entry is the new version.
    pub(crate) versions: Vec<Version>,
    /// The slot to which the value that was current moves, when it was inside the secret's record.
    pub(crate) retire_to: Option<u32>,
    /// Slots whose versions fell off the table and that nothing uses again now.
    pub(crate) freed: Vec<u32>,
}

/// The table after `versions` gets one more at `now` from `by`, of a value that goes `beside` the record or inside it. The
/// oldest versions beyond `keep` fall off, and their slots are the first to be used again: in the long run a save
/// deletes nothing.
pub(crate) fn next_version(
    versions: &[Version],
    now: Timestamp,
    by: PrincipalId,
    beside: bool,
    keep: usize,
) -> NextVersion {
    let mut versions = versions.to_vec();
    let number = versions.last().map_or(1, |last| last.number.saturating_add(1));
    let falling = (versions.len() + 1).saturating_sub(keep.max(1));
    let mut freed: Vec<u32> = versions
        .drain(..falling)
        .filter_map(|version| version.slot)
        .collect();
    freed.reverse();

    let mut used: BTreeSet<u32> = versions.iter().filter_map(|version| version.slot).collect();
    let mut take_slot = || {
        let slot = freed
            .pop()
            .or_else(|| (0..).find(|slot| !used.contains(slot)))
            .unwrap_or(u32::MAX);
        used.insert(slot);
        slot
    };
    let retire_to = match versions.last_mut() {
        Some(current) if current.slot.is_none() => {
            let slot = take_slot();
            current.slot = Some(slot);
            Some(slot)
        }
        _ => None,
    };
    let slot = beside.then(take_slot);
    versions.push(Version {
        number,
        created: now,
        slot,
        by: Some(by),
    });
    NextVersion {
        versions,
        retire_to,
        freed,
    }
}

/// The capabilities that changing `old` lists to `new` ones needs: for each list that differs as a set, the right to
/// change it, which is given by the list beside it. A `canChange…` list is changed by its own members.
pub(crate) fn list_changes(old: &Lists, new: &Lists) -> Vec<Capability> {
    let differs = |a: &PrincipalSet, b: &PrincipalSet| a != b;
    let mut needed = Vec::new();
    if differs(&old.readers, &new.readers) || differs(&old.can_change_readers, &new.can_change_readers) {
        needed.push(Capability::ChangeReaders);
    }
    if differs(&old.writers, &new.writers) || differs(&old.can_change_writers, &new.can_change_writers) {
        needed.push(Capability::ChangeWriters);
    }
    if differs(&old.deleters, &new.deleters) || differs(&old.can_change_deleters, &new.can_change_deleters) {
        needed.push(Capability::ChangeDeleters);
    }
    needed
}

/// Whether a value of `bytes` lies beside its record.
pub(crate) fn is_beside(bytes: usize) -> bool {
    bytes > limits::INLINE_VALUE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn each_changed_list_needs_its_own_right() {
        let set = |n: u8| PrincipalSet::from_iter([PrincipalId::from_bytes([n; 16])]);
        let old = Lists::only(PrincipalId::from_bytes([1; 16]));
        assert_eq!(list_changes(&old, &old.clone()), []);
        for (new, needed) in [
            (
                Lists {
                    readers: set(2),
                    ..old.clone()
                },
                Capability::ChangeReaders,
            ),
            (
                Lists {
                    can_change_readers: set(2),
                    ..old.clone()
                },
                Capability::ChangeReaders,
            ),
            (
                Lists {
                    writers: set(2),
                    ..old.clone()
                },
                Capability::ChangeWriters,
            ),
            (
                Lists {
                    can_change_writers: set(2),
                    ..old.clone()
                },
                Capability::ChangeWriters,
            ),
            (
                Lists {
                    deleters: set(2),
                    ..old.clone()
                },
                Capability::ChangeDeleters,
            ),
            (
                Lists {
                    can_change_deleters: set(2),
                    ..old.clone()
                },
                Capability::ChangeDeleters,
            ),
        ] {
            assert_eq!(list_changes(&old, &new), [needed]);
        }
    }

    proptest! {
        /// Model: a map from slot to the version whose value it holds. After any sequence of saves each kept version
        /// but an inline current one has its value where the table says, and no row is left that the table forgot.
        #[test]
        fn payloads_are_where_the_table_says(saves in proptest::collection::vec(any::<bool>(), 1..60), keep in 1usize..12) {
            let mut versions: Vec<Version> = Vec::new();
            let mut rows: HashMap<u32, u32> = HashMap::new();
            let by = PrincipalId::from_bytes([1; 16]);
            for beside in saves {
                let current = versions.last().map(|version| version.number);
                let next = next_version(&versions, Timestamp::default(), by, beside, keep);
                prop_assert_eq!(next.versions.last().unwrap().number, current.unwrap_or(0) + 1);
                if let (Some(slot), true) = (next.retire_to, next.versions.len() > 1) {
                    rows.insert(slot, current.unwrap());
                }
                if let Some(slot) = next.versions.last().unwrap().slot {
                    rows.insert(slot, current.unwrap_or(0) + 1);
                }
                for slot in &next.freed {
                    rows.remove(slot);
                }
                versions = next.versions;
                prop_assert!(versions.len() <= keep);
                let expected: HashMap<u32, u32> =
                    versions.iter().filter_map(|version| Some((version.slot?, version.number))).collect();
                prop_assert_eq!(&rows, &expected);
                prop_assert!(versions.iter().rev().skip(1).all(|version| version.slot.is_some()));
            }
        }
    }
}
