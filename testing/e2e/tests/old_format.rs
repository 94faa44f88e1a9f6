//! A data directory of format 1, as the last version before nodes left it when it was killed: with a change whose record
//! was still in the outbox. `golden/format-1.tgz` has it, but for the reserve.

#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use strongroom_base::limits;
use strongroom_core::superblock::Superblock;
use strongroom_e2e::{ledger, refusal, run};
use strongroom_storage::{Embedded, OutboxKey, Storage, head};
use strongroom_storage_redb::RedbBackend;
use strongroom_testkit::{Home, Server};

/// Of the administrator in that directory.
const PASSWORD: &str = "D5QtCwR6cNaTlpnsjadLpDLB";

fn storage(data: &Path) -> Result<Embedded<RedbBackend>> {
    let backend = RedbBackend::open(&data.join("strongroom.redb"), limits::STORAGE_CACHE_BYTES)?;
    Ok(Embedded::open(backend, Arc::new(()))?)
}

/// The server on the old directory, with the seal key made of `digit`.
fn up(home: &Home, digit: &str) -> Result<Command> {
    let mut command = home.up(&[])?;
    command.env("STRONGROOM_SEAL_KEY", digit.repeat(64));
    Ok(command)
}

#[tokio::test]
async fn a_directory_of_format_1_is_brought_up_to_date_and_loses_nothing() -> Result<()> {
    let home = Home::new()?;
    let data = home.data();
    fs::create_dir(&data)?;
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1.tgz");
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(packed)
        .arg("-C")
        .arg(&data)
        .status()?;
    ensure!(unpacked.success(), "tar");
    let (before, waiting) = {
        let storage = storage(&data)?;
        let rows = storage.scan(OutboxKey::all(), None, 99).await?;
        (head(&storage).await?, rows)
    };
    let [(key, _)] = waiting.as_slice() else {
        anyhow::bail!("one row waits in the outbox: {waiting:?}");
    };
    assert_eq!(key.len(), 9, "a key without a node");

    // Who cannot open the seal changes nothing.
    let said = refusal(up(&home, "6")?)?;
    assert!(said.contains("key"), "{said}");
    assert_eq!(head(&storage(&data)?).await?, before);

    let server = Server::start(up(&home, "5")?)?;
    let token = server.login("admin", PASSWORD).await?;
    let (status, reply) = server
        .call("POST", "/secret-svc/secrets", &token, &json!({}))
        .await?;
    let values: Vec<_> = (0..2)
        .filter_map(|number| reply.pointer(&format!("/secrets/{number}/value")))
        .collect();
    assert_eq!(
        (status, values),
        (200, vec![&json!("in the outbox"), &json!("kept")])
    );
    assert!(server.stop()?.success());

    let storage = storage(&data)?;
    assert!(storage.scan(OutboxKey::all(), None, 99).await?.is_empty());
    let newest = head(&storage).await?;
    let found = Superblock::find(&storage).await?.context("a superblock")?;
    let instance = found.instance();
    assert_eq!(found.migrate(&storage).await?, Superblock::new(instance));
    assert_eq!(head(&storage).await?, newest, "there was nothing to do any more");
    let seat = fs::read_to_string(data.join("node"))?;
    assert_eq!(seat, format!("{instance}/1\n"));
    drop(storage);

    let leaves = ledger::leaves(&data.join("ledger"))?;
    let saves = leaves
        .iter()
        .filter(|leaf| ledger::text(leaf, "op") == "secret.save");
    assert_eq!(saves.count(), 3, "each save once");
    for command in ["scrub", "check"] {
        let mut operator = home.command("strongroom")?;
        operator.args(["operator", command, "--data"]).arg(&data);
        operator.env("STRONGROOM_SEAL_KEY", "5".repeat(64));
        let ended = run(operator, "")?;
        assert_eq!(ended.code, 0, "{} {}", ended.out, ended.err);
    }
    let mut verify = home.command("strongroom")?;
    verify.args(["audit", "verify"]).arg(data.join("ledger"));
    verify.arg("--key").arg(data.join("ledger.vkey"));
    let verified = run(verify, "")?;
    assert_eq!(verified.code, 0, "{}", verified.err);
    Ok(())
}
