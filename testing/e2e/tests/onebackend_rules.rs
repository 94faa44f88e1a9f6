//! Who may do what in the 1Backend dialect, and what comes back.

use std::collections::BTreeSet;

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};
use strongroom_e2e::{Caller, PASSWORD, World, ledger};

/// The lists of the secret `name`, as `caller` sees them.
async fn lists(caller: &Caller, name: &str) -> Result<Value> {
    let mut reply = caller.list(json!({ "id": name })).await?.json();
    let mut secret = reply
        .pointer_mut("/secrets/0")
        .map(Value::take)
        .unwrap_or_default();
    if let Some(secret) = secret.as_object_mut() {
        secret.retain(|field, _| field.ends_with("ers"));
    }
    Ok(secret)
}

/// Saves one entry; gives the status.
async fn save(caller: &Caller, entry: Value) -> Result<u16> {
    Ok(caller.save(json!([entry])).await?.status)
}

#[tokio::test]
async fn a_secret_is_its_makers_until_it_is_shared() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    assert_eq!(save(&alice, json!({"id": "alice/a", "value": "1"})).await?, 200);
    let mine = json!(["alice"]);
    let expected = json!({"readers": mine, "writers": mine, "deleters": mine,
                          "canChangeReaders": mine, "canChangeWriters": mine, "canChangeDeleters": mine});
    assert_eq!(lists(&alice, "alice/a").await?, expected);
    assert_eq!(
        admin.value("alice/a").await?.as_deref(),
        Some("1"),
        "admins see all"
    );
    assert_eq!(bob.list(json!({})).await?.names(), [""; 0]);
    assert_eq!(bob.value("alice/a").await?, None);

    assert_eq!(
        save(&alice, json!({"id": "alice/a", "readers": ["alice", "bob"]})).await?,
        200
    );
    assert_eq!(
        bob.value("alice/a").await?.as_deref(),
        Some("1"),
        "an absent value is kept"
    );
    assert_eq!(
        save(&bob, json!({"id": "alice/a", "value": "2"})).await?,
        403,
        "a reader is no writer"
    );
    assert_eq!(bob.remove(&["alice/a"]).await?.status, 403);

    assert_eq!(
        save(
            &alice,
            json!({"id": "alice/a", "writers": ["alice", "bob"], "deleters": ["bob"]})
        )
        .await?,
        200
    );
    assert_eq!(save(&bob, json!({"id": "alice/a", "value": "2"})).await?, 200);
    assert_eq!(
        alice.remove(&["alice/a"]).await?.status,
        403,
        "the lists decide, not who made it"
    );
    assert_eq!(
        save(&alice, json!({"id": "alice/a", "readers": ["bob"]})).await?,
        200
    );
    assert_eq!(alice.value("alice/a").await?, None);
    assert_eq!(bob.remove(&["alice/a", "alice/never-was"]).await?.status, 403);
    assert_eq!(bob.remove(&["alice/a"]).await?.status, 200);
    assert_eq!(admin.list(json!({})).await?.names(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn an_administrators_secret_is_nobodys_until_it_is_shared() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice) = (world.admin().await?, world.user("alice").await?);
    assert_eq!(save(&admin, json!({"id": "ANY-NAME", "value": "1"})).await?, 200);
    assert_eq!(lists(&admin, "ANY-NAME").await?["readers"], json!([]));
    assert_eq!(alice.list(json!({})).await?.names(), [""; 0]);
    assert_eq!(
        save(&admin, json!({"id": "ANY-NAME", "readers": ["alice"]})).await?,
        200
    );
    assert_eq!(alice.value("ANY-NAME").await?.as_deref(), Some("1"));
    assert_eq!(save(&admin, json!({"id": "ANY-NAME", "readers": []})).await?, 200);
    assert_eq!(
        alice.value("ANY-NAME").await?,
        None,
        "taking it back works at once"
    );
    Ok(())
}

#[tokio::test]
async fn lists_are_sets_and_only_their_changers_change_them() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice, bob) = (
        world.admin().await?,
        world.user("alice").await?,
        world.user("bob").await?,
    );
    let first =
        json!({"id": "alice/a", "value": "1", "readers": ["alice", "bob"], "writers": ["alice", "bob"]});
    assert_eq!(save(&alice, first).await?, 200);
    // The same members in any order, and more than once, are no change.
    let same = json!({"id": "alice/a", "value": "2", "readers": ["bob", "alice", "bob"], "writers": ["bob", "alice"]});
    assert_eq!(save(&bob, same).await?, 200);
    assert_eq!(
        lists(&alice, "alice/a").await?["readers"],
        json!(["alice", "bob"]),
        "in alphabetical order, once each"
    );
    for list in [
        "readers",
        "writers",
        "deleters",
        "canChangeReaders",
        "canChangeWriters",
        "canChangeDeleters",
    ] {
        assert_eq!(
            save(&bob, json!({"id": "alice/a", "value": "3", list: ["bob"]})).await?,
            403,
            "{list}"
        );
        assert_eq!(
            save(&bob, json!({"id": "alice/a", "value": "3", list: []})).await?,
            403,
            "{list}"
        );
    }
    assert_eq!(
        alice.value("alice/a").await?.as_deref(),
        Some("2"),
        "a refused change changes no value either"
    );

    // A member of `canChangeReaders` changes who reads, and who may change that, and nothing else.
    assert_eq!(
        save(&alice, json!({"id": "alice/a", "canChangeReaders": ["bob"]})).await?,
        200
    );
    assert_eq!(
        save(&bob, json!({"id": "alice/a", "readers": ["bob", "carol"]})).await?,
        200
    );
    assert_eq!(
        save(&bob, json!({"id": "alice/a", "writers": ["bob"]})).await?,
        403
    );
    assert_eq!(
        save(&alice, json!({"id": "alice/a", "readers": ["alice"]})).await?,
        403
    );
    assert_eq!(
        save(&bob, json!({"id": "alice/a", "canChangeReaders": ["alice"]})).await?,
        200
    );
    assert_eq!(
        save(&bob, json!({"id": "alice/a", "readers": ["bob"]})).await?,
        403
    );
    assert_eq!(
        save(
            &admin,
            json!({"id": "alice/a", "readers": [], "canChangeReaders": []})
        )
        .await?,
        200
    );
    Ok(())
}

#[tokio::test]
async fn a_slug_that_a_list_names_is_reserved() -> Result<()> {
    let world = World::new(&[])?;
    let (alice, stranger) = (world.user("alice").await?, world.stranger()?);
    assert_eq!(
        save(
            &alice,
            json!({"id": "alice/a", "value": "1", "readers": ["payment-svc"]})
        )
        .await?,
        200
    );
    let reply = stranger.register("payment-svc", PASSWORD).await?;
    assert_eq!(reply.status, 409, "{}", reply.text);
    assert_eq!(stranger.log_in("payment-svc", PASSWORD).await?.status, 401);
    assert_eq!(stranger.register("payment", PASSWORD).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn registration_is_closed_unless_it_is_opened() -> Result<()> {
    let mut world = World::new(&[])?;
    assert_eq!(world.stranger()?.register("early", PASSWORD).await?.status, 200);
    world.restart(&[])?;
    let stranger = world.stranger()?;
    let reply = stranger.register("late", PASSWORD).await?;
    assert_eq!(reply.status, 403, "{}", reply.error()?);
    assert_eq!(stranger.log_in("late", PASSWORD).await?.status, 401);
    assert_eq!(
        stranger.log_in("early", PASSWORD).await?.status,
        200,
        "who is in stays in"
    );
    // Whoever is logged in may not either.
    assert_eq!(world.admin().await?.register("late", PASSWORD).await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn an_unknown_slug_looks_like_a_wrong_password() -> Result<()> {
    let world = World::new(&[])?;
    world.user("alice").await?;
    let mut answers = Vec::new();
    for slug in ["alice", "nobody"] {
        let reply = world.stranger()?.log_in(slug, "a wrong password").await?;
        let mut headers = reply.headers.clone();
        for name in ["x-request-id", "date"] {
            headers.remove(name);
        }
        assert_eq!(reply.error()?, "Invalid Password: wrong slug or password");
        answers.push((reply.status, headers, reply.text));
    }
    assert_eq!(answers[0], answers[1]);
    Ok(())
}

#[tokio::test]
async fn logins_are_throttled_by_principal() -> Result<()> {
    let mut world = World::new(&[])?;
    world.user("alice").await?;
    for slug in ["alice", "nobody"] {
        for _ in 0..10 {
            // From many places: it is the account that is guessed at.
            assert_eq!(
                world.stranger()?.log_in(slug, "a wrong password").await?.status,
                401
            );
        }
        for password in ["a wrong password", PASSWORD] {
            let reply = world.stranger()?.log_in(slug, password).await?;
            assert_eq!(reply.status, 429, "{}", reply.error()?);
            let wait: u32 = reply.header("retry-after").unwrap_or_default().parse()?;
            assert!((1..=900).contains(&wait), "{wait}");
        }
    }
    world.restart(&[])?;
    assert_eq!(
        world.stranger()?.log_in("alice", PASSWORD).await?.status,
        429,
        "the lock outlives the process"
    );
    assert!(world.admin().await.is_ok(), "others are not locked");
    Ok(())
}

#[tokio::test]
async fn logins_are_throttled_by_source() -> Result<()> {
    let world = World::new(&[])?;
    world.user("alice").await?;
    let guesser = world.stranger()?;
    for number in 0..30 {
        assert_eq!(
            guesser
                .log_in(&format!("user-{number}"), "a wrong password")
                .await?
                .status,
            401
        );
    }
    assert_eq!(guesser.log_in("alice", PASSWORD).await?.status, 429);
    assert_eq!(
        world.stranger()?.log_in("alice", PASSWORD).await?.status,
        200,
        "elsewhere nothing was guessed"
    );
    Ok(())
}

#[tokio::test]
async fn a_list_is_sorted_and_selects_exactly() -> Result<()> {
    let world = World::new(&[])?;
    let admin = world.admin().await?;
    let names = ["b", "a/b", "a-b", "a", "a/a/z", "é", "Z", "a/b/c", "a b", "%61"];
    let entries: Vec<Value> = names
        .iter()
        .map(|name| json!({"id": name, "value": name}))
        .collect();
    assert_eq!(admin.save(json!(entries)).await?.status, 200);
    let listed = admin.list(json!({})).await?.names();
    let segments = |name: &str| name.split('/').map(str::to_owned).collect::<Vec<_>>();
    let expected: BTreeSet<_> = names.iter().map(|name| segments(name)).collect();
    assert_eq!(
        listed,
        expected.iter().map(|name| name.join("/")).collect::<Vec<_>>(),
        "by segments, bytewise"
    );

    for (request, expected) in [
        (json!({"id": "a"}), &["a"][..]),
        (json!({"id": "A"}), &[]),
        (json!({"id": "a*"}), &[]),
        (json!({"ids": ["b", "a", "nothing", "a"]}), &["a", "b"]),
        (json!({"ids": []}), &[]),
        (json!({"id": "a", "ids": ["a", "b"]}), &["a"]),
        (json!({"id": "a", "ids": ["b"]}), &[]),
        (json!({"id": "%61"}), &["%61"]),
    ] {
        assert_eq!(admin.list(request.clone()).await?.names(), expected, "{request}");
    }
    for no_filter in [
        "",
        "null",
        "{}",
        r#"{"id":"","ids":null,"allApps":false}"#,
        r#"{"unknown":1}"#,
    ] {
        assert_eq!(
            admin
                .send("POST /secret-svc/secrets", no_filter)
                .await?
                .names()
                .len(),
            names.len(),
            "{no_filter}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn values_come_back_as_they_were_saved() -> Result<()> {
    let world = World::new(&[])?;
    let alice = world.user("alice").await?;
    let sized = |bytes: usize| "0123456789abcdef".repeat(bytes / 16 + 1)[..bytes].to_owned();
    let values = [
        String::new(),
        " \n\t\r\0\u{7f}\"\\\u{2028}\u{feff}é😀".to_owned(),
        sized(8 << 10),
        sized((8 << 10) + 1),
        sized(1 << 20),
        "é".repeat(1 << 19),
    ];
    for (number, value) in values.iter().enumerate() {
        let name = format!("alice/{number}");
        assert_eq!(alice.save_value(&name, value).await?.status, 200);
        assert!(alice.value(&name).await?.as_ref() == Some(value), "{number}");
    }
    // More versions than are kept, growing and shrinking past the size that is kept inside the record.
    for round in 0..4 {
        for (number, value) in values.iter().enumerate().take(4) {
            let value = format!("{round} {number} {value}");
            assert_eq!(alice.save_value("alice/x", &value).await?.status, 200);
            assert!(alice.value("alice/x").await? == Some(value), "{round} {number}");
        }
    }
    // In one batch, the last of a name wins.
    let twice = json!([{"id": "alice/x", "value": "first"}, {"id": "alice/x", "value": "last"}]);
    assert_eq!(alice.save(twice).await?.status, 200);
    assert_eq!(alice.value("alice/x").await?.as_deref(), Some("last"));
    assert_eq!(alice.remove(&["alice/x"]).await?.status, 200);
    assert_eq!(alice.save_value("alice/x", "again").await?.status, 200);
    assert_eq!(alice.value("alice/x").await?.as_deref(), Some("again"));
    Ok(())
}

#[tokio::test]
async fn concurrent_saves_of_one_secret_are_each_done_or_refused() -> Result<()> {
    const CLIENTS: usize = 8;
    const SAVES: usize = 12;
    let world = World::new(&[])?;
    let admin = world.admin().await?;
    let client = |client: usize| {
        let admin = admin.clone();
        async move {
            let mut saved = Vec::new();
            for number in 0..SAVES {
                let value = format!("{client}/{number}");
                let reply = admin.save_value("CONTENDED", &value).await?;
                match reply.status {
                    200 => saved.push((value, reply.id().unwrap_or_default().to_owned())),
                    status => assert_eq!(status, 409, "{}", reply.text),
                }
            }
            anyhow::Ok(saved)
        }
    };
    let saved: Vec<_> = try_join_all((0..CLIENTS).map(client)).await?.concat();
    let last = admin.value("CONTENDED").await?.unwrap_or_default();
    assert!(
        saved.iter().any(|(value, _)| *value == last),
        "`{last}` was not acknowledged"
    );
    assert!(saved.len() >= SAVES, "at least one client is always getting on");

    let home = world.home;
    assert!(world.server.stop()?.success());
    let leaves = ledger::leaves(&home.data().join("ledger"))?;
    let done = leaves
        .iter()
        .filter(|leaf| ledger::text(leaf, "op") == "secret.save" && ledger::text(leaf, "outcome") == "ok");
    let done: BTreeSet<&str> = done.map(|leaf| ledger::text(leaf, "id")).collect();
    assert_eq!(
        done,
        saved.iter().map(|(_, id)| id.as_str()).collect(),
        "the ledger has what was acknowledged"
    );
    Ok(())
}

#[tokio::test]
async fn a_session_acts_on_the_app_of_its_login() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, stranger) = (world.admin().await?, world.stranger()?);
    let account = json!({"appHost": "shop.example", "slug": "alice", "password": PASSWORD});
    let reply = stranger.ask("POST /user-svc/register", &account).await?;
    let shop = stranger.with(reply.json()["token"]["token"].as_str().unwrap_or_default());
    let home = stranger.with(
        stranger.log_in("alice", PASSWORD).await?.json()["token"]["token"]
            .as_str()
            .unwrap_or_default(),
    );
    assert_eq!(save(&shop, json!({"id": "alice/a", "value": "shop"})).await?, 200);
    assert_eq!(home.value("alice/a").await?, None);
    assert_eq!(save(&home, json!({"id": "alice/a", "value": "home"})).await?, 200);
    assert_eq!(shop.value("alice/a").await?.as_deref(), Some("shop"));
    assert_eq!(
        home.list(json!({"allApps": true})).await?.names().len(),
        1,
        "for others it is ignored"
    );
    assert_eq!(admin.list(json!({})).await?.names().len(), 1);
    assert_eq!(admin.list(json!({"allApps": true})).await?.names().len(), 2);
    assert_eq!(
        save(
            &admin,
            json!({"id": "alice/a", "value": "new", "appHost": "shop.example"})
        )
        .await?,
        200
    );
    assert_eq!(shop.value("alice/a").await?.as_deref(), Some("new"));
    assert_eq!(admin.remove(&["alice/a"]).await?.status, 200);
    assert_eq!(
        shop.value("alice/a").await?.as_deref(),
        Some("new"),
        "a removal stays in its app"
    );
    Ok(())
}
