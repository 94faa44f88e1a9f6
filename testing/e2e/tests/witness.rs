//! `strongroom witness serve` from outside: each status of c2sp.org/tlog-witness, and what it remembers.

#![cfg(test)]

use std::process::Command;

use anyhow::Result;
use serde_json::json;
use strongroom_e2e::{Witness, World, run};
use strongroom_ledger::{Reader, verifier_key};
use strongroom_tlog::{AddCheckpoint, Note};

fn ask(reader: &Reader, old: u64) -> Result<String> {
    let (proof, checkpoint) = reader.prove_growth(old)?;
    Ok(AddCheckpoint {
        old,
        proof,
        checkpoint,
    }
    .to_string())
}

/// By the program of the system, which shares no code with ours.
fn sha256sum(text: &str) -> Result<String> {
    let ended = run(Command::new("sha256sum"), text)?;
    Ok(ended.out.split(' ').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_witness_cosigns_a_ledger_that_grows_and_remembers_it_when_killed() -> Result<()> {
    let world = World::new(&[])?;
    world.admin().await?.list(json!({})).await?;
    let home = world.home;
    assert!(world.server.stop()?.success());
    let key = verifier_key(&home.data())?;
    let reader = Reader::new(&home.data().join("ledger"), key.clone());
    let dir = home.path().join("witness");
    let first = Witness::start(&home, &dir, &[&key])?;
    let (old, note) = reader.checkpoint()?;

    let good = ask(&reader, 0)?;
    let (status, line) = first.add(good.clone()).await?;
    assert_eq!(status, 200, "{line}");
    let mut cosigned = note.clone();
    cosigned.add(line.trim_end().parse()?)?;
    assert!(first.key.verify(&cosigned)? > 1_700_000_000);

    let expect = |body: String, expected: (u16, &str)| {
        let (witness, expected) = (&first, (expected.0, expected.1.to_owned()));
        async move {
            let (status, said) = witness.add(body.clone()).await?;
            assert!(
                status == expected.0 && said.contains(&expected.1),
                "{status} {said}: {body}"
            );
            anyhow::Ok(())
        }
    };
    expect(String::new(), (400, "")).await?;
    expect(good.replacen("old 0", "old 999999", 1), (400, "")).await?;
    expect(good.replace(key.name(), "another/1/1"), (404, "")).await?;
    expect(good.replacen(&format!("\n{}\n", old.size), "\n9\n", 1), (403, "")).await?;
    expect(good.clone(), (409, &format!("{}\n", old.size))).await?;
    let padded = format!("old {}\n{}\n\n{note}", old.size, "A".repeat(43) + "=");
    expect(padded, (422, "")).await?;
    let other = run(
        {
            let mut second = home.command("strongroom")?;
            second.args([
                "witness",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log",
                &key.to_string(),
                "--data",
            ]);
            second.arg(&dir);
            second
        },
        "",
    )?;
    assert!(
        other.code == 1 && other.err.contains("another witness is running"),
        "{other:?}"
    );

    let vkey = first.key.clone();
    drop(first);
    assert!(home.start(&[])?.stop()?.success());
    let again = Witness::start(&home, &dir, &[&key])?;
    assert_eq!(again.key, vkey);
    assert_eq!(again.add(ask(&reader, 0)?).await?.0, 409);
    assert_eq!(again.add(ask(&reader, old.size)?).await?.0, 200);
    let hash = sha256sum(key.name())?;
    let read = reqwest::Client::builder().no_proxy().build()?;
    let reply = read
        .get(format!("{}/{hash}/checkpoint", again.url))
        .send()
        .await?;
    let newest = Note::parse(reply.text().await?.as_bytes())?;
    assert_eq!(newest.verify(&key)?, reader.checkpoint()?.0.to_string());
    assert!(vkey.verify(&newest).is_ok());
    let unknown = read.get(format!("{}/00/checkpoint", again.url)).send().await?;
    assert_eq!(unknown.status().as_u16(), 404);
    Ok(())
}
