//! `strongroom doctor` finds what was made wrong, and nothing in an installation that is in order; completions and manual
//! pages cover every command.

#![cfg(test)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strongroom_e2e::{Caller, World, run, surface};

/// What the doctor finds with `args`; it must end with the code that belongs to that.
fn found(world: &World, caller: &Caller, args: &[&str]) -> Result<Vec<String>> {
    let mut command = world.home.command("strongroom")?;
    command
        .args(["doctor", "--output", "json", "--data"])
        .arg(world.home.data())
        .args(args)
        .env("STRONGROOM_ADDR", world.server.url())
        .env("STRONGROOM_TOKEN", caller.token());
    let ended = run(command, "")?;
    let mut checks = Vec::new();
    for line in ended.out.lines() {
        let finding: Value = serde_json::from_str(line)?;
        ensure!(
            !finding["remedy"].as_str().context("a remedy")?.is_empty(),
            "{line}"
        );
        checks.push(finding["check"].as_str().context("a check")?.to_owned());
    }
    let code = if checks.is_empty() { 0 } else { 3 };
    ensure!(ended.code == code, "{} {}{}", ended.code, ended.out, ended.err);
    Ok(checks)
}

#[tokio::test]
async fn each_fault_is_found_with_its_remedy_and_can_be_left_out() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, alice) = (world.admin().await?, world.user("alice").await?);
    // A first start has two things to be done, and no more.
    assert_eq!(found(&world, &admin, &[])?, ["initial-password", "key-file-only"]);
    let state = world.home.path().join(".local/state/strongroom");
    for entry in fs::read_dir(&state)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "password") {
            fs::remove_file(path)?;
        }
    }
    let known = ["--ignore", "key-file-only"];
    assert_eq!(found(&world, &admin, &known)?, [""; 0]);
    assert_eq!(
        found(&world, &alice, &known)?,
        [""; 0],
        "also for those who are no admins"
    );

    let old = json!({"name": "alice/old", "value": "v", "care": {"expires": 1000}, "lists": {"readers": ["alice", "nobody-yet"]}});
    ensure!(alice.native("secrets/put", &old).await?.status == 200);
    assert_eq!(found(&world, &admin, &known)?, ["overdue", "reserved"]);
    assert_eq!(found(&world, &alice, &known)?, ["overdue"]);

    let data = world.home.data();
    fs::set_permissions(&data, Permissions::from_mode(0o755))?;
    let config = world.home.path().join(".config/strongroom");
    let key = fs::read_dir(&config)?.next().context("a key file")??.path();
    fs::set_permissions(&key, Permissions::from_mode(0o644))?;
    assert_eq!(
        found(&world, &admin, &["--offline", "--ignore", "key-file-only"])?,
        ["permissions", "permissions"]
    );
    fs::set_permissions(&data, Permissions::from_mode(0o700))?;
    fs::set_permissions(&key, Permissions::from_mode(0o600))?;

    let (aside, slots) = (key.with_extension("aside"), data.join("slots.bak"));
    fs::rename(&key, &aside)?;
    assert_eq!(found(&world, &admin, &["--offline"])?, ["slots", "key-file-only"]);
    fs::rename(&aside, &key)?;
    let bytes = fs::read(&slots)?;
    fs::write(&slots, "no slots")?;
    assert_eq!(found(&world, &admin, &["--offline"])?, ["slots"]);
    fs::write(&slots, bytes)?;
    fs::remove_file(data.join("reserve"))?;
    assert_eq!(
        found(&world, &admin, &["--offline", "--ignore", "key-file-only"])?,
        ["disk"]
    );

    // Where nothing is, and where nobody answers.
    let mut nowhere = world.home.command("strongroom")?;
    nowhere.args(["doctor", "--offline", "--data", "/nowhere"]);
    assert_eq!(run(nowhere, "")?.code, 1);
    let mut unanswered = world.home.command("strongroom")?;
    unanswered
        .args(["doctor"])
        .env("STRONGROOM_ADDR", "http://127.0.0.1:1")
        .env("STRONGROOM_TOKEN", "x");
    let ended = run(unanswered, "")?;
    ensure!(
        ended.code == 1 && ended.err.contains("--offline"),
        "{}",
        ended.err
    );
    Ok(())
}

#[test]
fn completions_and_manual_pages_cover_every_command() -> Result<()> {
    let home = strongroom_testkit::Home::new()?;
    for (shell, program) in [("bash", "strongroom"), ("zsh", "oo"), ("fish", "strongroom")] {
        let mut command = home.command("strongroom")?;
        command.args(["completions", shell, "--program", program]);
        let ended = run(command, "")?;
        ensure!(
            ended.code == 0 && ended.out.contains(program),
            "{shell}: {}",
            ended.err
        );
        if shell == "bash" {
            let script = home.path().join("completions.bash");
            fs::write(&script, ended.out)?;
            let mut bash = Command::new("bash");
            let probe = "source \"$0\"; COMP_WORDS=(strongroom secret r); COMP_CWORD=2; _strongroom strongroom r secret; printf '%s ' \"${COMPREPLY[@]}\"";
            bash.args(["-c", probe]).arg(&script);
            let completed = run(bash, "")?;
            ensure!(
                completed.out.contains("rollback") && completed.out.contains("rm"),
                "{}{}",
                completed.out,
                completed.err
            );
        }
    }
    let pages = home.path().join("man1");
    let mut command = home.command("strongroom")?;
    command.arg("manual").arg(&pages);
    let ended = run(command, "")?;
    ensure!(ended.code == 0, "{}", ended.err);
    for name in surface::commands() {
        let page = fs::read_to_string(pages.join(format!("{}.1", name.replace(' ', "-"))))
            .with_context(|| name.clone())?;
        ensure!(page.contains(".TH ") && page.contains("SYNOPSIS"), "{name}");
    }
    Ok(())
}
