//! The real server on a real disk that is full: a small tmpfs, which needs root to be mounted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use serde_json::{Value, json};
use strongroom_e2e::{Caller, World, run};
use strongroom_testkit::Home;

const MIB: u64 = 1 << 20;
/// Room for a new instance, and little more.
const SMALL: &str = "size=112m";
const WRITERS: usize = 8;
/// A value that takes a row of its own.
const VALUE_BYTES: usize = 100_000;

/// A tmpfs at a directory, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Result<Self> {
        fs::create_dir_all(&at)?;
        let disk = Self(at);
        disk.mount_with(&format!("{SMALL},mode=0700"))?;
        Ok(disk)
    }

    fn grow(&self) -> Result<()> {
        self.mount_with("remount,size=200m")
    }

    fn mount_with(&self, options: &str) -> Result<()> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&self.0)
            .output()?;
        let said = String::from_utf8_lossy(&mounted.stderr);
        ensure!(
            mounted.status.success(),
            "a tmpfs cannot be mounted at `{}`, and this test needs one (it runs as root): {said}",
            self.0.display()
        );
        Ok(())
    }

    fn free(&self) -> u64 {
        let disk = statvfs(&self.0).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Takes all but `left` bytes with a file of somebody else, and leaves a little more while others write. (The data
    /// directory lies below the disk's root, so that the server does not mind.)
    fn take_all_but(&self, left: u64) -> Result<PathBuf> {
        let path = self.0.join(format!("all-but-{left}"));
        let file = File::create(&path)?;
        // Not more than is free now: what the server gives back while this goes on is the server's.
        let most = self.free() - left;
        for more in 0..16 {
            let taken = fallocate(&file, FallocateFlags::empty(), 0, most - more * MIB);
            match taken {
                Err(rustix::io::Errno::NOSPC) => {}
                taken => return Ok(taken.map(|()| path)?),
            }
        }
        anyhow::bail!("others write faster than the disk can be filled")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// What a writer was told.
#[derive(Default)]
struct Told {
    /// The names whose writes were acknowledged, with what their values begin with.
    acknowledged: BTreeMap<String, String>,
    /// Why the next was refused.
    refusal: String,
}

/// Writes one name after the other until it is refused because the disk is full.
async fn write_until_full(admin: &Caller, writer: usize) -> Result<Told> {
    let mut told = Told::default();
    for number in 0.. {
        let (name, mark) = (format!("{writer}/{number}"), format!("{writer}-{number}-"));
        let value = mark.clone() + &".".repeat(VALUE_BYTES);
        let reply = admin.save_value(&name, &value).await?;
        match reply.status {
            200 => drop(told.acknowledged.insert(name, mark)),
            503 => {
                told.refusal = reply.text;
                // Storage that has just failed is opened again before the reserve is freed.
                if told.refusal.contains("nearly full") {
                    return Ok(told);
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            status => anyhow::bail!("{status} {}", reply.text),
        }
    }
    unreachable!("names do not end");
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..600 {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("after 30 s there is still not: {what}")
}

async fn value_of(admin: &Caller, name: &str) -> Result<(u16, Option<String>)> {
    let reply = admin.list(json!({"ids": [name]})).await?;
    let value = reply
        .json()
        .pointer("/secrets/0/value")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Ok((reply.status, value))
}

async fn all_are_there(admin: &Caller, acknowledged: &BTreeMap<String, String>) -> Result<()> {
    for (name, mark) in acknowledged {
        let (status, value) = value_of(admin, name).await?;
        ensure!(
            status == 200 && value.as_ref().is_some_and(|value| value.starts_with(mark)),
            "`{name}` was acknowledged, and reading it gives {status} and {:?}",
            value.map(|value| value.get(..20).map(str::to_owned))
        );
    }
    Ok(())
}

fn verifies(home: &Home, data: &Path) -> Result<()> {
    let mut verify = home.command("strongroom")?;
    verify.args(["audit", "verify"]).arg(data.join("ledger"));
    verify.arg("--key").arg(data.join("ledger.vkey"));
    let mut check = home.command("strongroom")?;
    check.args(["operator", "check", "--data"]).arg(data);
    let mut scrub = home.command("strongroom")?;
    scrub.args(["operator", "scrub", "--data"]).arg(data);
    for command in [verify, check, scrub] {
        let ended = run(command, "")?;
        ensure!(ended.code == 0, "{ended:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_keeps_what_was_acknowledged_and_recovers() -> Result<()> {
    let home = Home::new()?;
    let disk = Disk::mount(home.path().join("disk"))?;
    let data = disk.0.join("data");
    let start = || {
        let mut up = home.command("strongroom")?;
        up.arg("up").arg("--data").arg(&data);
        up.arg("--credentials-out")
            .arg(home.credentials())
            .args(["--listen", "127.0.0.1:0"]);
        strongroom_testkit::Server::start(up)
    };
    let server = start()?;
    let world = World::of(home, server);
    let reserve = data.join("reserve");
    assert_eq!(fs::metadata(&reserve)?.len(), 64 * MIB);
    let admin = world.admin().await?;

    // The writers fill it.
    let others = disk.take_all_but(20 * MIB)?;
    let told = try_join_all((0..WRITERS).map(|writer| write_until_full(&admin, writer))).await?;
    assert!(
        told.iter()
            .all(|told| told.refusal.contains("its operator must make room"))
    );
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    told.into_iter()
        .for_each(|mut told| acknowledged.append(&mut told.acknowledged));
    assert!(acknowledged.len() >= WRITERS, "{}", acknowledged.len());
    assert!(!reserve.exists(), "the reserve is freed");
    all_are_there(&admin, &acknowledged).await?;
    let gone = acknowledged.pop_first().context("a name")?.0;
    assert_eq!(admin.remove(&[&gone]).await?.status, 200, "a removal goes on");
    assert_eq!(value_of(&admin, &gone).await?.1, None);
    assert_eq!(admin.save_value("small", "v").await?.status, 503);
    assert!(
        world.server.log().contains("the disk is nearly full"),
        "{}",
        world.server.log()
    );

    // Others take the rest: nothing is answered, until they give it back.
    let rest = disk.take_all_but(4 * MIB)?;
    let name = acknowledged.first_key_value().context("a name")?.0.clone();
    let status = async || anyhow::Ok(value_of(&admin, &name).await?.0);
    eventually("it fails closed", async || Ok(status().await? == 503)).await?;
    fs::remove_file(rest)?;
    eventually("reads go on", async || Ok(status().await? == 200)).await?;
    all_are_there(&admin, &acknowledged).await?;

    // There is room again.
    fs::remove_file(others)?;
    disk.grow()?;
    eventually("writes go on", async || {
        Ok(admin.save_value("after", "v").await?.status == 200)
    })
    .await?;
    assert_eq!(fs::metadata(&reserve)?.len(), 64 * MIB, "and the reserve is back");

    // From one moment to the next there is no room at all, in the middle of writes.
    let taking = tokio::task::spawn_blocking(move || disk.take_all_but(0).map(|all| (disk, all)));
    let told = try_join_all((0..WRITERS).map(|writer| write_until_full(&admin, writer + WRITERS))).await?;
    let (disk, all) = taking.await??;
    told.into_iter()
        .for_each(|mut told| acknowledged.append(&mut told.acknowledged));
    // Storage that ran out of room in the middle of a commit is opened again first.
    eventually("reads go on", async || Ok(status().await? == 200)).await?;
    all_are_there(&admin, &acknowledged).await?;
    fs::remove_file(all)?;
    eventually("writes go on", async || {
        Ok(admin.save_value("after", "w").await?.status == 200)
    })
    .await?;
    all_are_there(&admin, &acknowledged).await?;

    let (home, server) = (world.home, world.server);
    assert!(server.stop()?.success());
    verifies(&home, &data)?;
    drop(disk);
    Ok(())
}
