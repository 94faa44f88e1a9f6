//! Backups: what a start makes of a data directory of which parts are older than others, and what follows when the operator
//! accepts it.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use strongroom_e2e::{World, ledger, refusal, run};
use strongroom_ledger::{Reader, verifier_key};
use strongroom_testkit::Home;

const REASON: &str = "disk failed on Monday";

fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Puts `part` of the data directory back as it is in `backup`.
fn restore(home: &Home, backup: &Path, part: &str) -> Result<()> {
    let here = home.data().join(part);
    if here.is_dir() {
        fs::remove_dir_all(&here)?;
    }
    copy(&backup.join(part), &here)
}

/// An instance, stopped, whose secret `A` was once `old` and is `new`: copies of its data directory of then and of now.
struct Restored {
    home: Home,
    then: PathBuf,
    now: PathBuf,
}

impl Restored {
    async fn new() -> Result<Self> {
        let mut world = World::new(&[])?;
        let admin = world.admin().await?;
        admin.save_value("A", "old").await?;
        admin.list(json!({})).await?;
        world.server.terminate()?;
        assert!(world.server.wait()?.success());
        let (then, now) = (world.home.path().join("then"), world.home.path().join("now"));
        copy(&world.home.data(), &then)?;
        world.server = world.home.start(&[])?;
        let admin = world.admin().await?;
        admin.save_value("A", "new").await?;
        admin.list(json!({})).await?;
        let home = world.home;
        assert!(world.server.stop()?.success());
        copy(&home.data(), &now)?;
        Ok(Self { home, then, now })
    }

    /// Everything is as it is now.
    fn reset(&self) -> Result<()> {
        fs::remove_dir_all(self.home.data())?;
        copy(&self.now, &self.home.data())
    }

    /// The start is refused with a text that says `says`, and what to do.
    fn refuses(&self, says: &str) -> Result<()> {
        let said = refusal(self.home.up(&[])?)?;
        assert!(
            said.contains(says) && said.contains("--accept-restored REASON"),
            "{said}"
        );
        Ok(())
    }

    /// With a reason it starts, and has `value`. The log so far, of `leaves` leaves, is kept as generation `old`, and
    /// another one follows it, also through later starts.
    async fn accepts(&self, value: &str, old: u32, leaves: Option<u64>) -> Result<()> {
        for flags in [&["--accept-restored", REASON][..], &[]] {
            let server = self.home.start(flags)?;
            let token = server.login("admin", &self.home.password()?).await?;
            let (status, reply) = server
                .call("POST", "/secret-svc/secrets", &token, &json!({}))
                .await?;
            assert_eq!(
                (status, reply.pointer("/secrets/0/value")),
                (200, Some(&json!(value))),
                "{reply}"
            );
            assert!(server.stop()?.success());
        }
        let data = self.home.data();
        let key = verifier_key(&data)?;
        assert!(key.name().ends_with(&format!("/1/{}", old + 1)), "{}", key.name());
        self.verifies(&data)?;
        let first = ledger::leaves(&data.join("ledger"))?
            .into_iter()
            .next()
            .context("a first leaf")?;
        assert_eq!(ledger::text(&first, "op"), "ledger.restored");
        assert_eq!(
            first
                .pointer("/c/paths")
                .and_then(|paths| paths.as_array())
                .map_or(0, Vec::len),
            usize::from(leaves.is_some())
        );
        self.shows_why(ledger::text(&first, "id")).await?;
        if let Some(leaves) = leaves {
            let aside = data.join(format!("generations/{old}"));
            self.verifies(&aside)?;
            let reader = Reader::new(&aside.join("ledger"), verifier_key(&aside)?);
            assert_eq!(reader.checkpoint()?.0.size, leaves);
        }
        Ok(())
    }

    fn verifies(&self, dir: &Path) -> Result<()> {
        let mut verify = self.home.command("strongroom")?;
        verify.args(["audit", "verify"]).arg(dir.join("ledger"));
        verify.arg("--key").arg(dir.join("ledger.vkey"));
        let verified = run(verify, "")?;
        assert_eq!(verified.code, 0, "{}", verified.err);
        Ok(())
    }

    /// An admin can read the reason.
    async fn shows_why(&self, id: &str) -> Result<()> {
        let server = self.home.start(&[])?;
        let mut show = self.home.command("strongroom")?;
        show.args(["audit", "show", id])
            .env("STRONGROOM_ADDR", server.url())
            .env(
                "STRONGROOM_TOKEN",
                server.login("admin", &self.home.password()?).await?,
            );
        let shown = run(show, "")?;
        assert!(shown.code == 0 && shown.out.contains(REASON), "{shown:?}");
        assert!(server.stop()?.success());
        fs::remove_dir_all(self.home.path().join(".local/state/strongroom/checkpoints"))?;
        Ok(())
    }

    fn leaves(&self, data: &Path) -> Result<u64> {
        Ok(Reader::new(&data.join("ledger"), verifier_key(data)?)
            .checkpoint()?
            .0
            .size)
    }
}

#[tokio::test]
async fn a_ledger_that_is_older_than_storage() -> Result<()> {
    let world = Restored::new().await?;
    restore(&world.home, &world.then, "ledger")?;
    world.refuses("the ledger is older than storage, or was cut")?;
    world.accepts("new", 1, Some(world.leaves(&world.then)?)).await?;

    // The same once more: the old generation comes back over the new one, and is no longer the one of storage.
    restore(&world.home, &world.then, "ledger")?;
    restore(&world.home, &world.then, "ledger.vkey")?;
    world.refuses("another instance, node or generation")?;
    let server = world.home.start(&["--accept-restored", REASON])?;
    assert!(server.stop()?.success());
    assert!(verifier_key(&world.home.data())?.name().ends_with("/1/3"));
    assert!(world.home.data().join("generations/1.2/ledger.vkey").exists());
    Ok(())
}

#[tokio::test]
async fn a_storage_that_is_older_than_the_ledger() -> Result<()> {
    let world = Restored::new().await?;
    restore(&world.home, &world.then, "strongroom.redb")?;
    world.refuses("storage is older than the ledger")?;
    world.accepts("old", 1, Some(world.leaves(&world.now)?)).await
}

#[tokio::test]
async fn a_backup_of_everything() -> Result<()> {
    let world = Restored::new().await?;
    for part in ["strongroom.redb", "ledger", "journal"] {
        restore(&world.home, &world.then, part)?;
    }
    // Nothing here remembers more; a witness, or a client that remembers the size, does.
    let server = world.home.start(&[])?;
    assert!(server.stop()?.success());
    for part in ["strongroom.redb", "ledger", "journal"] {
        restore(&world.home, &world.then, part)?;
    }
    world.accepts("old", 1, Some(world.leaves(&world.then)?)).await
}

#[tokio::test]
async fn a_ledger_of_another_history_and_none() -> Result<()> {
    let world = Restored::new().await?;
    fs::remove_dir_all(world.home.data())?;
    copy(&world.then, &world.home.data())?;
    let server = world.home.start(&[])?;
    let token = server.login("admin", &world.home.password()?).await?;
    for _ in 0..20 {
        server
            .call("POST", "/secret-svc/secrets", &token, &json!({}))
            .await?;
    }
    assert!(server.stop()?.success());
    restore(&world.home, &world.now, "strongroom.redb")?;
    world.refuses("it was rewritten, or is of another history")?;
    let leaves = world.leaves(&world.home.data())?;
    world.accepts("new", 1, Some(leaves)).await?;

    world.reset()?;
    fs::remove_dir_all(world.home.data().join("ledger"))?;
    world.refuses("the ledger is older than storage, or was cut")?;
    fs::remove_dir_all(world.home.data().join("ledger"))?;
    world.accepts("new", 1, None).await
}
