//! Changes that happen while a request is at work, before each of the rows that it looks up.

use std::sync::Mutex;

use async_trait::async_trait;
use strongroom_base::limits;
use strongroom_engine_static::ops::{ListSecrets, RemoveSecrets};
use tokio::sync::oneshot;

use crate::house::House;
use crate::meddled::{Meddled, Meddler};
use crate::tampering::save;

/// Stops before one look-up.
#[derive(Default)]
struct Stopper(Mutex<Option<Stop>>);

struct Stop {
    lookups_before: usize,
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

impl Stopper {
    fn reached(&self) -> Option<Stop> {
        let mut stop = self.0.lock().unwrap();
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
impl Meddler for Stopper {
    async fn before_lookup(&self) {
        if let Some(stop) = self.reached() {
            stop.reached.send(()).unwrap();
            stop.go_on.await.unwrap();
        }
    }
}

/// A value that lies in a row of its own.
fn long(letter: char) -> String {
    letter.to_string().repeat(10_000)
}

#[tokio::test]
async fn a_long_value_is_whole_or_gone_whatever_happens_while_it_is_read() {
    let storage = Meddled::by(Stopper::default());
    let house = House::on(storage.clone()).await;
    let alice = house.register("alice").await;
    for is_removed in [true, false] {
        let mut stops = 0;
        for lookups_before in 0.. {
            save(&house, &alice, "alice/key", long('a')).await;
            let (reached, is_reached) = oneshot::channel();
            let (let_go, go_on) = oneshot::channel();
            *storage.meddler.0.lock().unwrap() = Some(Stop {
                lookups_before,
                reached,
                go_on,
            });
            let read = async {
                let listed = house.call(&alice, ListSecrets::default()).await;
                storage.meddler.0.lock().unwrap().take();
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
