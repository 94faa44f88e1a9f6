//! The witness client: what installations get of their witnesses, and that no witness can do them harm.

#![cfg(test)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use strongroom_e2e::{Ended, Witness, World, eventually, run};
use strongroom_ledger::{Reader, verifier_key};
use strongroom_secret::Key;
use strongroom_testkit::Home;
use strongroom_tlog::{Checkpoint, Cosigner, CosignerKey};

/// Writes a configuration file of `home` with these witnesses; gives the flag's value.
fn config(home: &Home, witnesses: &[(&str, &CosignerKey)]) -> Result<String> {
    let path = home.path().join("strongroom.toml");
    let table = |(url, vkey): &(&str, _)| format!("[[witness]]\nurl = \"{url}\"\nvkey = \"{vkey}\"\n");
    fs::write(&path, witnesses.iter().map(table).collect::<String>())?;
    Ok(path.to_string_lossy().into_owned())
}

fn ledger(home: &Home) -> PathBuf {
    home.data().join("ledger")
}

fn reader(home: &Home) -> Result<Reader> {
    Ok(Reader::new(&ledger(home), verifier_key(&home.data())?))
}

/// Waits until `witness` has cosigned at least `size` leaves.
fn cosigned(home: &Home, witness: &CosignerKey, size: u64) -> Result<Checkpoint> {
    let reader = reader(home)?;
    eventually("a cosignature", || {
        let kept = reader.cosigned()?;
        Ok(kept
            .filter(|(checkpoint, note)| checkpoint.size >= size && witness.verify(note).is_ok())
            .map(|(checkpoint, _)| checkpoint))
    })
}

fn verify(home: &Home, flags: &[&str]) -> Result<Ended> {
    let mut verify = home.command("strongroom")?;
    verify.args(["audit", "verify"]).arg(ledger(home));
    verify
        .arg("--key")
        .arg(home.data().join("ledger.vkey"))
        .args(flags);
    run(verify, "")
}

#[tokio::test]
async fn two_installations_witness_each_other() -> Result<()> {
    let mut here = World::new(&[])?;
    let mut there = World::new(&[])?;
    let keys = (
        verifier_key(&here.home.data())?,
        verifier_key(&there.home.data())?,
    );
    let of_here = Witness::start(&there.home, &there.home.path().join("witness"), &[&keys.0])?;
    let of_there = Witness::start(&here.home, &here.home.path().join("witness"), &[&keys.1])?;
    let file = config(&here.home, &[(&of_here.url, &of_here.key)])?;
    here.restart(&["--config", &file])?;
    let file = config(&there.home, &[(&of_there.url, &of_there.key)])?;
    there.restart(&["--config", &file])?;
    for (world, witness) in [(&here, &of_here), (&there, &of_there)] {
        let first = cosigned(&world.home, &witness.key, 1)?;
        world.admin().await?.save_value("A", "one").await?;
        cosigned(&world.home, &witness.key, first.size + 1)?;
        let metrics = world.stranger()?.send("GET /metrics", "").await?.text;
        assert!(
            metrics.contains("strongroom_follower_lag_leaves{kind=\"witness\",name=\""),
            "{metrics}"
        );
    }
    let home = here.home;
    assert!(here.server.stop()?.success());

    // What the verifier makes of it.
    let vkey = of_here.key.to_string();
    let verified = verify(&home, &["--witness", &vkey])?;
    assert!(
        verified.code == 0
            && verified
                .out
                .contains(&format!("leaves, by {}", of_here.key.name())),
        "{verified:?}"
    );
    let stranger = of_there.key.to_string();
    let both = ["--witness", &vkey, "--witness", &stranger];
    let missing = verify(&home, &both)?;
    assert!(
        missing.code == 1
            && missing
                .err
                .contains("1 of the 2 witnesses that are needed have cosigned; not: ")
            && missing.err.contains(of_there.key.name()),
        "{missing:?}"
    );
    assert_eq!(
        verify(&home, &[&both[..], &["--witness-quorum", "1"]].concat())?.code,
        0
    );
    let twice = ["--witness", &vkey, "--witness", &vkey, "--witness-quorum", "2"];
    assert_eq!(verify(&home, &twice)?.code, 1, "one witness is not two");
    assert_eq!(verify(&home, &["--witness-quorum", "1"])?.code, 2);
    Ok(())
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Storage, journal and ledger fit together after this; only who remembers more can tell.
#[tokio::test]
async fn a_ledger_that_was_rolled_back_with_everything_else_is_seen_by_its_witness_and_not_cosigned()
-> Result<()> {
    let mut world = World::new(&[])?;
    let key = verifier_key(&world.home.data())?;
    let witness = Witness::start(&world.home, &world.home.path().join("witness"), &[&key])?;
    let file = config(&world.home, &[(&witness.url, &witness.key)])?;
    let flags = ["--config", file.as_str()];
    world.restart(&flags)?;
    let admin = world.admin().await?;
    cosigned(&world.home, &witness.key, 1)?;
    world.server.terminate()?;
    assert!(world.server.wait()?.success());
    let (data, old) = (world.home.data(), world.home.path().join("old"));
    copy_dir(&data, &old)?;

    world.server = world.home.start(&flags)?;
    let again = world.admin().await?;
    for number in 0..5 {
        again.save_value(&format!("A{number}"), "one").await?;
    }
    let size = reader(&world.home)?.checkpoint()?.0.size;
    let seen = cosigned(&world.home, &witness.key, size + 1)?;
    world.server.kill()?;
    fs::remove_dir_all(&data)?;
    copy_dir(&old, &data)?;

    world.server = world.home.start(&flags)?;
    eventually("an alarm", || {
        Ok(world
            .server
            .log()
            .contains("this ledger was rolled back")
            .then_some(()))
    })?;
    // It grows past what the witness has seen, on another branch.
    let caller = world.stranger()?.with(admin.token());
    while reader(&world.home)?.checkpoint()?.0.size <= seen.size {
        assert_eq!(caller.list(json!({})).await?.status, 200);
    }
    eventually("another alarm", || {
        Ok(world
            .server
            .log()
            .contains("this ledger was rewritten")
            .then_some(()))
    })?;
    let kept = reader(&world.home)?.cosigned()?.context("the old one is kept")?.0;
    assert!(kept.size < seen.size, "nothing of the fork was cosigned");
    Ok(())
}

/// Who listens at a port and answers every connection with `answer`, in a thread of its own.
fn impostor(answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = answer(&mut stream); // the client may hang up
        }
    });
    Ok(url)
}

fn says(status: &'static str, body: String) -> Result<String> {
    impostor(move |stream| {
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    })
}

#[tokio::test]
async fn witnesses_that_are_down_hang_or_lie_change_nothing_else() -> Result<()> {
    let mut world = World::new(&[])?;
    let key = verifier_key(&world.home.data())?;
    let honest = Witness::start(&world.home, &world.home.path().join("witness"), &[&key])?;
    let cosigner = |name: &str| Cosigner::from_seed(name, &Key::fill(|seed| seed.fill(9)));
    let wrong = Checkpoint {
        origin: key.name().to_owned(),
        size: 1,
        root: strongroom_tlog::Hash([7; 32]),
    };
    let lie = format!("{}\n", cosigner("liar")?.cosign(&wrong, 1_800_000_000)?);
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let impostors = [
        ("down", format!("http://{closed}")),
        (
            "hangs",
            impostor(|_| {
                thread::sleep(Duration::from_secs(3600));
                Ok(())
            })?,
        ),
        ("liar", says("200 OK", lie)?),
        ("babbler", says("409 Conflict", "nine\n".into())?),
        ("forgetful", says("409 Conflict", "0\n".into())?),
        ("ahead", says("409 Conflict", "4000000000\n".into())?),
        (
            "endless",
            impostor(|stream| {
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
                loop {
                    stream.write_all(&[b'x'; 4096])?;
                }
            })?,
        ),
        ("refuses", says("500 Internal Server Error", String::new())?),
    ];
    let keys: Vec<_> = impostors
        .iter()
        .map(|(name, _)| cosigner(name).map(|cosigner| cosigner.key().clone()))
        .collect::<Result<_, _>>()?;
    let mut witnesses: Vec<_> = impostors
        .iter()
        .zip(&keys)
        .map(|((_, url), key)| (url.as_str(), key))
        .collect();
    witnesses.push((&honest.url, &honest.key));
    let file = config(&world.home, &witnesses)?;
    world.restart(&["--config", &file])?;

    // The ledger is published at its pace, and the honest witness is heard, whatever the others do.
    let admin = world.admin().await?;
    let first = cosigned(&world.home, &honest.key, 1)?;
    for number in 0..10 {
        assert_eq!(admin.save_value(&format!("A{number}"), "one").await?.status, 200);
    }
    let reader = reader(&world.home)?;
    eventually("a published ledger", || {
        Ok((reader.checkpoint()?.0.size >= first.size + 10).then_some(()))
    })?;
    cosigned(&world.home, &honest.key, first.size + 10)?;
    let caller = world.stranger()?;
    let failed = |metrics: &str, name: &str| {
        let line = format!("strongroom_follower_errors_total{{kind=\"witness\",name=\"{name}\"}} ");
        let count = metrics.lines().find_map(|text| text.strip_prefix(&line));
        count.is_some_and(|count| count != "0")
    };
    let mut metrics = String::new();
    for _ in 0..300 {
        metrics = caller.send("GET /metrics", "").await?.text;
        if impostors.iter().all(|(name, _)| failed(&metrics, name)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (name, _) in &impostors {
        assert!(failed(&metrics, name), "{name}: {metrics}");
    }
    assert!(!failed(&metrics, honest.key.name()), "{metrics}");
    let (_, note) = reader.cosigned()?.context("cosigned")?;
    for key in &keys {
        assert!(key.verify(&note).is_err(), "{}", key.name());
    }
    world.server.terminate()?;
    assert!(world.server.wait()?.success(), "and it ends at once");
    let log = world.server.log();
    for (name, _) in &impostors {
        let told = log
            .lines()
            .filter(|line| line.contains("does not follow the ledger") && line.contains(name));
        assert_eq!(told.count(), 1, "{name}: {log}");
    }
    assert_eq!(
        verify(&world.home, &["--witness", &honest.key.to_string()])?.code,
        0
    );
    Ok(())
}
