//! The listeners with real peers: addresses, TLS, drain, and peers that do not behave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use strongroom::config::TlsFiles;
use strongroom::server::listen::{Listeners, TlsConfig};
use strongroom_client::Client;
use strongroom_dialect_kit::Peer;
use strongroom_secret::SecretText;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const FREE: &str = "127.0.0.1:0";
/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(10);

struct Served {
    addresses: Vec<SocketAddr>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

fn serve(router: Router, addresses: &[&str], tls: Option<TlsConfig>) -> Served {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let listeners = Listeners::bind(&addresses, tls).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let addresses = listeners.addresses().to_vec();
    let shutdown = async { drop(stopped.into_future().await) };
    Served {
        addresses,
        stop,
        ended: tokio::spawn(listeners.serve(router, shutdown)),
    }
}

impl Served {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(SOON, self.ended).await.unwrap().unwrap();
    }
}

/// What the server sends on one connection until it ends it.
async fn talk(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    timeout(SOON, stream.read_to_string(&mut reply))
        .await
        .unwrap()
        .unwrap();
    reply
}

fn peer_router() -> Router {
    Router::new().route(
        "/",
        get(async |ConnectInfo(peer): ConnectInfo<Peer>| peer.address().to_string()),
    )
}

#[tokio::test]
async fn every_address_is_served_and_knows_its_peer() {
    let served = serve(peer_router(), &[FREE, FREE], None);
    assert_ne!(served.addresses[0], served.addresses[1]);
    for &address in &served.addresses {
        assert_ne!(address.port(), 0);
        let reply = talk(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(
            reply.starts_with("HTTP/1.1 200") && reply.contains("\r\n\r\n127.0.0.1:"),
            "{reply}"
        );
    }
    served.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let served = serve(peer_router(), &[FREE], None);
    let taken = served.addresses[0];
    let error = Listeners::bind(&[FREE.parse().unwrap(), taken], None)
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on {taken}: ")),
        "{error}"
    );
    served.stop().await;
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight_and_drops_idle_connections() {
    let (arrived, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inner_arrived, inner_answer) = (Arc::clone(&arrived), Arc::clone(&answer));
    let slow = async move || {
        inner_arrived.notify_one();
        inner_answer.notified().await;
        "done"
    };
    let served = serve(Router::new().route("/slow", get(slow)), &[FREE], None);
    let address = served.addresses[0];
    let idle = TcpStream::connect(address).await.unwrap();
    let in_flight = tokio::spawn(talk(address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
    timeout(SOON, arrived.notified()).await.unwrap();

    served.stop.send(()).unwrap();
    // The listener closes first, while the request is still waiting.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!served.ended.is_finished());
    answer.notify_one();
    assert!(in_flight.await.unwrap().ends_with("\r\n\r\ndone"));
    timeout(SOON, served.ended).await.unwrap().unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_own_connection_only() {
    async fn fails() -> &'static str {
        panic!("on purpose")
    }
    let served = serve(peer_router().route("/panic", get(fails)), &[FREE], None);
    assert_eq!(
        talk(served.addresses[0], "GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await,
        ""
    );
    let reply = talk(
        served.addresses[0],
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    served.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_no_head_is_dropped_in_time() {
    let served = serve(peer_router(), &[FREE], None);
    for sent in [
        "",
        "GET / HTT",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(served.addresses[0]).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        // Without a limit in the server this limit, a day, would end it.
        timeout(Duration::from_secs(86_400), stream.read_to_end(&mut reply))
            .await
            .unwrap()
            .unwrap();
    }
    served.stop().await;
}

#[tokio::test]
async fn tls_is_trusted_by_its_own_authority_only() {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        cert: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
    };
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();

    let is_secure = get(async || r#"{"isSecure":true}"#);
    let router = Router::new().route("/secret-svc/is-secure", is_secure);
    let served = serve(router, &[FREE], Some(TlsConfig::load(&files).unwrap()));
    let url = format!("https://{}", served.addresses[0]);
    let token = SecretText::new("token".into());
    let client = |ca| Client::new(&url, ca).unwrap().with_token(&token).unwrap();
    assert!(client(Some(files.cert.as_path())).is_secure().await.unwrap());
    assert!(client(None).is_secure().await.is_err());
    let reply = talk(served.addresses[0], "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!reply.contains("HTTP"), "an alert at most: {reply}");
    served.stop().await;
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        cert: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
    };
    assert!(
        TlsConfig::load(&files)
            .err()
            .unwrap()
            .to_string()
            .contains("cert.pem")
    );
    let (one, other) = (["a".to_owned()], ["b".to_owned()]);
    let one = rcgen::generate_simple_self_signed(one).unwrap();
    let other = rcgen::generate_simple_self_signed(other).unwrap();
    std::fs::write(&files.cert, one.cert.pem()).unwrap();
    assert!(
        TlsConfig::load(&files)
            .err()
            .unwrap()
            .to_string()
            .contains("key.pem")
    );
    std::fs::write(&files.key, other.signing_key.serialize_pem()).unwrap();
    assert!(
        TlsConfig::load(&files).is_err(),
        "the key is another certificate's"
    );
}
