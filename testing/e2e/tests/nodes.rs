//! Several servers on one PostgreSQL database: they serve the same instance, and whatever becomes of one of them, nothing
//! acknowledged is lost and each request has one record.

#![cfg(test)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use strongroom_base::limits;
use strongroom_e2e::{Caller, Cluster, eventually, ledger, refusal, run};
use strongroom_testkit::{Cut, Home, Moment, Postgres, Proxy, Server, Side, signal};

/// The statement that begins a commit.
const BEGIN: &str = "BEGIN ISOLATION LEVEL";

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_serve_one_instance() -> Result<()> {
    let cluster = Cluster::new()?;
    let one = cluster.start("one")?;
    let two = cluster.start("two")?;
    let (on_one, on_two) = (cluster.admin(&one).await?, cluster.admin(&two).await?);
    for (number, (writer, reader)) in [(&on_one, &on_two), (&on_two, &on_one)].into_iter().enumerate() {
        let name = format!("KEY_{number}");
        assert_eq!(writer.save_value(&name, "value").await?.status, 200);
        assert_eq!(reader.value(&name).await?.as_deref(), Some("value"));
    }
    // A session is good everywhere.
    let elsewhere = cluster.caller(&two)?.with(on_one.token());
    assert_eq!(elsewhere.list(json!({})).await?.names().len(), 2);

    assert!(two.stop()?.success());
    let two = cluster.start("two")?;
    assert!(one.stop()?.success() && two.stop()?.success());
    for (name, number) in [("one", 1), ("two", 2)] {
        let seat = fs::read_to_string(cluster.data(name).join("node"))?;
        let key = fs::read_to_string(cluster.data(name).join("ledger.vkey"))?;
        let origin = key.split('+').next().unwrap_or_default();
        assert_eq!(
            origin,
            format!("{}/1", seat.trim()),
            "the first generation of that node"
        );
        assert!(origin.ends_with(&format!("/{number}/1")), "{origin}");
    }
    assert!(cluster.check_records(&["one", "two"])? > 4);
    let leaves = cluster.leaves("two")?;
    assert_eq!(ledger::text(&leaves[0], "op"), "node.join");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_first_starts_at_once_one_makes_the_instance() -> Result<()> {
    let cluster = Cluster::new()?;
    let url = cluster.url();
    let names = ["one", "two"];
    let started: Vec<_> = std::thread::scope(|scope| {
        let starts = names.map(|name| {
            let command = cluster.up(name, &url);
            scope.spawn(move || Server::start(command?))
        });
        starts.into_iter().map(|start| start.join().ok()).collect()
    });
    let mut servers = Vec::new();
    for (name, started) in names.into_iter().zip(started) {
        servers.push(match started.context("a panic")? {
            Ok(server) => server,
            // It had seen an empty database. Starting again is all that is to be done.
            Err(error) => {
                let said = error.to_string();
                assert!(said.contains("start again to join it"), "{said}");
                cluster.start(name)?
            }
        });
    }
    let mut numbers = Vec::new();
    for (name, server) in names.into_iter().zip(servers) {
        assert!(server.stop()?.success());
        let seat = fs::read_to_string(cluster.data(name).join("node"))?;
        numbers.extend(seat.trim().rsplit('/').next().map(str::to_owned));
        cluster.leaves(name)?;
    }
    numbers.sort();
    assert_eq!(numbers, ["1", "2"]);
    Ok(())
}

/// What is withdrawn or removed on one node is gone on the other one second later.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_sees_within_a_second_what_another_took_away() -> Result<()> {
    let cluster = Cluster::new()?;
    let (one, two) = (cluster.start("one")?, cluster.start("two")?);
    let admin = cluster.admin(&one).await?;
    let stranger = cluster.caller(&one)?;
    let registered = stranger.register("bob", "correct horse battery").await?.json();
    let token = registered
        .pointer("/token/token")
        .and_then(|token| token.as_str());
    let token = token.context("a token")?.to_owned();
    let bob_on_two = cluster.caller(&two)?.with(&token);

    let shared = |readers: &[&str]| json!([{"id": "SHARED", "value": "value", "readers": readers, "changeReaders": true}]);
    let saved = admin.save(shared(&["bob"])).await?;
    assert_eq!(saved.status, 200, "{}", saved.text);
    eventually_value(&bob_on_two, "SHARED").await?;
    let names = bob_on_two.list(json!({})).await?.names();
    assert_eq!(names, ["SHARED"], "what is listed is in its caches now");
    assert_eq!(admin.save(shared(&["admin"])).await?.status, 200);
    tokio::time::sleep(Duration::from(limits::CHANGES_FRESH)).await;
    assert_eq!(bob_on_two.value("SHARED").await?, None);
    assert_eq!(bob_on_two.list(json!({})).await?.names(), [""; 0]);

    // What is removed.
    let admin_on_two = cluster.caller(&two)?.with(admin.token());
    assert_eq!(admin_on_two.list(json!({})).await?.names(), ["SHARED"]);
    assert_eq!(admin.remove(&["SHARED"]).await?.status, 200);
    tokio::time::sleep(Duration::from(limits::CHANGES_FRESH)).await;
    assert_eq!(admin_on_two.list(json!({})).await?.names(), [""; 0]);
    assert!(one.stop()?.success() && two.stop()?.success());
    cluster.check_records(&["one", "two"])?;
    Ok(())
}

async fn eventually_value(caller: &Caller, name: &str) -> Result<String> {
    for _ in 0..200 {
        if let Some(value) = caller.value(name).await? {
            return Ok(value);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{name} is not seen")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_further_node_is_said_and_changes_nothing() -> Result<()> {
    let cluster = Cluster::new()?;
    let one = cluster.start("one")?;
    let two = cluster.start("two")?;
    let url = cluster.url();
    let nodes = || {
        cluster.sql(
            r"SELECT count(*) FROM strongroom_rows WHERE key BETWEEN '\x016e6f64652f' AND '\x016e6f646530'",
        )
    };

    let said = refusal(cluster.up("two", &url)?)?;
    assert!(
        said.contains("another server is running on the data directory"),
        "{said}"
    );
    // Another home has not the key file.
    let other = Home::new()?;
    let said = refusal(other.up(&["--storage", &url])?)?;
    assert!(said.contains("the key file"), "{said}");
    let mut wrong = cluster.up("three", &url)?;
    wrong.env("STRONGROOM_SEAL_KEY", "0".repeat(64));
    fs::rename(
        cluster.home.path().join(".config"),
        cluster.home.path().join("away"),
    )?;
    let said = refusal(wrong)?;
    fs::rename(
        cluster.home.path().join("away"),
        cluster.home.path().join(".config"),
    )?;
    assert!(said.contains("seal") || said.contains("key"), "{said}");
    assert_eq!(nodes()?, "2", "nobody joined");
    // The data directory of a node of another instance.
    let elsewhere = Cluster::new()?;
    assert!(elsewhere.start("one")?.stop()?.success());
    let mut foreign = other.command("strongroom")?;
    foreign.args(["up", "--listen", "127.0.0.1:0", "--storage", &url, "--data"]);
    foreign.arg(elsewhere.data("one"));
    let said = refusal(foreign)?;
    assert!(said.contains("is of instance"), "{said}");
    assert!(elsewhere.start("one")?.stop()?.success(), "it is as it was");

    assert!(two.stop()?.success());
    // A directory that has lost what says which node it is.
    let (data, aside) = (cluster.data("two"), cluster.home.path().join("aside"));
    fs::create_dir(&aside)?;
    for file in ["node", "ledger.vkey"] {
        fs::rename(data.join(file), aside.join(file))?;
    }
    let said = refusal(cluster.up("two", &url)?)?;
    assert!(said.contains("does not say which node it is of"), "{said}");
    // One of the two is enough.
    fs::rename(aside.join("ledger.vkey"), data.join("ledger.vkey"))?;
    assert!(cluster.start("two")?.stop()?.success());
    fs::write(data.join("node"), "two\n")?;
    let said = refusal(cluster.up("two", &url)?)?;
    assert!(said.contains("the file `node`"), "{said}");
    fs::rename(aside.join("node"), data.join("node"))?;
    // Storage that does not know the node.
    cluster.sql(r"UPDATE strongroom_rows SET key = '\x7f' WHERE key = '\x016e6f64652f32'")?;
    let said = refusal(cluster.up("two", &url)?)?;
    assert!(said.contains("no readable record of node 2"), "{said}");
    cluster.sql(r"UPDATE strongroom_rows SET key = '\x016e6f64652f32' WHERE key = '\x7f'")?;
    let two = cluster.start("two")?;

    let (on_one, on_two) = (cluster.admin(&one).await?, cluster.admin(&two).await?);
    assert_eq!(on_one.save_value("A", "a").await?.status, 200);
    assert_eq!(on_two.value("A").await?.as_deref(), Some("a"));
    assert!(one.stop()?.success() && two.stop()?.success());
    // A database of a newer version.
    cluster.sql("UPDATE strongroom_meta SET schema = schema + 1")?;
    let said = refusal(cluster.up("one", &url)?)?;
    assert!(said.contains("use a newer strongroom"), "{said}");
    Ok(())
}

/// Writers at each node.
const WRITERS: usize = 3;

/// Saves through `caller` until `stop`; what was acknowledged, and what perhaps was done after that.
async fn write(caller: Caller, writer: usize, stop: Arc<AtomicBool>) -> (Option<u32>, u32) {
    let (mut acknowledged, mut tried) = (None, 0);
    while !stop.load(Ordering::SeqCst) {
        tried += 1;
        let saved = caller
            .save_value(&format!("WRITER_{writer}"), &tried.to_string())
            .await;
        match saved {
            Ok(reply) if reply.status == 200 => acknowledged = Some(tried),
            Ok(_) => {}
            Err(_) => return (acknowledged, tried), // the server is gone
        }
        // A read leaves its record in the journal.
        let _ = caller.value("ANOTHER").await;
    }
    (acknowledged, tried)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_left_becomes_leaves_of_another() -> Result<()> {
    let cluster = Cluster::new()?;
    let one = cluster.start("one")?;
    let mut two = cluster.start("two")?;
    let mut left = 0;
    for _ in 0..20 {
        let admin = cluster.admin(&two).await?;
        // So that neither ledger tells of every row alone.
        let entries = cluster.data("two").join("ledger/tile/entries");
        eventually("a leaf of its own", || Ok(entries.exists().then_some(())))?;
        for number in 0..30 {
            assert_eq!(
                admin.save_value(&format!("KEY_{number}"), "value").await?.status,
                200
            );
        }
        two.kill()?;
        left = cluster.outbox(2)?;
        if left > 0 {
            break;
        }
        two = cluster.start("two")?;
    }
    ensure!(left > 0, "it never died with records in its outbox");
    // Those that it had claimed wait for it, which are at most those of one publication.
    eventually("a log line of the takeover", || {
        Ok(one
            .log()
            .contains("took over the records that a node left")
            .then_some(()))
    })?;
    let rest = cluster.outbox(2)?;
    assert!(rest < left, "{rest} of {left} are still there");
    let two = cluster.start("two")?;
    eventually("an empty outbox", || Ok((cluster.outbox(2)? == 0).then_some(())))?;
    assert!(one.stop()?.success() && two.stop()?.success());
    cluster.check_records(&["one", "two"])?;
    let leaves = cluster.leaves("one")?;
    let drained = leaves.iter().filter(|leaf| leaf.get("from").is_some()).count();
    assert!(drained > 0, "they say where they were");
    scrubs(&cluster)
}

/// A scrub from either node has no false alarms, and with both ledgers speaks of every row.
fn scrubs(cluster: &Cluster) -> Result<()> {
    for (own, other) in [("one", "two"), ("two", "one")] {
        let operator = |command: &str, ledgers: &[&str]| -> Result<(i32, serde_json::Value)> {
            let mut operator = cluster.home.command("strongroom")?;
            operator.args([
                "operator",
                command,
                "--output",
                "json",
                "--storage",
                &cluster.url(),
                "--data",
            ]);
            operator.arg(cluster.data(own));
            for ledger in ledgers {
                operator.arg("--ledger").arg(cluster.data(ledger));
            }
            let ended = run(operator, "")?;
            let out = serde_json::from_str(&ended.out).with_context(|| format!("{ended:?}"))?;
            Ok((ended.code, out))
        };
        let (code, alone) = operator("scrub", &[])?;
        assert_eq!((code, &alone["findings"]), (0, &json!([])), "{own}: {alone}");
        assert_eq!(
            alone["missing_ledgers"].as_array().map(Vec::len),
            Some(1),
            "{alone}"
        );
        let (code, both) = operator("scrub", &[other])?;
        assert_eq!((code, &both["findings"]), (0, &json!([])), "{own}: {both}");
        assert_eq!(
            (&both["elsewhere"], &both["untold"], &both["missing_ledgers"]),
            (&json!(0), &json!(0), &json!([])),
            "{own}: {both}"
        );
        let (code, checked) = operator("check", &[other])?;
        assert_eq!((code, &checked["findings"]), (0, &json!([])), "{own}: {checked}");
        // A row that the other node wrote last, put back.
        let key = r"(SELECT key FROM strongroom_rows WHERE key >= '\x02' AND key < '\x03' AND value IS NOT NULL ORDER BY revision DESC LIMIT 1)";
        cluster.sql(&format!(
            "CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM strongroom_rows WHERE key = {key}"
        ))?;
        cluster
            .sql("UPDATE strongroom_rows SET value = value || '\\x00' WHERE key = (SELECT key FROM kept)")?;
        let (code, found) = operator("scrub", &[other])?;
        assert_eq!(
            found["findings"].as_array().map(Vec::len),
            Some(1),
            "{own}: {code} {found}"
        );
        cluster.sql(
            "UPDATE strongroom_rows SET value = kept.value FROM kept WHERE strongroom_rows.key = kept.key",
        )?;
    }
    // What is no ledger of another node.
    for (ledger, says) in [("one", "at hand already"), (".config", "it has no ledger")] {
        let mut scrub = cluster.home.command("strongroom")?;
        scrub.args(["operator", "scrub", "--storage", &cluster.url(), "--data"]);
        scrub
            .arg(cluster.data("one"))
            .arg("--ledger")
            .arg(cluster.data(ledger));
        let ended = run(scrub, "")?;
        assert!(ended.code != 0 && ended.err.contains(says), "{ended:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_only_asleep_repeats_and_skips_nothing() -> Result<()> {
    let cluster = Cluster::new()?;
    let (one, two) = (cluster.start("one")?, cluster.start("two")?);
    let mut is_taken_over = false;
    for round in 0..3 {
        let admin = cluster.admin(&two).await?;
        let saves = (0..20).map(|number| {
            let admin = admin.clone();
            async move { admin.save_value(&format!("KEY_{round}_{number}"), "value").await }
        });
        for saved in futures::future::join_all(saves).await {
            assert_eq!(saved?.status, 200);
        }
        signal("STOP", two.pid())?;
        // Until it is taken for dead, and what it left is taken over.
        tokio::time::sleep(Duration::from(limits::NODE_TTL) + 3 * Duration::from(limits::LOCK_RENEW)).await;
        is_taken_over |= one.log().contains("took over the records that a node left");
        signal("CONT", two.pid())?;
        assert_eq!(admin.save_value("AWAKE", "value").await?.status, 200);
    }
    ensure!(is_taken_over, "nothing was ever left to be taken over");
    assert!(one.stop()?.success() && two.stop()?.success());
    cluster.check_records(&["one", "two"])?;
    Ok(())
}

/// In each round of one run a node is killed while clients write; before that it was paused, and the connections of the
/// other were cut.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_may_be_killed_paused_and_cut_off_at_any_time() -> Result<()> {
    let cluster = Cluster::new()?;
    let names = ["one", "two"];
    let proxies = [0, 1].map(|_| Proxy::start(cluster.postgres.port()));
    let [one, two] = proxies;
    let proxies = [one?, two?];
    let start = |node: usize| {
        let url = Postgres::url_through(proxies[node].port(), &cluster.database);
        Server::start(cluster.up(names[node], &url)?)
    };
    let mut servers = [start(0)?, start(1)?];
    let mut last = [(None, 0); 2 * WRITERS];
    for round in 0..6 {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for (number, server) in servers.iter().enumerate() {
            let admin = log_in(&cluster, server).await?;
            for writer in number * WRITERS..(number + 1) * WRITERS {
                tasks.push((writer, tokio::spawn(write(admin.clone(), writer, stop.clone()))));
            }
        }
        let victim = usize::from(round % 2 == 1);
        let other = 1 - victim;
        // No moment is like another: the system decides how far they come.
        tokio::time::sleep(Duration::from_millis(300 + 97 * round)).await;
        proxies[other].cut_all();
        signal("STOP", servers[victim].pid())?;
        tokio::time::sleep(Duration::from_millis(250)).await;
        signal("CONT", servers[victim].pid())?;
        tokio::time::sleep(Duration::from_millis(50 * (round % 3))).await;
        servers[victim].kill()?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.store(true, Ordering::SeqCst);
        for (writer, task) in tasks {
            last[writer] = task.await?;
        }
        // The one that lives shows everything that was acknowledged.
        let admin = log_in(&cluster, &servers[other]).await?;
        for (writer, (acknowledged, tried)) in last.iter().enumerate() {
            if let Some(acknowledged) = acknowledged {
                let value: u32 = eventually_value(&admin, &format!("WRITER_{writer}"))
                    .await?
                    .parse()?;
                assert!(
                    (*acknowledged..=*tried).contains(&value),
                    "writer {writer}: {value} is not of {acknowledged}..={tried}"
                );
            }
        }
        servers[victim] = start(victim)?;
    }
    eventually("empty outboxes", || {
        Ok((cluster.outbox(1)? + cluster.outbox(2)? == 0).then_some(()))
    })?;
    for server in servers {
        assert!(server.stop()?.success());
    }
    assert!(cluster.check_records(&names)? > 100);
    Ok(())
}

/// The administrator at `server`, whose way to the database may just have been cut.
async fn log_in(cluster: &Cluster, server: &Server) -> Result<Caller> {
    for _ in 0..100 {
        if let Ok(admin) = cluster.admin(server).await {
            return Ok(admin);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.admin(server).await
}

/// Keys are rotated and a rewrap is started through one node, and the node that has the lock does it, even if that is
/// another one, or the next one after it died.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewrap_is_done_by_one_node_and_goes_on_when_that_dies() -> Result<()> {
    let cluster = Cluster::new()?;
    let mut one = cluster.start("one")?;
    let two = cluster.start("two")?;
    let (on_one, on_two) = (cluster.admin(&one).await?, cluster.admin(&two).await?);
    for number in 0..20 {
        assert_eq!(
            on_one.save_value(&format!("KEY_{number}"), "value").await?.status,
            200
        );
    }
    let operator = |server: &Server, caller: &Caller, command: &[&str]| {
        let mut operator = cluster.home.command("strongroom")?;
        operator.arg("operator").args(command);
        operator.env("STRONGROOM_ADDR", server.url());
        operator.env("STRONGROOM_TOKEN", caller.token());
        run(operator, "")
    };
    assert_eq!(operator(&two, &on_two, &["rotate"])?.code, 0);
    for caller in [&on_one, &on_two] {
        assert_eq!(caller.save_value("AFTER", "value").await?.status, 200);
    }
    // One of them may have the lock now. Without the other the walk is done all the same.
    one.kill()?;
    let rewrapped = operator(&two, &on_two, &["rewrap", "--wait"])?;
    assert_eq!(rewrapped.code, 0, "{rewrapped:?}");
    let one = cluster.start("one")?;
    let three = cluster.start("three")?;
    for server in [&one, &two, &three] {
        let admin = cluster.admin(server).await?;
        assert_eq!(admin.list(json!({})).await?.names().len(), 21);
        assert_eq!(admin.value("KEY_7").await?.as_deref(), Some("value"));
    }
    let shown = on_two.send("GET /strongroom/v1/keys", "").await?.json();
    assert_eq!(shown["kek_epochs"].as_array().map(Vec::len), Some(1), "{shown}");
    for server in [one, two, three] {
        assert!(server.stop()?.success());
    }
    cluster.check_records(&["one", "two", "three"])?;
    Ok(())
}

/// A server whose connection to the database is cut at each statement of its commits answers 503 or what is true; and a
/// save of unknown fate has its record exactly if it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_between_server_and_database_makes_no_answer_untrue() -> Result<()> {
    let cluster = Cluster::new()?;
    let proxy = Proxy::start(cluster.postgres.port())?;
    let one = cluster.start("one")?;
    let url = Postgres::url_through(proxy.port(), &cluster.database);
    let two = Server::start(cluster.up("two", &url)?)?;
    let (admin, through) = (cluster.admin(&one).await?, cluster.admin(&two).await?);
    let mut saves = Vec::new();
    let mut cuts = 0;
    for side in [Side::Client, Side::Server] {
        for number in 0..24 {
            for moment in [Moment::Before, Moment::After] {
                proxy.watch(BEGIN, Some(Cut { side, number, moment }));
                let name = format!("{side:?}_{number}_{moment:?}");
                let saved = through.save_value(&name, "value").await?;
                cuts += usize::from(proxy.stop_watching().1.is_some());
                assert!(
                    [200, 503].contains(&saved.status),
                    "{name}: {} {}",
                    saved.status,
                    saved.text
                );
                saves.push((name, saved));
            }
        }
    }
    assert!(cuts > 40, "{cuts} cuts");
    let mut there = Vec::new();
    for (name, saved) in &saves {
        let value = admin.value(name).await?;
        assert!(value.is_some() || saved.status == 503, "{name} is gone");
        there.push(value.is_some());
    }
    assert!(one.stop()?.success() && two.stop()?.success());
    cluster.check_records(&["one", "two"])?;
    let mut outcomes = std::collections::BTreeMap::new();
    for leaf in ["one", "two"]
        .map(|name| cluster.leaves(name))
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .concat()
    {
        outcomes.insert(
            ledger::text(&leaf, "id").to_owned(),
            ledger::text(&leaf, "outcome").to_owned(),
        );
    }
    for ((name, saved), is_there) in saves.iter().zip(there) {
        let id = saved.id().context("an id")?;
        let outcome = outcomes.get(id).map(String::as_str);
        assert_eq!(
            outcome == Some("ok"),
            is_there,
            "{name}: {outcome:?}, answered {}",
            saved.status
        );
    }
    Ok(())
}
