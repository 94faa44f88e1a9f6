//! What the torture is done to: groups of writes of every size, of which each state that they lead to is known.

use std::collections::BTreeMap;
use std::ops::Bound;

use strongroom_storage::{Backend, Failure, Group, Revision, Row};
use strongroom_storage_redb::RedbBackend;

use crate::dice::Dice;
use crate::disk::Disk;

/// Bytes of pages in memory: few, so that pages are written before their commit and read again after it.
const CACHE_BYTES: usize = 32 * 4096;

const KEYS: usize = 40;

/// All that is stored after a group.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) head: Revision,
    rows: BTreeMap<Vec<u8>, Row>,
}

impl Rows {
    pub(crate) fn new(head: Revision, rows: Vec<(Vec<u8>, Row)>) -> Self {
        let rows = rows.into_iter().collect();
        Self { head, rows }
    }

    /// All that is in `backend`.
    pub(crate) fn of(backend: &impl Backend) -> Result<Self, Failure> {
        let all = (Bound::Excluded(&[][..]), Bound::Unbounded);
        Ok(Self::new(backend.head()?, backend.scan(all, usize::MAX)?))
    }

    pub(crate) fn apply(&mut self, group: &Group) {
        for (key, row) in &group.writes {
            match row {
                Some(row) => self.rows.insert(key.clone(), row.clone()),
                None => self.rows.remove(key),
            };
        }
        self.head = group.head;
    }

    fn describe(&self) -> String {
        format!("{} rows at revision {}", self.rows.len(), self.head.0)
    }
}

/// Which of the states `possible` was `found`.
pub(crate) fn one_of<'a>(possible: &'a [Rows], found: &Rows) -> Result<&'a Rows, Failure> {
    possible.iter().find(|state| *state == found).ok_or_else(|| {
        let word = match possible.first() {
            Some(oldest) if found.head < oldest.head => "lost",
            _ => "torn",
        };
        let expected = possible.iter().map(Rows::describe).collect::<Vec<_>>();
        let (found, expected) = (found.describe(), expected.join(" or "));
        format!("{word}: {found} instead of {expected}").into()
    })
}

/// The next group upon `head`.
pub(crate) fn group(head: Revision, dice: &mut Dice) -> Group {
    let head = Revision(head.0 + 1);
    let key = |number: usize| format!("{number:0width$}", width = 1 + number % 30).into_bytes();
    // At times all rows at once, so that the tree and the file grow and shrink.
    let writes = match dice.below(12) {
        0 => (0..KEYS).map(|number| (key(number), None)).collect(),
        1 => (0..KEYS)
            .map(|number| (key(number), Some(row(head, dice))))
            .collect(),
        _ => (0..1 + dice.below(6))
            .map(|_| {
                let is_delete = dice.below(4) == 0;
                let row = (!is_delete).then(|| row(head, dice));
                (key(dice.below(KEYS)), row)
            })
            .collect(),
    };
    Group { head, writes }
}

/// A value like no other, short as a rule, at times of some pages, seldom of many.
fn row(revision: Revision, dice: &mut Dice) -> Row {
    let longest = match dice.below(64) {
        0 => 150_000,
        1..8 => 10_000,
        _ => 300,
    };
    let (len, stamp) = (dice.below(longest), dice.next().to_be_bytes());
    let value = stamp.into_iter().cycle().take(len).collect();
    Row { value, revision }
}

pub(crate) fn open(disk: &Disk) -> Result<RedbBackend, Failure> {
    let disk = disk.clone();
    Ok(RedbBackend::open_with(move || Ok(disk.clone()), CACHE_BYTES)?)
}
