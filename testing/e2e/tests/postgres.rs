//! The server on a real PostgreSQL.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};
use strongroom_e2e::{refusal, run};
use strongroom_testkit::{Home, Postgres, Server};

/// The value of the only secret that `server` shows to the administrator of `home`.
async fn value(home: &Home, server: &Server) -> Result<Value> {
    let token = server.login("admin", &home.password()?).await?;
    let (status, reply) = server
        .call("POST", "/secret-svc/secrets", &token, &json!({}))
        .await?;
    assert_eq!(status, 200, "{reply}");
    Ok(reply.pointer("/secrets/0/value").cloned().unwrap_or_default())
}

async fn save(home: &Home, server: &Server, value: &str) -> Result<()> {
    let token = server.login("admin", &home.password()?).await?;
    let body = json!({"secrets": [{"id": "KEPT", "value": value}]});
    let (status, reply) = server.call("PUT", "/secret-svc/secrets", &token, &body).await?;
    assert_eq!(status, 200, "{reply}");
    Ok(())
}

/// A password for the user of `postgres`, as the server asks for it from now on over TCP.
fn require_password(postgres: &Postgres, password: &str) -> Result<()> {
    postgres.sql(
        "postgres",
        &format!("ALTER USER strongroom PASSWORD '{password}'"),
    )?;
    postgres.ask_for_passwords()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_runs_on_postgresql() -> Result<()> {
    let postgres = Postgres::start("")?;
    require_password(&postgres, "n0t-in-argv")?;
    let database = postgres.database()?;
    let url = Postgres::url_through(postgres.port(), &database);
    let home = Home::new()?;
    let password = home.path().join("db-password");
    fs::write(&password, "n0t-in-argv\n")?;
    let flags = [
        "--storage",
        &url,
        "--storage-password-file",
        password.to_str().unwrap(),
    ];

    let said = refusal(home.up(&["--storage", &url])?)?;
    assert!(said.contains("cannot use the database"), "{said}");
    let mut server = home.start(&flags)?;
    save(&home, &server, "first").await?;
    server.kill()?;
    let server = home.start(&flags)?;
    assert_eq!(value(&home, &server).await?, "first");
    save(&home, &server, "second").await?;
    assert!(server.stop()?.success());
    assert!(!home.data().join("strongroom.redb").exists());

    let mut verify = home.command("strongroom")?;
    verify.args(["audit", "verify"]).arg(home.data().join("ledger"));
    verify.arg("--key").arg(home.data().join("ledger.vkey"));
    let verified = run(verify, "")?;
    assert_eq!(verified.code, 0, "{}", verified.err);
    let mut scrub = home.command("strongroom")?;
    scrub
        .args(["operator", "scrub", "--data"])
        .arg(home.data())
        .args(flags);
    let scrubbed = run(scrub, "")?;
    assert_eq!(scrubbed.code, 0, "{} {}", scrubbed.out, scrubbed.err);

    let server = home.start(&flags)?;
    assert_eq!(value(&home, &server).await?, "second");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_kind_of_storage_is_not_taken_for_the_other() -> Result<()> {
    let postgres = Postgres::start("")?;
    let url = postgres.url(&postgres.database()?);
    let (embedded, shared) = (Home::new()?, Home::new()?);
    assert!(embedded.start(&[])?.stop()?.success());
    let said = refusal(embedded.up(&["--storage", &url])?)?;
    assert!(said.contains("has a storage of its own"), "{said}");
    assert!(shared.start(&["--storage", &url])?.stop()?.success());
    let said = refusal(shared.up(&[])?)?;
    assert!(said.contains("give the --storage that it had"), "{said}");
    let other = postgres.url(&postgres.database()?);
    let said = refusal(shared.up(&["--storage", &other])?)?;
    assert!(said.contains("give the --storage that it had"), "{said}");
    let said = refusal(shared.up(&["--storage", "postgres://strongroom:hunter2@h/db"])?)?;
    assert!(
        said.contains("--storage-password-file") && !said.contains("hunter2"),
        "{said}"
    );
    assert!(shared.start(&["--storage", &url])?.stop()?.success());
    Ok(())
}
