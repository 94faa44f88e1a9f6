//! How much room the disk has left, and what may still be written. [`Room::after`] is the rule; whoever watches the disk
//! tells a [`Space`] of it, and [`crate::Surroundings::commit`] and the gate go by that.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use strongroom_base::limits;
use strongroom_storage::Change;

use crate::Error;

/// What may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// Everything; the reserve is there.
    #[default]
    Plenty,
    /// What only removes, and audit records; the reserve has been freed for these.
    Scarce,
    /// Nothing, not even the audit record of a read, so nothing is answered.
    None,
}

impl Room {
    /// What may be written now that `free` bytes are left, beside the reserve if there is one. A change from or to
    /// [`Room::Plenty`] holds once the reserve is freed or made again.
    ///
    /// Room must come back some way beyond the mark where it ran out, so that a disk at a mark does not flap.
    #[must_use]
    pub fn after(self, free: u64) -> Self {
        match self {
            Self::Plenty if free >= limits::SPACE_SCARCE_BYTES => Self::Plenty,
            Self::Plenty => Self::Scarce,
            Self::Scarce | Self::None if free >= limits::SPACE_PLENTY_BYTES => Self::Plenty,
            Self::Scarce if free < limits::SPACE_NONE_BYTES => Self::None,
            Self::None if free < limits::SPACE_SCARCE_BYTES => Self::None,
            Self::Scarce | Self::None => Self::Scarce,
        }
    }
}

/// The room on the disk of an instance, as it was last seen.
#[derive(Debug, Default)]
pub struct Space {
    /// A [`Room`] as a number.
    room: AtomicU8,
    free: AtomicU64,
}

/// The cause of an answer that is withheld.
#[derive(Debug, thiserror::Error)]
#[error("the disk is full")]
struct DiskFull;

impl Space {
    /// What may be written.
    #[must_use]
    pub fn room(&self) -> Room {
        match self.room.load(Ordering::Relaxed) {
            0 => Room::Plenty,
            1 => Room::Scarce,
            _ => Room::None,
        }
    }

    /// Bytes that were free when the disk was last looked at.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// The disk was looked at: `free` bytes are left, so `room` is what may be written.
    pub fn set(&self, room: Room, free: u64) {
        self.room.store(room as u8, Ordering::Relaxed);
        self.free.store(free, Ordering::Relaxed);
    }

    /// Whether any request may be answered: each needs room for its record.
    ///
    /// # Errors
    /// [`Error::AuditUnavailable`].
    pub fn answers(&self) -> Result<(), Error> {
        match self.room() {
            Room::Plenty | Room::Scarce => Ok(()),
            Room::None => Err(Error::AuditUnavailable(DiskFull.into())),
        }
    }

    /// Whether `change` may be committed. What puts no row frees room, and must go on when there is little: removals,
    /// revocations, expiry.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::AuditUnavailable`].
    pub fn takes(&self, change: &Change) -> Result<(), Error> {
        self.answers()?;
        match self.room() {
            Room::Scarce if !change.puts.is_empty() => Err(Error::Full),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    /// A disk on which others take and give back room.
    struct Disk {
        room: Room,
        /// Bytes that nobody but the reserve takes.
        left: u64,
    }

    impl Disk {
        /// One look at it, as the server looks.
        fn look(&mut self) {
            let reserve = if self.room == Room::Plenty {
                limits::RESERVE_BYTES
            } else {
                0
            };
            self.room = self.room.after(self.left.saturating_sub(reserve));
        }

        fn settle(&mut self) {
            (0..3).for_each(|_| self.look());
        }
    }

    #[test]
    fn each_mark() {
        use Room::{None, Plenty, Scarce};
        for (room, free, after) in [
            (Plenty, 16, Plenty),
            (Plenty, 15, Scarce),
            (Plenty, 0, Scarce), // the reserve is freed first
            (Scarce, 8, Scarce),
            (Scarce, 7, None),
            (None, 15, None),
            (None, 16, Scarce),
            (Scarce, 95, Scarce),
            (Scarce, 96, Plenty),
            (None, 96, Plenty),
        ] {
            assert_eq!(room.after(free * MIB), after, "{room:?} with {free} MiB");
        }
    }

    #[test]
    fn what_only_removes_is_taken_as_long_as_anything_is() {
        let (put, removal) = (
            Change {
                puts: vec![(vec![1], vec![])],
                ..Change::default()
            },
            Change {
                deletes: vec![vec![1]],
                ..Change::default()
            },
        );
        let space = Space::default();
        let taken = |change| space.takes(change).is_ok();
        assert!(taken(&put) && taken(&removal));
        space.set(Room::Scarce, 0);
        assert!(!taken(&put) && taken(&removal) && space.answers().is_ok());
        space.set(Room::None, 0);
        assert!(!taken(&put) && !taken(&removal) && space.answers().is_err());
    }

    proptest! {
        /// Whatever others do to the disk: it settles, where it settles fits what is left, and it does not flap.
        #[test]
        fn a_disk_that_nobody_changes_settles(lefts in prop::collection::vec(0..300 * MIB, 1..20)) {
            let mut disk = Disk { room: Room::Plenty, left: 200 * MIB };
            for left in lefts {
                disk.left = left;
                disk.settle();
                let settled = disk.room;
                match settled {
                    Room::Plenty => prop_assert!(left >= limits::RESERVE_BYTES + limits::SPACE_SCARCE_BYTES),
                    Room::Scarce => prop_assert!((limits::SPACE_NONE_BYTES..limits::SPACE_PLENTY_BYTES).contains(&left)),
                    Room::None => prop_assert!(left < limits::SPACE_SCARCE_BYTES),
                }
                disk.settle();
                prop_assert_eq!(disk.room, settled);
                // A checkpoint more or less changes nothing.
                disk.left = left.saturating_add(MIB / 2);
                disk.settle();
                let with_more = disk.room;
                disk.left = left;
                disk.settle();
                prop_assert!(disk.room == settled || disk.room == with_more);
            }
        }
    }
}
