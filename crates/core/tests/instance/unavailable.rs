//! Storage that fails while a change is committed. Whatever becomes of the change, its request is answered that storage
//! is unavailable, and has a leaf: with the change if that is there, without one if the change was surely not tried.

use std::sync::Mutex;

use async_trait::async_trait;
use strongroom_engine_static::ops::ListSecrets;
use strongroom_ledger::Reader;
use strongroom_sdk::Error;
use strongroom_storage::{Change, CommitError, Embedded, Memory, Revision, Storage, Unavailable};

use crate::house::House;
use crate::meddled::{Meddled, Meddler};
use crate::tampering::try_save;

/// What becomes of the next change.
#[derive(Clone, Copy)]
enum Fate {
    NotTried,
    Lost,
    Kept,
}

#[derive(Default)]
struct Failing(Mutex<Option<Fate>>);

#[async_trait]
impl Meddler for Failing {
    async fn commit(&self, storage: &Embedded<Memory>, change: Change) -> Result<Revision, CommitError> {
        // What has no note is the sequencer's and nobody's request.
        let fate = if change.notes.is_empty() {
            None
        } else {
            self.0.lock().unwrap().take()
        };
        let failed = || Unavailable("planted".into());
        match fate {
            None => storage.commit(change).await,
            Some(Fate::NotTried) => Err(CommitError::NotTried(failed())),
            Some(Fate::Lost) => Err(CommitError::Unknown(failed())),
            Some(Fate::Kept) => {
                storage.commit(change).await?;
                Err(CommitError::Unknown(failed()))
            }
        }
    }
}

/// How many secrets there are, and the outcomes of the leaves, after a save whose change had `fate`.
async fn after(fate: Fate) -> (usize, Vec<String>) {
    let storage = Meddled::by(Failing::default());
    let house = House::on(storage.clone()).await;
    let alice = house.register("alice").await;
    *storage.meddler.0.lock().unwrap() = Some(fate);
    let answer = try_save(&house, &alice, "alice/key", "value".to_owned()).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    let secrets = house.call(&alice, ListSecrets::default()).await.unwrap().secrets;
    let (_, dir) = house.rest().await;
    let key = strongroom_ledger::verifier_key(dir.path()).unwrap();
    let leaves = Reader::new(&dir.path().join("ledger"), key)
        .leaves(0, 100)
        .unwrap();
    let facts = leaves.iter().map(|leaf| leaf.facts().unwrap());
    let saves = facts.filter(|leaf| leaf.op == "secret.save");
    (secrets.len(), saves.map(|leaf| leaf.outcome).collect())
}

#[tokio::test]
async fn a_change_that_was_not_tried_leaves_the_record_of_its_request() {
    assert_eq!(after(Fate::NotTried).await, (0, vec!["unavailable".to_owned()]));
}

#[tokio::test]
async fn a_change_of_unknown_fate_is_there_exactly_if_its_record_is() {
    assert_eq!(after(Fate::Lost).await, (0, vec![]));
    assert_eq!(after(Fate::Kept).await, (1, vec!["ok".to_owned()]));
}
