//! Copies of the ledger's leaves, one JSON line each, in a file or at a receiver. `docs/formats/copy.md` has the bytes.
//!
//! A copy is made from the published files, a page of leaves at a time, and goes on where it ended: so it needs no queue,
//! and an outage of any length leaves no gap.

mod config;
mod cursor;
mod file;
mod line;
mod socket;

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_base::limits;
use strongroom_ledger::{Ledger, ReadError, Reader};
use tokio::time::sleep_until;

pub use config::{CopyConfig, CopyConfigError};

use crate::blocking;
use crate::health::Health;
use config::Target;
use cursor::{Cursor, CursorFile};
use file::{CopyFile, FileFault};
use line::write_line;
use socket::{Connector, SocketFault};

/// Why a copy does not go on.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("its cursor `{}` cannot be read or written", .0.display())]
    Cursor(PathBuf, #[source] io::Error),
    #[error(transparent)]
    File(#[from] FileFault),
    #[error(transparent)]
    Socket(#[from] SocketFault),
    #[error("the copying thread panicked")]
    Panicked(#[from] io::Error),
    #[error(
        "it has {copied} leaves, and the ledger {size}: this ledger was rolled back, or the copy is of another"
    )]
    Ahead { copied: u64, size: u64 },
}

/// One copy.
pub(crate) struct AuditCopy {
    ledger: Arc<Ledger>,
    reader: Arc<Reader>,
    /// The log's name.
    origin: String,
    cursor: CursorFile,
    to: To,
    health: Health,
}

/// Where a copy goes.
enum To {
    File(PathBuf),
    Receiver(Connector),
}

/// Where a copy goes, opened.
enum Sink {
    File(CopyFile),
    Receiver(socket::Receiver),
}

impl AuditCopy {
    /// The copy of `config`, whose cursor is in `dir`.
    ///
    /// # Errors
    /// When the certificates of `config` cannot be used.
    pub(crate) fn new(
        ledger: &Arc<Ledger>,
        config: &CopyConfig,
        dir: &Path,
        health: Health,
    ) -> Result<Self, SocketFault> {
        let to = match &config.to {
            Target::File(path) => To::File(path.clone()),
            Target::Tcp(place) => To::Receiver(Connector::plain(place, config.acknowledge)),
            Target::Tls(place) => {
                To::Receiver(Connector::tls(place, config.acknowledge, config.ca.as_deref())?)
            }
        };
        let reader = ledger.reader();
        Ok(Self {
            ledger: Arc::clone(ledger),
            origin: reader.key().name().to_owned(),
            reader,
            cursor: CursorFile::new(dir, &config.name),
            to,
            health,
        })
    }

    /// Copies for ever.
    pub(crate) async fn run(mut self) {
        loop {
            match self.follow().await {
                // The file was rotated: its successor is begun at once.
                Err(Fault::File(FileFault::Moved)) => {}
                Err(fault) => {
                    self.health.failed(&fault);
                    sleep_until(self.health.until()).await;
                }
                Ok(never) => match never {},
            }
        }
    }

    /// Copies until something fails.
    async fn follow(&mut self) -> Result<Infallible, Fault> {
        let kept = self.read_cursor().await?;
        let (mut sink, mut next) = self.open(kept).await?;
        let size = self.ledger.position().checkpoint.size;
        if next > size {
            return Err(Fault::Ahead { copied: next, size });
        }
        if next == size {
            self.health.followed(next);
        }
        loop {
            sink.while_open(self.ledger.grown_beyond(next)).await?;
            let reader = Arc::clone(&self.reader);
            let leaves = blocking(move || reader.leaves(next, limits::LEAF_PAGE)).await??;
            let mut lines = Vec::new();
            for leaf in &leaves {
                write_line(&mut lines, &self.origin, leaf);
            }
            let after = next + leaves.len() as u64;
            sink = sink.put(lines, after).await?;
            next = after;
            self.keep_cursor(next).await?;
            self.health.followed(next);
        }
    }

    /// Opens where it goes; gives the number of the leaf to go on with, where `kept` was the next at the last time.
    async fn open(&self, kept: u64) -> Result<(Sink, u64), Fault> {
        match &self.to {
            To::File(path) => {
                let (path, origin) = (path.clone(), self.origin.clone());
                let (file, next) = blocking(move || CopyFile::open(&path, &origin)).await??;
                Ok((Sink::File(file), next.unwrap_or(kept)))
            }
            To::Receiver(connector) => {
                let receiver = connector.connect().await?;
                let next = kept.saturating_sub(connector.repeats());
                Ok((Sink::Receiver(receiver), next))
            }
        }
    }

    /// The next leaf as the cursor has it; the first of a log that it does not know.
    async fn read_cursor(&self) -> Result<u64, Fault> {
        let file = self.cursor.clone();
        let cursor = blocking(move || file.read()).await?;
        let cursor = cursor.map_err(|error| Fault::Cursor(self.cursor.path().to_owned(), error))?;
        Ok(cursor
            .filter(|cursor| cursor.log == self.origin)
            .map_or(0, |cursor| cursor.next))
    }

    async fn keep_cursor(&self, next: u64) -> Result<(), Fault> {
        let (file, log) = (self.cursor.clone(), self.origin.clone());
        let kept = blocking(move || file.write(&Cursor { log, next })).await?;
        kept.map_err(|error| Fault::Cursor(self.cursor.path().to_owned(), error))
    }
}

impl Sink {
    /// Waits for `grown`, as long as the receiver is there.
    async fn while_open(&mut self, grown: impl Future<Output = ()>) -> Result<(), Fault> {
        match self {
            Self::File(_) => grown.await,
            Self::Receiver(receiver) => {
                tokio::select! {
                    () = grown => {}
                    gone = receiver.gone() => return Err(gone.into()),
                }
            }
        }
        Ok(())
    }

    /// Takes the lines of the leaves before number `after`; when this returns, they are safe there.
    async fn put(self, lines: Vec<u8>, after: u64) -> Result<Self, Fault> {
        match self {
            Self::File(mut file) => {
                let appended = blocking(move || file.append(&lines).map(|()| file)).await?;
                Ok(Self::File(appended?))
            }
            Self::Receiver(mut receiver) => {
                receiver.put(&lines, after.saturating_sub(1)).await?;
                Ok(Self::Receiver(receiver))
            }
        }
    }
}
