//! Starting and stopping: seal keys, data directories, addresses, and what is still there afterwards.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redb::ReadableDatabase;
use serde_json::json;
use strongroom_base::limits;
use strongroom_core::superblock::Superblock;
use strongroom_e2e::{PASSWORD, World, files_below, refusal, run};
use strongroom_storage::{Change, Embedded, Storage};
use strongroom_storage_redb::RedbBackend;
use strongroom_testkit::Home;

/// 32 characters that nobody uses.
const KEY: &str = "an0ther.Key-of_exactly+32/chars!";

/// A home whose instance has one secret, and no server.
async fn stopped(flags: &[&str]) -> Result<Home> {
    let world = World::new(flags)?;
    assert_eq!(world.admin().await?.save_value("KEPT", "kept").await?.status, 200);
    let (home, server) = (world.home, world.server);
    assert!(server.stop()?.success());
    Ok(home)
}

/// The instance of `home` starts and has its secret.
async fn is_whole(home: &Home) -> Result<()> {
    let server = home.start(&[])?;
    let token = server.login("admin", &home.password()?).await?;
    let (status, reply) = server
        .call("POST", "/secret-svc/secrets", &token, &json!({}))
        .await?;
    assert_eq!(
        (status, reply.pointer("/secrets/0/value")),
        (200, Some(&json!("kept"))),
        "{reply}"
    );
    assert!(server.stop()?.success());
    let ledger = home.data().join("ledger");
    let mut verify = home.command("strongroom")?;
    verify
        .args(["audit", "verify"])
        .arg(ledger)
        .arg("--key")
        .arg(home.data().join("ledger.vkey"));
    let verified = run(verify, "")?;
    assert_eq!(verified.code, 0, "{}", verified.err);
    Ok(())
}

/// The instance of `home` refuses to start with a message that says `says`, in one piece.
#[track_caller]
fn refuses(home: &Home, says: &str) {
    let said = refusal(home.up(&[]).unwrap()).unwrap();
    assert!(
        said.contains("exit status: 1") && said.contains("Error: ") && said.contains(says),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
}

fn key_file(home: &Home) -> Result<PathBuf> {
    let mut files = files_below(&home.path().join(".config/strongroom"))?;
    files.pop().context("there is a key file")
}

#[tokio::test]
async fn everything_is_still_there_after_a_restart() -> Result<()> {
    let mut world = World::new(&[])?;
    let (admin, alice) = (world.admin().await?, world.user("alice").await?);
    admin.save_value("A", "one").await?;
    alice
        .save(json!([{"id": "alice/B", "value": "two", "readers": ["alice", "later"]}]))
        .await?;
    let tokens = [admin.token().to_owned(), alice.token().to_owned()];
    let before = (
        admin.list(json!({})).await?.json(),
        alice.list(json!({})).await?.json(),
    );
    let log = world.restart(&[])?;
    assert!(!log.contains("ERROR"), "{log}");
    let [admin, alice] = tokens.map(|token| world.stranger().map(|stranger| stranger.with(&token)));
    let (admin, alice) = (admin?, alice?);
    assert_eq!(
        (
            admin.list(json!({})).await?.json(),
            alice.list(json!({})).await?.json()
        ),
        before,
        "and the tokens work"
    );
    assert_eq!(world.stranger()?.log_in("alice", PASSWORD).await?.status, 200);
    assert!(
        !world.server.greeting().contains("Try it"),
        "a later start does not teach"
    );
    Ok(())
}

#[test]
fn the_first_start_leaves_nothing_open_to_others() -> Result<()> {
    let home = Home::new()?;
    let server = home.start(&["--admin-slug", "root-of-all"])?;
    let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777);
    assert_eq!(mode(&home.data())?, 0o700);
    let mut secret_files = files_below(&home.path().join(".config"))?;
    secret_files.extend(files_below(&home.path().join(".local/state"))?);
    secret_files.push(home.credentials());
    assert_eq!(secret_files.len(), 3, "{secret_files:?}");
    for file in secret_files {
        assert_eq!(mode(&file)?, 0o600, "{}", file.display());
    }
    let credentials: serde_json::Value = serde_json::from_slice(&fs::read(home.credentials())?)?;
    let password = home.password()?;
    let token = credentials["root_token"].as_str().context("a root token")?;
    assert_eq!(
        credentials,
        json!({"url": server.url(), "admin": {"slug": "root-of-all", "password": password}, "root_token": token})
    );
    assert_eq!((password.len(), token.len()), (24, 28));
    for secret in [&password, token] {
        assert!(!server.greeting().contains(secret) && !server.log().contains(secret));
    }
    assert!(server.stop()?.success());

    fs::remove_file(home.credentials())?;
    let server = home.start(&[])?;
    assert!(
        !home.credentials().exists(),
        "they are written on the first start only"
    );
    assert!(server.stop()?.success());
    Ok(())
}

#[tokio::test]
async fn a_wrong_seal_key_opens_nothing() -> Result<()> {
    let home = stopped(&[]).await?;
    let path = key_file(&home)?;
    let right = fs::read(&path)?;
    let other = stopped(&[]).await?;
    for (contents, says) in [
        (
            fs::read(key_file(&other)?)?,
            "slot 1 (the key file): it does not open this slot",
        ),
        (
            b"strongroom-seal-key:v1:c2hvcnQ=\n".to_vec(),
            "holds no strongroom seal key",
        ),
        (b"\xff\xff".to_vec(), "holds no strongroom seal key"),
        (Vec::new(), "holds no strongroom seal key"),
    ] {
        fs::write(&path, contents)?;
        refuses(&home, says);
    }
    fs::write(&path, &right)?;
    fs::set_permissions(&path, Permissions::from_mode(0o640))?;
    refuses(&home, "others can read it");
    fs::remove_file(&path)?;
    refuses(&home, &path.display().to_string());
    assert!(!path.exists(), "no new key is made for an old instance");

    fs::write(&path, right)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    is_whole(&home).await
}

#[tokio::test]
async fn a_seal_key_from_the_environment() -> Result<()> {
    let hex: String = KEY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(KEY);
    for variable in [
        "STRONGROOM_SEAL_KEY",
        "OB_ENCRYPTION_KEY",
        "OPENORCH_ENCRYPTION_KEY",
    ] {
        let home = Home::new()?;
        let start = |text: &str| {
            home.up(&[]).map(|mut up| {
                up.env(variable, text);
                up
            })
        };
        // One key in three spellings.
        for spelling in [KEY, base64.as_str(), hex.as_str()] {
            let server = strongroom_testkit::Server::start(start(spelling)?)?;
            let token = server.login("admin", &home.password()?).await?;
            let (_, reply) = server
                .call("GET", "/secret-svc/is-secure", &token, &json!({}))
                .await?;
            assert_eq!(reply, json!({"isSecure": true}));
            assert!(server.stop()?.success());
        }
        assert!(
            !home.path().join(".config").exists(),
            "no key file is made beside it"
        );
        for (text, says) in [
            (
                "an0ther.Key-of_exactly+32/chars?",
                "slot 1 (the key in the environment): it does not open this slot",
            ),
            ("short", "must be 32 characters, or base64"),
            (
                "an0ther.Key-of_exactly+33/chars!!",
                "must be 32 characters, or base64",
            ),
        ] {
            let said = refusal(start(text)?)?;
            assert!(said.contains(says) && !said.contains(text), "{said}");
        }
        refuses(
            &home,
            "slot 1 (the key in the environment): no key was given: set STRONGROOM_SEAL_KEY",
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_everyone_knows_is_told() -> Result<()> {
    for key in [
        "changeMeToSomethingSecureForReal",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let home = Home::new()?;
        let mut up = home.up(&[])?;
        up.env("OB_ENCRYPTION_KEY", key);
        let server = strongroom_testkit::Server::start(up)?;
        let token = server.login("admin", &home.password()?).await?;
        let (_, reply) = server
            .call("GET", "/secret-svc/is-secure", &token, &json!({}))
            .await?;
        assert_eq!(reply, json!({"isSecure": false}));
        let mut oo = home.command("oo")?;
        oo.args(["secret", "is-secure"])
            .env("OO_URL", server.url())
            .env("OO_TOKEN", token);
        let ended = run(oo, "")?;
        assert_eq!((ended.code, ended.out.as_str()), (1, ""));
        assert!(
            ended.err.starts_with("Error: secret svc is not secure"),
            "{}",
            ended.err
        );
    }
    Ok(())
}

#[tokio::test]
async fn two_servers_on_one_directory_are_one_too_many() -> Result<()> {
    let world = World::new(&[])?;
    let admin = world.admin().await?;
    refuses(&world.home, "another server is running on the data directory");
    assert_eq!(
        admin.save_value("KEPT", "kept").await?.status,
        200,
        "the first one goes on"
    );
    assert!(world.server.stop()?.success());
    is_whole(&world.home).await
}

#[tokio::test]
async fn a_newer_data_directory_is_left_alone() -> Result<()> {
    let home = stopped(&[]).await?;
    let storage = storage_of(&home)?;
    let old = Superblock::find(&storage)
        .await?
        .context("there is a superblock")?;
    let old = old.migrate(&storage).await?;
    drop(storage);
    put(
        &home,
        &Superblock {
            format: 3,
            ..old.clone()
        },
    )
    .await?;
    refuses(
        &home,
        "the storage has format 3, and this version knows formats up to 2",
    );
    put(&home, &old).await?;
    is_whole(&home).await
}

#[tokio::test]
async fn a_storage_of_another_instance_is_not_opened_with_this_ones_key() -> Result<()> {
    let (home, other) = (stopped(&[]).await?, stopped(&[]).await?);
    let (here, there) = (
        home.data().join("strongroom.redb"),
        other.data().join("strongroom.redb"),
    );
    let own = fs::read(&here)?;
    fs::copy(&there, &here)?;
    refuses(&home, ".key");
    fs::write(&here, own)?;
    is_whole(&home).await
}

/// The storage of `home`, which no server has open.
fn storage_of(home: &Home) -> Result<Embedded<RedbBackend>> {
    let backend = RedbBackend::open(&home.data().join("strongroom.redb"), limits::STORAGE_CACHE_BYTES)?;
    Ok(Embedded::open(backend, Arc::new(()))?)
}

async fn put(home: &Home, superblock: &Superblock) -> Result<()> {
    let puts = vec![superblock.to_row()];
    storage_of(home)?
        .commit(Change {
            puts,
            ..Change::default()
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn foreign_storage_is_left_alone() -> Result<()> {
    let home = stopped(&[]).await?;
    let path = home.data().join("strongroom.redb");
    let own = fs::read(&path)?;

    let accounts = redb::TableDefinition::<&str, u64>::new("accounts");
    fs::remove_file(&path)?;
    let database = redb::Database::create(&path)?;
    let write = database.begin_write()?;
    write.open_table(accounts)?.insert("alice", 7)?;
    write.commit()?;
    drop(database);
    refuses(&home, "not a storage file of this program");
    // redb itself may have touched its header, and nothing else.
    let balance = redb::Database::open(&path)?
        .begin_read()?
        .open_table(accounts)?
        .get("alice")?;
    assert_eq!(balance.map(|balance| balance.value()), Some(7));

    // Ours, but of no instance: it has a row and no superblock.
    let without_superblock = tempfile::tempdir()?;
    let rows = without_superblock.path().join("rows.redb");
    let storage = Embedded::open(
        RedbBackend::open(&rows, limits::STORAGE_CACHE_BYTES)?,
        Arc::new(()),
    )?;
    let puts = vec![(vec![7, 7, 7], b"other".to_vec())];
    storage
        .commit(Change {
            puts,
            ..Change::default()
        })
        .await?;
    drop(storage);

    let cut = own[..own.len() / 2].to_vec();
    for (contents, says) in [
        (fs::read(&rows)?, "no Strongroom superblock"),
        (
            b"SQLite format 3\0".repeat(512),
            "not a storage file of this program",
        ),
        (cut, "damaged"),
    ] {
        fs::write(&path, &contents)?;
        refuses(&home, says);
        let is_redbs = says.contains("superblock");
        assert!(
            is_redbs || fs::read(&path)? == contents,
            "{says}: the file was changed"
        );
    }
    fs::remove_file(&path)?;
    refuses(
        &home,
        "the storage is empty, and there was an instance here before",
    );
    refuses(
        &home,
        "the storage is empty, and there was an instance here before",
    );
    fs::write(&path, "")?;
    refuses(
        &home,
        "the storage is empty, and there was an instance here before",
    );
    fs::write(&path, own)?;
    is_whole(&home).await
}

#[test]
fn a_directory_of_something_else_is_left_alone() -> Result<()> {
    let home = Home::new()?;
    fs::create_dir(home.data())?;
    fs::write(home.data().join("thesis.tex"), "mine")?;
    refuses(&home, "is not a Strongroom data directory: it holds `thesis.tex`");
    assert_eq!(fs::read_dir(home.data())?.count(), 1);
    assert!(
        !home.path().join(".config").exists() && !home.credentials().exists(),
        "no key and no password was made"
    );

    fs::remove_dir_all(home.data())?;
    fs::write(home.data(), "a file")?;
    refuses(&home, "data");
    assert_eq!(fs::read(home.data())?, b"a file");
    Ok(())
}

#[tokio::test]
async fn a_torn_last_record_is_dropped_and_nothing_else() -> Result<()> {
    for torn in [
        &b"\0"[..],
        b"\0\0\0\x40",
        b"\0\0\0\x40\x12\x34\x56\x78\0\0\0\0\0\0\0\x09 the rest never came",
    ] {
        let mut world = World::new(&[])?;
        let admin = world.admin().await?;
        admin.save_value("KEPT", "kept").await?;
        admin.list(json!({})).await?;
        world.server.kill()?;
        let mut segments = files_below(&world.home.data().join("journal"))?;
        segments.sort();
        let last = segments.last().context("there is a journal")?;
        OpenOptions::new().append(true).open(last)?.write_all(torn)?;
        is_whole(&world.home).await?;
    }
    Ok(())
}

#[test]
fn only_loopback_is_served_without_tls() -> Result<()> {
    let home = Home::new()?;
    let mut up = home.command("strongroom")?;
    up.args(["up", "--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0", "--data"])
        .arg(home.data());
    let said = refusal(up)?;
    assert!(
        said.contains("exit status: 1") && said.contains("`0.0.0.0:0` is not a loopback address"),
        "{said}"
    );
    assert!(
        said.contains("--insecure-plaintext") && said.contains("--tls-cert"),
        "{said}"
    );
    assert!(!home.data().exists(), "nothing was made");

    let server = home.start(&["--listen", "0.0.0.0:0", "--insecure-plaintext"])?;
    assert!(server.stop()?.success());

    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut up = home.command("strongroom")?;
    up.args(["up", "--listen", &taken.local_addr()?.to_string(), "--data"])
        .arg(home.data());
    let said = refusal(up)?;
    assert!(said.contains("cannot listen on 127.0.0.1:"), "{said}");
    Ok(())
}

#[test]
fn tls_with_a_certificate_of_ones_own() -> Result<()> {
    let home = Home::new()?;
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let (cert, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    fs::write(&cert, own.cert.pem())?;
    fs::write(&key, own.signing_key.serialize_pem())?;
    let (cert, key) = (
        cert.to_string_lossy().into_owned(),
        key.to_string_lossy().into_owned(),
    );
    let server = home.start(&["--tls-cert", &cert, "--tls-key", &key])?;
    assert!(server.url().starts_with("https://127.0.0.1:"), "{}", server.url());

    let oo = |url: &str, args: &[&str]| {
        let mut oo = home.command("oo")?;
        oo.args(args).env("OO_URL", url);
        anyhow::Ok(oo)
    };
    let login = run(
        oo(server.url(), &["--ca-file", &cert, "login", "admin"])?,
        &home.password()?,
    )?;
    assert_eq!(login.code, 0, "{}", login.err);
    let saved = run(
        oo(server.url(), &["secret", "save", "A", "-", "--ca-file", &cert])?,
        "over TLS",
    )?;
    assert_eq!(saved.code, 0, "{}", saved.err);
    let mut list = oo(server.url(), &["secret", "list", "--show"])?;
    list.env("OO_CA_FILE", &cert);
    let listed = run(list, "")?;
    assert!(
        listed.code == 0 && listed.out.contains("value: \"over TLS\""),
        "{} {}",
        listed.out,
        listed.err
    );

    let distrusted = run(oo(server.url(), &["secret", "list"])?, "")?;
    assert_eq!(
        (distrusted.code, distrusted.out.as_str()),
        (1, ""),
        "{}",
        distrusted.err
    );
    let plain = server.url().replace("https://", "http://");
    let login = run(oo(&plain, &["login", "admin"])?, &home.password()?)?;
    assert_eq!(
        login.code, 1,
        "the password of a plain HTTP request is not taken: {}",
        login.err
    );

    let said = refusal(home.up(&["--tls-cert", &cert])?)?;
    assert!(
        said.contains("--tls-cert and --tls-key belong together"),
        "{said}"
    );
    Ok(())
}
