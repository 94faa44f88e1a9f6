//! What lies between storage and its committer: it announces commits, and can have a bug.

use std::sync::{Mutex, MutexGuard, PoisonError};

use strongroom_storage::{Backend, Failure, Group, KeyRange, Revision, Row, is_outbox};

use crate::Announcement;

/// A bug that the loop must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A group is acknowledged while it is in memory only, where readers see it. It is written with the next one.
    SkipsASync,
    /// A group is written in two steps.
    TearsCommits,
    /// The audit records of a group are not written.
    DropsNotes,
    /// The audit records of a group are written twice.
    NotesTwice,
}

impl Bug {
    /// All of them, by the names that `strongroom-crashable` knows them by.
    const NAMES: [(&str, Self); 4] = [
        ("skips-a-sync", Self::SkipsASync),
        ("tears-commits", Self::TearsCommits),
        ("drops-notes", Self::DropsNotes),
        ("notes-twice", Self::NotesTwice),
    ];

    /// The bug called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .into_iter()
            .find_map(|(known, bug)| (known == name).then_some(bug))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES
            .into_iter()
            .find_map(|(name, known)| (known == self).then_some(name))
            .unwrap_or_default()
    }
}

/// A backend whose commits are announced.
pub struct Watched<B> {
    inner: B,
    announcement: Announcement,
    bug: Option<Bug>,
    /// Acknowledged and not written: [`Bug::SkipsASync`].
    held: Mutex<Option<Group>>,
}

impl<B: Backend> Watched<B> {
    /// `inner`, announced, with `bug`.
    pub fn new(inner: B, announcement: Announcement, bug: Option<Bug>) -> Self {
        Self {
            inner,
            announcement,
            bug,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Group>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut group: Group) -> Result<(), Failure> {
        let notes = |(key, _): &(&Vec<u8>, &mut Option<Row>)| is_outbox(key);
        match self.bug {
            None => {}
            Some(Bug::SkipsASync) => {
                let mut held = self.held();
                return held
                    .replace(group)
                    .map_or(Ok(()), |earlier| self.inner.apply(earlier));
            }
            Some(Bug::TearsCommits) => {
                if let Some(middle) = group.writes.keys().nth(group.writes.len() / 2).cloned() {
                    let second = group.writes.split_off(&middle);
                    self.inner.apply(Group {
                        head: group.head,
                        writes: group.writes,
                    })?;
                    group.writes = second;
                }
            }
            Some(Bug::DropsNotes) => group.writes.retain(|key, _| !is_outbox(key)),
            Some(Bug::NotesTwice) => {
                for (_, row) in group.writes.iter_mut().filter(notes) {
                    row.iter_mut().for_each(|row| row.value = row.value.repeat(2));
                }
            }
        }
        self.inner.apply(group)
    }
}

impl<B: Backend> Backend for Watched<B> {
    const SCANS_BLOCK: bool = B::SCANS_BLOCK;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        let held = self.held();
        match held.as_ref().and_then(|group| group.writes.get(key)) {
            Some(row) => Ok(row.clone()),
            None => self.inner.get(key),
        }
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        if let Some(group) = self.held().take() {
            self.inner.apply(group)?;
        }
        self.inner.scan(range, limit)
    }

    fn apply(&self, group: Group) -> Result<(), Failure> {
        self.announcement.inside(|| self.write(group))?
    }

    fn head(&self) -> Result<Revision, Failure> {
        self.inner.head()
    }

    fn reopen(&self) -> Result<(), Failure> {
        self.inner.reopen()
    }
}
