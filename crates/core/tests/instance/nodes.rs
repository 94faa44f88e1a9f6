//! Two nodes of one instance in this process: what one does when the other is gone.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_base::{NodeId, Ttl, limits};
use strongroom_core::Node;
use strongroom_engine_static::ops::ListSecrets;
use strongroom_ledger::{LeafFacts, Reader, verifier_key};
use strongroom_storage::{
    Change, Changes, CommitError, Embedded, Memory, OutboxKey, Revision, Row, Storage, Unavailable,
};
use tempfile::TempDir;

use crate::house::House;
use crate::tampering::{save, try_save};

/// What begins the keys of sessions.
const SESSIONS: [u8; 6] = [3, 0, 0, 0, 0, 3];

/// A node's way to storage, which can be cut.
struct Way {
    storage: Arc<Embedded<Memory>>,
    is_cut: AtomicBool,
}

impl Way {
    fn to(storage: &Arc<Embedded<Memory>>) -> Arc<Self> {
        Arc::new(Self {
            storage: storage.clone(),
            is_cut: AtomicBool::new(false),
        })
    }

    fn ask(&self) -> Result<&Embedded<Memory>, Unavailable> {
        if self.is_cut.load(Ordering::SeqCst) {
            Err(Unavailable("cut".into()))
        } else {
            Ok(&self.storage)
        }
    }
}

#[async_trait]
impl Storage for Way {
    async fn get(&self, key: &[u8]) -> Result<Option<Row>, Unavailable> {
        self.ask()?.get(key).await
    }

    async fn scan(
        &self,
        range: Range<Vec<u8>>,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Row)>, Unavailable> {
        self.ask()?.scan(range, after, limit).await
    }

    async fn commit(&self, change: Change) -> Result<Revision, CommitError> {
        self.ask().map_err(CommitError::NotTried)?.commit(change).await
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Unavailable> {
        self.ask()?.changes(after, limit).await
    }
}

fn leaves(dir: &TempDir) -> Vec<LeafFacts> {
    let reader = Reader::new(&dir.path().join("ledger"), verifier_key(dir.path()).unwrap());
    let leaves = reader.leaves(0, 10_000).unwrap();
    leaves.iter().map(|leaf| leaf.facts().unwrap()).collect()
}

async fn rows_under(storage: &Embedded<Memory>, prefix: &[u8]) -> usize {
    let rows = storage.scan(vec![0]..vec![255], None, usize::MAX).await.unwrap();
    rows.iter().filter(|(key, _)| key.starts_with(prefix)).count()
}

/// Time passes for `house`, a little for each look at `is_done`, until that holds.
async fn pass_until(house: &House, mut is_done: impl AsyncFnMut() -> bool) {
    while !is_done().await {
        house.clock.advance(Ttl::from_millis(500));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_node_that_does_the_chores_is_gone_another_does_them() {
    let storage = Arc::new(Embedded::open(Memory::default(), Arc::new(())).unwrap());
    let way = Way::to(&storage);
    let one = House::of_node(way.clone(), Node::OneOf(NodeId::FIRST)).await;
    let alice = one.register("alice").await;
    let two = one.join(storage.clone()).await;
    let bob = two.register("bob").await;
    // The first of them has the lock, as nobody else wanted it.
    let locked = async || rows_under(&storage, b"\x01lock/").await == 1;
    pass_until(&one, locked).await;

    for number in 0..5 {
        save(&one, &alice, &format!("alice/{number}"), "value".to_owned()).await;
    }
    way.is_cut.store(true, Ordering::SeqCst);
    let refused = try_save(&one, &alice, "alice/late", "value".to_owned()).await;
    assert!(refused.is_err());
    save(&two, &bob, "bob/key", "value".to_owned()).await;

    // For the second node sessions end, and the first one shows no life.
    two.clock.advance(limits::SESSION_ABSOLUTE);
    pass_until(&two, async || rows_under(&storage, &SESSIONS).await == 0).await;
    pass_until(&two, async || {
        let left = OutboxKey::all_of(NodeId::FIRST);
        storage.scan(left, None, 9).await.unwrap().is_empty()
    })
    .await;

    // The first one is back: what it had when it went it has no more, and nothing is recorded twice.
    way.is_cut.store(false, Ordering::SeqCst);
    let again = one.log_in("alice").await;
    let secrets = one.call(&again, ListSecrets::default()).await.unwrap().secrets;
    assert_eq!(secrets.len(), 5);
    let (_, dir_one) = one.rest().await;
    let (inspection, dir_two) = two.rest().await;
    let (ours, theirs) = (leaves(&dir_one), leaves(&dir_two));
    let mut ids: Vec<_> = ours.iter().chain(&theirs).map(|leaf| leaf.id).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "a request is recorded twice");
    let saves = |leaves: &[LeafFacts]| {
        let is_done = |leaf: &&LeafFacts| leaf.op == "secret.save" && leaf.outcome == "ok";
        leaves.iter().filter(is_done).count()
    };
    assert_eq!(saves(&ours) + saves(&theirs), 6);
    let swept = |leaves: &[LeafFacts]| leaves.iter().any(|leaf| leaf.op == "lease.expire");
    assert!(swept(&theirs) && !swept(&ours));
    let scrub = inspection.scrub().await.unwrap();
    assert!(scrub.findings.is_empty(), "{scrub:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_join_at_once_are_different_nodes() {
    let storage: Arc<dyn Storage> = Arc::new(Embedded::open(Memory::default(), Arc::new(())).unwrap());
    let one = House::of_node(storage.clone(), Node::OneOf(NodeId::FIRST)).await;
    let joined = futures::future::join_all((0..4).map(|_| one.join(storage.clone()))).await;
    let mut numbers: Vec<_> = joined.iter().map(|house| house.node().id().0).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4, 5]);
}
