//! The chain of keys under rotations and rewraps: two nodes on one storage, whose writes are prepared at one time and
//! committed at another, and which are stopped and started between any two steps. Everything that was written reads,
//! and after a finished rewrap nothing is left of an old key.

#![cfg(test)]

mod cluster;
mod model;

use std::sync::Arc;

use cluster::{Cluster, NOW, Node, Step, WORKSPACES, system_row};
use strongroom_barrier::envelope::epoch_of;
use strongroom_barrier::{Barrier, BarrierError};
use strongroom_base::{MountId, SystemRng, limits};
use strongroom_storage::{Change, CommitError};

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
