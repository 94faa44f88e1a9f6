//! Looking after a stopped instance: what somebody has done to its real storage file is found by the real program.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use anyhow::{Context, Result};
use serde_json::Value;
use strongroom_base::limits;
use strongroom_e2e::{Ended, World, run};
use strongroom_storage::{Backend, Group, Row};
use strongroom_storage_redb::RedbBackend;
use strongroom_testkit::Home;

/// What the key of a secret begins with: the plane of names, and the workspace `default`.
const SECRETS: &[u8] = &[2, 0, 0, 0, 1];
/// The exit code of a command that found what is wrong.
const FOUND: i32 = 3;

/// The storage of `home`, whose server has stopped, in the hands of somebody else.
fn storage(home: &Home) -> Result<RedbBackend> {
    Ok(RedbBackend::open(
        &home.data().join("strongroom.redb"),
        limits::STORAGE_CACHE_BYTES,
    )?)
}

/// The key and the row of the only secret.
fn only_secret(storage: &RedbBackend) -> (Vec<u8>, Row) {
    use std::ops::Bound::{Included, Unbounded};
    let found = storage.scan((Included(SECRETS), Unbounded), 1).unwrap().remove(0);
    assert!(found.0.starts_with(SECRETS));
    found
}

/// Writes `row` to `key`, or removes what is there, as no server does.
fn overwrite(home: &Home, key: &[u8], row: Option<Row>) -> Result<()> {
    let storage = storage(home)?;
    let head = storage.head().unwrap();
    let writes = [(key.to_vec(), row)].into();
    storage.apply(Group { head, writes }).unwrap();
    Ok(())
}

/// Flips a bit of the revision of `row` in the storage file, behind the engine's back. Encryption does not cover it.
fn flip_revision(home: &Home, row: &Row) -> Result<()> {
    let path = home.data().join("strongroom.redb");
    let mut file = std::fs::read(&path)?;
    let stored = [&row.revision.0.to_be_bytes(), row.value.as_slice()].concat();
    let places: Vec<_> = file
        .windows(stored.len())
        .enumerate()
        .filter_map(|(place, bytes)| (bytes == stored).then_some(place))
        .collect();
    assert!(!places.is_empty());
    for place in places {
        file[place + 7] ^= 1;
    }
    Ok(std::fs::write(&path, file)?)
}

fn operator(home: &Home, verb: &str) -> Result<(Ended, Value)> {
    let mut command = home.command("strongroom")?;
    command
        .args(["operator", verb, "--output", "json", "--data"])
        .arg(home.data());
    let ended = run(command, "")?;
    let found = serde_json::from_str(&ended.out).with_context(|| format!("{ended:?}"))?;
    Ok((ended, found))
}

/// The fault and the name of the only finding.
fn only_finding(home: &Home, verb: &str) -> Result<(String, String)> {
    let (ended, found) = operator(home, verb)?;
    assert_eq!(ended.code, FOUND, "{ended:?}");
    let findings = found.get("findings").and_then(Value::as_array);
    let [finding] = findings.context("no findings")?.as_slice() else {
        anyhow::bail!("{found}");
    };
    let text = |field: &str| {
        finding
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Ok((text("fault"), text("row")))
}

#[tokio::test]
async fn a_row_of_the_storage_file_that_was_put_back_or_removed_is_found() -> Result<()> {
    let mut world = World::new(&[])?;
    let admin = world.admin().await?;
    assert_eq!(admin.save_value("KEY", "first").await?.status, 200);
    world.server.terminate()?;
    assert!(world.server.wait()?.success());
    let (key, old) = only_secret(&storage(&world.home)?);
    world.server = world.home.start(&[])?;
    let admin = world.admin().await?;
    assert_eq!(admin.save_value("KEY", "second").await?.status, 200);
    world.server.terminate()?;
    assert!(world.server.wait()?.success());

    let home = &world.home;
    for verb in ["scrub", "check"] {
        let (ended, found) = operator(home, verb)?;
        assert_eq!(
            (ended.code, &found["findings"]),
            (0, &Value::Array(Vec::new())),
            "{ended:?}"
        );
    }
    let (same_key, new) = only_secret(&storage(home)?);
    assert!(key == same_key && old != new);
    let name = "`apps/unnamed/KEY` of workspace 1".to_owned();

    overwrite(home, &key, Some(old))?;
    assert_eq!(only_finding(home, "scrub")?, ("older".to_owned(), name.clone()));
    // The value that the newer one retired is still there.
    let (fault, row) = only_finding(home, "check")?;
    assert!(
        fault == "orphan" && row.starts_with("payload row"),
        "{fault} {row}"
    );

    overwrite(home, &key, None)?;
    assert_eq!(only_finding(home, "scrub")?, ("missing".to_owned(), name.clone()));

    let mut altered = new.clone();
    altered.value.push(0);
    overwrite(home, &key, Some(altered))?;
    let (ended, found) = operator(home, "check")?;
    assert_eq!(ended.code, FOUND);
    assert_eq!(
        (&found["findings"][0]["fault"], &found["findings"][0]["row"]),
        (&"unreadable".into(), &name.into())
    );

    overwrite(home, &key, Some(new))?;
    for verb in ["scrub", "check"] {
        assert_eq!(operator(home, verb)?.0.code, 0, "{verb}");
    }
    flip_revision(home, &only_secret(&storage(home)?).1)?;
    for verb in ["scrub", "check"] {
        let (ended, found) = operator(home, verb)?;
        assert_eq!(found["findings"], Value::Array(Vec::new()), "{found}");
        assert!(
            ended.code != 0 && ended.err.contains("the storage file is damaged"),
            "{ended:?}"
        );
    }
    Ok(())
}
