//! A witness: follows the checkpoints of other logs, and cosigns each that continues the one it cosigned last
//! (c2sp.org/tlog-witness). Of each log it keeps that one, in `<hex SHA-256 of the origin>/checkpoint`. Blocks on files.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use strongroom_base::Timestamp;
use strongroom_tlog::{AddCheckpoint, Checkpoint, Cosigner, Note, NoteError, Refusal, VerifierKey};

use crate::files::{CHECKPOINT, checkpoint_of, sync_dir, write_aside};
use crate::verify::{Flaw, VerifyError};

/// Why a witness has not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was cosigned last cannot be read, or not be kept.
    #[error("the witness cannot keep what it cosigns")]
    Io(#[from] io::Error),
    /// What was cosigned last is not as it was kept.
    #[error("the witness's `{directory}`: {error}")]
    Damaged {
        /// The log's directory.
        directory: String,
        /// What is wrong.
        error: VerifyError,
    },
    /// The provider refused to sign.
    #[error(transparent)]
    Sign(#[from] NoteError),
}

/// The witness of some logs.
pub struct Witness {
    dir: PathBuf,
    cosigner: Cosigner,
    /// By their origins.
    logs: HashMap<String, VerifierKey>,
    /// Held from the look at what was cosigned last until its successor is durable.
    turn: Mutex<()>,
}

impl Witness {
    /// The witness `cosigner` of `logs`, which keeps what it cosigned in `dir`. No other may use it.
    #[must_use]
    pub fn new(dir: &Path, cosigner: Cosigner, logs: impl IntoIterator<Item = VerifierKey>) -> Self {
        let logs = logs.into_iter().map(|key| (key.name().to_owned(), key));
        Self {
            dir: dir.to_owned(),
            cosigner,
            logs: logs.collect(),
            turn: Mutex::default(),
        }
    }

    /// Answers the body of an `add-checkpoint`: the cosignature line, once what it says is durable.
    ///
    /// # Errors
    /// [`WitnessError`]; what was cosigned last is as it was, unless the disk failed.
    pub fn add_checkpoint(&self, body: &str, now: Timestamp) -> Result<String, WitnessError> {
        let request: AddCheckpoint = body.parse()?;
        let key = self.logs.get(request.origin()).ok_or(Refusal::Unknown)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.newest(key)?;
        let checkpoint = request.judge(key, newest.as_ref())?;
        let line = self.cosigner.cosign(&checkpoint, now.as_millis() / 1000)?;
        let mut note = request.checkpoint.only_of(key);
        note.add(line.clone())?;
        self.keep(key, &note)?;
        Ok(format!("{line}\n"))
    }

    /// The checkpoint that was cosigned last of the log whose origin has the SHA-256 `hash`, in lower-case hexadecimal: a
    /// note with the log's signature and ours.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn checkpoint(&self, hash: &str) -> io::Result<Option<Vec<u8>>> {
        match self.logs.keys().find(|origin| hex_sha256(origin) == hash) {
            Some(origin) => read(&self.file(origin)),
            None => Ok(None),
        }
    }

    fn file(&self, origin: &str) -> PathBuf {
        self.dir.join(hex_sha256(origin)).join(CHECKPOINT)
    }

    /// A checkpoint that is damaged is no reason to begin anew: a fork could be cosigned then.
    fn newest(&self, key: &VerifierKey) -> Result<Option<Checkpoint>, WitnessError> {
        let Some(bytes) = read(&self.file(key.name()))? else {
            return Ok(None);
        };
        let opened = Note::parse(&bytes).map_err(Flaw::Note).and_then(|note| {
            self.cosigner.key().verify(&note).map_err(Flaw::Note)?;
            checkpoint_of(&note, key)
        });
        opened.map(Some).map_err(|flaw| WitnessError::Damaged {
            directory: hex_sha256(key.name()),
            error: VerifyError::new(CHECKPOINT, flaw),
        })
    }

    fn keep(&self, key: &VerifierKey, note: &Note) -> io::Result<()> {
        let dir = self.dir.join(hex_sha256(key.name()));
        fs::create_dir_all(&dir)?;
        write_aside(&dir.join(CHECKPOINT), note.to_string().as_bytes())?;
        sync_dir(&dir)?;
        sync_dir(&self.dir)
    }
}

fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn hex_sha256(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{House, NOW, crash_after, key, record};
    use crate::{Ledger, Outcome};
    use strongroom_secret::Key;

    fn witness(dir: &Path) -> Witness {
        let cosigner = Cosigner::from_seed("witness", &Key::fill(|seed| seed.fill(9))).unwrap();
        Witness::new(dir, cosigner, [key()])
    }

    fn ask(ledger: &Ledger, old: u64) -> String {
        let (proof, checkpoint) = ledger.reader().prove_growth(old).unwrap();
        let ask = AddCheckpoint {
            old,
            proof,
            checkpoint,
        };
        ask.to_string()
    }

    const TIME: Timestamp = Timestamp::from_millis(NOW);

    #[tokio::test]
    async fn a_log_that_grows_is_cosigned_and_a_fork_is_not() {
        let (dir, house, fork) = (tempfile::tempdir().unwrap(), House::new(), House::new());
        let (ledger, mut sequencer) = house.open().unwrap();
        let (forked, mut forker) = fork.open().unwrap();
        for number in 1..3 {
            ledger.close(record(number), Outcome::Ok).await.unwrap();
            sequencer.publish().await.unwrap();
            let old = u64::from(number) - 1;
            let line = witness(dir.path())
                .add_checkpoint(&ask(&ledger, old), TIME)
                .unwrap();
            let (_, mut note) = ledger.reader().checkpoint().unwrap();
            note.add(line.trim_end().parse().unwrap()).unwrap();
            assert_eq!(witness(dir.path()).cosigner.key().verify(&note), Ok(NOW / 1000));
            let kept = witness(dir.path())
                .checkpoint(&hex_sha256("instance/node/1"))
                .unwrap();
            assert_eq!(kept.unwrap(), note.to_string().into_bytes());
        }
        for number in 3..7 {
            forked.close(record(number), Outcome::Ok).await.unwrap();
        }
        forker.publish().await.unwrap();
        let refused = |ask: &str| witness(dir.path()).add_checkpoint(ask, TIME).unwrap_err();
        assert!(matches!(
            refused(&ask(&forked, 2)),
            WitnessError::Refused(Refusal::Inconsistent)
        ));
        assert!(matches!(
            refused(&ask(&forked, 0)),
            WitnessError::Refused(Refusal::Stale(2))
        ));
        let stranger = ask(&ledger, 2).replace("instance/node/1\n2", "instance/node/2\n2");
        assert!(matches!(
            refused(&stranger),
            WitnessError::Refused(Refusal::Unknown)
        ));
        assert_eq!(witness(dir.path()).checkpoint("00").unwrap(), None);

        // A witness that lost its memory by damage says so, rather than cosign a fork.
        let file = witness(dir.path()).file("instance/node/1");
        fs::write(&file, "half").unwrap();
        assert!(matches!(refused(&ask(&forked, 0)), WitnessError::Damaged { .. }));
    }

    #[tokio::test]
    async fn no_crash_lets_a_fork_be_cosigned() {
        let (house, fork) = (House::new(), House::new());
        let (ledger, mut sequencer) = house.open().unwrap();
        let (forked, mut forker) = fork.open().unwrap();
        ledger.close(record(1), Outcome::Ok).await.unwrap();
        forked.close(record(2), Outcome::Ok).await.unwrap();
        sequencer.publish().await.unwrap();
        forker.publish().await.unwrap();
        let (ours, theirs) = (ask(&ledger, 0), ask(&forked, 0));
        for steps in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            crash_after(Some(steps));
            let first = witness(dir.path()).add_checkpoint(&ours, TIME);
            crash_after(None);
            let second = witness(dir.path()).add_checkpoint(&theirs, TIME);
            assert!(!(first.is_ok() && second.is_ok()), "after {steps} steps");
            assert_eq!(first.is_ok(), steps >= 4, "each step is one that can crash");
        }
    }
}
