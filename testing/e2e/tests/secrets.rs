//! Secrets in the native dialect, and `strongroom secret`: any version, compare-and-set, removal and what brings it back.

#![cfg(test)]

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strongroom_e2e::{Caller, Ended, World, run};

async fn ask(caller: &Caller, path: &str, body: Value, status: u16) -> Result<Value> {
    let reply = caller.native(&format!("secrets/{path}"), &body).await?;
    ensure!(
        reply.status == status,
        "{path} {body}: {} {}",
        reply.status,
        reply.text
    );
    Ok(reply.json())
}

async fn put(caller: &Caller, name: &str, value: &str) -> Result<Value> {
    ask(caller, "put", json!({"name": name, "value": value}), 200).await
}

fn strongroom(world: &World, caller: &Caller, args: &[&str], stdin: &str) -> Result<Ended> {
    let mut command = world.home.command("strongroom")?;
    command
        .args(args)
        .env("STRONGROOM_ADDR", world.server.url())
        .env("STRONGROOM_TOKEN", caller.token());
    run(command, stdin)
}

#[tokio::test]
async fn every_kept_version_can_be_read_and_rolled_back_to() -> Result<()> {
    let world = World::new(&[])?;
    let alice = world.user("alice").await?;
    // Inline values, and ones that lie beside their record.
    let value = |number: usize| match number % 3 {
        0 => number.to_string().repeat(5_000),
        _ => format!("value {number}"),
    };
    for number in 1..=12 {
        let saved = put(&alice, "alice/key", &value(number)).await?;
        assert_eq!(saved["version"], number);
    }
    for number in 3..=12 {
        let read = ask(
            &alice,
            "read",
            json!({"name": "alice/key", "version": number}),
            200,
        )
        .await?;
        assert_eq!(
            (&read["version"], &read["value"]),
            (&json!(number), &json!(value(number)))
        );
    }
    let fallen = ask(&alice, "read", json!({"name": "alice/key", "version": 2}), 404).await?;
    let message = fallen["error"]["message"].as_str().context("a message")?;
    assert!(message.contains("3 to 12 are kept"), "{message}");
    let facts = ask(&alice, "describe", json!({"name": "alice/key"}), 200).await?;
    let versions = facts["versions"].as_array().context("versions")?;
    assert_eq!(
        (versions.len(), &versions[0]["version"], &versions[9]["by"]),
        (10, &json!(3), &json!("alice"))
    );

    for (to, expected) in [(3, 13), (12, 14), (14 - 2, 15)] {
        let rolled = ask(&alice, "rollback", json!({"name": "alice/key", "to": to}), 200).await?;
        assert_eq!(rolled["version"], expected);
        let read = ask(&alice, "read", json!({"name": "alice/key"}), 200).await?;
        assert_eq!(
            (&read["version"], &read["value"]),
            (&json!(expected), &json!(value(to)))
        );
    }
    ask(&alice, "rollback", json!({"name": "alice/key", "to": 15}), 400).await?;
    ask(&alice, "rollback", json!({"name": "alice/key", "to": 1}), 404).await?;
    ask(
        &alice,
        "rollback",
        json!({"name": "alice/key", "to": 13, "expected": 14}),
        409,
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_compare_and_set_lets_one_of_many_through() -> Result<()> {
    let world = World::new(&[])?;
    let alice = world.user("alice").await?;
    let create = json!({"name": "alice/key", "value": "v", "expected": 0});
    ask(&alice, "put", create.clone(), 200).await?;
    ask(&alice, "put", create, 409).await?;
    ask(
        &alice,
        "put",
        json!({"name": "alice/other", "value": "v", "expected": 1}),
        409,
    )
    .await?;
    let attempts = (0..20).map(|number| {
        let body = json!({"name": "alice/key", "value": format!("from {number}"), "expected": 1});
        let alice = alice.clone();
        tokio::spawn(async move { Ok::<_, anyhow::Error>(alice.native("secrets/put", &body).await?.status) })
    });
    let mut statuses = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        statuses.push(attempt.await??);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [&[200][..], &[409; 19]].concat());
    Ok(())
}

#[tokio::test]
async fn what_is_not_yours_looks_as_if_it_were_not_there() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    put(&alice, "alice/key", "v").await?;
    for name in ["alice/key", "alice/nothing"] {
        let named = json!({"name": name});
        let texts: Vec<Value> = [
            ask(&bob, "read", named.clone(), 404).await?,
            ask(&bob, "describe", named.clone(), 404).await?,
            ask(&bob, "undelete", named.clone(), 404).await?,
            ask(&bob, "remove", named.clone(), 403).await?,
            ask(&bob, "remove", json!({"name": name, "for_good": true}), 403).await?,
            ask(&bob, "put", json!({"name": name, "value": "mine"}), 403).await?,
            ask(&bob, "rollback", json!({"name": name, "to": 1}), 403).await?,
        ]
        .into_iter()
        .map(|refusal| refusal["error"]["message"].clone())
        .collect();
        for text in texts {
            let text = text.as_str().context("a message")?.replace(name, "NAME");
            assert!(!text.contains("version"), "{text}");
        }
    }
    assert_eq!(ask(&bob, "list", json!({}), 200).await?["secrets"], json!([]));
    assert_eq!(
        ask(&admin, "read", json!({"name": "alice/key"}), 200).await?["value"],
        "v",
        "nothing was changed"
    );
    // Other apps are the admin's to reach, and reading makes none.
    ask(&bob, "read", json!({"name": "bob/key", "app": "elsewhere"}), 403).await?;
    ask(&admin, "read", json!({"name": "k", "app": "elsewhere"}), 404).await?;
    ask(
        &admin,
        "put",
        json!({"name": "k", "value": "w", "app": "elsewhere"}),
        200,
    )
    .await?;
    let read = ask(&admin, "read", json!({"name": "k", "app": "elsewhere"}), 200).await?;
    assert_eq!(read["value"], "w");
    ask(&admin, "read", json!({"name": "k"}), 404).await?;
    Ok(())
}

#[tokio::test]
async fn a_removed_secret_is_nowhere_until_it_is_back_whole() -> Result<()> {
    let mut world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    let lists = json!({"readers": ["alice", "bob"]});
    ask(
        &alice,
        "put",
        json!({"name": "alice/key", "value": "old", "lists": lists}),
        200,
    )
    .await?;
    put(&alice, "alice/key", &"large".repeat(4_000)).await?;
    let id = ask(&bob, "describe", json!({"name": "alice/key"}), 200).await?["id"].clone();
    let gone = ask(&alice, "remove", json!({"name": "alice/key"}), 200).await?;
    assert!(gone["restorable_until"].is_u64(), "{gone}");
    for caller in [&admin, &alice, &bob] {
        ask(caller, "read", json!({"name": "alice/key"}), 404).await?;
        assert_eq!(ask(caller, "list", json!({}), 200).await?["secrets"], json!([]));
        assert_eq!(
            ask(caller, "search", json!({"text": "key"}), 200).await?["paths"],
            json!([])
        );
        assert_eq!(caller.value("alice/key").await?, None, "in no dialect");
    }
    ask(&alice, "remove", json!({"name": "alice/key"}), 404).await?;
    ask(&bob, "undelete", json!({"name": "alice/key"}), 404).await?;
    let back = ask(&alice, "undelete", json!({"name": "alice/key"}), 200).await?;
    assert_eq!(back["version"], 2);
    let facts = ask(&bob, "describe", json!({"name": "alice/key"}), 200).await?;
    assert_eq!(
        (&facts["id"], &facts["lists"]["readers"]),
        (&id, &json!(["alice", "bob"]))
    );
    let old = ask(&bob, "read", json!({"name": "alice/key", "version": 1}), 200).await?;
    assert_eq!(old["value"], "old");
    ask(&alice, "undelete", json!({"name": "alice/key"}), 404).await?;

    // A name that was taken again stays with its new secret, which shares nothing with the old one.
    ask(&alice, "remove", json!({"name": "alice/key"}), 200).await?;
    assert_eq!(put(&alice, "alice/key", "new").await?["version"], 1);
    ask(&bob, "read", json!({"name": "alice/key"}), 404).await?;
    ask(&alice, "undelete", json!({"name": "alice/key"}), 409).await?;
    assert_eq!(
        ask(&alice, "read", json!({"name": "alice/key"}), 200).await?["value"],
        "new"
    );
    // Removed after it, it takes the earlier one's place.
    ask(&alice, "remove", json!({"name": "alice/key"}), 200).await?;
    ask(&alice, "undelete", json!({"name": "alice/key"}), 200).await?;
    assert_eq!(
        ask(&alice, "read", json!({"name": "alice/key"}), 200).await?["value"],
        "new"
    );

    // What somebody else could have back is not dropped in passing.
    ask(&alice, "remove", json!({"name": "alice/key"}), 200).await?;
    let mine =
        json!({"name": "alice/key", "value": "bob's", "lists": {"deleters": ["bob"], "readers": ["bob"]}});
    ask(&admin, "put", mine, 200).await?;
    ask(&bob, "remove", json!({"name": "alice/key"}), 403).await?;
    assert_eq!(
        ask(&bob, "read", json!({"name": "alice/key"}), 200).await?["value"],
        "bob's"
    );
    ask(
        &admin,
        "remove",
        json!({"name": "alice/key", "for_good": true}),
        200,
    )
    .await?;
    ask(&alice, "undelete", json!({"name": "alice/key"}), 404).await?;
    put(&alice, "alice/last", "v").await?;
    ask(&alice, "remove", json!({"name": "alice/last"}), 200).await?;

    // All rows fit together.
    world.server.terminate()?;
    ensure!(world.server.wait()?.success());
    for look in ["check", "scrub"] {
        let mut command = world.home.command("strongroom")?;
        command.args(["operator", look, "--data"]).arg(world.home.data());
        let ended = run(command, "")?;
        assert_eq!(ended.code, 0, "{look}: {}{}", ended.out, ended.err);
    }
    world.server = world.home.start(&[])?;
    let alice = world.stranger()?.with(alice.token());
    ask(&alice, "undelete", json!({"name": "alice/last"}), 200).await?;
    Ok(())
}

#[tokio::test]
async fn a_list_is_paged_by_prefix_and_shows_no_value() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    let mut names: Vec<String> = (0..30)
        .map(|n| format!("alice/{}/key-{n:02}", ["a", "ab", "b", "a-"][n % 4]))
        .collect();
    names.push("alice/a".to_owned());
    let entries: Vec<_> = names
        .iter()
        .map(|name| json!({"id": name, "value": "plain-value"}))
        .collect();
    assert_eq!(alice.save(json!(entries)).await?.status, 200);
    put(&bob, "bob/a", "v").await?;
    names.sort_by_key(|name| name.split('/').map(str::to_owned).collect::<Vec<_>>());
    for caller in [&alice, &admin] {
        for prefix in [
            "alice/",
            "alice/a",
            "alice/a/",
            "alice/a/key-0",
            "alice/ab/key-01",
            "ali",
            "alice/none",
            "",
        ] {
            let expected: Vec<&String> = names.iter().filter(|name| name.starts_with(prefix)).collect();
            for limit in [1, 4, 1000] {
                let (mut found, mut after) = (Vec::new(), Value::Null);
                loop {
                    let page = json!({"prefix": prefix, "limit": limit, "after": after});
                    let page = ask(caller, "list", page, 200).await?;
                    assert!(!page.to_string().contains("plain-value"));
                    let secrets = page["secrets"].as_array().context("secrets")?;
                    assert!(secrets.len() <= limit);
                    let named = secrets.iter().filter_map(|secret| secret["name"].as_str());
                    found.extend(named.filter(|name| name.starts_with("alice")).map(str::to_owned));
                    match page.get("next") {
                        Some(next) => after = next.clone(),
                        None => break,
                    }
                }
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{prefix} {limit}");
            }
        }
    }
    for bad in [
        json!({"prefix": "/"}),
        json!({"prefix": "a//b"}),
        json!({"after": ".."}),
        json!({"limit": "x"}),
    ] {
        ask(&alice, "list", bad, 400).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_commands_do_a_days_work() -> Result<()> {
    let world = World::new(&[])?;
    let alice = world.user("alice").await?;
    let go = |args: &[&str], stdin: &str, code: i32| -> Result<Ended> {
        let ended = strongroom(&world, &alice, &[&["secret"], args].concat(), stdin)?;
        ensure!(
            ended.code == code,
            "{args:?}: {} {}{}",
            ended.code,
            ended.out,
            ended.err
        );
        Ok(ended)
    };
    go(&["put", "alice/db-url"], "first\n", 0)?;
    let saved = go(
        &["put", "alice/db-url", "--cas", "1", "--readers", "alice,bob"],
        "it's\nsecond\n",
        0,
    )?;
    assert_eq!(
        (saved.out.as_str(), saved.err.as_str()),
        ("", "Saved `alice/db-url`, version 2.\n")
    );
    go(&["put", "alice/db-url", "--cas", "1"], "third", 1)?;
    let file = world.home.path().join("value");
    std::fs::write(&file, "from a file\n")?;
    go(
        &["put", "alice/file", "--from-file", &file.to_string_lossy()],
        "",
        0,
    )?;
    go(&["put", "alice/file", "--from-file", "/nowhere"], "", 1)?;
    std::fs::write(&file, [0xff, 0xfe])?;
    go(
        &["put", "alice/file", "--from-file", &file.to_string_lossy()],
        "",
        1,
    )?;
    go(&["put", "alice/file", "value-as-an-argument"], "", 2)?;

    assert_eq!(go(&["get", "alice/db-url"], "", 0)?.out, "it's\nsecond");
    assert_eq!(go(&["get", "alice/file"], "", 0)?.out, "from a file\n");
    assert_eq!(
        go(&["get", "alice/db-url", "--version", "1"], "", 0)?.out,
        "first"
    );
    go(&["get", "alice/nothing"], "", 1)?;
    go(&["get", "alice/db-url", "alice/file"], "", 1)?;
    let env = go(&["get", "alice/db-url", "alice/file", "--output", "env"], "", 0)?;
    let mut shell = std::process::Command::new("sh");
    shell.args([
        "-c",
        &format!("{}\nprintf '%s|%s' \"$DB_URL\" \"$FILE\"", env.out),
    ]);
    assert_eq!(run(shell, "")?.out, "it's\nsecond|from a file\n", "{}", env.out);
    let json: Value = serde_json::from_str(&go(&["get", "alice/file", "--output", "json"], "", 0)?.out)?;
    assert_eq!(
        (&json["value"], &json["version"]),
        (&json!("from a file\n"), &json!(1))
    );

    let listed = go(&["list", "alice/d"], "", 0)?.out;
    assert!(
        listed.starts_with("NAME           VERSION   SAVED") && listed.contains("\nalice/db-url   2 "),
        "{listed}"
    );
    assert!(
        !listed.contains('\u{1b}') && !listed.contains("second") && !listed.contains("alice/file"),
        "{listed}"
    );
    let history = go(&["history", "alice/db-url", "--output", "json"], "", 0)?.out;
    assert_eq!(history.lines().count(), 2, "{history}");
    assert!(
        go(&["meta", "get", "alice/db-url"], "", 0)?
            .out
            .contains("readers    alice bob")
    );
    go(&["rollback", "alice/db-url", "1", "--cas", "1"], "", 1)?;
    go(&["rollback", "alice/db-url", "1", "--cas", "2"], "", 0)?;
    assert_eq!(go(&["get", "alice/db-url"], "", 0)?.out, "first");
    let removed = go(&["rm", "alice/db-url"], "", 0)?.err;
    assert!(
        removed.contains("`strongroom secret undelete alice/db-url` brings it back"),
        "{removed}"
    );
    go(&["get", "alice/db-url"], "", 1)?;
    go(&["undelete", "alice/db-url"], "", 0)?;
    go(&["rm", "--destroy", "alice/db-url", "alice/file"], "", 0)?;
    go(&["undelete", "alice/db-url"], "", 1)?;
    assert_eq!(go(&["list", "--output", "yaml"], "", 0)?.out, "[]\n");
    Ok(())
}

#[tokio::test]
async fn what_is_overdue_is_told_counted_and_refused() -> Result<()> {
    let world = World::new(&["--refuse-overdue", "expired"])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    let go = |args: &[&str], stdin: &str, code: i32| -> Result<Ended> {
        let ended = strongroom(&world, &alice, &[&["secret"], args].concat(), stdin)?;
        ensure!(
            ended.code == code,
            "{args:?}: {} {}{}",
            ended.code,
            ended.out,
            ended.err
        );
        Ok(ended)
    };
    put(&alice, "alice/eternal", "v").await?;
    let said = [
        "--expires",
        "2001-01-01",
        "--label",
        "team=a",
        "--readers",
        "alice,bob",
    ];
    go(&[&["put", "alice/old"], &said[..]].concat(), "v", 0)?;
    go(
        &[
            "put",
            "alice/later",
            "--expires",
            "2999-01-01",
            "--rotate-every",
            "90d",
        ],
        "v",
        0,
    )?;
    go(&["stale"], "", 3)?;
    let stale = go(&["stale", "--output", "json"], "", 3)?.out;
    assert_eq!(stale.lines().count(), 1, "{stale}");
    let found: Value = serde_json::from_str(&stale)?;
    assert_eq!(
        (&found["name"], &found["overdue"]),
        (&json!("alice/old"), &json!("expired"))
    );
    assert_eq!(
        ask(&admin, "stale", json!({"all_apps": true}), 200).await?["secrets"][0]["owner"],
        "alice"
    );
    let shown = go(&["meta", "get", "alice/later"], "", 0)?.out;
    assert!(
        shown.contains("rotate     every 90d") && shown.contains("expires    2999-01-01"),
        "{shown}"
    );
    assert!(go(&["list"], "", 0)?.out.contains("OVERDUE"));

    // It is refused to all who could read it, and looks as ever to others.
    for caller in [&admin, &alice, &bob] {
        let refused = ask(caller, "read", json!({"name": "alice/old"}), 403).await?;
        let message = refused["error"]["message"].as_str().context("a message")?;
        assert!(message.contains("has expired"), "{message}");
        assert_eq!(caller.value("alice/old").await?, None, "in no dialect");
    }
    ask(&bob, "read", json!({"name": "alice/later"}), 404).await?;
    let refused = bob.native("secrets/read", &json!({"name": "alice/old"})).await?;
    let id = refused.id().context("an id")?.to_owned();
    let explained = strongroom_e2e::eventually("the leaf", || {
        let explained = strongroom(&world, &alice, &["explain", &id], "")?;
        Ok((explained.code == 0).then_some(explained.out))
    })?;
    assert!(
        explained.contains("it has expired") && explained.contains("later date"),
        "{explained}"
    );

    // The metric follows.
    let metrics = world.stranger()?;
    let mut counted = String::new();
    for _ in 0..300 {
        counted = metrics.send("GET /metrics", "").await?.text;
        if counted.contains("strongroom_secrets_overdue 1\n") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(counted.contains("strongroom_secrets_overdue 1\n"), "{counted}");

    // Another owner is for the owner to name, and for nobody who only writes.
    ask(
        &alice,
        "annotate",
        json!({"name": "alice/eternal", "lists": {"writers": ["alice", "bob"]}}),
        200,
    )
    .await?;
    ask(
        &bob,
        "annotate",
        json!({"name": "alice/eternal", "care": {"owner": "bob"}}),
        403,
    )
    .await?;
    ask(
        &bob,
        "annotate",
        json!({"name": "alice/eternal", "care": {"labels": {"by": "bob"}}}),
        200,
    )
    .await?;
    ask(
        &alice,
        "annotate",
        json!({"name": "alice/eternal", "care": {"owner": "bob"}}),
        200,
    )
    .await?;
    let facts = ask(&alice, "describe", json!({"name": "alice/eternal"}), 200).await?;
    assert_eq!(
        (&facts["owner"], &facts["labels"]["by"]),
        (&json!("bob"), &json!("bob"))
    );
    ask(
        &bob,
        "annotate",
        json!({"name": "bob/none", "care": {"expires": 1}}),
        404,
    )
    .await?;

    // A later date, and it is served again.
    go(
        &[
            "meta",
            "set",
            "alice/old",
            "--expires",
            "never",
            "--label",
            "team=",
        ],
        "",
        0,
    )?;
    assert_eq!(go(&["get", "alice/old"], "", 0)?.out, "v");
    go(&["stale"], "", 0)?;
    assert_eq!(
        ask(&bob, "describe", json!({"name": "alice/old"}), 200).await?["labels"],
        json!({})
    );
    Ok(())
}

#[tokio::test]
async fn a_webhook_is_told_what_is_overdue_and_no_value() -> Result<()> {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let home = strongroom_testkit::Home::new()?;
    let config = home.path().join("strongroom.toml");
    std::fs::write(
        &config,
        format!(
            "[[webhook]]\nurl = \"http://{}/hook?key=secretkey\"\n",
            listener.local_addr()?
        ),
    )?;
    let server = home.start(&["--open-registration", "--config", &config.to_string_lossy()])?;
    let world = World::of(home, server);
    let alice = world.user("alice").await?;
    let body = json!({"name": "alice/old", "value": "never-told-value", "care": {"expires": 1000}});
    ask(&alice, "put", body, 200).await?;
    let told = tokio::task::spawn_blocking(move || -> Result<(String, Value)> {
        let (mut stream, _) = listener.accept()?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.trim().is_empty() {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        Ok((head, serde_json::from_slice(&body)?))
    });
    let (head, told) = told.await??;
    assert!(head.starts_with("POST /hook?key=secretkey "), "{head}");
    assert_eq!(told["event"], "secrets.overdue");
    let one = &told["secrets"][0];
    assert_eq!(
        (&one["path"], &one["why"], &one["owner"], &one["due"]),
        (
            &json!("apps/unnamed/alice/old"),
            &json!("expired"),
            &json!("alice"),
            &json!(1000)
        )
    );
    assert!(!told.to_string().contains("never-told-value"));
    assert!(!world.server.log().contains("secretkey"));
    Ok(())
}
