//! What a log asks of a witness (c2sp.org/tlog-witness, `add-checkpoint`), and the witness's rule.

use std::fmt;
use std::str::FromStr;

use crate::{
    Checkpoint, Hash, Note, NoteError, PROOF_HASHES, ProofError, VerifierKey, from_base64, to_base64,
    verify_consistency,
};

/// A request to cosign a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Leaves of the tree that the witness cosigned last.
    pub old: u64,
    /// The proof that the new tree continues that one, RFC 6962 §2.1.2.
    pub proof: Vec<Hash>,
    /// The new checkpoint, signed by the log.
    pub checkpoint: Note,
}

/// Why a witness does not cosign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a request, or it says that the older tree is the larger.
    #[error("the request is malformed")]
    Malformed,
    /// The log is none that this witness follows.
    #[error("the log is not known to this witness")]
    Unknown,
    /// The log's key did not sign it.
    #[error("the checkpoint is not signed by the log's key")]
    Untrusted,
    /// The witness cosigned a tree of another size last.
    #[error("the newest tree that was cosigned has {0} leaves")]
    Stale(u64),
    /// The new tree is not shown to continue the old one.
    #[error("the proof does not show that the tree only grew")]
    Inconsistent,
}

impl AddCheckpoint {
    /// The origin of the checkpoint, as it says itself.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.checkpoint
            .unverified_text()
            .split('\n')
            .next()
            .unwrap_or_default()
    }

    /// The checkpoint, if a witness may cosign it that cosigned `newest` last (none: nothing yet) of the log of `key`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge(&self, key: &VerifierKey, newest: Option<&Checkpoint>) -> Result<Checkpoint, Refusal> {
        let text = self.checkpoint.verify(key).map_err(|_| Refusal::Untrusted)?;
        let checkpoint: Checkpoint = text.parse().map_err(|_| Refusal::Malformed)?;
        if checkpoint.origin != key.name() {
            return Err(Refusal::Unknown);
        }
        if self.old > checkpoint.size {
            return Err(Refusal::Malformed);
        }
        let (size, root) = newest.map_or((0, Hash::empty_root()), |newest| (newest.size, newest.root));
        if self.old != size {
            return Err(Refusal::Stale(size));
        }
        if checkpoint.size == 0 && checkpoint.root != Hash::empty_root() {
            return Err(Refusal::Inconsistent);
        }
        verify_consistency(size, root, checkpoint.size, checkpoint.root, &self.proof)
            .map_err(|_: ProofError| Refusal::Inconsistent)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", to_base64(&hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        // Reads generously, then refuses every spelling but the one that it would print.
        read(text)
            .filter(|request| request.to_string() == text)
            .ok_or(Refusal::Malformed)
    }
}

fn read(text: &str) -> Option<AddCheckpoint> {
    let (head, note) = text.split_once("\n\n")?;
    let mut lines = head.split('\n');
    let old = lines.next()?.strip_prefix("old ")?.parse().ok()?;
    let hash = |line| Some(Hash(from_base64(line)?.try_into().ok()?));
    let proof = lines
        .take(PROOF_HASHES + 1)
        .map(hash)
        .collect::<Option<Vec<_>>>()?;
    let checkpoint = Note::parse(note.as_bytes()).map_err(|_: NoteError| ()).ok()?;
    (proof.len() <= PROOF_HASHES).then_some(AddCheckpoint {
        old,
        proof,
        checkpoint,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{Edge, Prover, Signer, TilePath, leaf_hash};
    use proptest::prelude::*;
    use strongroom_secret::Key;

    /// A history of the log: the leaf number at which it forks off the others says what its leaves are.
    struct History(Vec<Hash>);

    impl History {
        fn new(fork: u64, size: u64) -> Self {
            let leaf = |number: u64| {
                leaf_hash(&[number.to_be_bytes(), u64::from(number >= fork).to_be_bytes()].concat())
            };
            Self((0..size).map(leaf).collect())
        }

        fn checkpoint(&self, size: u64) -> Checkpoint {
            let mut edge = Edge::default();
            edge.append(&self.0[..size as usize]);
            Checkpoint {
                origin: "log".into(),
                size,
                root: edge.root(),
            }
        }

        fn ask(&self, old: u64, size: u64) -> AddCheckpoint {
            let tiles: HashMap<TilePath, _> = Edge::default()
                .append(&self.0[..size as usize])
                .into_iter()
                .map(|tile| (tile.path(), tile))
                .collect();
            let mut prover = Prover::new(size, |path| tiles.get(&path).cloned().ok_or(()));
            AddCheckpoint {
                old,
                proof: prover.consistency(old.min(size)).unwrap(),
                checkpoint: signer().sign(&self.checkpoint(size).to_string()).unwrap(),
            }
        }
    }

    fn signer() -> Signer {
        Signer::from_seed("log", &Key::fill(|seed| seed.fill(7))).unwrap()
    }

    fn judge(request: &AddCheckpoint, newest: Option<&Checkpoint>) -> Result<Checkpoint, Refusal> {
        request.judge(signer().verifier_key(), newest)
    }

    #[test]
    fn each_refusal() {
        let log = History::new(u64::MAX, 20);
        let newest = log.checkpoint(5);
        assert_eq!(judge(&log.ask(5, 20), Some(&newest)), Ok(log.checkpoint(20)));
        assert_eq!(
            judge(&log.ask(5, 5), Some(&newest)),
            Ok(newest.clone()),
            "once more"
        );
        assert_eq!(judge(&log.ask(0, 0), None), Ok(log.checkpoint(0)));
        let refused = |request: &AddCheckpoint, why| assert_eq!(judge(request, Some(&newest)), Err(why));
        refused(&log.ask(4, 20), Refusal::Stale(5));
        refused(&log.ask(0, 3), Refusal::Stale(5));
        refused(&log.ask(5, 3), Refusal::Malformed);
        refused(&History::new(2, 20).ask(5, 20), Refusal::Inconsistent);
        refused(&History::new(2, 20).ask(5, 5), Refusal::Inconsistent);
        let mut padded = log.ask(0, 5);
        padded.proof.push(Hash([0; 32]));
        assert_eq!(judge(&padded, None), Err(Refusal::Inconsistent));
        let mut unsigned = log.ask(5, 20);
        let other = Signer::from_seed("log", &Key::fill(|seed| seed.fill(8))).unwrap();
        unsigned.checkpoint = other.sign(unsigned.checkpoint.unverified_text()).unwrap();
        refused(&unsigned, Refusal::Untrusted);
        let mut hollow = log.ask(0, 0);
        let text = hollow.checkpoint.unverified_text().replace("47DE", "48DE");
        hollow.checkpoint = signer().sign(&text).unwrap();
        assert_eq!(judge(&hollow, None), Err(Refusal::Inconsistent));
    }

    #[test]
    fn texts_that_are_refused() {
        let good = History::new(9, 20).ask(5, 20).to_string();
        assert!(good.parse::<AddCheckpoint>().is_ok());
        for bad in [
            String::new(),
            good.replacen("old 5", "old 05", 1),
            good.replacen("old 5", "old  5", 1),
            good.replacen("old 5\n", "", 1),
            good.replacen("old 5\n", "old 5\nAAAA\n", 1),
            good.replacen(
                "old 5\n",
                &format!("old 5\n{}", format!("{}\n", to_base64(&[0; 32])).repeat(64)),
                1,
            ),
            good.trim_end().to_owned(),
            format!("{good}\n"),
        ] {
            assert_eq!(bad.parse::<AddCheckpoint>(), Err(Refusal::Malformed), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn two_trees_that_fork_are_never_both_cosigned(
            asks in prop::collection::vec((0..3_u64, 0..30_u64, any::<bool>()), 1..40),
        ) {
            let (mut newest, mut cosigned): (Option<Checkpoint>, Vec<Checkpoint>) = (None, Vec::new());
            for (history, size, knows) in asks {
                let log = History::new([3, 17, u64::MAX][history as usize], 30);
                let old = if knows { newest.as_ref().map_or(0, |newest| newest.size) } else { 0 };
                let old = old.min(size);
                if let Ok(checkpoint) = judge(&log.ask(old, size), newest.as_ref()) {
                    cosigned.push(checkpoint.clone());
                    newest = Some(checkpoint);
                }
            }
            // All that were cosigned lie on one history: some history has every one of them.
            let is_one = [3, 17, u64::MAX].iter().any(|fork| {
                let log = History::new(*fork, 30);
                cosigned.iter().all(|checkpoint| log.checkpoint(checkpoint.size) == *checkpoint)
            });
            prop_assert!(is_one);
        }

        #[test]
        fn any_text_is_no_panic(text in "(old [0-9]{1,3}\n)?([A-Za-z0-9+/]{43}=\n){0,3}\n?.{0,40}\n\n?.{0,40}\n?") {
            if let Ok(request) = text.parse::<AddCheckpoint>() {
                prop_assert_eq!(request.to_string(), text);
            }
        }
    }
}
