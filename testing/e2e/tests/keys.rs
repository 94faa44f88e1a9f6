//! Rotation and rewrap by the real program: under load, through kills, and what the commands say.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use strongroom_base::limits;
use strongroom_e2e::{Caller, Ended, World, run};
use strongroom_storage::Backend;
use strongroom_storage_redb::RedbBackend;
use strongroom_testkit::Postgres;
use tokio::task::JoinSet;

const SECRETS: usize = 8_000;
const WRITERS: usize = 3;
/// Names that each of them writes, again and again.
const NAMES: u64 = 20;

/// What was answered that it is stored, by name.
type Stored = Arc<Mutex<BTreeMap<String, u64>>>;

/// Writes numbers that grow, and reads each, until the server is killed. Nothing else may end it.
async fn write_and_read(caller: Caller, writer: usize, from: u64, stored: Stored) -> Result<()> {
    for number in from.. {
        let name = format!("load/{writer}/{}", number % NAMES);
        let Ok(reply) = caller.save_value(&name, &number.to_string()).await else {
            break;
        };
        ensure!(
            reply.status == 200,
            "a write fails: {} {}",
            reply.status,
            reply.text
        );
        stored.lock().unwrap().insert(name.clone(), number);
        let Ok(reply) = caller.list(json!({ "id": name })).await else {
            break;
        };
        ensure!(
            reply.status == 200,
            "a read fails: {} {}",
            reply.status,
            reply.text
        );
        let value = reply.json()["secrets"][0]["value"].as_str().map(str::to_owned);
        ensure!(
            value == Some(number.to_string()),
            "{name} is {value:?}, not {number}"
        );
    }
    Ok(())
}

async fn keys(admin: &Caller) -> Result<Value> {
    let reply = admin.send("GET /strongroom/v1/keys", "").await?;
    ensure!(reply.status == 200, "{}", reply.text);
    Ok(reply.json())
}

fn figure(keys: &Value, name: &str) -> u64 {
    keys["rewrap"][name].as_u64().unwrap_or_default()
}

fn is_over(keys: &Value) -> bool {
    keys["rewrap"]["ended"].is_u64()
}

/// `strongroom operator` with `args`, as the holder of `token`.
fn operator(world: &World, token: &str, args: &[&str]) -> Result<Ended> {
    let mut command = world.home.command("strongroom")?;
    command
        .arg("operator")
        .args(args)
        .env("STRONGROOM_ADDR", world.server.url())
        .env("STRONGROOM_TOKEN", token);
    run(command, "")
}

/// The key epochs of all rows that DEKs seal, in the storage file of a stopped server.
fn epochs(world: &World) -> Result<BTreeSet<u32>> {
    let storage = RedbBackend::open(
        &world.home.data().join("strongroom.redb"),
        limits::STORAGE_CACHE_BYTES,
    )?;
    let rows = storage
        .scan((Included(&[2]), Excluded(&[4])), usize::MAX)
        .unwrap();
    let epoch = |value: &[u8]| u32::from_be_bytes(value[1..5].try_into().unwrap());
    Ok(rows.iter().map(|(_, row)| epoch(&row.value)).collect())
}

/// What a scrub and a check of the stopped instance find, which should be nothing.
fn assert_intact(world: &World) -> Result<()> {
    for verb in ["scrub", "check"] {
        let mut command = world.home.command("strongroom")?;
        command.args(["operator", verb, "--data"]).arg(world.home.data());
        let ended = run(command, "")?;
        ensure!(ended.code == 0, "{verb}: {ended:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_on_while_keys_rotate_and_kills_cost_nothing() -> Result<()> {
    let mut world = World::new(&[])?;
    let mut admin = world.admin().await?;
    for batch in 0..SECRETS / limits::BATCH_ENTRIES {
        let secret = |number| json!({ "id": format!("bulk/{batch}/{number}"), "value": "v" });
        let secrets: Vec<_> = (0..limits::BATCH_ENTRIES).map(secret).collect();
        assert_eq!(admin.save(json!(secrets)).await?.status, 200);
    }
    let stored = Stored::default();
    // Each of the first lives ends when so much is sealed anew; the last one sees the end of the rewrap.
    for (life, until) in [1, 2_100, 4_100, u64::MAX].into_iter().enumerate() {
        let mut load = JoinSet::new();
        for writer in 0..WRITERS {
            let from = life as u64 * 1_000_000;
            load.spawn(write_and_read(admin.clone(), writer, from, stored.clone()));
        }
        if life == 0 {
            let rotated = admin.native("keys/rotate", &json!({})).await?;
            assert_eq!((rotated.status, &rotated.json()["kek_epoch"]), (200, &json!(2)));
            let started = admin.native("keys/rewrap", &json!({})).await?;
            assert_eq!(started.status, 200);
        }
        // A restart goes on by itself.
        loop {
            let keys = keys(&admin).await?;
            if is_over(&keys) || figure(&keys, "rewrapped") >= until {
                assert_eq!(is_over(&keys), until == u64::MAX, "{keys}");
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.server.kill()?;
        while let Some(ended) = load.join_next().await {
            ended??;
        }
        world.server = world.home.start(&[])?;
        admin = world.admin().await?;
        let stored = stored.lock().unwrap().clone();
        assert!(!stored.is_empty());
        for (name, number) in stored {
            let value = admin.value(&name).await?.unwrap();
            assert!(value.parse::<u64>()? >= number, "{name} is {value}, not {number}");
        }
    }
    let keys = keys(&admin).await?;
    assert_eq!(keys["kek_epochs"], json!([2]), "{keys}");
    assert_eq!(figure(&keys, "unreadable"), 0, "{keys}");
    assert_eq!(admin.value("bulk/3/999").await?.as_deref(), Some("v"));
    world.server.terminate()?;
    assert!(world.server.wait()?.success());
    assert_eq!(epochs(&world)?, [2].into());
    assert_intact(&world)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_rotate_follow_and_say_how_far_it_is() -> Result<()> {
    let mut world = World::new(&[])?;
    let admin = world.admin().await?;
    let alice = world.user("alice").await?;
    assert_eq!(admin.save_value("KEY", "value").await?.status, 200);

    let status = operator(&world, admin.token(), &["rewrap", "--status"])?;
    assert!(
        status.code == 0 && status.out.contains("KEK epochs   1\n"),
        "{status:?}"
    );
    assert!(status.out.contains("there was none yet"), "{status:?}");
    let rotated = operator(&world, admin.token(), &["rotate"])?;
    assert!(
        rotated.code == 0 && rotated.out.contains("KEK epoch 2"),
        "{rotated:?}"
    );
    let rotated = operator(&world, admin.token(), &["rotate", "--output", "json"])?;
    assert_eq!(
        serde_json::from_str::<Value>(&rotated.out)?,
        json!({"kek_epoch": 3})
    );
    let done = operator(&world, admin.token(), &["rewrap", "--wait", "--output", "json"])?;
    let done: Value = serde_json::from_str(&done.out)?;
    assert_eq!(done["kek_epochs"], json!([3]));
    assert!(is_over(&done) && figure(&done, "rewrapped") > 5, "{done}");
    let status = operator(&world, admin.token(), &["rewrap", "--status"])?;
    assert!(status.out.contains("done at"), "{status:?}");

    for args in [&["rotate"][..], &["rewrap"], &["rewrap", "--status"]] {
        let refused = operator(&world, alice.token(), args)?;
        assert!(
            refused.code == 1 && refused.err.contains("no admin role"),
            "{refused:?}"
        );
    }
    let both = operator(&world, admin.token(), &["rewrap", "--status", "--wait"])?;
    assert_eq!(both.code, 2);

    let admin_sees = keys(&admin).await?;
    assert_eq!(admin_sees["kek_epochs"], json!([3]));
    assert_eq!(admin.value("KEY").await?.as_deref(), Some("value"));
    world.server.terminate()?;
    assert!(world.server.wait()?.success());
    assert_eq!(epochs(&world)?.len(), 1);
    assert_intact(&world)
}

/// In a shared database, with a kill between the rotation and the rewrap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_on_postgresql() -> Result<()> {
    let postgres = Postgres::start("")?;
    let url = postgres.url(&postgres.database()?);
    let flags = ["--storage", url.as_str()];
    let mut world = World::new(&flags)?;
    let admin = world.admin().await?;
    for name in ["A", "B", "C"] {
        assert_eq!(admin.save_value(name, "value").await?.status, 200);
    }
    assert_eq!(operator(&world, admin.token(), &["rotate"])?.code, 0);
    world.server.kill()?;
    world.server = world.home.start(&flags)?;
    let admin = world.admin().await?;
    assert_eq!(admin.save_value("A", "newer").await?.status, 200);
    let done = operator(&world, admin.token(), &["rewrap", "--wait"])?;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(keys(&admin).await?["kek_epochs"], json!([2]));
    world.server.kill()?;
    world.server = world.home.start(&flags)?;
    let admin = world.admin().await?;
    assert_eq!(admin.value("A").await?.as_deref(), Some("newer"));
    assert_eq!(admin.value("B").await?.as_deref(), Some("value"));
    world.server.terminate()?;
    assert!(world.server.wait()?.success());
    for verb in ["scrub", "check"] {
        let mut command = world.home.command("strongroom")?;
        command
            .args(["operator", verb, "--data"])
            .arg(world.home.data())
            .args(flags);
        let ended = run(command, "")?;
        ensure!(ended.code == 0, "{verb}: {ended:?}");
    }
    Ok(())
}

/// Two rotations at once: both are there in order, or one is told that it lost.
#[tokio::test]
async fn rotations_at_once_lose_no_epoch() -> Result<()> {
    let world = World::new(&[])?;
    let admin = world.admin().await?;
    let (mut won, mut lost) = (BTreeSet::new(), 0);
    let mut rotations = JoinSet::new();
    for _ in 0..16 {
        let admin = admin.clone();
        rotations.spawn(async move { admin.native("keys/rotate", &json!({})).await });
    }
    while let Some(reply) = rotations.join_next().await {
        let reply = reply??;
        if reply.status == 200 {
            let is_new = won.insert(reply.json()["kek_epoch"].as_u64().unwrap());
            assert!(is_new, "two have made the same epoch: {}", reply.text);
        } else {
            assert_eq!((reply.status, reply.error_kind().as_str()), (409, "conflict"));
            assert!(
                reply.text.contains("changed the keys at the same time"),
                "{}",
                reply.text
            );
            lost += 1;
        }
    }
    assert_eq!(won.len() + lost, 16);
    let epochs: Vec<u64> = serde_json::from_value(keys(&admin).await?["kek_epochs"].clone())?;
    assert_eq!(epochs, [1].into_iter().chain(won).collect::<Vec<_>>());
    assert_eq!(admin.save_value("KEY", "value").await?.status, 200);
    Ok(())
}
