//! Accounts and tokens in the native dialect, and `strongroom user`, `service` and `token`.

#![cfg(test)]

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strongroom_e2e::{Caller, Ended, PASSWORD, World, run};

async fn ask(caller: &Caller, path: &str, body: Value, status: u16) -> Result<Value> {
    let reply = caller.native(path, &body).await?;
    ensure!(
        reply.status == status,
        "{path} {body}: {} {}",
        reply.status,
        reply.text
    );
    Ok(reply.json())
}

async fn is_accepted(caller: &Caller) -> Result<bool> {
    Ok(caller.send("GET /strongroom/v1/whoami", "").await?.status == 200)
}

/// Another session of `slug`.
async fn log_in(world: &World, slug: &str) -> Result<Caller> {
    let stranger = world.stranger()?;
    let reply = ask(
        &stranger,
        "login",
        json!({"slug": slug, "password": PASSWORD, "device": "laptop"}),
        200,
    )
    .await?;
    Ok(stranger.with(reply["token"].as_str().context("a token")?))
}

fn add(slug: &str) -> Value {
    json!({"kind": "user", "slug": slug, "password": PASSWORD})
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    let laptop = log_in(&world, "alice").await?;
    // All are in the caches of the server.
    for caller in [&alice, &laptop, &bob] {
        assert!(is_accepted(caller).await?);
    }
    let own = ask(&alice, "tokens/list", json!({}), 200).await?;
    let tokens = own["tokens"].as_array().context("tokens")?;
    assert_eq!(tokens.len(), 2);
    assert_eq!(
        (&tokens[0]["is_current"], &tokens[1]["is_current"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&tokens[1]["device"], &tokens[1]["app"]),
        (&json!("laptop"), &json!("apps/unnamed"))
    );
    assert!(!own.to_string().contains(laptop.token()));
    let other = tokens[1]["id"].clone();

    // Nobody but admins reaches the tokens of others, and an id is not a token.
    ask(&bob, "tokens/list", json!({"slug": "alice"}), 403).await?;
    ask(&bob, "tokens/revoke", json!({"slug": "alice", "id": other}), 403).await?;
    ask(&bob, "tokens/revoke", json!({"id": other}), 404).await?;
    assert!(!is_accepted(&world.stranger()?.with(other.as_str().context("an id")?)).await?);
    assert!(is_accepted(&laptop).await?);

    ask(&alice, "tokens/revoke", json!({"id": other}), 200).await?;
    assert!(!is_accepted(&laptop).await?, "at once");
    assert!(is_accepted(&alice).await?);
    ask(&alice, "tokens/revoke", json!({"id": other}), 404).await?;
    let left = ask(&admin, "tokens/list", json!({"slug": "alice"}), 200).await?;
    assert_eq!(left["tokens"].as_array().map(Vec::len), Some(1));
    let id = left["tokens"][0]["id"].clone();
    ask(&admin, "tokens/revoke", json!({"slug": "alice", "id": id}), 200).await?;
    assert!(!is_accepted(&alice).await?);
    ask(&admin, "tokens/list", json!({"slug": "nobody"}), 404).await?;
    Ok(())
}

#[tokio::test]
async fn tokens_are_listed_page_by_page() -> Result<()> {
    let world = World::new(&[])?;
    let alice = world.user("alice").await?;
    for _ in 0..4 {
        log_in(&world, "alice").await?;
    }
    let whole = ask(&alice, "tokens/list", json!({}), 200).await?["tokens"].clone();
    for limit in [1, 2, 5] {
        let (mut found, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = ask(
                &alice,
                "tokens/list",
                json!({"limit": limit, "after": after}),
                200,
            )
            .await?;
            found.extend(page["tokens"].as_array().context("tokens")?.clone());
            match page.get("next") {
                Some(next) => after = next.clone(),
                None => break,
            }
        }
        assert_eq!(json!(found), whole, "{limit}");
    }
    ask(&alice, "tokens/list", json!({"after": "x"}), 400).await?;
    Ok(())
}

#[tokio::test]
async fn who_is_disabled_is_out_at_once_and_its_old_tokens_for_good() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    assert_eq!(alice.save_value("alice/key", "v").await?.status, 200);
    assert!(is_accepted(&alice).await?);
    for call in ["principals/disable", "principals/enable"] {
        ask(&bob, call, json!({"slug": "alice"}), 403).await?;
        ask(&admin, call, json!({"slug": "admin"}), 400).await?;
        ask(&admin, call, json!({"slug": "nobody"}), 404).await?;
    }
    let disabled = ask(&admin, "principals/disable", json!({"slug": "alice"}), 200).await?;
    assert_eq!(disabled["standing"], "disabled");
    assert!(!is_accepted(&alice).await?, "at once");
    let login = json!({"slug": "alice", "password": PASSWORD});
    ask(&world.stranger()?, "login", login, 401).await?;
    let tokens = ask(&admin, "tokens/list", json!({"slug": "alice"}), 200).await?;
    assert_eq!(tokens["tokens"], json!([]));
    let who = json!({"capability": "read", "name": "alice/key"});
    assert_eq!(
        ask(&admin, "access/who-can", who.clone(), 200).await?["members"],
        json!([])
    );
    let taken = world.stranger()?.register("alice", PASSWORD).await?;
    assert_eq!(taken.status, 409, "its name is not free");

    ask(&admin, "principals/enable", json!({"slug": "alice"}), 200).await?;
    assert!(!is_accepted(&alice).await?, "what was over stays over");
    let back = log_in(&world, "alice").await?;
    assert_eq!(back.value("alice/key").await?.as_deref(), Some("v"));
    assert_eq!(
        ask(&admin, "access/who-can", who, 200).await?["members"][0]["slug"],
        "alice"
    );
    Ok(())
}

#[tokio::test]
async fn an_admin_makes_accounts_and_claims_reserved_slugs() -> Result<()> {
    let mut world = World::new(&[])?;
    let (admin, alice) = (world.admin().await?, world.user("alice").await?);
    ask(&alice, "principals/add", add("carol"), 403).await?;
    let lists = json!([{"id": "alice/key", "value": "for carol", "readers": ["alice", "carol"]}]);
    assert_eq!(alice.save(lists).await?.status, 200);
    ask(&admin, "principals/disable", json!({"slug": "carol"}), 400).await?;
    let made = ask(&admin, "principals/add", add("carol"), 200).await?;
    assert_eq!(
        (&made["standing"], &made["is_admin"]),
        (&json!("active"), &json!(false))
    );
    let carol = log_in(&world, "carol").await?;
    assert_eq!(
        carol.value("alice/key").await?.as_deref(),
        Some("for carol"),
        "shared before she came"
    );
    ask(&admin, "principals/add", add("carol"), 409).await?;
    let second =
        json!({"kind": "user", "slug": "second", "password": PASSWORD, "is_admin": true, "name": "Second"});
    ask(&admin, "principals/add", second, 200).await?;
    let second = log_in(&world, "second").await?;
    let runner = json!({"kind": "service", "slug": "runner", "password": PASSWORD});
    ask(&second, "principals/add", runner, 200).await?;
    for bad in [
        json!({"kind": "user", "slug": "Bad Slug", "password": PASSWORD}),
        json!({"kind": "user", "slug": "short", "password": "x"}),
        json!({"kind": "user", "slug": "none"}),
        json!({"kind": "robot", "slug": "r", "password": PASSWORD}),
        json!({"kind": "user", "slug": "name", "password": PASSWORD, "name": "a\nb"}),
    ] {
        ask(&admin, "principals/add", bad, 400).await?;
    }

    ask(&alice, "principals/list", json!({}), 403).await?;
    let slugs = |page: &Value| -> Vec<String> {
        let principals = page["principals"].as_array().cloned().unwrap_or_default();
        principals
            .iter()
            .filter_map(|one| Some(one["slug"].as_str()?.to_owned()))
            .collect()
    };
    let users = ask(&admin, "principals/list", json!({"kind": "user"}), 200).await?;
    assert_eq!(slugs(&users), ["admin", "alice", "carol", "second"]);
    assert_eq!(
        slugs(&ask(&admin, "principals/list", json!({"kind": "service"}), 200).await?),
        ["runner"]
    );
    let first = ask(&admin, "principals/list", json!({"limit": 2}), 200).await?;
    assert_eq!((slugs(&first).len(), &first["next"]), (2, &json!("alice")));
    let rest = ask(&admin, "principals/list", json!({"after": "alice"}), 200).await?;
    assert_eq!(slugs(&rest), ["carol", "runner", "second"]);

    // All rows fit together, and what was decided stays so.
    ask(&admin, "principals/disable", json!({"slug": "carol"}), 200).await?;
    world.server.terminate()?;
    ensure!(world.server.wait()?.success());
    let mut check = world.home.command("strongroom")?;
    check.args(["operator", "check", "--data"]).arg(world.home.data());
    let ended = run(check, "")?;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    world.server = world.home.start(&[])?;
    assert!(!is_accepted(&world.stranger()?.with(carol.token())).await?);
    assert!(is_accepted(&world.stranger()?.with(second.token())).await?);
    Ok(())
}

#[tokio::test]
async fn the_commands_for_people_and_tokens() -> Result<()> {
    let world = World::new(&[])?;
    let admin = world.admin().await?;
    let go = |args: &[&str], stdin: &str, code: i32| -> Result<Ended> {
        let mut command = world.home.command("strongroom")?;
        command
            .args(args)
            .env("STRONGROOM_ADDR", world.server.url())
            .env("STRONGROOM_TOKEN", admin.token());
        let ended = run(command, stdin)?;
        ensure!(
            ended.code == code,
            "{args:?}: {} {}{}",
            ended.code,
            ended.out,
            ended.err
        );
        Ok(ended)
    };
    let made = go(
        &["user", "add", "alice", "--name", "Alice"],
        &format!("{PASSWORD}\n"),
        0,
    )?;
    assert_eq!(
        (made.out.as_str(), made.err.as_str()),
        ("", "Made the user `alice`.\n")
    );
    go(&["user", "add", "alice"], &format!("{PASSWORD}\n"), 1)?;
    let password = go(&["service", "add", "runner", "--generate"], "", 0)?.out;
    let login = json!({"slug": "runner", "password": password.trim_end()});
    ask(&world.stranger()?, "login", login, 200).await?;
    let alice = log_in(&world, "alice").await?;
    let users = go(&["user", "list"], "", 0)?.out;
    assert!(users.contains("alice") && !users.contains("runner"), "{users}");
    let tokens = go(&["token", "list", "--of", "alice", "--output", "json"], "", 0)?.out;
    let token: Value = serde_json::from_str(tokens.lines().next().context("a token")?)?;
    let id = token["id"].as_str().context("an id")?;
    assert!(is_accepted(&alice).await?);
    go(&["token", "revoke", "--of", "alice", id], "", 0)?;
    assert!(!is_accepted(&alice).await?);
    go(&["token", "revoke", id], "", 1)?;
    let alice = log_in(&world, "alice").await?;
    assert_eq!(
        go(&["user", "disable", "alice"], "", 0)?.err,
        "`alice` is disabled.\n"
    );
    assert!(!is_accepted(&alice).await?);
    go(&["user", "enable", "alice"], "", 0)?;
    go(&["user", "disable", "nobody"], "", 1)?;
    Ok(())
}

#[tokio::test]
async fn what_lists_give_a_group_its_members_have() -> Result<()> {
    let mut world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    ask(
        &admin,
        "principals/add",
        json!({"kind": "group", "slug": "ops"}),
        200,
    )
    .await?;
    let member = json!({"group": "ops", "member": "bob"});
    for call in ["groups/join", "groups/leave"] {
        ask(&bob, call, member.clone(), 403).await?;
        ask(&admin, call, json!({"group": "bob", "member": "alice"}), 400).await?;
        ask(&admin, call, json!({"group": "ops", "member": "ops"}), 400).await?;
        ask(&admin, call, json!({"group": "ops", "member": "nobody"}), 404).await?;
    }
    for bad in [
        json!({"kind": "group", "slug": "g", "password": PASSWORD}),
        json!({"kind": "group", "slug": "g", "is_admin": true}),
        json!({"kind": "user", "slug": "u"}),
    ] {
        ask(&admin, "principals/add", bad, 400).await?;
    }
    ask(
        &world.stranger()?,
        "login",
        json!({"slug": "ops", "password": PASSWORD}),
        401,
    )
    .await?;

    let names: Vec<String> = (0..12).map(|n| format!("alice/{n:02}")).collect();
    for (n, name) in names.iter().enumerate() {
        let readers = match n % 3 {
            0 => json!(["alice", "ops"]),
            1 => json!(["alice", "bob"]),
            _ => json!(["alice", "bob", "ops"]),
        };
        let secret = json!([{"id": name, "value": "v", "readers": readers, "writers": ["alice", "ops"]}]);
        assert_eq!(alice.save(secret).await?.status, 200);
    }
    let seen = async |caller: &Caller, limit: usize| -> Result<Vec<String>> {
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = ask(
                caller,
                "secrets/list",
                json!({"limit": limit, "after": after}),
                200,
            )
            .await?;
            let secrets = page["secrets"].as_array().cloned().unwrap_or_default();
            seen.extend(
                secrets
                    .iter()
                    .filter_map(|one| Some(one["name"].as_str()?.to_owned())),
            );
            match page.get("next") {
                Some(next) => after = next.clone(),
                None => return Ok(seen),
            }
        }
    };
    assert_eq!(seen(&bob, 100).await?.len(), 8);
    let joined = ask(&admin, "groups/join", member.clone(), 200).await?;
    assert_eq!(joined["groups"], json!(["ops"]));
    for limit in [1, 5, 100] {
        assert_eq!(
            seen(&bob, limit).await?,
            names,
            "{limit}: at once, in order, each once"
        );
    }
    assert_eq!(bob.list(json!({})).await?.names(), names, "in every dialect");
    let put = json!({"name": "alice/00", "value": "by the group"});
    ask(&bob, "secrets/put", put.clone(), 200).await?;
    ask(&bob, "secrets/put", json!({"name": "ops/own", "value": "v"}), 403).await?;

    ask(&admin, "principals/disable", json!({"slug": "ops"}), 200).await?;
    assert_eq!(seen(&bob, 100).await?.len(), 8);
    ask(&admin, "principals/enable", json!({"slug": "ops"}), 200).await?;
    assert_eq!(seen(&bob, 100).await?, names);
    ask(&admin, "groups/leave", member, 200).await?;
    ask(&bob, "secrets/put", put, 403).await?;
    assert_eq!(seen(&bob, 100).await?.len(), 8);

    ask(
        &admin,
        "groups/join",
        json!({"group": "ops", "member": "alice"}),
        200,
    )
    .await?;
    world.server.terminate()?;
    ensure!(world.server.wait()?.success());
    let mut check = world.home.command("strongroom")?;
    check.args(["operator", "check", "--data"]).arg(world.home.data());
    let ended = run(check, "")?;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    Ok(())
}

#[tokio::test]
async fn an_invitation_makes_one_account_once() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice) = (world.admin().await?, world.user("alice").await?);
    let lists = json!([{"id": "alice/key", "value": "for dora", "readers": ["alice", "dora"]}]);
    assert_eq!(alice.save(lists).await?.status, 200);
    ask(&alice, "invitations/create", json!({"slug": "dora"}), 403).await?;
    ask(&admin, "invitations/create", json!({"slug": "alice"}), 409).await?;
    let void = ask(&admin, "invitations/create", json!({"slug": "dora"}), 200).await?;
    let invitation = ask(&admin, "invitations/create", json!({"slug": "dora"}), 200).await?;
    let accept = |slug: &str, code: &Value| json!({"slug": slug, "code": code, "password": PASSWORD});
    let stranger = world.stranger()?;
    for (slug, code) in [
        ("dora", &void["code"]),
        ("dora", &json!("wrong")),
        ("alice", &invitation["code"]),
        ("nobody", &invitation["code"]),
    ] {
        let refused = ask(&stranger, "invitations/accept", accept(slug, code), 401).await?;
        let message = refused["error"]["message"].as_str().context("a message")?;
        assert_eq!(
            message,
            "there is no such invitation (any more): ask for another one"
        );
    }
    let short = json!({"slug": "dora", "code": invitation["code"], "password": "x"});
    ask(&stranger, "invitations/accept", short, 400).await?;
    // Of many at once, one is it.
    let attempts: Vec<_> = (0..4)
        .map(|_| {
            let (stranger, body) = (stranger.clone(), accept("dora", &invitation["code"]));
            tokio::spawn(async move {
                Ok::<_, anyhow::Error>(stranger.native("invitations/accept", &body).await?.status)
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for attempt in attempts {
        statuses.push(attempt.await??);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401, 401, 401]);
    let dora = log_in(&world, "dora").await?;
    assert_eq!(dora.value("alice/key").await?.as_deref(), Some("for dora"));
    ask(&admin, "invitations/create", json!({"slug": "dora"}), 409).await?;

    // By the commands.
    let mut invite = world.home.command("strongroom")?;
    invite
        .args(["invite", "emil"])
        .env("STRONGROOM_ADDR", world.server.url())
        .env("STRONGROOM_TOKEN", admin.token());
    let code = run(invite, "")?.out;
    let mut accepting = world.home.command("strongroom")?;
    accepting
        .args(["accept", "emil"])
        .env("STRONGROOM_ADDR", world.server.url());
    let accepted = run(accepting, &format!("{code}{PASSWORD}\n"))?;
    ensure!(accepted.code == 0, "{}{}", accepted.out, accepted.err);
    log_in(&world, "emil").await?;
    Ok(())
}

#[tokio::test]
async fn a_request_for_access_reaches_the_owner_and_tells_nothing() -> Result<()> {
    let mut world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    assert_eq!(alice.save_value("alice/key", "v").await?.status, 200);
    let want = |name: &str| json!({"name": name, "reason": "for the release"});
    let answers = [
        ask(&bob, "access/request", want("alice/key"), 200).await?,
        ask(&bob, "access/request", want("alice/nothing"), 200).await?,
    ];
    assert_eq!(answers[0], answers[1]);
    ask(&alice, "access/request", want("alice/key"), 400).await?;
    ask(
        &bob,
        "access/request",
        json!({"name": "alice/key", "reason": "a\nb"}),
        400,
    )
    .await?;
    // Asked again, it waits once.
    ask(&bob, "access/request", want("alice/key"), 200).await?;
    for owner in [&alice, &admin] {
        let waiting = ask(owner, "access/requests", json!({}), 200).await?;
        let waiting = waiting["requests"].as_array().context("requests")?;
        assert_eq!(waiting.len(), 1, "{waiting:?}");
        assert_eq!(
            (&waiting[0]["who"], &waiting[0]["name"], &waiting[0]["wanted"]),
            (&json!("bob"), &json!("alice/key"), &json!("read"))
        );
        assert_eq!(waiting[0]["reason"], "for the release");
    }
    assert_eq!(
        ask(&bob, "access/requests", json!({}), 200).await?["requests"],
        json!([])
    );
    let readers = json!({"name": "alice/key", "lists": {"readers": ["alice", "bob"]}});
    ask(&alice, "secrets/annotate", readers, 200).await?;
    assert_eq!(
        ask(&alice, "access/requests", json!({}), 200).await?["requests"],
        json!([])
    );
    // Nobody can fill the storage with them.
    for number in 1..99 {
        ask(&bob, "access/request", want(&format!("alice/{number}")), 200).await?;
    }
    ask(&bob, "access/request", want("alice/more"), 409).await?;
    world.server.terminate()?;
    ensure!(world.server.wait()?.success());
    let mut check = world.home.command("strongroom")?;
    check.args(["operator", "check", "--data"]).arg(world.home.data());
    let ended = run(check, "")?;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    Ok(())
}
