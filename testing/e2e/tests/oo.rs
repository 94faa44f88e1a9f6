//! `oo` against the real server.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use strongroom_e2e::{Ended, PASSWORD, World, run};
use strongroom_testkit::program;

/// Runs `oo` for the server of `world`; what is logged in is what the last `oo login` said.
fn oo(world: &World, args: &[&str], stdin: &str) -> Result<Ended> {
    run(world.oo(args)?, stdin)
}

/// It is done, and says `out` and no word more.
#[track_caller]
fn done(ended: Ended, out: &str) {
    assert_eq!(
        ended,
        Ended {
            code: 0,
            out: out.to_owned(),
            err: String::new()
        }
    );
}

/// It fails with `err`, and prints no result.
#[track_caller]
fn failed(ended: Ended, err: &str) {
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{}", ended.err);
    assert!(
        ended.err.starts_with("Error: ") && ended.err.contains(err),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn an_administrators_day() -> Result<()> {
    let world = World::new(&[])?;
    let password = world.home.password()?;
    failed(oo(&world, &["secret", "list"], "")?, "nobody is logged in");
    failed(
        oo(&world, &["login", "admin"], "a wrong password\n")?,
        "wrong slug or password",
    );
    failed(oo(&world, &["whoami"], "")?, "nobody is logged in");
    done(oo(&world, &["login"], &format!("admin\n{password}\n"))?, "");
    for whoami in [&["whoami"][..], &["user", "whoami"]] {
        let ended = oo(&world, whoami, "")?;
        assert!(
            ended.out.starts_with("slug: \"admin\"\nid: \"usr-"),
            "{}",
            ended.out
        );
        assert!(
            ended
                .out
                .ends_with("roles: [\"user-svc:user\", \"user-svc:admin\"]\n"),
            "{}",
            ended.out
        );
    }
    done(oo(&world, &["secret", "is-secure"], "")?, "Service is secure.\n");
    done(
        oo(&world, &["secret", "list"], "")?,
        "SECRET ID   APP   KEY   LENGTH   VALUE\n",
    );
    done(oo(&world, &["secret", "list", "--show"], "")?, "[]\n");

    done(oo(&world, &["secret", "save", "DB_URL", "postgres://x"], "")?, "");
    done(
        oo(
            &world,
            &["secret", "save", "web/KEY", "-"],
            "line one\nline two\n",
        )?,
        "",
    );
    done(oo(&world, &["s", "save", "web/EMPTY", ""], "")?, "");
    done(
        oo(&world, &["secret", "list"], "")?,
        "SECRET ID   APP       KEY         LENGTH   VALUE\n\
         DB_URL      unnamed   DB_URL      12       ************\n\
         web/EMPTY   unnamed   web/EMPTY   0        \n\
         web/KEY     unnamed   web/KEY     17       *****************\n",
    );
    for (pattern, shown) in [
        ("DB_URL", 1),
        ("KEY", 1),
        ("web", 2),
        ("web/*", 2),
        ("*/KEY", 1),
        ("nothing", 0),
        ("w*E*Y", 2),
    ] {
        let listed = oo(&world, &["secret", "list", pattern], "")?;
        assert_eq!(listed.out.lines().count() - 1, shown, "{pattern}: {}", listed.out);
    }
    assert_eq!(
        oo(&world, &["secret", "list", "-n", "web"], "")?
            .out
            .lines()
            .count(),
        3
    );
    let shown = oo(&world, &["secret", "list", "web/KEY", "--show"], "")?;
    let lists = "  readers: []\n  writers: []\n  deleters: []\n  canChangeReaders: []\n  canChangeWriters: []\n  canChangeDeleters: []\n";
    done(
        shown,
        &format!("- id: \"web/KEY\"\n  key: \"web/KEY\"\n  value: \"line one\\nline two\"\n{lists}"),
    );

    done(
        oo(
            &world,
            &[
                "secret",
                "remove",
                "--key",
                "DB_URL",
                "--id",
                "web/EMPTY",
                "--key",
                "never-was",
            ],
            "",
        )?,
        "",
    );
    assert_eq!(world.admin().await?.list(json!({})).await?.names(), ["web/KEY"]);
    Ok(())
}

#[tokio::test]
async fn a_users_day() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice) = (world.admin().await?, world.user("alice").await?);
    admin.save_value("DB_URL", "admin's").await?;
    done(oo(&world, &["login", "alice"], &format!("{PASSWORD}\n"))?, "");
    let saved = oo(&world, &["secret", "save", "DB_URL", "mine"], "")?;
    assert_eq!((saved.code, saved.out.as_str()), (0, ""));
    assert_eq!(
        saved.err,
        "Saved as `alice/DB_URL`: `DB_URL` is not yours to write.\n"
    );
    assert_eq!(alice.value("alice/DB_URL").await?.as_deref(), Some("mine"));
    assert_eq!(admin.value("DB_URL").await?.as_deref(), Some("admin's"));

    failed(
        oo(&world, &["secret", "save", "alice/..", "v"], "")?,
        "`.` or `..`",
    );
    failed(
        oo(&world, &["secret", "remove", "-k", "DB_URL"], "")?,
        "(403): you may not delete `DB_URL`",
    );
    failed(
        oo(
            &world,
            &["secret", "save", "alice/BIG", "-"],
            &"v".repeat((1 << 20) + 1),
        )?,
        "(413)",
    );
    assert_eq!(alice.list(json!({})).await?.names(), ["alice/DB_URL"]);

    // A token from outside, for scripts.
    let token = oo(&world, &["token"], "")?.out;
    let mut whoami = world.oo(&["whoami"])?;
    whoami
        .env("HOME", "/nonexistent")
        .env("OO_TOKEN", token.trim_end());
    assert!(run(whoami, "")?.out.starts_with("slug: \"alice\"\n"));
    let mut whoami = world.oo(&["whoami"])?;
    whoami.env("OO_TOKEN", "a.made-up.token");
    failed(run(whoami, "")?, "(401)");
    Ok(())
}

#[test]
fn without_a_server_it_says_so() -> Result<()> {
    let world = World::new(&[])?;
    done(oo(&world, &["login", "admin"], &world.home.password()?)?, "");
    let list = world.oo(&["secret", "list"])?;
    assert!(world.server.stop()?.success());
    let ended = run(list, "")?;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(ended.err.contains("strongroom up"), "{}", ended.err);
    Ok(())
}

#[test]
fn environments_keep_their_logins_apart() -> Result<()> {
    let (here, there) = (World::new(&[])?, World::new(&[])?);
    let oo = |args: &[&str], stdin: &str| {
        let mut oo = here.home.command("oo")?;
        oo.args(args);
        run(oo, stdin)
    };
    done(oo(&["env", "add", "here", here.server.url()], "")?, "");
    done(oo(&["login", "admin"], &here.home.password()?)?, "");
    done(oo(&["secret", "save", "A", "here"], "")?, "");
    done(
        oo(&["env", "add", "there", there.server.url(), "the other one"], "")?,
        "",
    );
    done(oo(&["env", "current"], "")?, "there\n");
    failed(oo(&["secret", "list"], "")?, "nobody is logged in to `there`");
    done(oo(&["login", "admin"], &there.home.password()?)?, "");
    assert_eq!(oo(&["secret", "list"], "")?.out.lines().count(), 1);
    assert_eq!(oo(&["-e", "here", "secret", "list"], "")?.out.lines().count(), 2);
    let listed = oo(&["env", "list"], "")?.out;
    let reachable = listed.lines().filter(|line| line.ends_with("true")).count();
    assert!(reachable == 2 && listed.contains("the other one"), "{listed}");
    done(oo(&["env", "select", "here"], "")?, "");
    done(oo(&["env", "remove", "there"], "")?, "");
    failed(
        oo(&["env", "select", "there"], "")?,
        "there is no environment `there`",
    );
    failed(oo(&["env", "remove", "here"], "")?, "`here` is selected");
    Ok(())
}

#[test]
fn the_commands_of_the_greeting_work_as_they_are_pasted() -> Result<()> {
    for flags in [&[][..], &["--admin-slug", "root-of-all"]] {
        let home = strongroom_testkit::Home::new()?;
        let mut up = home.up(flags)?;
        // The program is called by its path, as nothing is installed yet.
        std::os::unix::process::CommandExt::arg0(&mut up, program()?);
        let server = strongroom_testkit::Server::start(up)?;
        let (_, commands) = server
            .greeting()
            .split_once("Try it, in another terminal:\n\n")
            .context("it teaches")?;
        let mut shell = Command::new("sh");
        shell
            .args(["-e", "-c", commands])
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin");
        let ended = run(shell, "")?;
        assert_eq!(ended.code, 0, "{commands}\n{}", ended.err);
        assert!(
            ended.out.starts_with("- id: \"GREETING\"\n") && ended.out.contains("value: \"hello\"\n"),
            "{}",
            ended.out
        );
        assert_eq!(ended.err, "");
    }
    Ok(())
}

#[test]
fn the_name_is_installed_as_a_link() -> Result<()> {
    let world = World::new(&[])?;
    let bin = world.home.path().join("bin");
    let mut install = world.home.command("strongroom")?;
    install.args(["names", "install"]).arg(&bin);
    let ended = run(install, "")?;
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    assert!(ended.err.contains("PATH="), "{}", ended.err);
    assert_eq!(std::fs::read_link(bin.join("oo"))?, program()?);
    let mut oo = Command::new(bin.join("oo"));
    oo.env_clear()
        .env("HOME", world.home.path())
        .env("OO_URL", world.server.url())
        .args(["login", "admin"]);
    done(run(oo, &world.home.password()?)?, "");
    Ok(())
}
