//! Two requests that change one secret at the same time. Each read it before the other wrote it, so only the
//! preconditions of their changes keep one from undoing the other.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use strongroom_engine_static::ops::{ListSecrets, SaveSecret, SaveSecrets};
use strongroom_policy::Lists;
use strongroom_secret::SecretText;
use strongroom_storage::{Change, CommitError, Embedded, Memory, Revision, Storage};
use tokio::sync::Barrier;

use crate::house::House;
use crate::meddled::{Meddled, Meddler};

/// Lets two requests meet before either commits.
struct Meeting {
    /// How many requests are still to meet.
    awaited: AtomicUsize,
    barrier: Barrier,
    /// Planted bug: preconditions are not judged.
    drops_preconditions: bool,
}

#[async_trait]
impl Meddler for Meeting {
    async fn commit(&self, storage: &Embedded<Memory>, mut change: Change) -> Result<Revision, CommitError> {
        // What has no note is the sequencer's and nobody's request.
        let one_less = |awaited: usize| awaited.checked_sub(1);
        if !change.notes.is_empty()
            && self
                .awaited
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_ok()
        {
            self.barrier.wait().await;
        }
        if self.drops_preconditions {
            change.preconditions.clear();
        }
        storage.commit(change).await
    }
}

fn save(value: Option<&str>, readers: Option<&str>) -> SaveSecrets {
    let value = value.map(|value| SecretText::new(value.to_owned()));
    let lists = Lists {
        readers: readers.map(|slug| vec![slug.to_owned()]),
        ..Lists::default()
    };
    SaveSecrets {
        entries: vec![SaveSecret {
            host: None,
            name: "admin/key".to_owned(),
            value,
            lists,
        }],
    }
}

/// The value and the readers of a secret after one request gave it the value `new`, and another the reader `bob`, at
/// the same time, and both were answered that it is done.
async fn after_rivals(drops_preconditions: bool) -> (String, Vec<String>) {
    let (awaited, barrier) = (AtomicUsize::new(0), Barrier::new(2));
    let storage = Meddled::by(Meeting {
        awaited,
        barrier,
        drops_preconditions,
    });
    let house = House::on(storage.clone()).await;
    let admin = house.log_in("admin").await;
    house.register("bob").await;
    house.call(&admin, save(Some("old"), None)).await.unwrap();

    storage.meddler.awaited.store(2, Ordering::SeqCst);
    let rivals = [save(Some("new"), None), save(None, Some("bob"))].map(|op| house.call(&admin, op));
    for answer in futures::future::join_all(rivals).await {
        answer.unwrap();
    }
    assert_eq!(storage.meddler.awaited.load(Ordering::SeqCst), 0, "they met");
    let secret = house
        .call(&admin, ListSecrets::default())
        .await
        .unwrap()
        .secrets
        .pop()
        .unwrap();
    (
        String::from_utf8(secret.value.expose().to_vec()).unwrap(),
        secret.lists.readers.iter().map(ToString::to_string).collect(),
    )
}

#[tokio::test]
async fn of_two_requests_at_the_same_time_neither_is_lost() {
    assert_eq!(
        after_rivals(false).await,
        ("new".to_owned(), vec!["bob".to_owned()])
    );
}

#[tokio::test]
async fn planted_bug_without_preconditions_one_is_lost() {
    assert_ne!(
        after_rivals(true).await,
        ("new".to_owned(), vec!["bob".to_owned()])
    );
}
