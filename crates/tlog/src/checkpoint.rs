//! Checkpoints: what a log says about its tree, as the text of a signed note (c2sp.org/tlog-checkpoint).

use std::fmt;
use std::str::FromStr;

use crate::Hash;

/// A log's name, and its tree's size and root hash.
///
/// Its text is three lines without extensions: origin, size, base64 of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's unique name.
    pub origin: String,
    /// Leaves of the tree.
    pub size: u64,
    /// The tree's root hash.
    pub root: Hash,
}

/// The text is no checkpoint of three lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not an origin line, a size line and a root hash line")]
pub struct CheckpointError;

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError);
        let (origin, size, root) = (line()?.to_owned(), line()?, line()?);
        let root = root.parse().map_err(|_| CheckpointError)?;
        let size = size.parse().map_err(|_| CheckpointError)?;
        let checkpoint = Self { origin, size, root };
        // Refuses signs, leading zeroes, extension lines and a missing final newline alike.
        let strict = !checkpoint.origin.is_empty() && checkpoint.to_string() == text;
        strict.then_some(checkpoint).ok_or(CheckpointError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn the_empty_tree() {
        let checkpoint: Checkpoint = format!("i/n/1\n0\n{EMPTY}\n").parse().unwrap();
        assert_eq!(
            checkpoint,
            Checkpoint {
                origin: "i/n/1".into(),
                size: 0,
                root: Hash::empty_root()
            }
        );
    }

    #[test]
    fn texts_that_are_refused() {
        for text in [
            String::new(),
            format!("\n0\n{EMPTY}\n"),
            format!("o\n00\n{EMPTY}\n"),
            format!("o\n+1\n{EMPTY}\n"),
            format!("o\n-1\n{EMPTY}\n"),
            format!("o\n18446744073709551616\n{EMPTY}\n"),
            format!("o\n1\n{EMPTY}"),
            format!("o\n1\n{EMPTY}\n\n"),
            format!("o\n1\n{EMPTY}\nextension\n"),
            format!("o\r\n1\r\n{EMPTY}\r\n"),
            format!("o\n1\n{}\n", EMPTY.trim_end_matches('=')),
            format!("o\n1\n{}\n", EMPTY.replace("FU=", "FV=")), // bits behind the last byte
            "o\n1\nAAAA\n".to_owned(),
        ] {
            assert_eq!(text.parse::<Checkpoint>(), Err(CheckpointError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn prints_and_parses(origin in "[^\n]{1,20}", size: u64, root: [u8; 32]) {
            let checkpoint = Checkpoint { origin, size, root: Hash(root) };
            prop_assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
        }

        #[test]
        fn what_parses_prints_the_same(text in "[a-z\n]{0,3}\n[0-9+ ]{1,3}\n([A-Za-z0-9+/=]{44}|[A-Z]{42}A=)\n?") {
            if let Ok(checkpoint) = text.parse::<Checkpoint>() {
                prop_assert_eq!(checkpoint.to_string(), text);
            }
        }
    }
}
