//! The listeners: accept, shake hands, serve, drain.
//!
//! What one peer can hold is bounded everywhere: connections, the time of a TLS handshake, the time and size of a
//! request's head. Time limits on bodies and answers belong to the dialects, who know what they wait for.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use strongroom_dialect_kit::Peer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use crate::config::TlsFiles;

/// Connections at a time, over all listeners. More wait in the kernel's queue.
const CONNECTIONS: usize = 4096;
/// Connections that wait in the kernel's queue, for each listener.
const BACKLOG: u32 = 1024;
/// For a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For a request's head to arrive, and for an idle connection to send its next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 << 10;
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// How often a quiet HTTP/2 peer is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// What requests in flight get to finish when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the listeners prove who they are.
#[derive(Clone)]
pub struct TlsConfig(Arc<ServerConfig>);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or has no PEM block of the kind.
    #[error("cannot read `{file}`")]
    File {
        /// The file.
        file: String,
        /// Why not.
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key do not fit together, or are of a kind that is not supported.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
}

impl TlsConfig {
    /// Reads the PEM files. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let failed = |file: &std::path::Path| {
            let file = file.display().to_string();
            move |source| TlsError::File { file, source }
        };
        let chain = CertificateDer::pem_file_iter(&files.cert)
            .and_then(Iterator::collect)
            .map_err(failed(&files.cert))?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(failed(&files.key))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// Bound addresses, not yet served: peers can connect and wait.
pub struct Listeners {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    tls: Option<TlsAcceptor>,
}

impl Listeners {
    /// Binds all of `addresses`, or none. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be bound, named in the error.
    pub fn bind(addresses: &[SocketAddr], tls: Option<TlsConfig>) -> io::Result<Self> {
        let listeners = addresses
            .iter()
            .map(|&address| bind(address))
            .collect::<io::Result<Vec<_>>>()?;
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<_>>()?;
        Ok(Self {
            listeners,
            addresses,
            tls: tls.map(|tls| TlsAcceptor::from(tls.0)),
        })
    }

    /// The addresses as bound: port 0 has become a real one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves `router` until `shutdown` is done, then accepts nothing more, and returns when the requests in flight
    /// are answered or 20 s have passed. Each request carries `ConnectInfo<Peer>`. Dropping the future ends
    /// every connection at once.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut loops = JoinSet::new();
        for listener in self.listeners {
            let server = Server {
                router: router.clone(),
                tls: self.tls.clone(),
                slots: Arc::clone(&slots),
                stopping: stopping.clone(),
            };
            loops.spawn(server.run(listener));
        }
        shutdown.await;
        stop.send_replace(true);
        loops.join_all().await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bind = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?; // a restart must not wait for old connections to time out
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// What every connection of a listener needs.
#[derive(Clone)]
struct Server {
    router: Router,
    tls: Option<TlsAcceptor>,
    slots: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Server {
    async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                () = stop(&mut stopping) => break,
                Some(ended) = connections.join_next() => report(ended),
                (stream, peer, slot) = self.accept(&listener) => {
                    connections.spawn(self.clone().connection(stream, peer, slot));
                }
            }
        }
        drop(listener);
        let drained = async {
            while let Some(ended) = connections.join_next().await {
                report(ended)
            }
        };
        if timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            tracing::warn!("requests still in flight are cut off");
        }
    }

    /// The next connection, once there is a slot for it.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        loop {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                std::future::pending().await // INVARIANT: the semaphore is never closed
            };
            match listener.accept().await {
                Ok((stream, peer)) => return (stream, peer, slot),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, _slot: OwnedSemaphorePermit) {
        // Without it, small answers wait for the peer's acknowledgement of the last one. Failing costs only that.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.serve(Builder::http1_only, stream, peer).await;
        };
        match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.serve(Builder::http2_only, stream, peer).await;
            }
            Ok(Ok(stream)) => self.serve(Builder::http1_only, stream, peer).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
        }
    }

    /// `version` is always fixed: guessing it from the first bytes would wait for them without a time limit.
    async fn serve(
        mut self,
        version: fn(Builder<TokioExecutor>) -> Builder<TokioExecutor>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
    ) {
        let (router, known) = (self.router, Peer::new(peer));
        let service = service_fn(move |request| answer(router.clone(), request, known.clone()));
        let protocol = version(protocol());
        let mut connection = std::pin::pin!(protocol.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop(&mut self.stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "the connection broke");
        }
    }
}

/// Waits until the listeners are told to stop, or nobody is left to tell them.
async fn stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn answer(
    mut router: Router,
    mut request: Request<Incoming>,
    peer: Peer,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    router.call(request).await // a router is always ready
}

fn protocol() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(PING_EVERY);
    builder
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // The panic's own text is not logged: it could hold what it panicked over.
        tracing::error!(panicked = error.is_panic(), "a connection's task ended early");
    }
}
