//! Several nodes on one storage, and what may happen to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minicbor::{Decode, Encode};
use strongroom_barrier::envelope::{EnvelopeError, epoch_of};
use strongroom_barrier::{Barrier, BarrierError, Kind, Record, Rewrap, RootKey, StorageKey, View};
use strongroom_base::{MountId, Name, PrincipalId, SystemRng, Timestamp, WorkspaceId};
use strongroom_storage::{Change, CommitError, Embedded, Memory, Row, Storage};

pub(crate) const WORKSPACES: [WorkspaceId; 2] = [WorkspaceId::SYSTEM, WorkspaceId::DEFAULT];
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1);

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct Note(#[n(0)] String);

impl Record for Note {}

/// Several nodes on one storage.
pub(crate) struct Cluster {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) root: RootKey,
    pub(crate) nodes: Vec<Node>,
    /// What must be readable, by place.
    pub(crate) notes: BTreeMap<Spot, String>,
    /// Changes that are sealed and not committed: the node, what it writes, the change.
    pending: Vec<(usize, Spot, String, Change)>,
    /// Length of the row of a workspace's keys with one epoch.
    pub(crate) keys_len: usize,
}

pub(crate) struct Node {
    pub(crate) barrier: Arc<Barrier>,
    pub(crate) views: Vec<View>,
    /// As it was when this node looked last.
    walk: Option<Rewrap>,
}

/// Where a note lies: its workspace, and its name or its number among the payloads.
pub(crate) type Spot = (usize, u8);

#[derive(Clone, Debug)]
pub(crate) enum Step {
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
    pub(crate) async fn open(storage: &Arc<dyn Storage>, root: &RootKey) -> Self {
        let barrier = Barrier::open(storage.clone(), root, Arc::new(SystemRng::default()))
            .await
            .unwrap();
        Self::of(barrier).await
    }

    pub(crate) async fn of(barrier: Arc<Barrier>) -> Self {
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

    pub(crate) fn key(&self, (workspace, number): Spot) -> StorageKey {
        let view = &self.views[workspace];
        if number.is_multiple_of(2) {
            view.named(&Name::from_path(&format!("folder/{number}")).unwrap())
                .unwrap()
        } else {
            view.ordered(Kind::Payload, &[&[number; 20]])
        }
    }

    pub(crate) async fn read(&self, spot: Spot) -> Option<String> {
        let stored = self.views[spot.0].get::<Note>(&self.key(spot)).await.unwrap();
        stored.map(|stored| stored.record.0)
    }

    /// Commits as `Surroundings::commit` does.
    pub(crate) async fn commit(&self, change: &Change) -> Result<(), CommitError> {
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
    pub(crate) async fn new() -> Self {
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

    pub(crate) async fn take(&mut self, number: usize, step: Step) {
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

    pub(crate) fn sealed(&self, number: usize, node: usize, spot: Spot) -> (String, Change) {
        let (text, mut change) = (format!("text {number}"), Change::default());
        let node = &self.nodes[node];
        node.views[spot.0]
            .put(&mut change, &node.key(spot), &Note(text.clone()))
            .unwrap();
        (text, change)
    }

    pub(crate) async fn stored_walk(&self, node: usize) -> Option<strongroom_barrier::Stored<Rewrap>> {
        self.nodes[node].views[0].get(&Rewrap::key()).await.unwrap()
    }

    pub(crate) async fn start_rewrap(&mut self, node: usize) {
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
    pub(crate) async fn walk(&mut self, node: usize) -> bool {
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

    pub(crate) async fn finish_rewrap(&mut self, node: usize) {
        self.start_rewrap(node).await;
        for _ in 0..1_000 {
            if !self.walk(node).await {
                return;
            }
        }
        panic!("the rewrap does not end: {:?}", self.nodes[node].walk);
    }

    pub(crate) async fn read_all(&self, node: usize) {
        let node = &self.nodes[node];
        for workspace in 0..WORKSPACES.len() {
            for number in 0..12 {
                let spot = (workspace, number);
                assert_eq!(node.read(spot).await.as_ref(), self.notes.get(&spot), "{spot:?}");
            }
        }
    }

    /// All rows that DEKs seal, by workspace.
    pub(crate) async fn epochs(&self, workspace: WorkspaceId) -> BTreeSet<u32> {
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
    pub(crate) async fn assert_nothing_old(&mut self) {
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

pub(crate) async fn system_row(storage: &Arc<dyn Storage>, name: &[u8]) -> Row {
    let key = [&[1], name].concat();
    storage.get(&key).await.unwrap().unwrap()
}
