//! The server with a recorder between its committer and redb, and the recording played to redb alone: what the same
//! writes, in the same groups, take without a server.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use strongroom::config::{Config, Settings, Surroundings};
use strongroom::server::Server;
use strongroom::server::environment::Environment;
use strongroom_base::{Clock, SystemClock, limits};
use strongroom_storage::{Backend, Group, Revision, Row};
use strongroom_storage_redb::RedbBackend;

use crate::process::Process;
use crate::tap::Tap;
use crate::world::World;

/// What the server is configured with when it is part of this program.
pub(crate) fn configuration(home: &Path) -> Result<(Config, Environment)> {
    let settings = Settings {
        listen: vec![([127, 0, 0, 1], 0).into()],
        open_registration: Some(true),
        ..Settings::default()
    };
    let config = settings.complete(Surroundings {
        home: Some(home),
        ..Surroundings::default()
    })?;
    let environment = Environment {
        key_dir: home.join("keys"),
        state_dir: home.join("state"),
        seal_key: None,
        credentials_dir: None,
        given: Default::default(),
    };
    Ok((config, environment))
}

/// A recording in the making.
pub(crate) struct Recorder {
    file: PathBuf,
    pub(crate) server: Process,
}

impl Recorder {
    /// Starts the server in `world` behind `wrapper`.
    pub(crate) fn start(world: &World, wrapper: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--record").arg(world.home().path());
        Ok(Self {
            file: recording(world.home().path()),
            server: Process::start(&command, wrapper, &world.log())?,
        })
    }

    /// Where the recording is now.
    pub(crate) fn position(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Kills the server; the recording stays as long as the world.
    pub(crate) fn stop(self) -> Finished {
        Finished(self.file)
    }
}

/// A recording that does not grow any more.
pub(crate) struct Finished(PathBuf);

impl Finished {
    /// Plays it to a new database beside it; what came between two positions is timed.
    pub(crate) fn replay(&self, from: u64, to: u64) -> Result<Replay> {
        let mut file = BufReader::new(File::open(&self.0)?);
        let redb = self.0.with_extension("redb");
        let backend = RedbBackend::open(&redb, limits::STORAGE_CACHE_BYTES)?;
        let clock = SystemClock::new();
        let mut replay = Replay::default();
        let mut at = 0;
        while at < to {
            let (group, bytes) = read_group(&mut file)?;
            let rows = group.writes.len() as u64;
            let before = clock.monotonic();
            let applied = backend.apply(group);
            applied.map_err(anyhow::Error::from_boxed)?;
            if at >= from {
                replay.took += clock.monotonic().since(before);
                replay.groups += 1;
                replay.rows += rows;
            }
            at += bytes;
        }
        drop(backend);
        std::fs::remove_file(redb)?;
        Ok(replay)
    }
}

/// What a part of a recording took redb alone.
#[derive(Default)]
pub(crate) struct Replay {
    pub(crate) took: Duration,
    pub(crate) groups: u64,
    pub(crate) rows: u64,
}

/// Serves the instance in `home`, recording, until it is killed.
pub(crate) fn serve(home: &Path) -> Result<()> {
    let (config, environment) = configuration(home)?;
    let file = Mutex::new(File::create(recording(home))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // The file has each group in one piece.
        let recording = |backend| Tap {
            backend,
            see: move |group: &Group| {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(write_group(&mut BufWriter::new(&*file), group)?)
            },
        };
        let server = Server::start_on(&config, &environment, recording).await?;
        writeln!(
            std::io::stdout(),
            "The recording server is ready at {}",
            server.url()
        )?;
        server.serve(std::future::pending()).await;
        Ok(())
    })
}

fn recording(home: &Path) -> PathBuf {
    home.join("groups")
}

fn write_group(file: &mut impl Write, group: &Group) -> std::io::Result<()> {
    let number = |value: usize| (value as u64).to_le_bytes();
    file.write_all(&group.head.0.to_le_bytes())?;
    file.write_all(&number(group.writes.len()))?;
    for (key, row) in &group.writes {
        file.write_all(&number(key.len()))?;
        file.write_all(key)?;
        let (revision, value) = row
            .as_ref()
            .map_or((u64::MAX, &[][..]), |row| (row.revision.0, &row.value));
        file.write_all(&revision.to_le_bytes())?;
        file.write_all(&number(value.len()))?;
        file.write_all(value)?;
    }
    file.flush()
}

/// Reads what [`write_group`] wrote; and how many bytes that were.
fn read_group(file: &mut impl Read) -> Result<(Group, u64)> {
    let mut counted = Counted { file, bytes: 0 };
    let head = Revision(counted.number()?);
    let mut writes = std::collections::BTreeMap::new();
    for _ in 0..counted.number()? {
        let key = counted.text()?;
        let revision = counted.number()?;
        let value = counted.text()?;
        let row = Row {
            value,
            revision: Revision(revision),
        };
        writes.insert(key, (revision != u64::MAX).then_some(row));
    }
    Ok((Group { head, writes }, counted.bytes))
}

struct Counted<'f, F> {
    file: &'f mut F,
    bytes: u64,
}

impl<F: Read> Counted<'_, F> {
    fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes)?;
        self.bytes += 8;
        Ok(u64::from_le_bytes(bytes))
    }

    fn text(&mut self) -> Result<Vec<u8>> {
        let length = self.number()?;
        let mut bytes = vec![0; usize::try_from(length).context("a length of no recording")?];
        self.file.read_exact(&mut bytes)?;
        self.bytes += length;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_group_is_read_back() {
        let row = |revision, value: &[u8]| {
            Some(Row {
                value: value.to_vec(),
                revision: Revision(revision),
            })
        };
        let group = Group {
            head: Revision(7),
            writes: [
                (b"a".to_vec(), row(6, b"")),
                (b"b".to_vec(), None),
                (b"c".to_vec(), row(7, b"value")),
            ]
            .into(),
        };
        let mut file = Vec::new();
        write_group(&mut file, &group).unwrap();
        let (read, bytes) = read_group(&mut file.as_slice()).unwrap();
        assert_eq!((read.head, &read.writes), (group.head, &group.writes));
        assert_eq!(bytes, file.len() as u64);
    }
}
