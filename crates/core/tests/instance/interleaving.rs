//! Changes that happen while a request is at work, before each of the rows that it looks up.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use strongroom_base::limits;
use strongroom_engine_static::ops::{ListSecrets, RemoveSecrets};
use strongroom_storage::{
    Change, Changes, CommitError, Embedded, Memory, Revision, Row, Storage, Unavailable,
};
use tokio::sync::oneshot;

use crate::house::House;
use crate::tampering::save;

/// Storage that can be stopped before one look-up.
struct Stoppable {
    inner: Embedded<Memory>,
    stop: Mutex<Option<Stop>>,
}

struct Stop {
    lookups_before: usize,
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

impl Stoppable {
    fn reached(&self) -> Option<Stop> {
        let mut stop = self.stop.lock().unwrap();
        match stop.as_mut()?.lookups_before.checked_sub(1) {
            Some(fewer) => {
                stop.as_mut()?.lookups_before = fewer;
                None
            }
            None => stop.take(),
        }
    }
}

#[async_trait]
impl Storage for Stoppable {
    async fn get(&self, key: &[u8]) -> Result<Option<Row>, Unavailable> {
        if let Some(stop) = self.reached() {
            stop.reached.send(()).unwrap();
            stop.go_on.await.unwrap();
        }
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, Unavailable> {
        self.inner.scan(range, after, limit).await
    }

    async fn commit(&self, change: Change) -> Result<Revision, CommitError> {
        self.inner.commit(change).await
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Unavailable> {
        self.inner.changes(after, limit).await
    }
}

/// A value that lies in a row of its own.
fn long(letter: char) -> String {
    letter.to_string().repeat(10_000)
}

#[tokio::test]
async fn a_long_value_is_whole_or_gone_whatever_happens_while_it_is_read() {
    let storage = Arc::new(Stoppable {
        inner: Embedded::open(Memory::default(), Arc::new(())).unwrap(),
        stop: Mutex::default(),
    });
    let house = House::on(storage.clone()).await;
    let alice = house.register("alice").await;
    for is_removed in [true, false] {
        let mut stops = 0;
        for lookups_before in 0.. {
            save(&house, &alice, "alice/key", long('a')).await;
            let (reached, is_reached) = oneshot::channel();
            let (let_go, go_on) = oneshot::channel();
            *storage.stop.lock().unwrap() = Some(Stop {
                lookups_before,
                reached,
                go_on,
            });
            let read = async {
                let listed = house.call(&alice, ListSecrets::default()).await;
                storage.stop.lock().unwrap().take();
                listed
            };
            let change = async {
                is_reached.await.ok()?;
                if is_removed {
                    let names = vec!["alice/key".to_owned()];
                    house.call(&alice, RemoveSecrets { names }).await.unwrap();
                } else {
                    for _ in 0..=limits::VERSIONS_KEPT {
                        save(&house, &alice, "alice/key", long('b')).await;
                    }
                }
                let_go.send(()).ok()
            };
            let (listed, changed) = tokio::join!(read, change);
            let secrets = listed.unwrap().secrets;
            let values: Vec<_> = secrets.iter().map(|secret| secret.value.expose()).collect();
            let (old, new) = (long('a'), long('b'));
            match values[..] {
                [] => assert!(is_removed),
                [value] => assert!(value == old.as_bytes() || !is_removed && value == new.as_bytes()),
                _ => panic!("one secret became {}", values.len()),
            }
            if changed.is_none() {
                break;
            }
            stops += 1;
        }
        assert!(stops >= 2, "the record and the value are looked up apart");
    }
}
