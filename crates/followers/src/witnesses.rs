//! Rounds: the newest checkpoint is shown to every witness that has not cosigned it and may be asked again, to all at
//! once, and what they answer is kept beside it.

use std::io;
use std::sync::Arc;

use futures::future::join_all;
use strongroom_base::{limits, with_causes};
use strongroom_ledger::{Ledger, ReadError, Reader};
use strongroom_tlog::{Checkpoint, CosignerKey, Note, NoteError, SignatureLine};
use tokio::time::{Instant, sleep, sleep_until};

use crate::blocking;
use crate::witness::Witness;

/// Why a checkpoint could not be shown, or the answers not be kept.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the cosigned checkpoint cannot be kept")]
    Keep(#[from] io::Error),
    #[error("the cosigned checkpoint has more cosignatures than a note takes")]
    Full(#[from] NoteError),
}

/// The witnesses of one ledger.
pub(crate) struct Witnesses {
    ledger: Arc<Ledger>,
    reader: Arc<Reader>,
    all: Vec<Witness>,
}

impl Witnesses {
    pub(crate) fn new(ledger: Arc<Ledger>, all: Vec<Witness>) -> Self {
        let reader = ledger.reader();
        Self { ledger, reader, all }
    }

    /// Asks them whenever the ledger has grown, for ever.
    pub(crate) async fn run(mut self) {
        self.recall().await;
        loop {
            self.until_one_is_due().await;
            // The checkpoints of a moment become one question.
            sleep(limits::WITNESS_PAUSE.into()).await;
            if let Err(error) = self.round().await {
                let error = with_causes(&error);
                tracing::error!(error, "the ledger cannot be shown to its witnesses");
                sleep(limits::FOLLOWER_PAUSE_MAX.into()).await;
            }
        }
    }

    /// Who has cosigned what is kept need not be asked from the beginning. But asked it is, also when nothing is new: it may
    /// have seen more than is here now.
    async fn recall(&mut self) {
        let reader = Arc::clone(&self.reader);
        // What cannot be read is replaced by the first round.
        if let Ok(Ok(Some((checkpoint, note)))) = blocking(move || reader.cosigned()).await {
            let cosigners = self
                .all
                .iter_mut()
                .filter(|witness| witness.key.verify(&note).is_ok());
            cosigners.for_each(|witness| witness.had_cosigned(checkpoint.size));
        }
    }

    async fn until_one_is_due(&self) {
        let size = self.ledger.position().checkpoint.size;
        match self.all.iter().filter_map(|witness| witness.due(size)).min() {
            Some(due) => sleep_until(due).await,
            None => self.ledger.grown_beyond(size).await,
        }
    }

    /// Asks those that are due about the newest checkpoint.
    async fn round(&mut self) -> Result<(), RoundError> {
        let (now, size) = (Instant::now(), self.ledger.position().checkpoint.size);
        let is_due = |witness: &&mut Witness| witness.due(size).is_some_and(|due| due <= now);
        let mut due: Vec<_> = self.all.iter_mut().filter(is_due).collect();
        let olds: Vec<_> = due.iter().map(|witness| witness.old()).collect();
        let reader = Arc::clone(&self.reader);
        let (proofs, note) = blocking(move || reader.prove_growth_of_each(&olds)).await??;
        // The reader has verified that it is one.
        let Ok(Checkpoint { size, .. }) = note.unverified_text().parse() else {
            return Ok(());
        };
        let asking = due.iter_mut().zip(proofs);
        let answers = join_all(asking.map(|(witness, proof)| witness.ask(proof, &note, size))).await;
        let answered = due.into_iter().zip(answers);
        let answered = answered.filter_map(|(witness, line)| Some((witness, line?)));
        let (mut cosigners, lines): (Vec<_>, Vec<_>) = answered
            .map(|(witness, line)| {
                let key = witness.key.clone();
                (witness, (key, line))
            })
            .unzip();
        let reader = Arc::clone(&self.reader);
        let kept = blocking(move || keep(&reader, note, lines)).await;
        let kept = kept.map_err(RoundError::from).and_then(|kept| kept);
        for witness in &mut cosigners {
            match &kept {
                Ok(()) => witness.has_cosigned(size),
                Err(_) => witness.has_lost(),
            }
        }
        kept
    }
}

/// Puts `lines` under `checkpoint`: beside those that are kept, if they are of the same tree, and else instead of them.
fn keep(
    reader: &Reader,
    checkpoint: Note,
    lines: Vec<(CosignerKey, SignatureLine)>,
) -> Result<(), RoundError> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut cosigned = match reader.cosigned() {
        Ok(Some((_, kept))) if kept.unverified_text() == checkpoint.unverified_text() => kept,
        // What cannot be read is replaced, too.
        _ => checkpoint,
    };
    for (key, line) in lines {
        cosigned = cosigned.without(&key);
        cosigned.add(line)?;
    }
    Ok(reader.keep_cosigned(&cosigned)?)
}
