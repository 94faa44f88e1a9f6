//! The native dialect and the commands that speak it: what the ledger shows to whom, and the questions to the gate.

#![cfg(test)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strongroom_e2e::{Caller, Ended, Reply, World, run};

async fn ok(caller: &Caller, path: &str, body: Value) -> Result<Value> {
    let reply = caller.native(path, &body).await?;
    ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.text);
    Ok(reply.json())
}

/// Asks until the ledger has the request, which takes up to a second.
async fn once_published(caller: &Caller, path: &str, request: &Reply) -> Result<Reply> {
    let id = request.id().context("the reply has an id")?;
    for _ in 0..100 {
        let reply = caller.native(path, &json!({ "id": id })).await?;
        if reply.status == 200 {
            return Ok(reply);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    caller.native(path, &json!({ "id": id })).await
}

fn strongroom(world: &World, caller: &Caller, args: &[&str]) -> Result<Ended> {
    let mut command = world.home.command("strongroom")?;
    command
        .args(args)
        .env("STRONGROOM_ADDR", world.server.url())
        .env("STRONGROOM_TOKEN", caller.token());
    run(command, "")
}

#[tokio::test]
async fn a_login_gives_an_opaque_token_of_the_same_sessions() -> Result<()> {
    let world = World::new(&[])?;
    world.user("alice").await?;
    let login = json!({"slug": "alice", "password": strongroom_e2e::PASSWORD});
    let token = ok(&world.stranger()?, "login", login).await?["token"]
        .as_str()
        .context("a token")?
        .to_owned();
    let random = token.strip_prefix("hvs.").context("the form of Vault's")?;
    assert!(
        random.len() == 24 && random.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{token}"
    );
    let alice = world.stranger()?.with(&token);
    let me = alice.send("GET /strongroom/v1/whoami", "").await?.json();
    assert_eq!((&me["slug"], &me["is_admin"]), (&json!("alice"), &json!(false)));
    assert_eq!(
        alice.save_value("alice/key", "v").await?.status,
        200,
        "it works in every dialect"
    );
    Ok(())
}

#[tokio::test]
async fn sealed_fields_are_for_admins_and_for_owners_of_all_they_name() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    assert_eq!(alice.save_value("alice/key", "v").await?.status, 200);
    let foreign = bob.list(json!({"id": "alice/key"})).await?;
    for (caller, sees) in [(&admin, true), (&alice, true), (&bob, false)] {
        let found = once_published(caller, "audit/request", &foreign).await?.json();
        let fields = &found["leaves"][0]["fields"];
        assert_eq!(
            fields["slug"] == "bob" && fields["paths"] == json!(["apps/unnamed/alice/key"]),
            sees,
            "{fields}"
        );
    }
    // Looking at leaves notes nothing of what they name: reading the ledger does not make it grow with its paths.
    let looked = alice.native("audit/leaves", &json!({"last": 100})).await?;
    let found = once_published(&admin, "audit/request", &looked).await?.json();
    assert_eq!(found["leaves"][0]["fields"]["paths"], json!([]));

    // A leaf that names nothing of hers is not hers to see.
    let other = admin.send("POST /user-svc/self", "").await?;
    let found = once_published(&alice, "audit/request", &other).await?.json();
    assert_eq!(found["leaves"][0].get("fields"), None);
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_explained_and_the_remedy_works() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    assert_eq!(alice.save_value("alice/key", "v").await?.status, 200);
    let refused = bob.save_value("alice/key", "mine").await?;
    assert_eq!(refused.status, 403);

    let said = once_published(&alice, "access/explain", &refused).await?.json();
    assert_eq!(
        (&said["op"], &said["outcome"]),
        (&json!("secret.save"), &json!("denied"))
    );
    assert_eq!(said["principal"]["slug"], "bob");
    let refusal = &said["refusals"][0];
    assert_eq!(refusal["reason"], "not in writers");
    assert_eq!(refusal["remedy"], "add `bob` to `writers`");
    assert_eq!(refusal["is_allowed_now"], false);
    assert_eq!(
        once_published(&bob, "access/explain", &refused).await?.status,
        404,
        "the refused is told less"
    );

    // Of a batch, what was allowed is not called refused.
    assert_eq!(alice.save_value("alice/theirs", "v").await?.status, 200);
    let lists = json!([{"id": "alice/a-shared", "value": "v", "writers": ["alice", "bob"]}]);
    assert_eq!(alice.save(lists).await?.status, 200);
    let both = json!([{"id": "alice/a-shared", "value": "w"}, {"id": "alice/theirs", "value": "w"}]);
    let batch = bob.save(both).await?;
    let said = once_published(&alice, "access/explain", &batch).await?.json();
    let refusals = said["refusals"].as_array().context("refusals")?;
    assert_eq!(
        (refusals.len(), &refusals[0]["path"]),
        (1, &json!("apps/unnamed/alice/theirs")),
        "{said}"
    );
    let selection = bob
        .list(json!({"ids": ["alice/a-shared", "alice/theirs"]}))
        .await?;
    let said = once_published(&alice, "access/explain", &selection).await?.json();
    assert_eq!(
        (&said["outcome"], said["refusals"].as_array().map(Vec::len)),
        (&json!("ok"), Some(2)),
        "{said}"
    );

    let lists = json!([{"id": "alice/key", "writers": ["alice", "bob"]}]);
    assert_eq!(alice.save(lists).await?.status, 200);
    let said = once_published(&admin, "access/explain", &refused).await?.json();
    assert_eq!(said["refusals"][0]["is_allowed_now"], true);
    assert_eq!(said["refusals"][0].get("remedy"), None);
    assert_eq!(bob.save_value("alice/key", "mine").await?.status, 200);
    let id = refused.id().context("an id")?;
    let printed = strongroom(&world, &admin, &["explain", id])?;
    assert!(
        printed.code == 0 && printed.out.contains("it would be allowed"),
        "{}{}",
        printed.out,
        printed.err
    );
    Ok(())
}

#[tokio::test]
async fn who_can_and_review_say_what_the_rules_enforce() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    let secrets = json!([
        {"id": "alice/shared", "value": "v", "readers": ["alice", "bob", "nobody-yet"]},
        {"id": "alice/hidden", "value": "v", "readers": []},
        {"id": "alice/own", "value": "v"},
    ]);
    assert_eq!(alice.save(secrets).await?.status, 200);
    let who = ok(
        &alice,
        "access/who-can",
        json!({"capability": "read", "name": "alice/shared"}),
    )
    .await?;
    let slugs: Vec<_> = who["members"]
        .as_array()
        .context("members")?
        .iter()
        .map(|member| &member["slug"])
        .collect();
    assert_eq!(slugs, ["alice", "bob", "nobody-yet"]);
    assert_eq!(who["members"][2]["is_reserved"], true);
    for name in ["alice/shared", "alice/nothing", "carol/nothing"] {
        let reply = bob
            .native("access/who-can", &json!({"capability": "read", "name": name}))
            .await?;
        assert_eq!(
            reply.status, 404,
            "{name}: a reader is no owner, and nothing tells what is there"
        );
    }
    let free = ok(
        &admin,
        "access/who-can",
        json!({"capability": "write", "name": "bob/new"}),
    )
    .await?;
    assert_eq!(
        (&free["exists"], &free["members"][0]["slug"]),
        (&json!(false), &json!("bob"))
    );

    let found = ok(&admin, "access/review", json!({"readers_over": 2})).await?;
    let concerns = |path: &str| {
        let findings = found["findings"].as_array().cloned().unwrap_or_default();
        findings
            .into_iter()
            .find(|finding| finding["path"] == path)
            .map(|finding| finding["concerns"].clone())
    };
    assert_eq!(
        concerns("apps/unnamed/alice/shared"),
        Some(json!(["many_readers", "reserved_reader"]))
    );
    assert_eq!(concerns("apps/unnamed/alice/hidden"), Some(json!(["no_readers"])));
    assert_eq!(concerns("apps/unnamed/alice/own"), None);
    assert_eq!(alice.native("access/review", &json!({})).await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn names_are_found_within_rights_and_page_by_page() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    let names: Vec<String> = (0..60).map(|n| format!("alice/{}/key-{:02}", n % 7, n)).collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| json!({"id": name, "value": "v"}))
        .collect();
    assert_eq!(alice.save(json!(entries)).await?.status, 200);
    assert_eq!(bob.save_value("bob/key-00", "v").await?.status, 200);
    let mut sorted = names.clone();
    sorted.sort();
    for (caller, extra) in [(&alice, None), (&admin, Some("bob/key-00"))] {
        let expected: Vec<_> = sorted.iter().map(String::as_str).chain(extra).collect();
        for limit in [1, 7, 1000] {
            let (mut found, mut after) = (Vec::new(), Value::Null);
            loop {
                let request = json!({"text": "key-", "limit": limit, "after": after});
                let page = ok(caller, "secrets/search", request).await?;
                let paths = page["paths"].as_array().context("paths")?;
                found.extend(
                    paths
                        .iter()
                        .filter_map(|path| path.as_str()?.strip_prefix("apps/unnamed/"))
                        .map(str::to_owned),
                );
                match page.get("next") {
                    Some(next) => after = next.clone(),
                    None => break,
                }
            }
            assert_eq!(found, expected, "{limit} at a time");
        }
    }
    let found = ok(&bob, "secrets/search", json!({"text": ""})).await?;
    assert_eq!(found["paths"], json!(["apps/unnamed/bob/key-00"]));
    Ok(())
}

#[tokio::test]
async fn a_proof_and_a_disclosure_hold_on_another_machine() -> Result<()> {
    let world = World::new(&[])?;
    let alice = world.user("alice").await?;
    let saved = alice.save_value("alice/key", "v").await?;
    let other = alice.save_value("alice/other", "v").await?;
    once_published(&alice, "audit/request", &saved).await?;
    let id = saved.id().context("an id")?;
    let elsewhere = world.home.path().join("elsewhere");
    std::fs::create_dir(&elsewhere)?;
    let file = |name: &str| elsewhere.join(name).to_string_lossy().into_owned();
    std::fs::copy(world.home.data().join("ledger.vkey"), file("vkey"))?;

    let proved = strongroom(&world, &alice, &["audit", "prove", id, "--out", &file("proof")])?;
    assert_eq!(proved.code, 0, "{}", proved.err);
    let disclosed = strongroom(&world, &alice, &["audit", "show", id, "--disclose", "paths"])?;
    assert_eq!(disclosed.code, 0, "{}", disclosed.err);
    std::fs::write(file("disclosure"), &disclosed.out)?;
    let verify = |proof: &str, disclosure: &str| {
        let mut command = world.home.command("strongroom")?;
        command.args([
            "audit",
            "verify-proof",
            proof,
            "--key",
            &file("vkey"),
            "--disclosed",
            disclosure,
        ]);
        run(command, "")
    };
    let verified = verify(&file("proof"), &file("disclosure"))?;
    assert!(
        verified.code == 0 && verified.out.contains("apps/unnamed/alice/key"),
        "{}{}",
        verified.out,
        verified.err
    );

    std::fs::write(file("changed"), disclosed.out.replace("alice/key", "alice/kez"))?;
    assert_eq!(verify(&file("proof"), &file("changed"))?.code, 1);
    once_published(&alice, "audit/request", &other).await?;
    let other = other.id().context("an id")?;
    assert_eq!(
        strongroom(
            &world,
            &alice,
            &["audit", "prove", other, "--out", &file("other")]
        )?
        .code,
        0
    );
    assert_eq!(
        verify(&file("other"), &file("disclosure"))?.code,
        1,
        "each leaf has salts of its own"
    );
    Ok(())
}

#[tokio::test]
async fn the_command_line_notices_a_ledger_that_shrank() -> Result<()> {
    let world = World::new(&[])?;
    let alice = world.user("alice").await?;
    let saved = alice.save_value("alice/key", "v").await?;
    once_published(&alice, "audit/request", &saved).await?;
    let tail = strongroom(&world, &alice, &["audit", "tail"])?;
    assert!(
        tail.code == 0 && tail.out.contains("secret.save"),
        "{}{}",
        tail.out,
        tail.err
    );
    let state = world.home.path().join(".local/state/strongroom/checkpoints");
    let remembered = std::fs::read_dir(&state)?
        .next()
        .context("a checkpoint is remembered")??
        .path();
    let text = std::fs::read_to_string(&remembered)?;
    let lines: Vec<_> = text.lines().collect();
    for (size, root, said) in [
        ("1000000", lines[2], "shrank"),
        (
            lines[1],
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "does not continue",
        ),
    ] {
        std::fs::write(&remembered, format!("{}\n{size}\n{root}\n", lines[0]))?;
        let tail = strongroom(&world, &alice, &["audit", "tail"])?;
        assert!(
            tail.code == 1 && tail.err.contains(said),
            "{}{}",
            tail.out,
            tail.err
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_follower_gets_what_comes_and_an_export_ends() -> Result<()> {
    let world = World::new(&[])?;
    let admin = world.admin().await?;
    let size = ok(&admin, "audit/leaves", json!({"last": 1})).await?["size"]
        .as_u64()
        .context("a size")?;
    let follower = admin.clone();
    let following = tokio::spawn(async move {
        let mut from = size;
        loop {
            let page = ok(&follower, "audit/leaves", json!({"from": from, "wait": true})).await?;
            from = page["next"].as_u64().context("a number")?;
            if page["leaves"].to_string().contains("secret.save") {
                return anyhow::Ok(page);
            }
        }
    });
    assert_eq!(admin.save_value("admin/key", "v").await?.status, 200);
    let page = tokio::time::timeout(Duration::from_secs(30), following).await???;
    assert!(page.to_string().contains("apps/unnamed/admin/key"), "{page}");
    for _ in 0..300 {
        ok(&admin, "audit/leaves", json!({"last": 1})).await?;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await; // a checkpoint is at most a second old
    let tail = strongroom(
        &world,
        &admin,
        &["audit", "tail", "-n", "300", "--output", "json"],
    )?;
    let shown = tail.out.lines().count();
    assert!(
        tail.code == 0 && shown >= 300,
        "more than a page holds: {shown}{}",
        tail.err
    );
    let export = strongroom(&world, &admin, &["audit", "export"])?;
    assert_eq!(export.code, 0, "{}", export.err);
    let leaves: Vec<Value> = export
        .out
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert!(
        leaves
            .iter()
            .enumerate()
            .all(|(number, leaf)| leaf["index"] == number),
        "all of them, in order"
    );
    Ok(())
}

#[tokio::test]
async fn bad_input_is_named() -> Result<()> {
    let world = World::new(&[])?;
    let alice = world.user("alice").await?;
    for (path, body, said) in [
        ("audit/leaves", r#"{"from":1,"last":1}"#, "`from` is one of three"),
        ("audit/leaves", r#"{"from":-1}"#, "`from` has the wrong type"),
        ("audit/request", r#"{"id":"x"}"#, "`id` is not a request id"),
        ("audit/request", r#"{}"#, "wrong type"),
        (
            "access/who-can",
            r#"{"capability":"fly","name":"a"}"#,
            "`capability` has the wrong type",
        ),
        (
            "access/who-can",
            r#"{"capability":"read","name":"a/.."}"#,
            "`name`",
        ),
        ("secrets/search", r#"{"text":"a","text":"b"}"#, "body"),
        ("secrets/search", r#"{"after":"nowhere/x"}"#, "`after`"),
        ("secrets/search", r#"[]"#, "body"),
        ("secrets/search", "{", "body"),
    ] {
        let reply = alice.send(&format!("POST /strongroom/v1/{path}"), body).await?;
        assert_eq!(
            (reply.status, reply.error_kind()),
            (400, "invalid".to_owned()),
            "{body}: {}",
            reply.text
        );
        assert!(reply.text.contains(said), "{body}: {}", reply.text);
    }
    let leaked = world
        .stranger()?
        .send(&format!("GET /strongroom/v1/whoami?token={}", alice.token()), "")
        .await?;
    assert_eq!(leaked.status, 401);
    Ok(())
}
