//! The chain of keys under rotations and rewraps: two nodes on one storage, whose writes are prepared at one time and
//! committed at another, and which are stopped and started between any two steps. Everything that was written reads,
//! and after a finished rewrap nothing is left of an old key.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minicbor::{Decode, Encode};
use proptest::prelude::*;
use strongroom_barrier::envelope::{EnvelopeError, epoch_of};
use strongroom_barrier::{Barrier, BarrierError, Kind, Record, Rewrap, RootKey, StorageKey, View};
use strongroom_base::{MountId, Name, PrincipalId, SystemRng, Timestamp, WorkspaceId, limits};
use strongroom_storage::{Change, CommitError, Embedded, Memory, Row, Storage};

const WORKSPACES: [WorkspaceId; 2] = [WorkspaceId::SYSTEM, WorkspaceId::DEFAULT];
const NOW: Timestamp = Timestamp::from_millis(1);

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
struct Note(#[n(0)] String);

impl Record for Note {}

/// Several nodes on one storage.
struct Cluster {
    storage: Arc<dyn Storage>,
    root: RootKey,
    nodes: Vec<Node>,
    /// What must be readable, by place.
    notes: BTreeMap<Spot, String>,
    /// Changes that are sealed and not committed: the node, what it writes, the change.
    pending: Vec<(usize, Spot, String, Change)>,
    /// Length of the row of a workspace's keys with one epoch.
    keys_len: usize,
}

struct Node {
    barrier: Arc<Barrier>,
    views: Vec<View>,
    /// As it was when this node looked last.
    walk: Option<Rewrap>,
}

/// Where a note lies: its workspace, and its name or its number among the payloads.
type Spot = (usize, u8);

#[derive(Clone, Debug)]
enum Step {
    Write(usize, Spot),
    /// Seals a write that is committed later.
    Prepare(usize, Spot),
    CommitPrepared,
    Delete(usize, Spot),
    Rotate(usize),
    Rewrap(usize),
    /// So many steps of it.
    Walk(usize, u8),
    Restart(usize),
    Follow(usize),
    ReadAll(usize),
}

impl Node {
    async fn open(storage: &Arc<dyn Storage>, root: &RootKey) -> Self {
        let barrier = Barrier::open(storage.clone(), root, Arc::new(SystemRng::default()))
            .await
            .unwrap();
        Self::of(barrier).await
    }

    async fn of(barrier: Arc<Barrier>) -> Self {
        let mut views = Vec::new();
        for workspace in WORKSPACES {
            views.push(barrier.view(workspace, MountId(1)).await.unwrap());
        }
        Self {
            barrier,
            views,
            walk: None,
        }
    }

    fn key(&self, (workspace, number): Spot) -> StorageKey {
        let view = &self.views[workspace];
        if number.is_multiple_of(2) {
            view.named(&Name::from_path(&format!("folder/{number}")).unwrap())
                .unwrap()
        } else {
            view.ordered(Kind::Payload, &[&[number; 20]])
        }
    }

    async fn read(&self, spot: Spot) -> Option<String> {
        let stored = self.views[spot.0].get::<Note>(&self.key(spot)).await.unwrap();
        stored.map(|stored| stored.record.0)
    }

    /// Commits as `Surroundings::commit` does.
    async fn commit(&self, change: &Change) -> Result<(), CommitError> {
        loop {
            let mut fenced = change.clone();
            let fence = match self.barrier.fence(&mut fenced).await {
                Err(BarrierError::Damaged(EnvelopeError::Epoch(_))) => return Err(CommitError::Conflict),
                fence => fence.unwrap(),
            };
            match self.barrier.storage().commit(fenced).await {
                Err(CommitError::Conflict) if self.barrier.has_moved(&fence).await.unwrap() => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    self.barrier.settle(&fence).await;
                    return Ok(());
                }
            }
        }
    }
}

impl Cluster {
    async fn new() -> Self {
        let storage: Arc<dyn Storage> = Arc::new(Embedded::open(Memory::default(), Arc::new(())).unwrap());
        let rng = Arc::new(SystemRng::default());
        let root = RootKey::generate(&*rng);
        let mut change = Change::default();
        let first = Barrier::create(storage.clone(), &root, &WORKSPACES, rng, &mut change).unwrap();
        storage.commit(change).await.unwrap();
        let nodes = vec![Node::of(first).await, Node::open(&storage, &root).await];
        let keys_len = system_row(&storage, b"workspace/1").await.value.len();
        Self {
            storage,
            root,
            nodes,
            notes: BTreeMap::new(),
            pending: Vec::new(),
            keys_len,
        }
    }

    async fn take(&mut self, number: usize, step: Step) {
        match step {
            Step::Write(node, spot) => {
                let (text, change) = self.sealed(number, node, spot);
                if self.nodes[node].commit(&change).await.is_err() {
                    // The node knew nothing of a whole rewrap. Now it does.
                    let (_, change) = self.sealed(number, node, spot);
                    self.nodes[node].commit(&change).await.unwrap();
                }
                self.notes.insert(spot, text);
            }
            Step::Prepare(node, spot) => {
                let (text, change) = self.sealed(number, node, spot);
                self.pending.push((node, spot, text, change));
            }
            Step::CommitPrepared => {
                for (node, spot, text, change) in std::mem::take(&mut self.pending) {
                    match self.nodes[node].commit(&change).await {
                        Ok(()) => drop(self.notes.insert(spot, text)),
                        // It was sealed before a whole rewrap.
                        Err(error) => assert!(matches!(error, CommitError::Conflict), "{error}"),
                    }
                }
            }
            Step::Delete(node, spot) => {
                let mut change = Change::default();
                let node = &self.nodes[node];
                node.views[spot.0].delete(&mut change, &node.key(spot));
                node.commit(&change).await.unwrap();
                self.notes.remove(&spot);
            }
            Step::Rotate(node) => {
                let mut change = Change::default();
                self.nodes[node].barrier.rotate(&mut change).await.unwrap();
                self.nodes[node].commit(&change).await.unwrap();
            }
            Step::Rewrap(node) => self.start_rewrap(node).await,
            Step::Walk(node, steps) => {
                for _ in 0..steps {
                    self.walk(node).await;
                }
            }
            Step::Restart(node) => {
                // What it had prepared is lost.
                self.pending.retain(|(of, ..)| *of != node);
                self.nodes[node] = Node::open(&self.storage, &self.root).await;
            }
            Step::Follow(node) => {
                let view = &self.nodes[node].views[0];
                let key = view.ordered(Kind::Payload, &[b"none"]);
                assert!(view.cached::<Note>(&key).await.unwrap().is_none());
            }
            Step::ReadAll(node) => self.read_all(node).await,
        }
    }

    fn sealed(&self, number: usize, node: usize, spot: Spot) -> (String, Change) {
        let (text, mut change) = (format!("text {number}"), Change::default());
        let node = &self.nodes[node];
        node.views[spot.0]
            .put(&mut change, &node.key(spot), &Note(text.clone()))
            .unwrap();
        (text, change)
    }

    async fn stored_walk(&self, node: usize) -> Option<strongroom_barrier::Stored<Rewrap>> {
        self.nodes[node].views[0].get(&Rewrap::key()).await.unwrap()
    }

    async fn start_rewrap(&mut self, node: usize) {
        if self
            .stored_walk(node)
            .await
            .is_none_or(|walk| walk.record.ended.is_some())
        {
            let walk = Rewrap::new(PrincipalId::from_bytes([1; 16]), NOW);
            let sealed = || {
                let mut change = Change::default();
                let view = &self.nodes[node].views[0];
                view.put(&mut change, &Rewrap::key(), &walk).unwrap();
                change
            };
            if self.nodes[node].commit(&sealed()).await.is_err() {
                self.nodes[node].commit(&sealed()).await.unwrap();
            }
        }
        self.nodes[node].walk = None;
    }

    /// Takes a step of a rewrap that runs; false when none does.
    async fn walk(&mut self, node: usize) -> bool {
        let Some(stored) = self.stored_walk(node).await else {
            return false;
        };
        if stored.record.ended.is_some() {
            self.nodes[node].walk = None;
            return false;
        }
        // What is in memory may be further than what is stored, unless another node has gone on.
        let known = self.nodes[node].walk.take();
        let progress = known
            .filter(|walk| walk.rewrapped == stored.record.rewrapped)
            .unwrap_or(stored.record);
        let of_node = &self.nodes[node];
        let step = of_node.barrier.rewrap(&progress, NOW, 3).await.unwrap();
        if step.change.puts.is_empty() && step.progress.ended.is_none() {
            self.nodes[node].walk = Some(step.progress);
            return true;
        }
        let mut change = step.change;
        let view = &of_node.views[0];
        view.expect(&mut change, &Rewrap::key(), Some(stored.revision));
        view.put(&mut change, &Rewrap::key(), &step.progress).unwrap();
        of_node.commit(&change).await.unwrap();
        true
    }

    async fn finish_rewrap(&mut self, node: usize) {
        self.start_rewrap(node).await;
        for _ in 0..1_000 {
            if !self.walk(node).await {
                return;
            }
        }
        panic!("the rewrap does not end: {:?}", self.nodes[node].walk);
    }

    async fn read_all(&self, node: usize) {
        let node = &self.nodes[node];
        for workspace in 0..WORKSPACES.len() {
            for number in 0..12 {
                let spot = (workspace, number);
                assert_eq!(node.read(spot).await.as_ref(), self.notes.get(&spot), "{spot:?}");
            }
        }
    }

    /// All rows that DEKs seal, by workspace.
    async fn epochs(&self, workspace: WorkspaceId) -> BTreeSet<u32> {
        let mut epochs = BTreeSet::new();
        for (key, row) in self
            .storage
            .scan(vec![2]..vec![4], None, usize::MAX)
            .await
            .unwrap()
        {
            if key[1..5] == workspace.0.to_be_bytes() {
                epochs.insert(epoch_of(&row.value).unwrap());
            }
        }
        epochs
    }

    /// Nothing is left of an old key, neither in a record nor in the chain.
    async fn assert_nothing_old(&mut self) {
        self.take(0, Step::Restart(0)).await;
        for (number, workspace) in WORKSPACES.into_iter().enumerate() {
            let mut change = Change::default();
            let node = &self.nodes[0];
            node.views[number]
                .put(&mut change, &node.key((number, 0)), &Note(String::new()))
                .unwrap();
            node.barrier.fence(&mut change).await.unwrap();
            let newest = epoch_of(&change.puts[0].1).unwrap();
            let epochs = self.epochs(workspace).await;
            assert!(
                epochs.iter().all(|epoch| *epoch == newest),
                "{epochs:?} and {newest}"
            );
            let name = format!("workspace/{}", workspace.0);
            assert_eq!(
                system_row(&self.storage, name.as_bytes()).await.value.len(),
                self.keys_len
            );
        }
        assert_eq!(self.nodes[0].barrier.kek_epochs().await.unwrap().len(), 1);
    }
}

async fn system_row(storage: &Arc<dyn Storage>, name: &[u8]) -> Row {
    let key = [&[1], name].concat();
    storage.get(&key).await.unwrap().unwrap()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = || 0..2usize;
    let spot = || (0..2usize, 0..12u8);
    let step = prop_oneof![
        6 => (node(), spot()).prop_map(|(node, spot)| Step::Write(node, spot)),
        3 => (node(), spot()).prop_map(|(node, spot)| Step::Prepare(node, spot)),
        3 => Just(Step::CommitPrepared),
        1 => (node(), spot()).prop_map(|(node, spot)| Step::Delete(node, spot)),
        2 => node().prop_map(Step::Rotate),
        2 => node().prop_map(Step::Rewrap),
        6 => (node(), 1..12u8).prop_map(|(node, steps)| Step::Walk(node, steps)),
        1 => node().prop_map(Step::Restart),
        1 => node().prop_map(Step::Follow),
        3 => node().prop_map(Step::ReadAll),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_everything_reads_and_a_rewrap_leaves_nothing_old(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut cluster = Cluster::new().await;
            for (number, step) in steps.into_iter().enumerate() {
                cluster.take(number, step).await;
            }
            cluster.take(usize::MAX, Step::CommitPrepared).await;
            // One may have begun before the last rotation: what that made old is for the next.
            cluster.finish_rewrap(0).await;
            cluster.finish_rewrap(1).await;
            cluster.finish_rewrap(0).await;
            cluster.assert_nothing_old().await;
            for node in 0..2 {
                cluster.read_all(node).await;
                cluster.take(0, Step::Restart(node)).await;
                cluster.read_all(node).await;
            }
        });
    }
}

#[tokio::test]
async fn a_workspace_gets_its_new_key_with_its_next_write_and_no_sooner() {
    let mut cluster = Cluster::new().await;
    cluster.take(1, Step::Write(0, (1, 0))).await;
    cluster.take(2, Step::Prepare(0, (1, 2))).await;
    cluster.take(3, Step::Rotate(0)).await;
    cluster.take(4, Step::ReadAll(1)).await;
    assert_eq!(cluster.epochs(WORKSPACES[1]).await, [1].into());
    // What was sealed before is committed with the new key.
    cluster.take(5, Step::CommitPrepared).await;
    assert_eq!(cluster.epochs(WORKSPACES[1]).await, [1, 2].into());
    cluster.take(6, Step::Write(1, (1, 0))).await;
    assert_eq!(cluster.epochs(WORKSPACES[1]).await, [2].into());
    assert_eq!(
        system_row(&cluster.storage, b"workspace/0").await.value.len(),
        cluster.keys_len
    );
    cluster.take(7, Step::ReadAll(1)).await;
}

#[tokio::test]
async fn of_two_rotations_at_once_one_wins() {
    let cluster = Cluster::new().await;
    let (mut one, mut other) = (Change::default(), Change::default());
    let [first, second] = &cluster.nodes[..] else {
        panic!()
    };
    assert_eq!(first.barrier.rotate(&mut one).await.unwrap(), 2);
    assert_eq!(second.barrier.rotate(&mut other).await.unwrap(), 2);
    second.commit(&other).await.unwrap();
    assert!(matches!(first.commit(&one).await, Err(CommitError::Conflict)));
    let mut again = Change::default();
    assert_eq!(first.barrier.rotate(&mut again).await.unwrap(), 3);
    first.commit(&again).await.unwrap();
    assert_eq!(first.barrier.kek_epochs().await.unwrap(), [1, 2, 3]);
    let reopened = Node::open(&cluster.storage, &cluster.root).await;
    assert_eq!(reopened.barrier.kek_epochs().await.unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn a_full_keyring_is_refused_until_a_rewrap_has_emptied_it() {
    let mut cluster = Cluster::new().await;
    for number in 1..limits::KEY_EPOCHS {
        cluster.take(number, Step::Rotate(0)).await;
    }
    let full = cluster.nodes[1].barrier.rotate(&mut Change::default()).await;
    assert!(matches!(full, Err(BarrierError::TooManyEpochs)));
    cluster.take(0, Step::Write(0, (1, 0))).await;
    cluster.finish_rewrap(0).await;
    cluster.assert_nothing_old().await;
    cluster.take(0, Step::Rotate(1)).await;
}

/// A rewrap never writes over a change that came between its look and its commit.
#[tokio::test]
async fn a_step_that_lost_to_a_write_is_a_conflict() {
    let mut cluster = Cluster::new().await;
    cluster.take(1, Step::Write(0, (1, 0))).await;
    cluster.take(2, Step::Rotate(0)).await;
    cluster.start_rewrap(0).await;
    let stored = loop {
        let stored = cluster.stored_walk(0).await.unwrap();
        let step = cluster.nodes[0]
            .barrier
            .rewrap(&stored.record, NOW, 9)
            .await
            .unwrap();
        if step.rows > 0
            && step
                .change
                .puts
                .iter()
                .any(|(key, _)| key[..5] == [2, 0, 0, 0, 1])
        {
            break step;
        }
        assert!(cluster.walk(0).await);
    };
    cluster.take(3, Step::Write(1, (1, 0))).await;
    let committed = cluster.nodes[0].commit(&stored.change).await;
    assert!(matches!(committed, Err(CommitError::Conflict)));
    cluster.finish_rewrap(0).await;
    cluster.assert_nothing_old().await;
    cluster.read_all(0).await;
}

/// A walk that began before it leaves the workspace due for a new key.
#[tokio::test]
async fn a_rotation_during_a_walk_is_not_forgotten() {
    let mut cluster = Cluster::new().await;
    cluster.take(1, Step::Write(0, (1, 0))).await;
    cluster.take(2, Step::Rotate(0)).await;
    cluster.start_rewrap(0).await;
    while cluster.epochs(WORKSPACES[1]).await == [1].into() {
        assert!(cluster.walk(0).await);
    }
    cluster.take(3, Step::Rotate(0)).await;
    cluster.finish_rewrap(0).await;
    assert_eq!(cluster.epochs(WORKSPACES[1]).await, [2].into());
    cluster.take(4, Step::Write(0, (1, 0))).await;
    assert_eq!(cluster.epochs(WORKSPACES[1]).await, [3].into());
    cluster.finish_rewrap(0).await;
    cluster.assert_nothing_old().await;
}

/// Every write has a fence. Were one without, the pass after the last one that found something would find it.
#[tokio::test]
async fn a_row_that_appears_behind_the_walk_is_found_before_keys_are_dropped() {
    let mut cluster = Cluster::new().await;
    for number in 0..12 {
        cluster
            .take(number, Step::Write(0, (1, u8::try_from(number).unwrap())))
            .await;
    }
    let (text, stray) = cluster.sealed(99, 0, (1, 0));
    cluster.take(0, Step::Rotate(0)).await;
    cluster.start_rewrap(0).await;
    let payload = |key: &[u8]| key[..6] == [3, 0, 0, 0, 1, 16];
    let is_behind = async |cluster: &Cluster| {
        let rows = cluster.storage.scan(vec![3]..vec![4], None, 99).await.unwrap();
        rows.iter()
            .any(|(key, row)| payload(key) && epoch_of(&row.value) == Ok(2))
    };
    while !is_behind(&cluster).await {
        assert!(cluster.walk(0).await);
    }
    cluster.storage.commit(stray).await.unwrap();
    cluster.notes.insert((1, 0), text);
    cluster.finish_rewrap(0).await;
    cluster.assert_nothing_old().await;
    cluster.read_all(0).await;
}

/// Rows of the chain that are missing, damaged or put back.
#[tokio::test]
async fn a_chain_that_does_not_fit_is_named() {
    let mut cluster = Cluster::new().await;
    cluster.take(1, Step::Write(0, (1, 0))).await;
    let before = system_row(&cluster.storage, b"keyring").await;
    cluster.take(2, Step::Rotate(0)).await;
    cluster.take(3, Step::Write(0, (1, 0))).await;
    let (storage, root) = (&cluster.storage, &cluster.root);
    let opened = async || {
        let rng = Arc::new(SystemRng::default());
        let barrier = Barrier::open(storage.clone(), root, rng).await?;
        barrier.view(WORKSPACES[1], MountId(1)).await.map(drop)
    };
    let set = async |name: &str, value: Option<Vec<u8>>| {
        let (key, mut change) = ([&[1], name.as_bytes()].concat(), Change::default());
        match value {
            Some(value) => change.puts.push((key, value)),
            None => change.deletes.push(key),
        }
        storage.commit(change).await.unwrap();
    };
    for name in ["keyring", "workspace/1"] {
        let row = system_row(storage, name.as_bytes()).await.value;
        let damages: [(Option<Vec<u8>>, &str); 4] = [
            (None, "lacks"),
            (Some(row[..20].to_vec()), "damaged"),
            (Some([&[9], &row[1..]].concat()), "damaged"),
            (
                Some([&row[..row.len() - 1], &[!row[row.len() - 1]]].concat()),
                "damaged",
            ),
        ];
        for (damaged, word) in damages {
            set(name, damaged).await;
            let told = opened().await.unwrap_err().to_string();
            assert!(
                told.contains(&format!("`{name}`")) && told.contains(word),
                "{told}"
            );
        }
        set(name, Some(row)).await;
        opened().await.unwrap();
    }
    set("keyring", Some(before.value)).await;
    let told = opened().await.unwrap_err();
    assert!(
        matches!(&told, BarrierError::UnknownKek(row, 2) if row == "workspace/1"),
        "{told}"
    );
}

#[tokio::test]
async fn what_does_not_open_keeps_its_old_keys() {
    let mut cluster = Cluster::new().await;
    for number in 0..8 {
        cluster
            .take(number, Step::Write(0, (1, u8::try_from(number).unwrap())))
            .await;
    }
    let key = cluster.nodes[0].key((1, 4)).as_bytes().to_vec();
    let right = cluster.storage.get(&key).await.unwrap().unwrap().value;
    let put = async |value: Vec<u8>| {
        let puts = vec![(key.clone(), value)];
        let change = Change {
            puts,
            ..Change::default()
        };
        cluster.storage.commit(change).await.unwrap();
    };
    let mut wrong = right.clone();
    *wrong.last_mut().unwrap() ^= 1;
    put(wrong).await;
    let storage = cluster.storage.clone();
    cluster.take(0, Step::Rotate(0)).await;
    cluster.finish_rewrap(0).await;
    let walk = cluster.stored_walk(0).await.unwrap().record;
    assert_eq!((walk.unreadable, walk.ended), (1, Some(NOW)), "{walk:?}");
    let change = Change {
        puts: vec![(key, right)],
        ..Change::default()
    };
    storage.commit(change).await.unwrap();
    cluster.read_all(0).await;
    cluster.finish_rewrap(0).await;
    cluster.assert_nothing_old().await;
    assert_eq!(cluster.stored_walk(0).await.unwrap().record.unreadable, 0);
}

/// A walk stands in a workspace that is gone.
#[tokio::test]
async fn a_walk_leaves_a_workspace_that_was_removed() {
    let mut cluster = Cluster::new().await;
    for number in 0..8 {
        cluster
            .take(number, Step::Write(0, (1, u8::try_from(number).unwrap())))
            .await;
    }
    cluster.take(0, Step::Rotate(0)).await;
    cluster.start_rewrap(0).await;
    while cluster.epochs(WORKSPACES[1]).await == [1].into() {
        assert!(cluster.walk(0).await);
    }
    assert_eq!(
        cluster.epochs(WORKSPACES[1]).await,
        [1, 2].into(),
        "in the middle"
    );
    let keys = cluster
        .storage
        .keys(vec![2, 0, 0, 0, 1]..vec![2, 0, 0, 0, 2], None, 99);
    let mut deletes = keys.await.unwrap();
    deletes.extend(
        cluster
            .storage
            .keys(vec![3, 0, 0, 0, 1]..vec![3, 0, 0, 0, 2], None, 99)
            .await
            .unwrap(),
    );
    deletes.push([&[1][..], b"workspace/1"].concat());
    let change = Change {
        deletes,
        ..Change::default()
    };
    cluster.storage.commit(change).await.unwrap();
    cluster.finish_rewrap(0).await;
    assert!(cluster.stored_walk(0).await.unwrap().record.ended.is_some());
    assert_eq!(cluster.nodes[0].barrier.kek_epochs().await.unwrap(), [2]);
}

#[tokio::test]
async fn a_new_root_key_opens_what_the_old_one_does_not() {
    let cluster = Cluster::new().await;
    let [node, other] = &cluster.nodes[..] else {
        panic!()
    };
    let mut change = Change::default();
    let root = node.barrier.new_root(&mut change).await.unwrap();
    // Not committed yet.
    assert!(matches!(
        node.barrier.adopt_root(&root).await,
        Err(BarrierError::WrongRootKey)
    ));
    node.commit(&change).await.unwrap();
    node.barrier.adopt_root(&root).await.unwrap();
    let mut rotation = Change::default();
    node.barrier.rotate(&mut rotation).await.unwrap();
    node.commit(&rotation).await.unwrap();
    assert!(matches!(
        other.barrier.rotate(&mut Change::default()).await,
        Err(BarrierError::WrongRootKey)
    ));
    let rng = Arc::new(SystemRng::default());
    let stale = Barrier::open(cluster.storage.clone(), &cluster.root, rng.clone()).await;
    assert!(matches!(stale, Err(BarrierError::WrongRootKey)));
    let opened = Barrier::open(cluster.storage.clone(), &root, rng).await.unwrap();
    assert_eq!(opened.kek_epochs().await.unwrap(), [1, 2]);
}
