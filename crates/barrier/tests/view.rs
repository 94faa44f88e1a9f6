//! The barrier over a real (in-memory) storage: what it keeps, what it hides, and what its caches may say.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minicbor::{Decode, Encode};
use proptest::prelude::*;
use strongroom_barrier::{Barrier, BarrierError, Kind, Named, Record, RootKey, View};
use strongroom_base::{MountId, Name, SystemRng, WorkspaceId};
use strongroom_storage::{
    Backend, Change, Embedded, Failure, Group, KeyRange, Memory, Revision, Row, Storage,
};

#[derive(Debug, PartialEq, Encode, Decode)]
struct Note(#[n(0)] String);

impl Record for Note {}

/// A row of an index.
#[derive(Encode, Decode)]
struct Entry(#[n(0)] Vec<String>);

impl Record for Entry {}

impl Named for Entry {
    fn into_name(self) -> Name {
        Name::from_stored(self.0)
    }
}

/// Memory that counts the keys and rows that scans read.
#[derive(Default)]
struct Counted {
    rows: Memory,
    read: Arc<AtomicUsize>,
}

impl Backend for Counted {
    const SCANS_BLOCK: bool = false;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Failure> {
        self.rows.get(key)
    }

    fn scan(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Vec<u8>, Row)>, Failure> {
        let rows = self.rows.scan(range, limit)?;
        self.read.fetch_add(rows.len(), Ordering::Relaxed);
        Ok(rows)
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

struct Instance {
    /// Keys and rows that scans have read.
    read: Arc<AtomicUsize>,
    storage: Arc<dyn Storage>,
    root: RootKey,
    barrier: Arc<Barrier>,
}

async fn instance() -> Instance {
    let backend = Counted::default();
    let read = backend.read.clone();
    let storage: Arc<dyn Storage> = Arc::new(Embedded::open(backend, Arc::new(())).unwrap());
    let rng = Arc::new(SystemRng::default());
    let root = RootKey::generate(&*rng);
    let mut change = Change::default();
    let workspaces = [WorkspaceId::SYSTEM, WorkspaceId::DEFAULT];
    let barrier = Barrier::create(storage.clone(), &root, &workspaces, rng, &mut change).unwrap();
    storage.commit(change).await.unwrap();
    Instance {
        read,
        storage,
        root,
        barrier,
    }
}

impl Instance {
    async fn view(&self, mount: u32) -> View {
        self.barrier
            .view(WorkspaceId::DEFAULT, MountId(mount))
            .await
            .unwrap()
    }

    async fn put(&self, view: &View, name: &str, text: &str) {
        let mut change = Change::default();
        let key = view.named(&name_of(name)).unwrap();
        view.put(&mut change, &key, &Note(text.into())).unwrap();
        self.storage.commit(change).await.unwrap();
    }

    async fn delete(&self, view: &View, name: &str) {
        let mut change = Change::default();
        view.delete(&mut change, &view.named(&name_of(name)).unwrap());
        self.storage.commit(change).await.unwrap();
    }
}

impl Instance {
    /// Many names at once.
    async fn put_all(&self, view: &View, names: impl Iterator<Item = String>) {
        let mut change = Change::default();
        for name in names {
            let key = view.named(&name_of(&name)).unwrap();
            view.put(&mut change, &key, &Note(String::new())).unwrap();
        }
        self.storage.commit(change).await.unwrap();
    }
}

fn name_of(text: &str) -> Name {
    Name::from_path(text).unwrap()
}

async fn children(view: &View, folder: &[&str], after: Option<&str>, limit: usize) -> Vec<String> {
    let mut at = view.root();
    for segment in folder {
        at = view.folder(at, segment).unwrap();
    }
    let children = view.list(&at, after, limit).await.unwrap();
    let shape = |is_record, is_folder| match (is_record, is_folder) {
        (true, false) => "",
        (false, true) => "/",
        (true, true) => "+/",
        (false, false) => "?",
    };
    children
        .iter()
        .map(|child| format!("{}{}", child.segment, shape(child.is_record, child.is_folder)))
        .collect()
}

#[tokio::test]
async fn only_its_own_root_key_opens_an_instance() {
    let here = instance().await;
    let rng = Arc::new(SystemRng::default());
    assert!(
        Barrier::open(here.storage.clone(), &here.root, rng.clone())
            .await
            .is_ok()
    );
    let other = RootKey::generate(&*rng);
    let opened = Barrier::open(here.storage.clone(), &other, rng).await;
    assert!(matches!(opened, Err(BarrierError::WrongRootKey)));
}

#[tokio::test]
async fn a_folder_lists_its_children_in_byte_order_page_by_page() {
    let here = instance().await;
    let view = here.view(7).await;
    for name in ["b", "a/x", "a/y/z", "a", "Z", "é", "b/c"] {
        here.put(&view, name, name).await;
    }
    here.put(&here.view(8).await, "elsewhere", "").await;
    assert_eq!(children(&view, &[], None, 10).await, ["Z", "a+/", "b+/", "é"]);
    assert_eq!(children(&view, &["a"], None, 10).await, ["x", "y/"]);
    assert_eq!(
        children(&view, &["nothing"], None, 10).await,
        Vec::<String>::new()
    );
    assert_eq!(children(&view, &[], None, 2).await, ["Z", "a+/"]);
    assert_eq!(children(&view, &[], Some("a"), 2).await, ["b+/", "é"]);
}

/// More names below one child than a page of the scan has.
#[tokio::test]
async fn a_listing_leaps_over_what_lies_deeper() {
    let here = instance().await;
    let view = here.view(1).await;
    let mut change = Change::default();
    for number in 0..2_500 {
        let key = view.named(&name_of(&format!("deep/{number:04}"))).unwrap();
        view.put(&mut change, &key, &Note(String::new())).unwrap();
    }
    for number in 0..1_500 {
        let key = view.named(&name_of(&format!("flat{number:04}"))).unwrap();
        view.put(&mut change, &key, &Note(String::new())).unwrap();
    }
    here.storage.commit(change).await.unwrap();
    let listed = children(&view, &[], None, usize::MAX).await;
    assert_eq!(listed.len(), 1_501);
    assert_eq!(
        (listed[0].as_str(), listed[1_500].as_str()),
        ("deep/", "flat1499")
    );
    assert_eq!(children(&view, &["deep"], None, usize::MAX).await.len(), 2_500);
}

#[tokio::test]
async fn what_is_cached_is_never_older_than_the_last_commit() {
    let here = instance().await;
    let view = here.view(1).await;
    let key = view.named(&name_of("a/b")).unwrap();
    for round in 0..100 {
        here.put(&view, "a/b", &round.to_string()).await;
        let cached = view.cached::<Note>(&key).await.unwrap().unwrap();
        assert_eq!(cached.record, Note(round.to_string()));
        assert_eq!(children(&view, &["a"], None, 10).await, ["b"]);
        here.delete(&view, "a/b").await;
        assert!(view.cached::<Note>(&key).await.unwrap().is_none());
        assert_eq!(children(&view, &["a"], None, 10).await, Vec::<String>::new());
        assert_eq!(children(&view, &[], None, 10).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_page_costs_its_own_length_while_others_write() {
    const NAMES: usize = 5_000;
    const PAGE: usize = 100;
    let here = instance().await;
    let view = here.view(1).await;
    here.put_all(&view, (0..NAMES).map(|n| format!("wide/{n:05}")))
        .await;
    let mut after = None;
    for page in 0..NAMES / PAGE {
        // One is new, one is replaced, one is gone, and none of them where the walk still comes by.
        here.put(&view, &format!("wide/!{page}"), "new").await;
        here.put(&view, "wide/!0", "again").await;
        here.delete(&view, &format!("wide/!{}", page / 2)).await;
        let found = children(&view, &["wide"], after.as_deref().or(Some("0")), PAGE).await;
        assert_eq!(found.len(), PAGE, "page {page}");
        assert_eq!(found[0], format!("{:05}", page * PAGE));
        after = found.last().cloned();
    }
    let read = here.read.load(Ordering::Relaxed);
    assert!(read <= NAMES + 10 * (NAMES / PAGE), "{read} keys were read");
}

/// What is there all the time is shown once, however much comes and goes beside it.
#[tokio::test]
async fn paging_under_change_loses_and_doubles_nothing() {
    const STEADY: usize = 3_000;
    let here = Arc::new(instance().await);
    let view = here.view(1).await;
    here.put_all(&view, (0..STEADY).map(|n| format!("wide/{n:05}")))
        .await;
    let (changing, other) = (here.clone(), view.clone());
    let changes = tokio::spawn(async move {
        for round in 0.. {
            let name = format!("wide/{:05}-{}", round * 7 % STEADY, round % 3);
            changing.put(&other, &name, "").await;
            if round % 2 == 0 {
                changing.delete(&other, &name).await;
            }
            if round % 50 == 0 {
                // More at once than is worth looking at one by one.
                let many = (0..STEADY / 4).map(|n| format!("wide/{n:05}+"));
                changing.put_all(&other, many).await;
            }
        }
    });
    for _ in 0..5 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = children(&view, &["wide"], after.as_deref(), 100).await;
            found.extend(page.iter().cloned());
            after = page.last().cloned();
            tokio::task::yield_now().await;
            if page.len() < 100 {
                break;
            }
        }
        assert!(found.is_sorted_by(|a, b| a < b), "doubled or out of order");
        let steady: Vec<_> = found.into_iter().filter(|name| name.len() == 5).collect();
        assert!(steady.into_iter().eq((0..STEADY).map(|n| format!("{n:05}"))));
    }
    assert!(!changes.is_finished());
    changes.abort();
}

#[tokio::test]
async fn names_of_an_index_follow_its_rows() {
    let here = instance().await;
    let view = here.view(1).await;
    let mut model = BTreeMap::new();
    for round in 0_u8..100 {
        // Ids and names come and go; some names come again under another id.
        let id = [round % 40; 16];
        let key = view.ordered(Kind::ByPrincipal, &[b"reader", &id]);
        let mut change = Change::default();
        if model.remove(&id).is_none() {
            let name = name_of(["a", "a.b", "a/b", "b/c/d"][usize::from(round % 4)]);
            if model.values().any(|taken| *taken == name) {
                continue;
            }
            view.put(&mut change, &key, &Entry(name.segments().to_vec()))
                .unwrap();
            model.insert(id, name);
        } else {
            view.delete(&mut change, &key);
        }
        here.storage.commit(change).await.unwrap();
        let expected: BTreeSet<_> = model.values().cloned().collect();
        let found = view
            .names::<Entry>(Kind::ByPrincipal, b"reader", None, 10)
            .await
            .unwrap();
        assert_eq!(found, expected.iter().cloned().collect::<Vec<_>>());
        let after = name_of("a/b");
        let behind = view
            .names::<Entry>(Kind::ByPrincipal, b"reader", Some(&after), 10)
            .await
            .unwrap();
        let expected = expected.range((Bound::Excluded(after), Bound::Unbounded));
        assert_eq!(behind, expected.cloned().collect::<Vec<_>>());
        assert_eq!(
            view.names::<Entry>(Kind::ByPrincipal, b"other", None, 10)
                .await
                .unwrap(),
            []
        );
    }
}

/// The bug that this suite exists for: two rows change places in storage. Neither opens where it does not belong.
#[tokio::test]
async fn swapped_rows_do_not_open() {
    let here = instance().await;
    let view = here.view(1).await;
    here.put(&view, "mine", "for me").await;
    here.put(&view, "theirs", "for them").await;
    let keys = ["mine", "theirs"].map(|name| view.named(&name_of(name)).unwrap());
    let mut values = Vec::new();
    for key in &keys {
        values.push(here.storage.get(key.as_bytes()).await.unwrap().unwrap().value);
    }
    values.reverse();
    let puts = keys
        .iter()
        .map(|key| key.as_bytes().to_vec())
        .zip(values)
        .collect();
    here.storage
        .commit(Change {
            puts,
            ..Change::default()
        })
        .await
        .unwrap();
    for key in &keys {
        assert!(matches!(
            view.get::<Note>(key).await,
            Err(BarrierError::Damaged(_))
        ));
    }
}

#[tokio::test]
async fn storage_sees_no_name_and_no_value() {
    let here = instance().await;
    let view = here.view(1).await;
    here.put(&view, "CANARYNAME/CANARYPART", "CANARYVALUE").await;
    let mut change = Change::default();
    view.put(
        &mut change,
        &view.ordered(Kind::ByPrincipal, &[b"id"]),
        &Note("CANARYINDEX".into()),
    )
    .unwrap();
    here.storage.commit(change).await.unwrap();
    let rows = here.storage.scan(vec![0]..vec![255], None, 1_000).await.unwrap();
    assert!(rows.len() >= 5);
    for (key, row) in rows {
        for bytes in [&key, &row.value] {
            assert!(!bytes.windows(6).any(|window| window == b"CANARY"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Model: a sorted set of names. Whatever was put or removed, every folder lists exactly its children, also when it
    /// was listed before.
    #[test]
    fn listing_agrees_with_a_sorted_set(toggled in prop::collection::vec("[a-c]{1,2}(/[a-c]{1,2}){0,2}", 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let here = instance().await;
            let view = here.view(1).await;
            let mut names = BTreeSet::new();
            for name in toggled {
                if names.remove(&name) {
                    here.delete(&view, &name).await;
                } else {
                    here.put(&view, &name, "").await;
                    names.insert(name);
                }
                let below_a: BTreeSet<_> =
                    names.iter().filter_map(|name| name.strip_prefix("a/")).map(str::to_owned).collect();
                let a = view.folder(view.root(), "a").unwrap();
                for (folder, names) in [(view.root(), &names), (a, &below_a)] {
                    let mut expected = BTreeMap::<String, (bool, bool)>::new();
                    for name in names {
                        let (first, rest) = name.split_once('/').map_or((name.as_str(), ""), |split| split);
                        let entry = expected.entry(first.to_owned()).or_default();
                        if rest.is_empty() { entry.0 = true } else { entry.1 = true }
                    }
                    let listed = view.list(&folder, None, usize::MAX).await.unwrap();
                    let listed: Vec<_> = listed
                        .into_iter()
                        .map(|child| (child.segment, (child.is_record, child.is_folder)))
                        .collect();
                    assert_eq!(listed, expected.into_iter().collect::<Vec<_>>());
                }
            }
        });
    }
}
