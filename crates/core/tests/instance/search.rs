//! Searches that take longer than a caller should wait.

use std::sync::{Arc, OnceLock};

use strongroom_base::{ManualClock, Ttl};
use strongroom_engine_static::ops::{SaveSecret, SaveSecrets, Scope, SearchNames};
use strongroom_policy::Lists;
use strongroom_storage::{Backend, Embedded, Failure, Group, KeyRange, Memory, Revision, Row};

use crate::house::House;

/// Memory in which every look at a folder takes two seconds, once its clock is set.
#[derive(Default)]
struct Slow {
    rows: Memory,
    clock: Arc<OnceLock<Arc<ManualClock>>>,
}

impl Backend for Slow {
    const SCANS_BLOCK: bool = false;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        self.rows.get(key)
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        self.rows.scan(range, limit)
    }

    fn keys(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        if let Some(clock) = self.clock.get() {
            clock.advance(Ttl::from_secs(2));
        }
        self.rows.keys(range, limit)
    }

    fn apply(&self, group: Group) -> Result<(), Failure> {
        self.rows.apply(group)
    }

    fn head(&self) -> Result<Revision, Failure> {
        self.rows.head()
    }

    fn reopen(&self) -> Result<(), Failure> {
        self.rows.reopen()
    }
}

#[tokio::test]
async fn a_search_answers_in_time_with_what_it_has_and_goes_on_from_there() {
    const FOLDERS: usize = 12;
    const NAMES: usize = 250;
    let backend = Slow::default();
    let clock = backend.clock.clone();
    let house = House::on(Arc::new(Embedded::open(backend, Arc::new(())).unwrap())).await;
    let token = house.log_in("admin").await;
    for folder in 0..FOLDERS {
        let entry = |n| SaveSecret {
            host: None,
            name: format!("folder-{folder:02}/name-{n:03}"),
            value: None,
            lists: Lists::default(),
        };
        let entries = (0..NAMES).map(entry).collect();
        house.call(&token, SaveSecrets { entries }).await.unwrap();
    }
    assert!(clock.set(house.clock.clone()).is_ok());

    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let op = SearchNames {
            scope: Scope::Session,
            text: "name-007".to_owned(),
            after: after.take(),
            limit: None,
        };
        let page = house.call(&token, op).await.unwrap();
        found.extend(page.paths);
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected = (0..FOLDERS).map(|folder| format!("apps/unnamed/folder-{folder:02}/name-007"));
    assert!(found.into_iter().eq(expected));
    assert!(pages > 1, "the first page took all of the time");
}
