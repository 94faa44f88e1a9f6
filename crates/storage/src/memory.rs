//! Storage that ends with the process, for tests and for trying things out.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::{Backend, Failure, Group, KeyRange, Revision, Row};

/// The in-memory backend. A reader waits while a group is copied in, so it never sees half of one.
#[derive(Default)]
pub struct Memory(RwLock<State>);

#[derive(Default)]
struct State {
    head: Revision,
    rows: BTreeMap<Vec<u8>, Row>,
}

impl Memory {
    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, Failure> {
        Ok(look(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Backend for Memory {
    const SCANS_BLOCK: bool = false;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        self.read(|state| state.rows.get(key).cloned())
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        self.read(|state| {
            let rows = state.rows.range::<[u8], _>(range).take(limit);
            rows.map(|(key, row)| (key.clone(), row.clone())).collect()
        })
    }

    fn apply(&self, group: Group) -> Result<(), Failure> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, row) in group.writes {
            match row {
                Some(row) => state.rows.insert(key, row),
                None => state.rows.remove(&key),
            };
        }
        state.head = group.head;
        Ok(())
    }

    fn head(&self) -> Result<Revision, Failure> {
        self.read(|state| state.head)
    }

    fn reopen(&self) -> Result<(), Failure> {
        Ok(())
    }
}
