//! A TCP proxy before a PostgreSQL server, which knows its messages well enough to cut a connection at a chosen one.
//!
//! Messages: PostgreSQL 15, chapter 55.7. A connection that asks for TLS is not understood; use `sslmode=disable`.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client: statements.
    Client,
    /// The server: answers.
    Server,
}

/// Whether the message at which a connection is cut still gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It does not.
    Before,
    /// It does, and nothing after it.
    After,
}

/// Where a connection is cut: at message `number`, from 0, of `side`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Whose message.
    pub side: Side,
    /// Which, counted from the statement that begins what is watched.
    pub number: usize,
    /// Before or after it.
    pub moment: Moment,
}

/// A message that passed while something was watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who said it.
    pub side: Side,
    /// Its name, and what it is about.
    pub name: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.side, self.name)
    }
}

/// A proxy on a port of its own. Dropping it cuts everything.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    plan: Mutex<Plan>,
    open: Mutex<HashMap<u64, [TcpStream; 2]>>,
    next: AtomicU64,
    /// Whether new connections are refused.
    is_down: AtomicBool,
    is_over: AtomicBool,
}

/// What is watched, and where it is cut.
#[derive(Default)]
struct Plan {
    /// How the statement begins that begins what is watched; none when nothing is.
    marker: Option<&'static str>,
    cut: Option<Cut>,
    /// The connection that is watched, once that statement came.
    watched: Option<u64>,
    seen: Vec<Message>,
    was_cut: Option<Message>,
}

impl Proxy {
    /// A proxy before the server on `target`, a port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State::default());
        let of_thread = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let is_down = of_thread.is_down.load(Ordering::SeqCst);
                let pair = client.and_then(|client| Ok((client, TcpStream::connect(("127.0.0.1", target))?)));
                if let (Ok((client, server)), false) = (pair, is_down) {
                    // A connection that cannot be set up is one that is cut.
                    let _ = of_thread.carry(client, server);
                }
            }
        });
        Ok(Self { port, state })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Watches the first connection on which a statement comes that begins with `marker`, from that statement to the
    /// next like it, and cuts it at `cut`, if that is reached.
    pub fn watch(&self, marker: &'static str, cut: Option<Cut>) {
        *self.state.plan() = Plan {
            marker: Some(marker),
            cut,
            ..Plan::default()
        };
    }

    /// Watches nothing any more; gives what has passed, and the message at which the connection was cut.
    #[must_use]
    pub fn stop_watching(&self) -> (Vec<Message>, Option<Message>) {
        let plan = std::mem::take(&mut *self.state.plan());
        (plan.seen, plan.was_cut)
    }

    /// Cuts every connection there is.
    pub fn cut_all(&self) {
        for pair in self.state.open().values() {
            close(pair);
        }
    }

    /// From now on new connections are refused, or let through again.
    pub fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.cut_all();
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the listener, which ends
    }
}

fn close(pair: &[TcpStream; 2]) {
    for stream in pair {
        let _ = stream.shutdown(Shutdown::Both); // it may be closed already
    }
}

impl State {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, [TcpStream; 2]>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves messages both ways until the connection ends.
    fn carry(self: &Arc<Self>, client: TcpStream, server: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let pair = [client.try_clone()?, server.try_clone()?];
        self.open().insert(id, pair);
        for (side, from, to) in [
            (Side::Client, client.try_clone()?, server.try_clone()?),
            (Side::Server, server, client),
        ] {
            let state = Arc::clone(self);
            thread::spawn(move || {
                let _ = state.pass(id, side, from, to); // an error is the end of the connection
                if let Some(pair) = state.open().remove(&id) {
                    close(&pair);
                }
            });
        }
        Ok(())
    }

    /// Passes the messages of `side` on, one by one, until the connection ends or is cut.
    fn pass(&self, id: u64, side: Side, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        let mut messages = Messages::of(side);
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = from.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            messages
                .bytes
                .extend_from_slice(chunk.get(..read).unwrap_or_default());
            while let Some((name, bytes)) = messages.next() {
                let cut = self.plan().take(id, Message { side, name });
                if cut != Some(Moment::Before) {
                    to.write_all(&bytes)?;
                }
                if cut.is_some() {
                    return Ok(());
                }
            }
        }
    }
}

impl Plan {
    /// Takes note of a message on connection `id`; whether the connection is cut there.
    fn take(&mut self, id: u64, message: Message) -> Option<Moment> {
        let marker = self.marker?;
        let is_marker = message
            .name
            .strip_prefix("Query ")
            .is_some_and(|sql| sql.starts_with(marker));
        match self.watched {
            None if is_marker => self.watched = Some(id),
            Some(watched) if watched == id && is_marker => {
                self.marker = None;
                return None;
            }
            Some(watched) if watched == id => {}
            _ => return None,
        }
        let number = self.seen.iter().filter(|seen| seen.side == message.side).count();
        let cut = self
            .cut
            .filter(|cut| cut.side == message.side && cut.number == number);
        if cut.is_some() {
            self.marker = None;
            self.was_cut = Some(message.clone());
        }
        self.seen.push(message);
        cut.map(|cut| cut.moment)
    }
}

/// Divides what one side says into messages.
struct Messages {
    side: Side,
    bytes: Vec<u8>,
    /// Whether the first message of a client has passed, which has no type.
    has_begun: bool,
    /// The texts of prepared statements, by name.
    prepared: HashMap<String, String>,
}

impl Messages {
    fn of(side: Side) -> Self {
        Self {
            side,
            bytes: Vec::new(),
            has_begun: side == Side::Server,
            prepared: HashMap::new(),
        }
    }

    /// The next whole message: its name, and its bytes.
    fn next(&mut self) -> Option<(String, Vec<u8>)> {
        let head = usize::from(self.has_begun);
        let length = self.bytes.get(head..)?.first_chunk()?;
        let length = head + usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if self.bytes.len() < length {
            return None;
        }
        let bytes: Vec<u8> = self.bytes.drain(..length).collect();
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(("Startup".to_owned(), bytes));
        }
        let (kind, body) = (bytes.first().copied()?, bytes.get(5..).unwrap_or_default());
        let name = match self.side {
            Side::Client => self.name_statement(kind, body),
            Side::Server => name_answer(kind, body),
        };
        Some((name, bytes))
    }

    fn name_statement(&mut self, kind: u8, body: &[u8]) -> String {
        let mut texts = body
            .split(|byte| *byte == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned());
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        match kind {
            b'Q' => format!("Query {first}"),
            b'P' => {
                let name = format!("Parse {second}");
                self.prepared.insert(first, second);
                name
            }
            b'B' => format!("Bind {}", self.prepared.get(&second).map_or("?", String::as_str)),
            b'E' => "Execute".to_owned(),
            b'S' => "Sync".to_owned(),
            b'X' => "Terminate".to_owned(),
            other => char::from(other).to_string(),
        }
    }
}

fn name_answer(kind: u8, body: &[u8]) -> String {
    match kind {
        b'1' => "ParseComplete".to_owned(),
        b'2' => "BindComplete".to_owned(),
        b'C' => format!(
            "CommandComplete {}",
            String::from_utf8_lossy(body).trim_end_matches('\0')
        ),
        b'D' => "DataRow".to_owned(),
        b'E' => "ErrorResponse".to_owned(),
        b'Z' => "ReadyForQuery".to_owned(),
        other => char::from(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap_or(0).to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn messages_are_named_however_they_arrive() {
        let said = [
            vec![0, 0, 0, 8, 0, 3, 0, 0],
            message(b'P', b"s1\0SELECT 1\0\0\0"),
            message(b'B', b"\0s1\0\0\0"),
            message(b'S', b""),
            message(b'Q', b"COMMIT\0"),
        ]
        .concat();
        let mut messages = Messages::of(Side::Client);
        let (mut names, mut passed) = (Vec::new(), Vec::new());
        for byte in &said {
            messages.bytes.push(*byte);
            while let Some((name, bytes)) = messages.next() {
                names.push(name);
                passed.extend(bytes);
            }
        }
        assert_eq!(
            names,
            [
                "Startup",
                "Parse SELECT 1",
                "Bind SELECT 1",
                "Sync",
                "Query COMMIT"
            ]
        );
        assert_eq!(passed, said);
    }

    #[test]
    fn a_plan_counts_one_connection_from_its_marker_on() {
        let say = |side, name: &str| Message {
            side,
            name: name.to_owned(),
        };
        let mut plan = Plan {
            marker: Some("BEGIN"),
            cut: Some(Cut {
                side: Side::Client,
                number: 1,
                moment: Moment::After,
            }),
            ..Plan::default()
        };
        assert_eq!(plan.take(1, say(Side::Client, "Query SELECT")), None);
        assert_eq!(plan.take(2, say(Side::Client, "Query BEGIN")), None);
        assert_eq!(
            plan.take(1, say(Side::Client, "Sync")),
            None,
            "another connection"
        );
        assert_eq!(plan.take(2, say(Side::Server, "ReadyForQuery")), None);
        assert_eq!(plan.take(2, say(Side::Client, "Sync")), Some(Moment::After));
        assert_eq!(plan.take(2, say(Side::Client, "Sync")), None, "once");
        assert_eq!(plan.was_cut, Some(say(Side::Client, "Sync")));
    }
}
