//! A load generator that is lighter than what it loads: prepared requests over keep-alive connections, each sending
//! its next request as soon as it has the reply to its last one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use strongroom_base::{Clock, Monotonic, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::with_capacity(16 << 10),
        })
    }

    /// Sends `request` and gives the body of the reply, whose status must be 200.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.received.clear();
        loop {
            ensure!(
                self.stream.read_buf(&mut self.received).await? > 0,
                "the server closed the connection"
            );
            let Some(reply) = Reply::parse(&self.received)? else {
                continue;
            };
            if !reply.is_ok {
                bail!("the server refused: {}", String::from_utf8_lossy(&self.received));
            }
            return self.received.get(reply.head_bytes..).context("no body");
        }
    }

    /// Sends a JSON request and reads the reply's body as JSON.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Result<Value> {
        let body = self
            .send(&request(method, path, token, &body.to_string()))
            .await?;
        Ok(serde_json::from_slice(body)?)
    }
}

/// The head of a whole reply.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    is_ok: bool,
    head_bytes: usize,
}

impl Reply {
    /// `None` while something of the reply is missing. Only what our servers send is understood.
    fn parse(received: &[u8]) -> Result<Option<Self>> {
        let Some(blank) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head_bytes = blank + 4;
        let head = std::str::from_utf8(received.get(..blank).unwrap_or_default())?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("a reply without Content-Length")?.parse()?;
        let is_ok = head.starts_with("HTTP/1.1 200 ");
        Ok((received.len() >= head_bytes + length).then_some(Self { is_ok, head_bytes }))
    }
}

/// A closed loop of requests.
#[derive(Clone)]
pub(crate) struct Load {
    /// The requests, at least one for each connection. Each connection goes round in a share of its own.
    pub(crate) requests: Arc<[Vec<u8>]>,
    pub(crate) connections: usize,
}

/// What came of a [`Load`].
pub(crate) struct Sent {
    /// Requests answered with 200.
    pub(crate) requests: u64,
    /// From the first request to the last reply.
    pub(crate) took: Duration,
    /// Of each request, in microseconds.
    pub(crate) latencies_us: Vec<f64>,
}

impl Load {
    /// Keeps the server at `address` busy for `duration`.
    pub(crate) async fn run(&self, address: SocketAddr, duration: Duration) -> Result<Sent> {
        let clock = Arc::new(SystemClock::new());
        let mut opened = Vec::new();
        for _ in 0..self.connections {
            opened.push(Connection::open(address).await?);
        }
        // Never asleep, so that no server pays for waking its peer.
        let awake = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let start = clock.monotonic();
        let mut loops = JoinSet::new();
        for (first, connection) in opened.into_iter().enumerate() {
            loops.spawn(
                self.clone()
                    .go_round(first, connection, clock.clone(), start.plus(duration)),
            );
        }
        let mut latencies_us = Vec::new();
        while let Some(done) = loops.join_next().await {
            latencies_us.extend(done??);
        }
        let took = clock.monotonic().since(start);
        awake.abort();
        Ok(Sent {
            requests: latencies_us.len() as u64,
            took,
            latencies_us,
        })
    }

    async fn go_round(
        self,
        first: usize,
        mut connection: Connection,
        clock: Arc<SystemClock>,
        end: Monotonic,
    ) -> Result<Vec<f64>> {
        let mut latencies_us = Vec::new();
        let mut before = clock.monotonic();
        for request in self.requests.iter().skip(first).step_by(self.connections).cycle() {
            connection.send(request).await?;
            let after = clock.monotonic();
            latencies_us.push(after.since(before).as_secs_f64() * 1e6);
            before = after;
            if after >= end {
                break;
            }
        }
        Ok(latencies_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_whole_with_its_last_byte() {
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        for end in 0..reply.len() {
            assert_eq!(Reply::parse(&reply[..end]).unwrap(), None, "{end} bytes");
        }
        assert_eq!(
            Reply::parse(reply).unwrap(),
            Some(Reply {
                is_ok: true,
                head_bytes: 38
            })
        );
        let refused = Reply::parse(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert!(refused.is_some_and(|reply| !reply.is_ok));
        assert!(Reply::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
