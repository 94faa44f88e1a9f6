//! HTTP as clients should not speak it: raw bytes on the wire, and what comes back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use strongroom_e2e::{World, eventually};

/// A connection to the server of `world`.
fn connect(world: &World) -> Result<TcpStream> {
    let address = world.server.url().strip_prefix("http://").context("plain HTTP")?;
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Everything that the server answers to `request` until it closes the connection.
fn answer(world: &World, request: &[u8]) -> Result<String> {
    let mut stream = connect(world)?;
    // It may close its end in the middle of what it refuses.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Reads until `end` has come.
fn read_until(stream: &mut TcpStream, end: &str) -> Result<String> {
    let mut text = String::new();
    let mut chunk = [0; 1024];
    while !text.contains(end) {
        let read = stream.read(&mut chunk)?;
        ensure!(read > 0, "the connection ended after: {text}");
        text.push_str(&String::from_utf8_lossy(chunk.get(..read).unwrap_or_default()));
    }
    Ok(text)
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_changes_nothing() -> Result<()> {
    let world = World::new(&[])?;
    let admin = world.admin().await?;
    admin.save_value("KEPT", "kept").await?;
    let head = format!(
        "PUT /secret-svc/secrets HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n",
        admin.token()
    );
    let body = r#"{"secrets":[{"id":"NEW","value":"v"}]}"#;
    let length = body.len();
    for (request, expected) in [
        ("hello\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("\u{16}\u{3}\u{1}\0\u{5}\u{1}\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (
            format!("{head}Content-Length: {length}x\r\n\r\n{body}"),
            "HTTP/1.1 400",
        ),
        (format!("{head}Content-Length: -1\r\n\r\n{body}"), "HTTP/1.1 400"),
        (
            format!("{head}Content-Length: {length}\r\nContent-Length: 2\r\n\r\n{body}"),
            "HTTP/1.1 400",
        ),
        (
            format!("{head}Transfer-Encoding: gzip\r\n\r\n{body}"),
            "HTTP/1.1 400",
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{body}"),
            "HTTP/1.1 400",
        ),
        // More than is read of a head: the answer may be lost with the connection.
        (
            format!(
                "{head}X-Long: {}\r\nContent-Length: {length}\r\n\r\n{body}",
                "x".repeat(300_000)
            ),
            "",
        ),
        (
            format!("PUT /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(300_000)),
            "",
        ),
        (
            format!("{head}Content-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n{body}"),
            "HTTP/1.1 400",
        ),
        (
            format!("{head}Content-Encoding: br\r\nContent-Length: {length}\r\n\r\n{body}"),
            "HTTP/1.1 400",
        ),
    ] {
        let got = answer(&world, request.as_bytes())?;
        let shown = request.replace(admin.token(), "TOKEN");
        let shown: String = shown.chars().take(200).collect();
        assert!(got.starts_with(expected), "{shown:?} is answered {got:?}");
        assert!(!got.starts_with("HTTP/1.1 2"), "{shown:?} is answered {got:?}");
        assert_eq!(
            admin.list(json!({})).await?.names(),
            ["KEPT"],
            "{shown:?} is answered {got:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn odd_but_legal_http_works() -> Result<()> {
    let world = World::new(&[])?;
    let token = world.admin().await?.token().to_owned();
    let head = |call: &str, version: &str| {
        format!("{call} HTTP/{version}\r\nHost: x\r\nConnection: close\r\nauthorization: {token}\r\n")
    };
    let body = r#"{"secrets":[{"id":"a","value":"v"}]}"#;
    let chunked: String = body
        .chars()
        .map(|character| format!("1;ext=1\r\n{character}\r\n"))
        .collect();
    let put = head("PUT /secret-svc/secrets", "1.1");
    let saved = answer(
        &world,
        format!("{put}Transfer-Encoding: chunked\r\n\r\n{chunked}0\r\nTrailer: x\r\n\r\n").as_bytes(),
    )?;
    assert!(
        saved.starts_with("HTTP/1.1 200") && saved.ends_with("{}"),
        "{saved}"
    );

    // In HTTP/1.0, with another type of content, and the name of the method in the path's letters.
    let old = head("POST /secret-svc/secrets", "1.0");
    let listed = answer(
        &world,
        format!("{old}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}").as_bytes(),
    )?;
    assert!(
        listed.starts_with("HTTP/1.0 200") && listed.contains(r#""id":"a""#),
        "{listed}"
    );
    assert!(
        listed.to_lowercase().contains("cache-control: no-store"),
        "{listed}"
    );

    let preflight = answer(&world, b"OPTIONS /secret-svc/secrets HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n")?;
    assert!(preflight.starts_with("HTTP/1.1 200"), "{preflight}");
    assert!(
        preflight.contains("access-control-allow-origin: https://app.example\r\n"),
        "{preflight}"
    );

    let without_body = answer(
        &world,
        format!("{}\r\n", head("HEAD /secret-svc/is-secure", "1.1")).as_bytes(),
    )?;
    assert!(
        without_body.starts_with("HTTP/1.1 200") && without_body.ends_with("\r\n\r\n"),
        "{without_body}"
    );
    Ok(())
}

#[tokio::test]
async fn two_requests_in_one_packet_are_two_requests() -> Result<()> {
    let world = World::new(&[])?;
    let token = world.admin().await?.token().to_owned();
    // Whoever counts `0\r\n\r\n` as the end sees a second request; with both lengths given, nobody may guess.
    let smuggled = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let first = format!("POST /secret-svc/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n");
    let pipelined = answer(
        &world,
        format!("{first}Content-Length: 2\r\n\r\n{{}}{smuggled}").as_bytes(),
    )?;
    assert_eq!(pipelined.matches("HTTP/1.1 200").count(), 2, "{pipelined}");
    let both = format!(
        "{first}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        5 + smuggled.len()
    );
    let answered = answer(&world, both.as_bytes())?;
    assert!(
        !answered.contains("ready\n"),
        "a request was smuggled: {answered}"
    );
    Ok(())
}

#[tokio::test]
async fn a_stop_drains_what_is_in_flight() -> Result<()> {
    let mut world = World::new(&["--log-level", "info"])?;
    let admin = world.admin().await?;
    let body = r#"{"secrets":[{"id":"IN-FLIGHT","value":"v"}]}"#;
    let mut stream = connect(&world)?;
    write!(
        stream,
        "PUT /secret-svc/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        admin.token(),
        body.len()
    )?;
    // The server asks for the body: the request has begun.
    read_until(&mut stream, "100 Continue\r\n\r\n")?;
    world.server.terminate()?;
    eventually("the server is stopping", || {
        Ok(world.server.log().contains("stopping").then_some(()))
    })?;
    eventually("no new connections", || Ok(connect(&world).err()))?;
    stream.write_all(body.as_bytes())?;
    let answer = read_until(&mut stream, "{}")?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        world.server.wait()?.success(),
        "it ends well: {}",
        world.server.log()
    );

    world.server = world.home.start(&[])?;
    assert_eq!(world.admin().await?.list(json!({})).await?.names(), ["IN-FLIGHT"]);
    Ok(())
}
