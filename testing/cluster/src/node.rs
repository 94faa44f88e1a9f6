//! A node with nothing but storage in it: it answers compare-and-set and reads over TCP, a line of JSON each.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use strongroom_base::{NodeId, SystemClock};
use strongroom_storage::{Change, CommitError, Note, Precondition, Storage};
use strongroom_storage_postgres::{Database, Postgres, Settings};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::history::Value;

/// What a client asks of a register.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Question {
    /// What it holds.
    Read {
        /// Which register.
        key: u64,
    },
    /// To hold `new` if it holds `old`.
    Set {
        /// Which register.
        key: u64,
        /// What must be there.
        old: Value,
        /// What is there then.
        new: u64,
    },
}

/// What the node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It holds this.
    Holds(Value),
    /// It was set.
    Done,
    /// It was not: another was faster, or storage did not try.
    NotDone,
    /// It was, or it was not.
    Unknown,
}

/// What may be wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Commits have no preconditions.
    DropsPreconditions,
    /// A commit of unknown fate is said to be done.
    TakesUnknownForDone,
    /// Reads are answered from memory.
    RemembersReads,
    /// What is set has no note.
    DropsNotes,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 4] = [
        Self::DropsPreconditions,
        Self::TakesUnknownForDone,
        Self::RemembersReads,
        Self::DropsNotes,
    ];

    /// What the command line calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DropsPreconditions => "drops-preconditions",
            Self::TakesUnknownForDone => "takes-unknown-for-done",
            Self::RemembersReads => "remembers-reads",
            Self::DropsNotes => "drops-notes",
        }
    }

    /// The bug with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

/// The key of the row of a register.
#[must_use]
pub fn row_key(key: u64) -> Vec<u8> {
    format!("\x7fregister/{key}").into_bytes()
}

struct Node {
    storage: Postgres,
    bug: Option<Bug>,
    /// With the bug that remembers: the last that was read of each register.
    remembered: Mutex<std::collections::BTreeMap<u64, Value>>,
}

/// Serves the registers in the database at `url` on a free port, which it prints, until it is killed.
///
/// # Errors
/// When the database or the port cannot be had.
pub async fn serve(url: &str, bug: Option<Bug>) -> Result<()> {
    let database = Database::open(Settings::new(url, None)?, Arc::new(SystemClock::new())).await?;
    let node = Arc::new(Node {
        storage: database.storage(Arc::new(())),
        bug,
        remembered: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        let node = Arc::clone(&node);
        // An error is a client that went away.
        tokio::spawn(async move { node.talk(stream).await });
    }
}

impl Node {
    async fn talk(&self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        while let Some(line) = lines.next_line().await? {
            let answer = self.answer(serde_json::from_str(&line)?).await?;
            let answer = format!("{}\n", serde_json::to_string(&answer)?);
            write.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }

    async fn answer(&self, question: Question) -> Result<Answer> {
        match question {
            Question::Read { key } => {
                if self.bug == Some(Bug::RemembersReads) {
                    let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(value) = remembered.get(&key) {
                        return Ok(Answer::Holds(*value));
                    }
                }
                let value = self.storage.get(&row_key(key)).await?;
                let value = value.map(|row| number(&row.value)).transpose()?;
                let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                remembered.insert(key, value);
                Ok(Answer::Holds(value))
            }
            Question::Set { key, old, new } => self.set(key, old, new).await,
        }
    }

    async fn set(&self, key: u64, old: Value, new: u64) -> Result<Answer> {
        let Ok(row) = self.storage.get(&row_key(key)).await else {
            return Ok(Answer::NotDone);
        };
        let value = row.as_ref().map(|row| number(&row.value)).transpose()?;
        if value != old {
            return Ok(Answer::Holds(value));
        }
        let mut change = Change {
            preconditions: vec![Precondition {
                key: row_key(key),
                revision: row.map(|row| row.revision),
            }],
            puts: vec![(row_key(key), new.to_be_bytes().to_vec())],
            notes: vec![Note {
                node: NodeId::FIRST,
                bytes: new.to_be_bytes().to_vec(),
            }],
            ..Change::default()
        };
        match self.bug {
            Some(Bug::DropsPreconditions) => change.preconditions.clear(),
            Some(Bug::DropsNotes) => change.notes.clear(),
            _ => {}
        }
        Ok(match self.storage.commit(change).await {
            Ok(_) => Answer::Done,
            Err(CommitError::Unknown(_)) if self.bug == Some(Bug::TakesUnknownForDone) => Answer::Done,
            Err(CommitError::Unknown(_)) => Answer::Unknown,
            Err(_) => Answer::NotDone,
        })
    }
}

/// The number that a row holds.
pub(crate) fn number(value: &[u8]) -> Result<u64> {
    let bytes = value.try_into().ok().context("a row that is no number")?;
    Ok(u64::from_be_bytes(bytes))
}
