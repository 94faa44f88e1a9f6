//! The audit ledger of a server that was used: one leaf a request, and no byte that can be changed unseen.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use strongroom_e2e::{Ended, PASSWORD, Reply, World, files_below, ledger, run, surface};
use strongroom_ledger::Reader;
use strongroom_testkit::Home;

/// `strongroom audit verify` on a copy of a ledger.
fn verify(home: &Home, ledger: &Path, key: &Path) -> Result<Ended> {
    let mut verify = home.command("strongroom")?;
    verify.args(["audit", "verify"]).arg(ledger).arg("--key").arg(key);
    run(verify, "")
}

/// Uses every route, well and badly. No caller is refused so often in a second that it is only counted.
async fn walk(world: &World) -> Result<()> {
    let (admin, alice) = (world.admin().await?, world.user("alice").await?);
    for row in surface::routes() {
        for body in ["{}", "", "[", r#"{"a":1,"a":2}"#] {
            world.stranger()?.send(&row.call, body).await?;
            world.stranger()?.with("foreign").send(&row.call, body).await?;
            // From an address of its own: what is asked of a house is not asked by anyone in particular.
            world
                .stranger()?
                .with(alice.token())
                .send(&row.call, body)
                .await?;
            for token in ["made-up", admin.token()] {
                world
                    .stranger()?
                    .send(&format!("{}?token={token}", row.call), body)
                    .await?;
            }
        }
    }
    for call in [
        "GET /",
        "GET /nothing/here",
        "PATCH /secret-svc/secrets",
        "LIST /user-svc/self",
        "POST /user-svc/self/",
    ] {
        world.stranger()?.send(call, "{}").await?;
        admin.send(call, "{}").await?;
    }
    for number in 0..3 {
        alice.save_value(&format!("alice/{number}"), "v").await?;
        alice
            .save(json!([{"id": "alice/0", "value": "v"}, {"id": "bob/0", "value": "v"}]))
            .await?;
        alice.save_value("alice/..", "v").await?;
        alice.save_value("alice/big", &"v".repeat((1 << 20) + 1)).await?;
    }
    alice
        .send("PUT /secret-svc/secrets", " ".repeat((8 << 20) + 1))
        .await?;
    alice.list(json!({"id": "alice/1"})).await?;
    alice.remove(&["alice/0", "bob/0"]).await?;
    alice.remove(&["alice/0"]).await?;
    alice.remove(&["alice/0"]).await?;
    world.stranger()?.register("alice", PASSWORD).await?;
    world.stranger()?.register("bob", "short").await?;
    for _ in 0..11 {
        world.stranger()?.log_in("bob", "a wrong password").await?;
    }
    // More paths than one leaf takes.
    let many: Vec<Value> = (0..500)
        .map(|number| json!({"id": format!("alice/many/{number}")}))
        .collect();
    alice.save(json!(many)).await?;
    alice.list(json!({})).await?;
    admin.ask("POST /user-svc/refresh-token", &json!({})).await?;
    Ok(())
}

/// The outcome that the ledger has for a reply.
fn outcome(reply: &Reply) -> &'static str {
    match reply.status {
        200 => "ok",
        400 if reply.text.contains("must not be sent in the URL") => "unauthenticated",
        400 | 413 => "invalid",
        401 | 422 => "unauthenticated",
        403 => "denied",
        404 => "not_found",
        409 => "conflict",
        429 => "rate_limited",
        _ => "none",
    }
}

#[tokio::test]
async fn every_request_has_its_leaf_once() -> Result<()> {
    let mut world = World::new(&[])?;
    walk(&world).await?;
    world.restart(&["--open-registration"])?;
    let admin = world.admin().await?;
    admin.save_value("AFTER", "v").await?;
    let replies = world.replies();
    let (home, server) = (world.home, world.server);
    assert!(server.stop()?.success());
    let (dir, key) = (home.data().join("ledger"), home.data().join("ledger.vkey"));

    let leaves = ledger::leaves(&dir)?;
    let mut requests: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for leaf in &leaves {
        requests.entry(ledger::text(leaf, "id")).or_default().push(leaf);
    }
    let verified = verify(&home, &dir, &key)?;
    assert_eq!((verified.code, verified.err.as_str()), (0, ""));
    for line in [
        "The ledger is intact.".to_owned(),
        format!("leaves     {}", leaves.len()),
        format!("requests   {}", requests.len()),
    ] {
        assert!(
            verified.out.lines().any(|said| said == line),
            "{line} is not said:\n{}",
            verified.out
        );
    }

    let is_operations = |reply: &Reply| {
        ["/healthz", "/readyz", "/metrics"]
            .iter()
            .any(|path| reply.call.contains(path))
    };
    for reply in replies.iter().filter(|reply| !is_operations(reply)) {
        let case = format!(
            "{} {} {}",
            reply.call,
            reply.status,
            reply.text.get(..100).unwrap_or(&reply.text)
        );
        let id = reply.id().with_context(|| format!("no id: {case}"))?;
        let of_request = requests
            .remove(id)
            .with_context(|| format!("no leaf, or the id twice: {case}"))?;
        for (leaf, part) in of_request.iter().zip(1..) {
            assert_eq!(ledger::text(leaf, "outcome"), outcome(reply), "{case}");
            assert_eq!(
                (&leaf["part"], &leaf["parts"]),
                (&json!(part), &json!(of_request.len())),
                "{case}"
            );
        }
        let shows_token = reply.call.contains("?token=ey");
        assert!(
            !shows_token || of_request[0]["principal"].is_string(),
            "it is on record whose token to revoke: {case}"
        );
        let is_save = reply.call == "PUT /secret-svc/secrets" && reply.status == 200;
        let op = ledger::text(of_request[0], "op");
        assert!(!is_save || op == "secret.save", "{case}: {op}");
    }
    let is_big = |reply: &&Reply| {
        reply.json()["secrets"]
            .as_array()
            .is_some_and(|secrets| secrets.len() >= 500)
    };
    assert!(
        replies.iter().any(|reply| is_big(&reply)),
        "the walk has a request of many leaves"
    );

    // What is left are the program's own: no request of anyone is in it twice, or was answered without its id.
    let own: Vec<&str> = requests
        .values()
        .map(|leaves| ledger::text(leaves[0], "op"))
        .collect();
    let known = [
        "instance.create",
        "token_key.create",
        "mount.create",
        "session.renew",
        "strangers.counted",
        "lease.expire",
        "login", // of the first start, for the root token
    ];
    let stray: Vec<_> = own.iter().filter(|op| !known.contains(op)).collect();
    assert!(stray.is_empty(), "{stray:?}");
    for once in ["instance.create", "login"] {
        assert_eq!(own.iter().filter(|op| **op == once).count(), 1, "{once}");
    }
    Ok(())
}

#[tokio::test]
async fn a_flood_of_strangers_is_counted_and_not_written_down() -> Result<()> {
    const FLOOD: u64 = 300;
    let world = World::new(&[])?;
    let stranger = world.stranger()?;
    for _ in 0..FLOOD {
        assert_eq!(stranger.list(json!({})).await?.status, 422);
    }
    let replies = world.replies().len() as u64;
    let home = world.home;
    assert!(world.server.stop()?.success());
    let leaves = ledger::leaves(&home.data().join("ledger"))?;
    let with = |op: &str, outcome: &str| {
        let leaves = leaves
            .iter()
            .filter(|leaf| ledger::text(leaf, "op") == op && ledger::text(leaf, "outcome") == outcome);
        leaves.cloned().collect::<Vec<_>>()
    };
    let own = with("secret.list", "unauthenticated").len() as u64;
    let counted: u64 = leaves
        .iter()
        .filter(|leaf| ledger::text(leaf, "op") == "strangers.counted")
        .filter_map(|leaf| leaf["n"].as_u64())
        .sum();
    assert_eq!(own + counted, replies, "each is in a leaf or in a count");
    assert!((5..FLOOD / 2).contains(&own), "{own} have leaves of their own");
    Ok(())
}

#[tokio::test]
async fn a_changed_byte_is_found_in_whatever_file_it_is() -> Result<()> {
    let world = World::new(&[])?;
    let admin = world.admin().await?;
    for number in 0..300 {
        admin.list(json!({ "id": number.to_string() })).await?;
    }
    let home = world.home;
    assert!(world.server.stop()?.success());
    let (dir, key) = (home.data().join("ledger"), home.data().join("ledger.vkey"));
    assert_eq!(verify(&home, &dir, &key)?.code, 0);

    let files = files_below(&dir)?;
    assert!(
        files.len() > 5,
        "whole and partial tiles of two levels: {files:?}"
    );
    for file in &files {
        let whole = fs::read(file)?;
        let name = file.strip_prefix(&dir)?.display().to_string();
        let entries = name.starts_with("tile/entries");
        for at in [0, whole.len() / 2, whole.len() - 1] {
            for flip in [1, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                fs::write(file, changed)?;
                let ended = verify(&home, &dir, &key)?;
                assert_eq!((ended.code, ended.out.as_str()), (1, ""), "byte {at} of {name}");
                // An entry that still reads as one is found by the hash of it.
                let named =
                    ended.err.contains(&format!("`{name}`")) || entries && ended.err.contains("`tile/0/");
                assert!(named, "byte {at} of {name}: {}", ended.err);
            }
        }
        for changed in [&whole[..whole.len() - 1], &[&whole[..], b"x"].concat(), b""] {
            fs::write(file, changed)?;
            let ended = verify(&home, &dir, &key)?;
            assert!(
                ended.code == 1 && ended.err.contains("ledger file `"),
                "{name}: {}",
                ended.err
            );
        }
        fs::remove_file(file)?;
        let ended = verify(&home, &dir, &key)?;
        assert!(
            ended.code == 1 && ended.err.contains(&format!("`{name}` is missing")),
            "{name}: {}",
            ended.err
        );
        fs::write(file, whole)?;
    }
    fs::write(dir.join("tile/note.txt"), "x")?;
    assert!(
        verify(&home, &dir, &key)?
            .err
            .contains("`tile/note.txt` is unknown")
    );
    fs::remove_file(dir.join("tile/note.txt"))?;

    let other = World::new(&[])?.home;
    let ended = verify(&home, &dir, &other.data().join("ledger.vkey"))?;
    assert!(
        ended.code == 1 && ended.err.contains("`checkpoint`"),
        "{}",
        ended.err
    );
    assert_eq!(verify(&home, &dir, &key)?.code, 0);

    // The server looks at its ledger, too.
    let checkpoint = fs::read(dir.join("checkpoint"))?;
    fs::write(dir.join("checkpoint"), "")?;
    let said = strongroom_e2e::refusal(home.up(&[])?)?;
    assert!(said.contains("checkpoint"), "{said}");
    fs::write(dir.join("checkpoint"), checkpoint)?;
    assert!(home.start(&[])?.stop()?.success());
    Ok(())
}

#[tokio::test]
async fn a_ledger_shows_elsewhere_that_it_only_grew_and_what_it_holds() -> Result<()> {
    let world = World::new(&[])?;
    world.admin().await?.list(json!({})).await?;
    let home = world.home;
    assert!(world.server.stop()?.success());
    let (dir, vkey) = (home.data().join("ledger"), home.data().join("ledger.vkey"));
    let (older, proof_file, leaf_file) = (
        home.path().join("older"),
        home.path().join("entry.tlog-proof"),
        home.path().join("leaf"),
    );
    fs::copy(dir.join("checkpoint"), &older)?;
    assert!(home.start(&[])?.stop()?.success());

    let command = |args: &[&str], files: &[&Path]| -> Result<Ended> {
        let mut command = home.command("strongroom")?;
        command
            .arg("audit")
            .args(args)
            .args(files)
            .arg("--key")
            .arg(&vkey);
        run(command, "")
    };
    let ended = command(&["verify", "--since"], &[&older, &dir])?;
    assert!(ended.code == 0 && ended.out.contains("continues  "), "{ended:?}");
    let another = World::new(&[])?;
    let other = another.home.data().join("ledger/checkpoint");
    let ended = command(&["verify", "--since"], &[&other, &dir])?;
    assert!(
        ended.code == 1 && ended.err.contains("the older checkpoint"),
        "{ended:?}"
    );

    let reader = Reader::new(&dir, strongroom_ledger::verifier_key(&home.data())?);
    let proof = reader.prove(0)?;
    let leaf = proof.extra.clone().context("no entry in the proof")?;
    fs::write(&proof_file, proof.to_string())?;
    fs::write(&leaf_file, [&leaf[..], b"\n"].concat())?;
    for args in [&["verify-proof"][..], &["verify-proof", "--leaf"]] {
        let files = [&*leaf_file, &*proof_file];
        let ended = command(args, if args.len() == 1 { &files[1..] } else { &files })?;
        assert!(
            ended.code == 0 && ended.out.contains("instance.create"),
            "{ended:?}"
        );
    }
    fs::write(&leaf_file, &leaf[1..])?;
    let ended = command(&["verify-proof", "--leaf"], &[&leaf_file, &proof_file])?;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "another entry");
    let disclosed = home.path().join("disclosed");
    fs::write(
        &disclosed,
        json!({"format": "strongroom/disclosure@v1", "field": "source", "index": 0, "value": "x",
               "salt": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="})
        .to_string(),
    )?;
    let ended = command(&["verify-proof", "--disclosed"], &[&disclosed, &proof_file])?;
    assert!(
        ended.code == 1 && ended.err.contains("does not say this"),
        "{ended:?}"
    );
    Ok(())
}
