//! `strongroom server`, and the commands and routes that make, open, close and recover its instance.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strongroom_e2e::{Caller, Ended, Reply, World, eventually, files_below, ledger, run};
use strongroom_testkit::Home;

const STATUS: &str = "GET /strongroom/v1/operator/status";
/// Whatever the state of a house, these say it, one for each dialect.
const REFUSED: [&str; 4] = [
    "POST /secret-svc/secrets",
    "POST /user-svc/login",
    "POST /strongroom/v1/login",
    "GET /strongroom/v1/whoami",
];

/// An instance that `operator init` made.
struct Made {
    world: World,
    shares: Vec<String>,
    root_token: String,
}

impl Made {
    /// A new instance with 5 shares, of which 3 open it, and further `slots`; one secret is in it.
    async fn new(slots: &[&str]) -> Result<Self> {
        let home = Home::new()?;
        let server = home.serve(&[])?;
        let world = World::of(home, server);
        let request = json!({"shares": 5, "threshold": 3, "slots": slots});
        let reply = world.stranger()?.native("operator/init", &request).await?;
        ensure!(reply.status == 200, "{}", reply.text);
        let said = reply.json();
        let shares = said["shares"].as_array().context("shares")?;
        let made = Self {
            shares: shares
                .iter()
                .map(|share| share.as_str().unwrap().to_owned())
                .collect(),
            root_token: said["root_token"].as_str().context("a token")?.to_owned(),
            world,
        };
        ensure!(made.admin()?.save_value("KEPT", "kept").await?.status == 200);
        Ok(made)
    }

    fn admin(&self) -> Result<Caller> {
        Ok(self.world.stranger()?.with(&self.root_token))
    }

    /// Stops the server well and starts it again.
    fn restart(&mut self) -> Result<()> {
        self.world.server.terminate()?;
        ensure!(self.world.server.wait()?.success());
        self.world.server = self.world.home.serve(&[])?;
        Ok(())
    }

    /// One share, or whatever `text` is, given by somebody else.
    async fn give(&self, text: &str) -> Result<Reply> {
        let giver = self.world.stranger()?;
        giver.native("operator/unseal", &json!({ "share": text })).await
    }

    async fn unseal(&self) -> Result<()> {
        for share in &self.shares[..3] {
            ensure!(self.give(share).await?.status == 200);
        }
        Ok(())
    }

    async fn status(&self) -> Result<Value> {
        Ok(self.world.stranger()?.send(STATUS, "").await?.json())
    }

    async fn is_sealed(&self) -> Result<bool> {
        Ok(self.status().await?["sealed"] == json!(true))
    }

    /// The instance is open and whole.
    async fn is_whole(&self) -> Result<()> {
        assert!(!self.is_sealed().await?);
        let metrics = self.world.stranger()?.send("GET /metrics", "").await?.text;
        assert!(metrics.contains("\nstrongroom_sealed 0\n"), "{metrics}");
        assert_eq!(self.admin()?.value("KEPT").await?, Some("kept".to_owned()));
        Ok(())
    }

    /// Stops the server, verifies its ledger offline, and gives the leaves.
    fn leaves(mut self) -> Result<Vec<Value>> {
        self.world.server.terminate()?;
        ensure!(self.world.server.wait()?.success());
        let data = self.world.home.data();
        let mut verify = self.world.home.command("strongroom")?;
        verify
            .args(["audit", "verify"])
            .arg(data.join("ledger"))
            .arg("--key")
            .arg(data.join("ledger.vkey"));
        let verified = run(verify, "")?;
        assert_eq!(verified.code, 0, "{}", verified.err);
        ledger::leaves(&data.join("ledger"))
    }

    /// `strongroom operator …` against this server.
    fn operator(&self, args: &[&str], stdin: &str) -> Result<Ended> {
        operator(&self.world, &self.root_token, args, stdin)
    }
}

fn operator(world: &World, token: &str, args: &[&str], stdin: &str) -> Result<Ended> {
    let mut command = world.home.command("strongroom")?;
    command
        .arg("operator")
        .args(args)
        .env("STRONGROOM_ADDR", world.server.url())
        .env("STRONGROOM_TOKEN", token);
    run(command, stdin)
}

/// A share as Vault prints them, of no set: 32 bytes, and the number `x`.
fn vault_share(x: u8) -> String {
    format!("{}{x:02x}", "5a".repeat(32))
}

async fn is_refused(caller: &Caller, kind: &str, says: &str) -> Result<()> {
    for call in REFUSED {
        let reply = caller.send(call, "{}").await?;
        assert_eq!(reply.status, 503, "{call}: {}", reply.text);
        if call.contains("/strongroom/") {
            assert_eq!(reply.error_kind(), kind, "{call}");
            assert!(reply.text.contains(says), "{call}: {}", reply.text);
        } else {
            assert!(reply.error()?.contains(says), "{call}: {}", reply.text);
        }
    }
    assert!(
        caller
            .send("GET /metrics", "")
            .await?
            .text
            .contains("\nstrongroom_sealed 1\n")
    );
    assert_eq!(caller.send("GET /healthz", "").await?.status, 200);
    assert_eq!(caller.send("GET /readyz", "").await?.status, 503);
    Ok(())
}

#[tokio::test]
async fn from_init_through_a_sealed_restart_to_a_working_instance() -> Result<()> {
    let home = Home::new()?;
    let server = home.serve(&[])?;
    assert!(
        server
            .greeting()
            .contains("operator init --shares 5 --threshold 3")
    );
    let world = World::of(home, server);
    is_refused(&world.stranger()?, "not_initialized", "strongroom operator init").await?;
    let status = operator(&world, "", &["status"], "")?;
    assert!(
        status.out.starts_with("There is no instance yet"),
        "{}",
        status.out
    );

    let init = operator(&world, "", &["init", "--shares", "4", "--threshold", "3"], "")?;
    assert_eq!(init.code, 0, "{}", init.err);
    let said = |word: &str| -> Vec<String> {
        let lines = init.out.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(|rest| rest.trim().to_owned()).collect()
    };
    let (shares, tokens, passwords) = (said("share "), said("root token "), said("password "));
    assert_eq!(
        (shares.len(), tokens.len(), passwords.len()),
        (4, 1, 1),
        "{}",
        init.out
    );
    let again = operator(&world, "", &["init"], "")?;
    assert!(
        again.code == 1 && again.err.contains("there is an instance here already"),
        "{}",
        again.err
    );
    assert!(
        !world.home.path().join(".config").exists(),
        "no key file is made unasked"
    );
    assert!(
        !world.home.path().join(".local/state/strongroom").exists(),
        "no password file either"
    );

    let mut made = Made {
        world,
        shares,
        root_token: tokens[0].clone(),
    };
    assert_eq!(made.admin()?.save_value("KEPT", "kept").await?.status, 200);
    let reply = made.world.stranger()?.log_in("admin", &passwords[0]).await?;
    assert_eq!(reply.status, 200, "the password works, too: {}", reply.text);

    made.restart()?;
    assert!(
        made.world.server.greeting().contains("operator unseal"),
        "{}",
        made.world.server.greeting()
    );
    is_refused(&made.admin()?, "sealed", "strongroom operator unseal").await?;
    for (number, share) in (1..).zip(&made.shares[1..]) {
        // Each from a process, and so a connection, of its own.
        let unseal = made.operator(&["unseal"], &format!("{share}\n"))?;
        assert_eq!(unseal.code, 0, "{}", unseal.err);
        let told = match number {
            3 => "The seal is open.".to_owned(),
            _ => format!("Slot 1: {number} of 3 shares are given."),
        };
        assert!(unseal.out.contains(&told), "{}", unseal.out);
    }
    assert_eq!(made.world.stranger()?.send("GET /readyz", "").await?.status, 200);
    made.is_whole().await?;
    let status = made.operator(&["status", "--output", "json"], "")?;
    let status: Value = serde_json::from_str(&status.out)?;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        status,
        json!({"initialized": true, "sealed": false, "progress": [], "version": version, "problems": []})
    );

    let leaves = made.leaves()?;
    let ops: Vec<_> = leaves.iter().map(|leaf| ledger::text(leaf, "op")).collect();
    for op in [
        "instance.create",
        "instance.init",
        "secret.list",
        "seal.unseal",
        "seal.open",
        "secret.save",
    ] {
        assert!(ops.contains(&op), "{op} is not in {ops:?}");
    }
    Ok(())
}

#[tokio::test]
async fn shares_that_do_not_fit_are_told_apart_but_not_which_of_a_set() -> Result<()> {
    let mut made = Made::new(&[]).await?;
    let other = Made::new(&[]).await?;
    made.restart()?;
    let [first, second, third, ..]: [String; 5] = made.shares.clone().try_into().unwrap();
    assert_eq!(
        made.give(&first).await?.json()["progress"],
        json!([{"slot": 1, "given": 1, "needed": 3}])
    );
    // One letter, and not one of the prefix.
    let (before, letter, after) = (&first[..20], &first[20..21], &first[21..]);
    let mistyped = format!("{before}{}{after}", if letter == "a" { "b" } else { "a" });
    for (text, says) in [
        (other.shares[0].as_str(), "of another set"),
        (first.as_str(), "was given before"),
        (&second[..40], "cut short"),
        (&mistyped, "checksum is wrong"),
        ("open sesame", "this is no share"),
        ("", "this is no share"),
    ] {
        let reply = made.give(text).await?;
        assert_eq!(
            (reply.status, reply.error_kind()),
            (400, "invalid".to_owned()),
            "{text}"
        );
        assert!(reply.text.contains(says), "{}", reply.text);
        assert!(text.is_empty() || !reply.text.contains(text), "{}", reply.text);
    }
    for body in [
        json!({}),
        json!({"share": first, "reset": true}),
        json!({"share": 7}),
        json!([]),
    ] {
        let reply = made.world.stranger()?.native("operator/unseal", &body).await?;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
    }
    let in_url = format!("POST /strongroom/v1/operator/unseal?token={}", made.root_token);
    let reply = made
        .world
        .stranger()?
        .ask(&in_url, &json!({ "share": second }))
        .await?;
    assert_eq!(
        reply.status, 503,
        "nobody can tell yet whose token it is: {}",
        reply.text
    );

    // Nobody can tell which of them is wrong.
    assert_eq!(made.give(&second).await?.status, 200);
    let mut wrong = made.give(&vault_share(77)).await?;
    // A share of the set may have this number: then it is another one's.
    for x in 78..80 {
        if wrong.text.contains("was given before") {
            wrong = made.give(&vault_share(x)).await?;
        }
    }
    assert_eq!(wrong.status, 400);
    assert!(
        wrong.text.contains("begin again with the first share"),
        "{}",
        wrong.text
    );
    assert_eq!(made.status().await?["progress"][0]["given"], 0);

    // And back to the beginning on purpose.
    made.give(&first).await?;
    made.give(&third).await?;
    let reset = made.operator(&["unseal", "--reset"], "")?;
    assert!(
        reset.out.contains("Slot 1: 0 of 3 shares are given."),
        "{}{}",
        reset.out,
        reset.err
    );
    made.unseal().await?;
    made.is_whole().await?;
    let more = made.give(&second).await?;
    assert_eq!(
        more.json()["sealed"],
        false,
        "an open one takes no share: {}",
        more.text
    );
    made.leaves()?;
    Ok(())
}

#[tokio::test]
async fn attempts_by_the_hundreds_are_throttled_and_recorded() -> Result<()> {
    let mut made = Made::new(&[]).await?;
    made.restart()?;
    made.give(&made.shares[0]).await?;
    let guesser = made.world.stranger()?;
    let (mut refused, mut throttled) = (0, 0);
    for x in 0..400_u32 {
        let guess = json!({ "share": format!("{}{:02x}", "5a".repeat(32), x % 250 + 1).replace("5a5a", &format!("{x:04x}")) });
        match guesser.native("operator/unseal", &guess).await?.status {
            429 => throttled += 1,
            _ => refused += 1,
        }
    }
    // Shares in Vault's form may be of any set, so that every third shows that they are of none.
    assert!(
        refused <= 90 && throttled >= 310,
        "{refused} were looked at, {throttled} were not"
    );
    let reset = json!({"reset": true});
    made.world.stranger()?.native("operator/unseal", &reset).await?;
    made.unseal().await?;
    made.is_whole().await?;
    let leaves = made.leaves()?;
    let unseals = leaves
        .iter()
        .filter(|leaf| ledger::text(leaf, "op") == "seal.unseal")
        .count();
    let counted = leaves.iter().filter_map(|leaf| leaf["n"].as_u64()).sum::<u64>();
    assert!(unseals > 5, "{unseals}");
    assert!(
        unseals as u64 + counted >= 400,
        "{unseals} have leaves and {counted} are counted"
    );
    Ok(())
}

#[tokio::test]
async fn sealing_closes_every_dialect_and_what_came_meanwhile_is_in_the_ledger() -> Result<()> {
    let made = Made::new(&[]).await?;
    let alice = {
        let reply = made.world.stranger()?.native("operator/seal", &json!({})).await?;
        assert_eq!(
            (reply.status, reply.error_kind()),
            (401, "unauthenticated".to_owned())
        );
        assert!(!made.is_sealed().await?);
        made.admin()?
    };
    let sealed = made.operator(&["seal"], "")?;
    assert_eq!(
        (sealed.code, sealed.out.as_str()),
        (0, "The server is sealed.\n"),
        "{}",
        sealed.err
    );
    is_refused(&alice, "sealed", "strongroom operator unseal").await?;
    let caller = made.world.stranger()?;
    let seen = caller.list(json!({})).await?;
    let id = seen.id().context("an id")?.to_owned();
    let again = made.operator(&["seal"], "")?;
    assert!(again.code == 1 && again.err.contains("sealed"), "{}", again.err);
    assert!(made.is_sealed().await?);

    made.unseal().await?;
    made.is_whole().await?;
    // And once more, so that a second round goes on where the first one ended.
    assert_eq!(
        made.admin()?.native("operator/seal", &json!({})).await?.status,
        200
    );
    made.unseal().await?;
    made.is_whole().await?;

    let leaves = made.leaves()?;
    let leaf = leaves
        .iter()
        .find(|leaf| ledger::text(leaf, "id") == id)
        .context("its leaf")?;
    assert_eq!(
        (ledger::text(leaf, "op"), ledger::text(leaf, "outcome")),
        ("secret.list", "unavailable")
    );
    assert!(
        leaf.get("c").is_none() && leaf.get("sealed").is_none(),
        "nothing sensitive: {leaf}"
    );
    let of = |op: &str| {
        leaves
            .iter()
            .filter(|leaf| ledger::text(leaf, "op") == op)
            .count()
    };
    assert_eq!(
        (of("seal.close"), of("seal.open")),
        (3, 2),
        "one stranger's, two admins'"
    );
    Ok(())
}

#[tokio::test]
async fn a_server_killed_while_it_is_unsealed_starts_again_from_the_first_share() -> Result<()> {
    let mut made = Made::new(&[]).await?;
    for _ in 0..2 {
        made.world.server.kill()?;
        made.world.server = made.world.home.serve(&[])?;
        made.give(&made.shares[3]).await?;
        made.give(&made.shares[4]).await?;
        assert_eq!(made.status().await?["progress"][0]["given"], 2);
    }
    made.world.server.kill()?;
    made.world.server = made.world.home.serve(&[])?;
    assert_eq!(
        made.status().await?["progress"][0]["given"],
        0,
        "shares are in memory only"
    );
    made.unseal().await?;
    made.is_whole().await?;
    let leaves = made.leaves()?;
    let unseals = leaves
        .iter()
        .filter(|leaf| ledger::text(leaf, "op") == "seal.unseal");
    assert_eq!(unseals.count(), 7, "what was recorded before each kill is there");
    Ok(())
}

fn key_file(home: &Home) -> Result<PathBuf> {
    let mut files = files_below(&home.path().join(".config/strongroom"))?;
    files.pop().context("there is a key file")
}

#[tokio::test]
async fn a_key_file_opens_a_server_by_itself_also_when_it_comes_late() -> Result<()> {
    let mut made = Made::new(&["key-file"]).await?;
    made.restart()?;
    made.is_whole().await?;

    let (path, aside) = (key_file(&made.world.home)?, made.world.home.path().join("aside"));
    fs::rename(&path, &aside)?;
    made.restart()?;
    is_refused(&made.world.stranger()?, "sealed", "strongroom operator unseal").await?;
    let status = made.operator(&["status"], "")?;
    let file = path.display().to_string();
    assert!(
        status
            .out
            .contains("It does not open by itself: slot 2 (the key file)")
            && status.out.contains(&file),
        "{}",
        status.out
    );
    assert!(made.world.server.log().contains(&file), "the log says it, too");
    fs::rename(&aside, &path)?;
    eventually("the seal is open", || {
        let status = made.operator(&["status"], "")?;
        Ok(status.out.contains("The seal is open.").then_some(()))
    })?;
    made.is_whole().await?;

    // Whoever seals it does not want it to open by itself.
    assert_eq!(
        made.admin()?.native("operator/seal", &json!({})).await?.status,
        200
    );
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(made.is_sealed().await?);
    made.unseal().await?;
    made.is_whole().await?;
    let other = Made::new(&["key-file"]).await?;
    fs::copy(key_file(&other.world.home)?, &path)?;
    made.restart()?;
    let status = made.operator(&["status"], "")?;
    assert!(
        status.out.contains("it does not open this slot"),
        "{}",
        status.out
    );
    made.unseal().await?;
    made.is_whole().await?;
    made.leaves()?;
    Ok(())
}

#[tokio::test]
async fn a_passphrase_opens_the_seal_and_guesses_are_slowed_down() -> Result<()> {
    let mut made = Made::new(&[]).await?;
    let added = made.operator(&["slots", "add", "passphrase"], "a passphrase of some length\n")?;
    assert_eq!(added.code, 0, "{}", added.err);
    made.restart()?;
    let wrong = made.operator(&["unseal", "--passphrase"], "another one of some length\n")?;
    assert!(
        wrong.code == 1 && wrong.err.contains("opens no seal slot"),
        "{}",
        wrong.err
    );
    assert!(!wrong.err.contains("another one"), "{}", wrong.err);
    let right = made.operator(&["unseal", "--passphrase"], "a passphrase of some length\n")?;
    assert!(
        right.out.contains("The seal is open."),
        "{}{}",
        right.out,
        right.err
    );
    made.is_whole().await?;
    made.leaves()?;
    Ok(())
}

#[tokio::test]
async fn enough_shares_give_a_new_root_token() -> Result<()> {
    let made = Made::new(&[]).await?;
    let told = made.operator(&["generate-root"], &made.shares[0])?;
    assert_eq!(told.out, "Slot 1: 1 of 3 shares are given.\n", "{}", told.err);
    let cancelled = made.operator(&["generate-root", "--cancel"], "")?;
    assert_eq!(
        cancelled.out, "The shares so far are forgotten.\n",
        "{}",
        cancelled.err
    );
    let other = Made::new(&[]).await?;
    let foreign = made.operator(&["generate-root"], &other.shares[0])?;
    assert!(
        foreign.code == 1 && foreign.err.contains("of another set"),
        "{}",
        foreign.err
    );
    for (number, share) in (1..).zip(&made.shares[1..3]) {
        let told = made.operator(&["generate-root"], share)?;
        assert_eq!(
            told.out,
            format!("Slot 1: {number} of 3 shares are given.\n"),
            "{}",
            told.err
        );
    }
    let last = made.operator(&["generate-root"], &made.shares[3])?;
    let token = last
        .out
        .lines()
        .find_map(|line| line.strip_prefix("root token   "));
    let root = made.world.stranger()?.with(token.context("a token")?);
    let who = root.send("GET /strongroom/v1/whoami", "").await?.json();
    assert_eq!(who["is_admin"], true, "{who}");
    assert!(who["slug"].as_str().unwrap().starts_with("recovery-"), "{who}");
    assert_eq!(
        root.value("KEPT").await?,
        Some("kept".to_owned()),
        "an admin reads everything"
    );

    assert_eq!(root.native("operator/seal", &json!({})).await?.status, 200);
    let stranger = made.world.stranger()?;
    let share = json!({"share": made.shares[0]});
    let sealed = stranger.native("operator/generate-root", &share).await?;
    assert_eq!(sealed.error_kind(), "sealed");
    made.unseal().await?;
    let leaves = made.leaves()?;
    let minted = leaves
        .iter()
        .filter(|leaf| ledger::text(leaf, "op") == "root.mint")
        .count();
    assert_eq!(minted, 1);
    Ok(())
}

#[tokio::test]
async fn new_shares_replace_the_old_ones_once_they_are_confirmed() -> Result<()> {
    let mut made = Made::new(&[]).await?;
    let cancelled = made.operator(&["rekey", "--shares", "3", "--threshold", "2"], "")?;
    assert_eq!(cancelled.code, 0, "{}", cancelled.err);
    let dropped: Vec<_> = cancelled.out.lines().map(str::to_owned).collect();
    assert_eq!(dropped.len(), 3);
    let twice = made.operator(&["rekey"], "")?;
    assert!(
        twice.code == 1 && twice.err.contains("a rekey waits"),
        "{}",
        twice.err
    );
    assert_eq!(made.operator(&["rekey", "--cancel"], "")?.code, 0);
    let none = made.operator(&["rekey", "--confirm"], &dropped[0])?;
    assert!(
        none.code == 1 && none.err.contains("no rekey waits"),
        "{}",
        none.err
    );

    let rekeyed = made.operator(&["rekey", "--shares", "3", "--threshold", "2"], "")?;
    let new: Vec<_> = rekeyed.out.lines().map(str::to_owned).collect();
    made.restart()?;
    made.unseal().await?;
    made.is_whole().await?;
    assert_eq!(made.operator(&["slots", "list", "--output", "json"], "")?.code, 0);
    // The restart has forgotten that they wait to be confirmed; both slots open. So again.
    assert_eq!(made.operator(&["slots", "remove", "3"], "")?.code, 0);
    drop(new);
    let rekeyed = made.operator(&["rekey", "--shares", "3", "--threshold", "2"], "")?;
    let new: Vec<_> = rekeyed.out.lines().map(str::to_owned).collect();
    // Shares that were given for a root token before must not outlive their slot.
    for share in &made.shares[..2] {
        assert_eq!(made.operator(&["generate-root"], share)?.code, 0);
    }
    let old = made.operator(&["rekey", "--confirm"], &made.shares[0])?;
    assert!(old.code == 1 && old.err.contains("of another set"), "{}", old.err);
    let first = made.operator(&["rekey", "--confirm"], &new[2])?;
    assert!(first.out.contains("1 of 2"), "{}{}", first.out, first.err);
    let last = made.operator(&["rekey", "--confirm"], &new[0])?;
    assert!(last.out.contains("Slot 1 is removed"), "{}{}", last.out, last.err);
    let stale = made.operator(&["generate-root"], &made.shares[2])?;
    assert!(
        stale.code == 1 && stale.err.contains("was removed meanwhile"),
        "{}",
        stale.err
    );

    made.restart()?;
    let old = made.give(&made.shares[0]).await?;
    assert!(
        old.status == 400 && old.text.contains("of another set"),
        "{}",
        old.text
    );
    for share in &new[1..] {
        assert_eq!(made.give(share).await?.status, 200);
    }
    made.is_whole().await?;
    made.leaves()?;
    Ok(())
}

#[tokio::test]
async fn bad_wishes_make_no_instance() -> Result<()> {
    let home = Home::new()?;
    let world = World::of(Home::new()?, home.serve(&[])?);
    let caller = world.stranger()?;
    for (wish, says) in [
        (json!({"shares": 2, "threshold": 3}), "`shares`"),
        (json!({"shares": 5, "threshold": 1}), "`shares`"),
        (json!({"shares": 500, "threshold": 2}), "`shares`"),
        (
            json!({"shares": 3, "threshold": 2, "slots": ["clay"]}),
            "`key-file`",
        ),
        (
            json!({"shares": 3, "threshold": 2, "slots": ["env-var"]}),
            "STRONGROOM_SEAL_KEY",
        ),
        (
            json!({"shares": 3, "threshold": 2, "slots": ["systemd-credential:../x"]}),
            "credential",
        ),
        (
            json!({"shares": 3, "threshold": 2, "admin": "Not A Slug"}),
            "`admin`",
        ),
        (json!({"threshold": 2}), "`shares`"),
    ] {
        let reply = caller.native("operator/init", &wish).await?;
        assert_eq!(reply.status, 400, "{wish}: {}", reply.text);
        assert!(reply.text.contains(says), "{wish}: {}", reply.text);
    }
    assert_eq!(caller.send(STATUS, "").await?.json()["initialized"], false);
    let unseal = caller
        .native("operator/unseal", &json!({"share": vault_share(1)}))
        .await?;
    assert_eq!(unseal.error_kind(), "not_initialized");
    Ok(())
}
