//! The barrier over a real (in-memory) storage: what it keeps, what it hides, and what its caches may say.

#![cfg(test)]

use std::sync::Arc;

use minicbor::{Decode, Encode};
use proptest::prelude::*;
use strongroom_barrier::{Barrier, BarrierError, Kind, Record, RootKey, View};
use strongroom_base::{MountId, Name, SystemRng, WorkspaceId};
use strongroom_storage::{Change, Embedded, Memory, Storage};

#[derive(Debug, PartialEq, Encode, Decode)]
struct Note(#[n(0)] String);

impl Record for Note {}

struct Instance {
    storage: Arc<dyn Storage>,
    root: RootKey,
    barrier: Arc<Barrier>,
}

async fn instance() -> Instance {
    let storage: Arc<dyn Storage> = Arc::new(Embedded::open(Memory::default(), Arc::new(())).unwrap());
    let rng = Arc::new(SystemRng::default());
    let root = RootKey::generate(&*rng);
    let mut change = Change::default();
    let workspaces = [WorkspaceId::SYSTEM, WorkspaceId::DEFAULT];
    let barrier = Barrier::create(storage.clone(), &root, &workspaces, rng, &mut change).unwrap();
    storage.commit(change).await.unwrap();
    Instance {
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
    /// Model: a sorted set of names. Whatever was put, every folder lists exactly its children.
    #[test]
    fn listing_agrees_with_a_sorted_set(names in prop::collection::btree_set("[a-c]{1,2}(/[a-c]{1,2}){0,2}", 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let here = instance().await;
            let view = here.view(1).await;
            for name in &names {
                here.put(&view, name, "").await;
            }
            let mut expected = std::collections::BTreeMap::<String, (bool, bool)>::new();
            for name in &names {
                let (first, rest) = name.split_once('/').map_or((name.as_str(), ""), |split| split);
                let entry = expected.entry(first.to_owned()).or_default();
                if rest.is_empty() { entry.0 = true } else { entry.1 = true }
            }
            let listed = view.list(&view.root(), None, usize::MAX).await.unwrap();
            let listed: Vec<_> =
                listed.into_iter().map(|child| (child.segment, (child.is_record, child.is_folder))).collect();
            assert_eq!(listed, expected.into_iter().collect::<Vec<_>>());
        });
    }
}
