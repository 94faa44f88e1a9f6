//! Staging: from the changes of a group, in order, to the rows of one write. Pure but for reading stored revisions.

use std::collections::BTreeMap;

use strongroom_base::NodeId;

use crate::outbox::{OutboxKey, push_note};
use crate::{Change, Failure, Revision, Row};

/// What one group writes, in one atomic and durable step.
#[derive(Debug)]
pub struct Group {
    /// The newest revision once the group is written.
    pub head: Revision,
    /// Per key the row to store, or `None` to remove it.
    pub writes: BTreeMap<Vec<u8>, Option<Row>>,
}

/// A group in the making: an overlay over the stored rows.
pub struct Stage {
    start: Revision,
    group: Group,
    /// The values of the outbox rows in the making.
    notes: BTreeMap<NodeId, Vec<u8>>,
}

impl Stage {
    /// An empty group upon the revision `head`.
    #[must_use]
    pub fn new(head: Revision) -> Self {
        Self {
            start: head,
            group: Group {
                head,
                writes: BTreeMap::new(),
            },
            notes: BTreeMap::new(),
        }
    }

    /// Adds `change` and gives its revision, or `None` when a precondition does not hold: then nothing is added.
    /// `stored` gives the revision of a stored row.
    ///
    /// # Errors
    /// Those of `stored`.
    pub fn add(
        &mut self,
        change: Change,
        stored: impl Fn(&[u8]) -> Result<Option<Revision>, Failure>,
    ) -> Result<Option<Revision>, Failure> {
        for required in &change.preconditions {
            let found = match self.group.writes.get(&required.key) {
                Some(row) => row.as_ref().map(|row| row.revision),
                None => stored(&required.key)?,
            };
            if found != required.revision {
                return Ok(None);
            }
        }
        let revision = Revision(self.group.head.0 + 1);
        self.group.head = revision;
        let puts = change
            .puts
            .into_iter()
            .map(|(key, value)| (key, Some(Row { value, revision })));
        self.group
            .writes
            .extend(puts.chain(change.deletes.into_iter().map(|key| (key, None))));
        for note in change.notes {
            push_note(self.notes.entry(note.node).or_default(), &note.bytes);
        }
        Ok(Some(revision))
    }

    /// The group with its outbox rows, or `None` when every change was refused.
    #[must_use]
    pub fn finish(self) -> Option<Group> {
        let mut group = self.group;
        let revision = group.head;
        for (node, value) in self.notes {
            let key = OutboxKey { node, revision };
            group.writes.insert(key.to_bytes(), Some(Row { value, revision }));
        }
        (group.head > self.start).then_some(group)
    }
}
