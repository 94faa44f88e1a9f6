//! Copies of the ledger's leaves: complete and in order, whatever ends when, and never in anybody's way.

#![cfg(test)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use strongroom_e2e::{World, eventually};
use strongroom_ledger::{Reader, verifier_key};
use strongroom_testkit::Home;

fn reader(home: &Home) -> Result<Reader> {
    Ok(Reader::new(
        &home.data().join("ledger"),
        verifier_key(&home.data())?,
    ))
}

/// The lines that a copy of the ledger must have.
fn expected(home: &Home) -> Result<Vec<String>> {
    let reader = reader(home)?;
    let leaves = reader.leaves(0, usize::MAX)?;
    let line = |leaf: &strongroom_ledger::Published| {
        let text = std::str::from_utf8(&leaf.bytes)?;
        let (log, index) = (reader.key().name(), leaf.index);
        Ok(format!("{{\"log\":\"{log}\",\"index\":{index},\"leaf\":{text}}}"))
    };
    leaves.iter().map(line).collect()
}

fn lines(file: &Path) -> Result<Vec<String>> {
    Ok(fs::read_to_string(file)?.lines().map(str::to_owned).collect())
}

/// Restarts the server of `world` with this configuration file.
fn configure(world: &mut World, toml: &str) -> Result<String> {
    let path = world.home.path().join("strongroom.toml");
    fs::write(&path, toml)?;
    let path = path.to_string_lossy().into_owned();
    world.restart(&["--config", &path])?;
    Ok(path)
}

#[tokio::test]
async fn a_file_has_every_leaf_once_through_kills_and_a_rotation() -> Result<()> {
    let mut world = World::new(&[])?;
    let file = world.home.path().join("audit.jsonl");
    let rotated = world.home.path().join("audit.jsonl.1");
    let toml = format!("[[audit.copy]]\nname = \"file\"\nto = \"{}\"\n", file.display());
    let config = configure(&mut world, &toml)?;
    let token = world.admin().await?.token().to_owned();
    for round in 0..6 {
        let admin = world.stranger()?.with(&token);
        for number in 0..40 {
            admin.save_value(&format!("A{number}"), "one").await?;
            admin.list(json!({})).await?;
        }
        if round == 3 {
            let home = &world.home;
            eventually("a complete copy", || {
                Ok((lines(&file)?.len() == expected(home)?.len()).then_some(()))
            })?;
            fs::rename(&file, &rotated)?;
        }
        // Anywhere between a checkpoint, a written line and a kept cursor.
        tokio::time::sleep(Duration::from_millis(37 * round)).await;
        world.server.kill()?;
        if round == 4 {
            fs::OpenOptions::new()
                .append(true)
                .open(&file)?
                .write_all(b"{\"log\":\"half a li")?;
        }
        world.server = world.home.start(&["--config", &config])?;
    }
    // What waited for the ledger when it was killed is published, and nothing comes after it.
    world.server.terminate()?;
    assert!(world.server.wait()?.success());
    let expected = expected(&world.home)?;
    assert!(expected.len() > 480, "{}", expected.len());
    world.server = world.home.start(&["--config", &config])?;
    eventually("a complete copy", || {
        let copied = [lines(&rotated)?, lines(&file)?].concat();
        ensure!(
            expected.starts_with(&copied),
            "the copy has a gap, or a leaf twice"
        );
        Ok((copied.len() == expected.len()).then_some(()))
    })?;
    let metrics = world.stranger()?.send("GET /metrics", "").await?.text;
    let is_told = |name: &str| metrics.contains(&format!("{name}{{kind=\"copy\",name=\"file\"}} 0\n"));
    assert!(
        is_told("strongroom_follower_lag_leaves") && is_told("strongroom_follower_errors_total"),
        "{metrics}"
    );

    // A file of something else is left alone, and nothing else suffers.
    world.server.terminate()?;
    assert!(world.server.wait()?.success());
    fs::write(&file, "mine\n")?;
    world.server = world.home.start(&["--config", &config])?;
    assert_eq!(world.stranger()?.with(&token).list(json!({})).await?.status, 200);
    let server = &world.server;
    eventually("a warning", || {
        Ok(server
            .log()
            .contains("the end of the file is no line of a copy")
            .then_some(()))
    })?;
    assert_eq!(fs::read(&file)?, b"mine\n");
    Ok(())
}

/// What a receiver was sent, by connection.
type Received = Arc<Mutex<Vec<Vec<String>>>>;

/// What a receiver does with a connection.
#[derive(Clone, Copy)]
enum Mood {
    Hang,
    /// Acknowledge so many lines, and go away.
    Cut(usize),
    Good,
}

/// Reads lines and acknowledges them; gives up the connection as its mood is.
fn receive(stream: TcpStream, mood: Mood, received: &Received) -> Result<()> {
    let mut answers = stream.try_clone()?;
    let number = {
        let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
        received.push(Vec::new());
        received.len() - 1
    };
    if matches!(mood, Mood::Hang) {
        thread::sleep(Duration::from_secs(3600));
    }
    for (count, line) in BufReader::new(stream).lines().enumerate() {
        let line = line?;
        let index = serde_json::from_str::<serde_json::Value>(&line)?["index"].clone();
        let mut all = received.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_mut(number).context("of this connection")?.push(line);
        drop(all);
        writeln!(answers, "{index}")?;
        if matches!(mood, Mood::Cut(after) if count >= after) {
            break;
        }
    }
    Ok(())
}

/// Every line of `expected` came, each connection's in order and without a gap; a later one repeats at most a batch.
fn is_complete(received: &Received, expected: &[String]) -> Result<bool> {
    let received = received.lock().unwrap_or_else(PoisonError::into_inner);
    let mut reached = 0;
    for lines in received.iter().filter(|lines| !lines.is_empty()) {
        let first = lines.first().context("a line")?;
        let start = expected
            .iter()
            .position(|line| line == first)
            .context("a line of the ledger")?;
        ensure!(start <= reached, "a gap before {first}");
        ensure!(reached - start <= 256, "more than a batch came twice");
        ensure!(
            expected.get(start..start + lines.len()) == Some(lines),
            "out of order"
        );
        reached = reached.max(start + lines.len());
    }
    Ok(reached == expected.len())
}

#[tokio::test]
async fn a_receiver_that_hangs_cuts_and_comes_back_misses_nothing() -> Result<()> {
    let mut world = World::new(&[])?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let toml = format!(
        "[[audit.copy]]\nname = \"siem\"\nto = \"tcp://{}\"\n",
        listener.local_addr()?
    );
    let received = Received::default();
    thread::spawn({
        let received = received.clone();
        move || {
            let moods = [Mood::Hang, Mood::Cut(5), Mood::Good, Mood::Cut(300)];
            let moods = moods.into_iter().chain(std::iter::repeat(Mood::Good));
            for (stream, mood) in listener.incoming().zip(moods) {
                let received = received.clone();
                thread::spawn(move || receive(stream?, mood, &received));
            }
        }
    });
    let config = configure(&mut world, &toml)?;
    let token = world.admin().await?.token().to_owned();
    for round in 0..2 {
        let admin = world.stranger()?.with(&token);
        for number in 0..200 {
            assert_eq!(admin.save_value(&format!("A{number}"), "one").await?.status, 200);
        }
        let home = &world.home;
        if round == 0 {
            // It hangs, and the ledger is published all the same.
            eventually("a published ledger", || {
                Ok((reader(home)?.checkpoint()?.0.size > 200).then_some(()))
            })?;
            assert!(!is_complete(&received, &expected(home)?)?);
        }
        eventually("a connection after the one that was cut", || {
            let received = received.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((received.len() > 2).then_some(()))
        })?;
        eventually("a complete copy", || {
            Ok(is_complete(&received, &expected(home)?)?.then_some(()))
        })?;
        world.server.kill()?;
        world.server = world.home.start(&["--config", &config])?;
    }
    let home = &world.home;
    eventually("a complete copy", || {
        Ok(is_complete(&received, &expected(home)?)?.then_some(()))
    })?;
    Ok(())
}

#[tokio::test]
async fn a_receiver_is_known_by_its_certificate() -> Result<()> {
    use tokio::io::AsyncReadExt;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    let mut world = World::new(&[])?;
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let place = |name: &str| world.home.path().join(name).display().to_string();
    let (ca, wrong) = (place("ca.pem"), place("wrong.pem"));
    fs::write(&ca, own.cert.pem())?;
    fs::write(&wrong, other.cert.pem())?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, told) = (acceptor.clone(), told.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(tcp).await?;
                let mut chunk = [0; 4096];
                loop {
                    let read = stream.read(&mut chunk).await?;
                    let _ = told.send(chunk.get(..read).unwrap_or_default().to_vec()); // until the test ends
                    if read == 0 {
                        return std::io::Result::Ok(());
                    }
                }
            });
        }
    });
    let table = |name: &str, ca: &str| {
        format!(
            "[[audit.copy]]\nname = \"{name}\"\nto = \"tls://localhost:{port}\"\nca = \"{ca}\"\nacknowledge = false\n"
        )
    };
    configure(&mut world, &table("wrong", &wrong))?;
    for _ in 0..300 {
        if world.server.log().contains("does not follow the ledger") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        world.server.log().contains("certificate"),
        "{}",
        world.server.log()
    );
    assert!(heard.try_recv().is_err(), "nothing was told to a stranger");

    configure(&mut world, &table("right", &ca))?;
    let mut text = Vec::new();
    while !text.ends_with(b"}\n") {
        text.extend(heard.recv().await.context("the receiver ended")?);
    }
    let text = String::from_utf8(text)?;
    let first: Vec<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(expected(&world.home)?.get(..first.len()), Some(first.as_slice()));
    Ok(())
}
