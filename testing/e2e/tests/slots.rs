//! The seal slots of the real program: each of them alone opens the instance, and what is wrong with one is said.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use strongroom_base::limits;
use strongroom_e2e::{Caller, Ended, World, eventually, refusal, run};
use strongroom_storage::{Backend, Group, Row};
use strongroom_storage_redb::RedbBackend;
use strongroom_testkit::{Home, Server, SoftHsm};

const PASSPHRASE: &str = "correct horse battery staple";
/// A key in the environment, 32 characters.
const KEY: &str = "an0ther.Key-of_exactly+32/chars!";
const FOUND: i32 = 3;

/// An instance whose operator works with the command line.
struct Operated {
    home: Home,
    server: Server,
    hsm: SoftHsm,
    token: String,
}

/// What a start has at hand.
#[derive(Clone, Copy, Default)]
struct Hand<'a> {
    has_key_files: bool,
    has_env_key: bool,
    has_credential: bool,
    has_token: bool,
    given: Option<&'a str>,
}

const BOTH_HANDS: Hand<'static> = Hand {
    has_key_files: true,
    has_env_key: true,
    has_credential: true,
    has_token: true,
    given: None,
};

impl Operated {
    /// With one slot, a key file.
    fn new() -> Result<Self> {
        let home = Home::new()?;
        let first = home.start(&[])?;
        assert!(first.stop()?.success());
        let credentials: Value = serde_json::from_slice(&fs::read(home.credentials())?)?;
        let token = credentials["root_token"].as_str().unwrap().to_owned();
        let hsm = SoftHsm::new()?;
        hsm.token("hsm")?;
        hsm.pin_file(SoftHsm::PIN)?;
        write(&home.path().join("credentials/seal"), KEY)?;
        let server = Server::start(up(&home, &hsm, BOTH_HANDS)?)?;
        Ok(Self {
            home,
            server,
            hsm,
            token,
        })
    }

    /// `strongroom operator slots` with `args`, and `stdin` to read.
    fn slots(&self, args: &str, stdin: &str) -> Result<Ended> {
        let mut command = self.home.command("strongroom")?;
        command
            .args(["operator", "slots"])
            .args(args.split(' '))
            .env("STRONGROOM_ADDR", self.server.url())
            .env("STRONGROOM_TOKEN", &self.token);
        run(command, stdin)
    }

    /// The same, which must go well; its answer as JSON.
    fn ask(&self, args: &str, stdin: &str) -> Result<Value> {
        let ended = self.slots(&format!("{args} --output json"), stdin)?;
        assert_eq!(ended.code, 0, "{args}: {ended:?}");
        Ok(serde_json::from_str(&ended.out)?)
    }

    /// Adds a slot; its number and shares.
    fn add(&self, args: &str, stdin: &str) -> Result<(u64, Vec<String>)> {
        let added = self.ask(&format!("add {args}"), stdin)?;
        let shares = added["shares"].as_array().unwrap().iter();
        let shares = shares.map(|share| share.as_str().unwrap().to_owned()).collect();
        Ok((added["slot"]["id"].as_u64().unwrap(), shares))
    }

    /// Each slot's number, kind, and whether it opened the instance.
    fn list(&self) -> Result<Vec<(u64, String, bool)>> {
        let list = self.ask("list", "")?;
        let slots = list["slots"].as_array().unwrap().iter().map(|slot| {
            let kind = slot["kind"].as_str().unwrap().to_owned();
            (
                slot["id"].as_u64().unwrap(),
                kind,
                slot["is_in_use"].as_bool().unwrap(),
            )
        });
        Ok(slots.collect())
    }

    /// The slot that opened the instance.
    fn in_use(&self) -> Result<u64> {
        let mut slots = self.list()?.into_iter();
        Ok(slots
            .find(|(_, _, is_in_use)| *is_in_use)
            .context("none is in use")?
            .0)
    }

    /// Starts it anew with what is at `hand`. Gives what it has logged before.
    fn restart(&mut self, hand: Hand<'_>) -> Result<String> {
        self.server.terminate()?;
        let status = self.server.wait()?;
        assert!(status.success(), "{status}: {}", self.server.log());
        let log = self.server.log();
        self.server = start(&self.home, &self.hsm, hand)?;
        Ok(log)
    }

    fn stop(&mut self) -> Result<()> {
        self.server.terminate()?;
        let status = self.server.wait()?;
        assert!(status.success(), "{status}: {}", self.server.log());
        Ok(())
    }

    /// The files of the seal keys.
    fn key_files(&self) -> Result<Vec<PathBuf>> {
        key_files(&self.home)
    }

    async fn metric(&self, slot: u64) -> Result<Option<String>> {
        let caller = Caller::new(self.server.url(), &Arc::default())?;
        let metrics = caller.send("GET /metrics", "").await?.text;
        let name = format!("strongroom_seal_slot_ok{{slot=\"{slot}\"}} ");
        Ok(metrics
            .lines()
            .find_map(|line| Some(line.strip_prefix(&name)?.to_owned())))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap())?;
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    Ok(std::io::Write::write_all(&mut file, text.as_bytes())?)
}

fn key_files(home: &Home) -> Result<Vec<PathBuf>> {
    let folder = home.path().join(".config/strongroom");
    let mut files: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

/// `strongroom up` with what is at `hand`.
fn up(home: &Home, hsm: &SoftHsm, hand: Hand<'_>) -> Result<Command> {
    let mut up = home.up(&[])?;
    if !hand.has_key_files {
        up.env("XDG_CONFIG_HOME", home.path().join("empty"));
    }
    if hand.has_env_key {
        up.env("STRONGROOM_SEAL_KEY", KEY);
    }
    if hand.has_credential {
        up.env("CREDENTIALS_DIRECTORY", home.path().join("credentials"));
    }
    if hand.has_token {
        up.env("SOFTHSM2_CONF", hsm.conf());
        up.env("STRONGROOM_PKCS11_MODULE", SoftHsm::module());
        up.env("STRONGROOM_PKCS11_PIN_FILE", hsm.conf().with_file_name("pin"));
    }
    if hand.given.is_some() {
        up.args(["--unseal-from", "-"]);
    }
    Ok(up)
}

fn start(home: &Home, hsm: &SoftHsm, hand: Hand<'_>) -> Result<Server> {
    Server::start_reading(up(home, hsm, hand)?, stdin_of(home, hand)?)
}

fn stdin_of(home: &Home, hand: Hand<'_>) -> Result<Stdio> {
    let Some(given) = hand.given else {
        return Ok(Stdio::null());
    };
    let file = home.path().join("given");
    write(&file, given)?;
    Ok(fs::File::open(file)?.into())
}

/// Why it does not start with what is at `hand`.
fn refuses(operated: &Operated, hand: Hand<'_>) -> Result<String> {
    match start(&operated.home, &operated.hsm, hand) {
        Ok(server) => anyhow::bail!("it starts: {}", server.greeting()),
        Err(error) => Ok(error.to_string()),
    }
}

#[tokio::test]
async fn each_slot_alone_opens_the_instance() -> Result<()> {
    let mut operated = Operated::new()?;
    let (passphrase, _) = operated.add("passphrase --label head", PASSPHRASE)?;
    let (shares, texts) = operated.add("shares --shares 3 --threshold 2 --label safes", "")?;
    let (token, _) = operated.add("pkcs11 --token hsm", "")?;
    let (credential, _) = operated.add("systemd-credential --name seal", "")?;
    let (env_var, _) = operated.add("env-var", "")?;
    let (key_file, _) = operated.add("key-file", "")?;
    let kinds: Vec<_> = operated
        .list()?
        .into_iter()
        .map(|(id, kind, _)| (id, kind))
        .collect();
    assert_eq!(
        kinds,
        [
            (1, "key-file".to_owned()),
            (passphrase, "passphrase".to_owned()),
            (shares, "shares".to_owned()),
            (token, "pkcs11".to_owned()),
            (credential, "systemd-credential".to_owned()),
            (env_var, "env-var".to_owned()),
            (key_file, "key-file".to_owned()),
        ]
    );
    let two = format!("{}\n{}\n", texts[2], texts[0]);
    let all = format!("{two}{PASSPHRASE}\n");
    let checked = operated.ask("check --unseal-from -", &all)?;
    for check in checked["checks"].as_array().unwrap() {
        assert_eq!(check["verdict"], "opens", "{check}");
    }

    let nothing = Hand::default();
    for (slot, given, hand) in [
        (
            passphrase,
            PASSPHRASE,
            Hand {
                given: Some(PASSPHRASE),
                ..nothing
            },
        ),
        (
            shares,
            &two,
            Hand {
                given: Some(&two),
                ..nothing
            },
        ),
        (
            token,
            "",
            Hand {
                has_token: true,
                ..nothing
            },
        ),
        (
            credential,
            "",
            Hand {
                has_credential: true,
                ..nothing
            },
        ),
        (
            env_var,
            "",
            Hand {
                has_env_key: true,
                ..nothing
            },
        ),
        (
            1,
            "",
            Hand {
                has_key_files: true,
                ..nothing
            },
        ),
    ] {
        let unseal = if given.is_empty() { "" } else { " --unseal-from -" };
        let drilled = operated.ask(&format!("check --drill {slot}{unseal}"), given)?;
        assert_eq!(
            (&drilled["slot"]["id"], &drilled["workspaces"]),
            (&json!(slot), &json!(2))
        );
        operated.restart(hand)?;
        assert_eq!(operated.in_use()?, slot);
        // What opened it before is at hand again for the next drill.
        operated.restart(BOTH_HANDS)?;
    }
    // Of two key files the first is taken; without it the second.
    let files = operated.key_files()?;
    assert_eq!(files.len(), 2);
    operated.stop()?;
    let first = files
        .iter()
        .find(|file| !file.to_string_lossy().ends_with(&format!("-{key_file}.key")));
    fs::remove_file(first.unwrap())?;
    operated.server = start(
        &operated.home,
        &operated.hsm,
        Hand {
            has_key_files: true,
            ..nothing
        },
    )?;
    assert_eq!(operated.in_use()?, key_file);
    let checked = operated.slots("check", "")?;
    assert_eq!(checked.code, FOUND, "{checked:?}");

    // With nothing at hand, what is wrong with each slot is said.
    operated.stop()?;
    let said = refuses(&operated, nothing)?;
    for text in [
        "slot 1 (the key file): the key file `",
        "slot 2 `head` (the passphrase): no passphrase was given: give it with `--unseal-from`",
        "slot 3 `safes` (the shares): no shares were given, and 2 are needed",
        "slot 4 (the PKCS#11 token): no PKCS#11 module is configured: give the path of the token's library as --pkcs11-module",
        "slot 5 (the systemd credential): there is no CREDENTIALS_DIRECTORY",
        "slot 6 (the key in the environment): no key was given: set STRONGROOM_SEAL_KEY",
        "slot 7 (the key file): the key file `",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    // Looking at a stopped instance opens it the same way.
    let mut check = operated.home.command("strongroom")?;
    check
        .args(["operator", "check", "--unseal-from", "-", "--data"])
        .arg(operated.home.data());
    check.env("XDG_CONFIG_HOME", "/nowhere");
    let checked = run(check, &two)?;
    assert_eq!(checked.code, 0, "{checked:?}");
    Ok(())
}

#[tokio::test]
async fn shares_that_are_doubled_cut_or_of_another_set_say_so() -> Result<()> {
    let mut operated = Operated::new()?;
    let (first, texts) = operated.add("shares --shares 3 --threshold 2", "")?;
    let (second, others) = operated.add("shares --shares 3 --threshold 2", "")?;
    let elsewhere = Operated::new()?;
    let (_, foreign) = elsewhere.add("shares --shares 3 --threshold 2", "")?;
    operated.slots("remove 1", "")?;
    operated.stop()?;
    let nothing = Hand::default();
    let cut = &texts[1][..texts[1].len() - 9];
    let twisted = texts[1].replacen(
        &texts[1][12..13],
        if &texts[1][12..13] == "a" { "b" } else { "a" },
        1,
    );
    for (given, text) in [
        (format!("{}\n{}", texts[0], texts[0]), "a share was given twice"),
        (
            format!("{}\n{cut}", texts[0]),
            "line 2: the share is cut short: 8 letters are missing",
        ),
        (
            format!("{}\n{twisted}", texts[0]),
            "line 2: the share has a typing mistake",
        ),
        (
            foreign.join("\n"),
            "the shares that were given are of another set",
        ),
        (
            format!("{}\n{}", texts[0], others[0]),
            "1 of the 2 shares that are needed were given",
        ),
        (
            format!("{PASSPHRASE}\nanother passphrase"),
            "line 2 is no share, and a passphrase was given in an earlier line",
        ),
    ] {
        let said = refuses(
            &operated,
            Hand {
                given: Some(&given),
                ..nothing
            },
        )?;
        assert!(said.contains(text), "{text}: {said}");
        assert!(
            !texts.iter().chain(&others).any(|share| said.contains(share)),
            "{said}"
        );
    }
    // Foreign shares among the right ones do no harm, and either set opens.
    let given = format!("{}\n{}\n{}", texts[1], foreign[0], texts[2]);
    operated.server = start(
        &operated.home,
        &operated.hsm,
        Hand {
            given: Some(&given),
            ..nothing
        },
    )?;
    assert_eq!(operated.in_use()?, first);
    let given = others[1..].join("\n");
    operated.restart(Hand {
        given: Some(&given),
        ..nothing
    })?;
    assert_eq!(operated.in_use()?, second);
    Ok(())
}

#[tokio::test]
async fn a_slot_may_go_while_it_is_in_use_and_the_last_stays() -> Result<()> {
    let mut operated = Operated::new()?;
    let alone = operated.slots("remove 1", "")?;
    assert_eq!(alone.code, 1);
    assert!(
        alone
            .err
            .contains("slot 1 is the only one: add another before you remove it"),
        "{alone:?}"
    );
    assert_eq!(operated.add("passphrase", PASSPHRASE)?.0, 2);

    let removed = operated.slots("remove 1", "")?;
    assert_eq!(removed.code, 0);
    assert!(
        removed.err.contains("It is the slot that opened the instance"),
        "{removed:?}"
    );
    assert!(
        removed.err.contains("No slot is left that opens by itself"),
        "{removed:?}"
    );
    // The server goes on, and what it has in memory adds slots still.
    assert_eq!(operated.add("env-var", "")?.0, 3);
    let again = operated.slots("remove 1", "")?;
    assert!(again.err.contains("there is no slot 1"), "{again:?}");
    let double = operated.slots("add env-var", "")?;
    assert!(
        double.err.contains("slot 3 opens by the same already"),
        "{double:?}"
    );
    assert_eq!(operated.slots("remove 3", "")?.code, 0);
    assert_eq!(operated.add("key-file", "")?.0, 4, "no number comes twice");

    operated.restart(Hand {
        given: Some(PASSPHRASE),
        ..Hand::default()
    })?;
    assert_eq!(operated.in_use()?, 2);
    operated.stop()?;
    // The key file of the removed slot opens nothing any more.
    let files = operated.key_files()?;
    fs::remove_file(
        files
            .iter()
            .find(|file| file.to_string_lossy().ends_with("-4.key"))
            .unwrap(),
    )?;
    let said = refuses(
        &operated,
        Hand {
            has_key_files: true,
            ..Hand::default()
        },
    )?;
    assert!(!said.contains("slot 1"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_first_start_has_nothing_to_unseal() -> Result<()> {
    let (home, hsm) = (Home::new()?, SoftHsm::new()?);
    let hand = Hand {
        given: Some(PASSPHRASE),
        ..Hand::default()
    };
    let said = match start(&home, &hsm, hand) {
        Ok(server) => anyhow::bail!("it starts: {}", server.greeting()),
        Err(error) => error.to_string(),
    };
    assert!(said.contains("there is no instance to unseal"), "{said}");
    let made = [home.data().join("slots.bak"), home.path().join(".config")];
    assert!(!made.iter().any(|path| path.exists()), "no instance was made");
    assert!(home.start(&[])?.stop()?.success());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_a_slot_changes_nothing() -> Result<()> {
    let operated = Operated::new()?;
    let before = fs::read(operated.home.data().join("slots.bak"))?;
    for (args, stdin, text) in [
        (
            "add passphrase",
            "short",
            "`passphrase` must be 12 to 1024 bytes long",
        ),
        (
            "add shares --shares 3 --threshold 4",
            "",
            "`threshold` must be 2 or more, and not more than there are shares",
        ),
        (
            "add pkcs11 --token other",
            "",
            "there is no token `other`: put it in; tokens that are there: `hsm`",
        ),
        (
            "add systemd-credential --name ../up",
            "",
            "`name` must be 1 to 64 letters",
        ),
        (
            "add systemd-credential --name missing",
            "",
            "the systemd credential `missing` cannot be read",
        ),
        ("remove 9", "", "there is no slot 9"),
        ("check 9", "", "there is no slot 9"),
        ("check --drill 9", "", "there is no slot 9"),
    ] {
        let ended = operated.slots(args, stdin)?;
        assert_eq!(ended.code, 1, "{args}: {ended:?}");
        assert!(ended.err.contains(text), "{args}: {ended:?}");
    }
    assert_eq!(fs::read(operated.home.data().join("slots.bak"))?, before);
    assert_eq!(operated.list()?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn only_admins_work_on_slots_and_the_ledger_has_it() -> Result<()> {
    let world = World::new(&[])?;
    let (admin, user) = (world.admin().await?, world.user("alice").await?);
    let call = |name: &str| format!("POST /strongroom/v1/operator/slots/{name}");
    let bodies = [
        ("list", json!({})),
        ("add", json!({"kind": "key-file"})),
        ("remove", json!({"id": 1})),
        ("check", json!({})),
        ("drill", json!({"id": 1})),
    ];
    for (name, body) in &bodies {
        let refused = user.ask(&call(name), body).await?;
        assert_eq!(
            (refused.status, refused.error_kind()),
            (403, "denied".to_owned()),
            "{name}"
        );
    }
    // Two at once are one after the other: each gets a number of its own.
    let (list, add, drill) = (call("list"), call("add"), call("drill"));
    let new = json!({"kind": "key-file", "label": "spare"});
    let (first, second) = futures::join!(admin.ask(&add, &new), admin.ask(&add, &new));
    let mut ids = [first?, second?].map(|reply| reply.json()["slot"]["id"].as_u64());
    ids.sort_unstable();
    assert_eq!(ids, [Some(2), Some(3)]);
    assert_eq!(admin.ask(&drill, &json!({"id": 2})).await?.status, 200);
    assert_eq!(admin.ask(&call("remove"), &json!({"id": 3})).await?.status, 200);
    assert_eq!(
        admin.ask(&list, &json!({})).await?.json()["slots"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let leaves = async || -> Result<Vec<(String, String, Value)>> {
        let page = admin
            .ask("POST /strongroom/v1/audit/leaves", &json!({"last": 200}))
            .await?
            .json();
        let leaves = page["leaves"].as_array().unwrap().iter().map(|leaf| {
            let facts: Value = serde_json::from_str(leaf["leaf"].as_str().unwrap()).unwrap();
            let text = |field: &str| facts[field].as_str().unwrap().to_owned();
            (text("op"), text("outcome"), leaf["fields"]["paths"].clone())
        });
        Ok(leaves.filter(|(op, ..)| op.starts_with("slot.")).collect())
    };
    let mut found = Vec::new();
    for _ in 0..300 {
        found = leaves().await?;
        if found.len() >= 10 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let has = |op: &str, outcome: &str, paths: Value| {
        assert!(
            found.contains(&(op.to_owned(), outcome.to_owned(), paths)),
            "{op}: {found:?}"
        );
    };
    for (name, _) in &bodies {
        has(&format!("slot.{name}"), "denied", json!([]));
    }
    has("slot.add", "ok", json!(["seal/slots/2"]));
    has("slot.add", "ok", json!(["seal/slots/3"]));
    has("slot.drill", "ok", json!(["seal/slots/2"]));
    has("slot.remove", "ok", json!(["seal/slots/3"]));
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_lost_is_told_and_paper_opens() -> Result<()> {
    let mut operated = Operated::new()?;
    let (token, _) = operated.add("pkcs11 --token hsm --key root", "")?;
    let (paper, texts) = operated.add("shares", "")?;
    operated.slots("remove 1", "")?;
    let with_token = Hand {
        has_token: true,
        ..Hand::default()
    };
    operated.restart(with_token)?;
    assert_eq!(operated.in_use()?, token);
    eventually_metric(&operated, token, "1").await?;

    operated.hsm.take_out()?;
    let checked = operated.slots("check", "")?;
    assert_eq!(checked.code, FOUND);
    assert!(
        checked.out.contains("there is no token `hsm`: put it in"),
        "{checked:?}"
    );
    eventually_metric(&operated, token, "0").await?;
    operated.stop()?;
    let said = refuses(&operated, with_token)?;
    assert!(
        said.contains("(the PKCS#11 token): there is no token `hsm`"),
        "{said}"
    );

    let three = texts[..3].join("\n");
    operated.server = start(
        &operated.home,
        &operated.hsm,
        Hand {
            given: Some(&three),
            ..with_token
        },
    )?;
    assert_eq!(operated.in_use()?, paper);
    // The first trial after the start warns of the lost one.
    let warned = || {
        let log = operated.server.log();
        Ok(log.contains("a seal slot does not open").then_some(()))
    };
    eventually("a warning of the lost token", warned)?;
    eventually_metric(&operated, token, "0").await?;

    operated.hsm.put_back()?;
    assert_eq!(operated.slots("check", "")?.code, 0);
    operated.stop()?;

    // What is configured wrong is named, and no PIN is tried twice.
    let module = refusal({
        let mut up = up(&operated.home, &operated.hsm, with_token)?;
        up.env("STRONGROOM_PKCS11_MODULE", "/nowhere/lib.so");
        up
    })?;
    assert!(
        module.contains("the PKCS#11 module `/nowhere/lib.so` cannot be loaded"),
        "{module}"
    );
    operated.hsm.pin_file("wrong-pin")?;
    let wrong = refuses(&operated, with_token)?;
    assert!(
        wrong.contains("the token `hsm` refuses the PIN") && !wrong.contains("wrong-pin"),
        "{wrong}"
    );
    operated.hsm.pin_file(SoftHsm::PIN)?;
    let careful = refuses(&operated, with_token)?;
    assert!(
        careful.contains("log in once with the token's own tool"),
        "{careful}"
    );

    // The lost token is given up.
    operated.server = start(
        &operated.home,
        &operated.hsm,
        Hand {
            given: Some(&three),
            ..Hand::default()
        },
    )?;
    assert_eq!(operated.slots(&format!("remove {token}"), "")?.code, 0);
    assert_eq!(operated.slots("check", "")?.code, 0);
    assert_eq!(operated.metric(token).await?, None);
    Ok(())
}

/// The trial of the slots at the start has the token at work when the server is told to stop.
#[tokio::test]
async fn a_server_that_stops_while_a_token_is_at_work_ends_well() -> Result<()> {
    let mut operated = Operated::new()?;
    operated.add("pkcs11 --token hsm", "")?;
    for _ in 0..20 {
        operated.restart(BOTH_HANDS)?;
    }
    Ok(())
}

async fn eventually_metric(operated: &Operated, slot: u64, value: &str) -> Result<()> {
    for _ in 0..300 {
        if operated.metric(slot).await?.as_deref() == Some(value) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the metric of slot {slot} is not {value}")
}

/// The row of the slots in the storage of `home`, whose server has stopped.
fn slots_row(home: &Home) -> Result<Row> {
    storage(home)?.get(b"\x01slots").unwrap().context("no slots")
}

fn put_slots(home: &Home, row: Row) -> Result<()> {
    let storage = storage(home)?;
    let writes = [(b"\x01slots".to_vec(), Some(row))].into();
    storage
        .apply(Group {
            head: storage.head().unwrap(),
            writes,
        })
        .unwrap();
    Ok(())
}

fn storage(home: &Home) -> Result<RedbBackend> {
    Ok(RedbBackend::open(
        &home.data().join("strongroom.redb"),
        limits::STORAGE_CACHE_BYTES,
    )?)
}

#[tokio::test]
async fn a_copy_that_storage_does_not_agree_with_is_told_and_kept() -> Result<()> {
    let mut operated = Operated::new()?;
    let copy = operated.home.data().join("slots.bak");
    let old = fs::read(&copy)?;
    operated.add("passphrase", PASSPHRASE)?;
    let new = fs::read(&copy)?;
    operated.stop()?;
    assert_eq!(
        slots_row(&operated.home)?.value,
        new,
        "the copy follows each change"
    );

    fs::write(&copy, &old)?;
    operated.server = start(&operated.home, &operated.hsm, BOTH_HANDS)?;
    let log = operated.server.log();
    assert!(
        log.contains("the copy of the seal slots is not what storage has"),
        "{log}"
    );
    assert_eq!(operated.list()?.len(), 2, "storage has the slots that count");
    assert_eq!(fs::read(&copy)?, new);
    assert_eq!(fs::read(operated.home.data().join("slots.bak.other"))?, old);
    let log = operated.restart(BOTH_HANDS)?;
    assert!(log.contains("slots.bak.other"), "{log}");
    let log = operated.server.log();
    assert!(!log.contains("slots.bak.other"), "it is told once: {log}");
    Ok(())
}

#[tokio::test]
async fn a_table_of_format_1_opens_and_is_written_anew_with_the_next_change() -> Result<()> {
    let mut operated = Operated::new()?;
    operated.stop()?;
    let row = slots_row(&operated.home)?;
    // [2, next, [[id, [kind], label, created, wrapped]]] becomes [1, [[id, kind, wrapped]]].
    let wrapped = &row.value[row.value.len() - 74..];
    assert_eq!(wrapped[..2], [0x58, 72]);
    let old = [&[0x82, 1, 0x81, 0x83, 1, 1], wrapped].concat();
    put_slots(
        &operated.home,
        Row {
            value: old.clone(),
            ..row.clone()
        },
    )?;

    operated.server = start(&operated.home, &operated.hsm, BOTH_HANDS)?;
    assert_eq!(operated.list()?, [(1, "key-file".to_owned(), true)]);
    operated.stop()?;
    assert_eq!(
        slots_row(&operated.home)?.value,
        old,
        "nothing is written without need"
    );

    operated.server = start(&operated.home, &operated.hsm, BOTH_HANDS)?;
    assert_eq!(operated.add("passphrase", PASSPHRASE)?.0, 2);
    operated.restart(Hand {
        has_key_files: true,
        ..Hand::default()
    })?;
    assert_eq!(operated.in_use()?, 1);
    operated.stop()?;
    assert_eq!(slots_row(&operated.home)?.value[..2], [0x83, 2]);

    let newer = [&[0x83, 3], &row.value[2..]].concat();
    put_slots(
        &operated.home,
        Row {
            value: newer,
            ..row.clone()
        },
    )?;
    let said = refuses(&operated, BOTH_HANDS)?;
    assert!(
        said.contains("the seal slots have format 3") && said.contains("use a newer strongroom"),
        "{said}"
    );
    put_slots(
        &operated.home,
        Row {
            value: vec![0x83, 2, 9],
            ..row
        },
    )?;
    let said = refuses(&operated, BOTH_HANDS)?;
    assert!(
        said.contains("the seal slots are damaged") && said.contains("slots.bak"),
        "{said}"
    );
    Ok(())
}
