//! Clients: each compares and sets, and reads, through one node, and remembers what it saw.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use strongroom_base::{Clock, Monotonic, SystemClock};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::dice::Dice;
use crate::history::{Action, Event, Value};
use crate::node::{Answer, Question};

/// Registers that all clients use.
pub(crate) const REGISTERS: u64 = 3;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What all clients of a run share.
pub(crate) struct Notebook {
    clock: SystemClock,
    began: Monotonic,
    next_value: AtomicU64,
    pub(crate) is_over: AtomicBool,
    /// Of each register.
    histories: [Mutex<Vec<Event>>; REGISTERS as usize],
    /// Answers that something was set, and sets without an answer.
    pub(crate) done: AtomicU64,
    pub(crate) unknown: AtomicU64,
}

impl Notebook {
    pub(crate) fn new() -> Self {
        let clock = SystemClock::new();
        Self {
            began: clock.monotonic(),
            clock,
            next_value: AtomicU64::new(1),
            is_over: AtomicBool::new(false),
            histories: Default::default(),
            done: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }
    }

    /// The time, in nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        let elapsed = self.clock.monotonic().since(self.began);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether the run has taken `length`.
    pub(crate) fn has_taken(&self, length: Duration) -> bool {
        self.clock.monotonic().since(self.began) >= length
    }

    /// Writes down an event of register `key`.
    pub(crate) fn add(&self, key: u64, event: Event) {
        let history = usize::try_from(key).ok().and_then(|key| self.histories.get(key));
        if let Some(history) = history {
            history.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        }
    }

    /// What happened to register `key`.
    pub(crate) fn history(&self, key: u64) -> Vec<Event> {
        let history = usize::try_from(key).ok().and_then(|key| self.histories.get(key));
        history.map_or_else(Vec::new, |history| {
            history.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }
}

/// Uses the node whose port is in `port` (0: there is none at the moment) until the run is over.
pub(crate) async fn run(notebook: Arc<Notebook>, port: Arc<AtomicU64>, seed: u64) {
    let mut dice = Dice::new(seed);
    while !notebook.is_over.load(Ordering::SeqCst) {
        // An error is the end of a connection; a node that lives again has another port.
        let _ = talk(&notebook, &port, &mut dice).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn talk(notebook: &Notebook, port: &AtomicU64, dice: &mut Dice) -> Result<()> {
    let port = u16::try_from(port.load(Ordering::SeqCst))?;
    let stream = timeout(PATIENCE, TcpStream::connect(("127.0.0.1", port))).await??;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut seen: [Value; REGISTERS as usize] = Default::default();
    while !notebook.is_over.load(Ordering::SeqCst) {
        let key = dice.below(REGISTERS);
        let seen = seen
            .get_mut(usize::try_from(key)?)
            .context("a register too many")?;
        let question = if dice.below(2) == 0 {
            Question::Read { key }
        } else {
            let new = notebook.next_value.fetch_add(1, Ordering::SeqCst);
            Question::Set { key, old: *seen, new }
        };
        let called = notebook.now();
        let answer = timeout(PATIENCE, async {
            let line = format!("{}\n", serde_json::to_string(&question)?);
            write.write_all(line.as_bytes()).await?;
            let line = lines.next_line().await?.context("no answer")?;
            Ok::<Answer, anyhow::Error>(serde_json::from_str(&line)?)
        })
        .await
        .map_err(anyhow::Error::from)
        .flatten();
        let answered = notebook.now();
        if let Some((action, is_answered)) = noted(notebook, question, answer.as_ref().ok(), seen) {
            let answered = is_answered.then_some(answered);
            notebook.add(
                key,
                Event {
                    called,
                    answered,
                    action,
                },
            );
        }
        answer?;
    }
    Ok(())
}

/// What `question` and its answer, if there was one, are in a history; and whether it is known to have happened.
fn noted(
    notebook: &Notebook,
    question: Question,
    answer: Option<&Answer>,
    seen: &mut Value,
) -> Option<(Action, bool)> {
    match (question, answer) {
        // A set that found another value has read it.
        (_, Some(Answer::Holds(value))) => {
            *seen = *value;
            Some((Action::Read(*value), true))
        }
        (Question::Set { old, new, .. }, Some(Answer::Done)) => {
            *seen = Some(new);
            notebook.done.fetch_add(1, Ordering::SeqCst);
            Some((Action::Set { old, new }, true))
        }
        (Question::Set { old, new, .. }, None | Some(Answer::Unknown)) => {
            notebook.unknown.fetch_add(1, Ordering::SeqCst);
            Some((Action::Set { old, new }, false))
        }
        (_, Some(Answer::NotDone | Answer::Done | Answer::Unknown)) | (Question::Read { .. }, None) => None,
    }
}
