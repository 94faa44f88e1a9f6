//! One witness: what it is asked, and what is made of its answer (c2sp.org/tlog-witness). Nothing that it says is
//! believed but a good signature.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::{Deserialize, Deserializer};
use strongroom_tlog::{AddCheckpoint, CosignerKey, Hash, Note, NoteError, SignatureLine};
use tokio::time::Instant;

use crate::health::Health;

/// To open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read: more cosignature lines than any witness gives.
const ANSWER_BYTES: usize = 16 << 10;

/// Which witness is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Where it is: `add-checkpoint` follows after a slash.
    #[serde(deserialize_with = "from_text")]
    url: WitnessUrl,
    /// Its public key.
    #[serde(deserialize_with = "from_text")]
    pub(crate) vkey: CosignerKey,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct WitnessUrl(Url);

/// A witness's URL is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a witness's URL is `http://…` or `https://…`, without user name, password, query and fragment")]
pub struct WitnessUrlError;

impl FromStr for WitnessUrl {
    type Err = WitnessUrlError;

    fn from_str(text: &str) -> Result<Self, WitnessUrlError> {
        let url = Url::parse(text).map_err(|_| WitnessUrlError)?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        is_plain.then_some(Self(url)).ok_or(WitnessUrlError)
    }
}

fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// Why a witness has not cosigned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("there is no answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("the answer is too long, or is not text")]
    Answer,
    #[error("the cosignature is refused: {0}")]
    Cosignature(#[from] NoteError),
    /// Not yet a fault: it has cosigned a tree of so many leaves, and is to be asked again.
    #[error("it says that it cosigned {0} leaves last, and then that it did not")]
    Stale(u64),
    #[error(
        "it says that it has cosigned {theirs} leaves of this ledger, which has {ours}: this ledger was rolled back, or \
         the witness is wrong"
    )]
    Ahead { theirs: u64, ours: u64 },
    #[error(
        "it says that this ledger does not continue what it cosigned: this ledger was rewritten, or the witness is wrong"
    )]
    Forked,
    #[error("it does not know this ledger: give it the line in `ledger.vkey`")]
    Unknown,
    #[error("it does not accept the signature of this ledger: give it the line in `ledger.vkey`")]
    Untrusted,
    #[error("it refused with status {0}")]
    Refused(u16),
}

/// A witness, and what it is known to have cosigned.
pub(crate) struct Witness {
    pub(crate) key: CosignerKey,
    pub(crate) health: Health,
    /// Leaves of the tree that it cosigned last, as far as is known.
    old: u64,
    /// Leaves of the tree under its newest cosignature that is kept here.
    cosigned: Option<u64>,
    /// Its last answer was that `old` is another.
    was_stale: bool,
    http: Client,
    url: String,
}

impl Witness {
    /// The witness of `config`, of which nothing is known yet.
    pub(crate) fn new(config: &WitnessConfig, health: Health) -> Result<Self, reqwest::Error> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT);
        let builder = match config.url.0.scheme() {
            // The system's certificates are slow to load, and some containers have none.
            "http" => builder.tls_certs_only([]),
            _ => builder,
        };
        Ok(Self {
            key: config.vkey.clone(),
            health,
            old: 0,
            cosigned: None,
            was_stale: false,
            http: builder.build()?,
            url: format!("{}/add-checkpoint", config.url.0.as_str().trim_end_matches('/')),
        })
    }

    /// It had cosigned a tree of `size` leaves when this ledger was open before.
    pub(crate) fn had_cosigned(&mut self, size: u64) {
        self.old = size;
        self.health.followed(size);
    }

    /// Its cosignature of a tree of `size` leaves is kept here.
    pub(crate) fn has_cosigned(&mut self, size: u64) {
        (self.old, self.cosigned) = (size, Some(size));
        self.health.followed(size);
    }

    /// Its cosignature could not be kept, so it is to be asked again.
    pub(crate) fn has_lost(&mut self) {
        self.cosigned = None;
    }

    /// From when on it is to be asked about the tree of `size` leaves, if at all.
    pub(crate) fn due(&self, size: u64) -> Option<Instant> {
        (self.cosigned != Some(size)).then(|| self.health.until())
    }

    /// The size of the tree from which growth is to be proved to it.
    pub(crate) fn old(&self) -> u64 {
        self.old
    }

    /// Asks it to cosign `checkpoint`, of `size` leaves, which `proof` shows to continue the tree that it cosigned last.
    pub(crate) async fn ask(
        &mut self,
        proof: Vec<Hash>,
        checkpoint: &Note,
        size: u64,
    ) -> Option<SignatureLine> {
        let question = AddCheckpoint {
            old: self.old,
            proof,
            checkpoint: checkpoint.clone(),
        };
        let answer = self.post(question.to_string()).await;
        let judged = answer.and_then(|(status, answer)| judge(&self.key, checkpoint, size, status, &answer));
        match judged {
            Ok(line) => {
                self.was_stale = false;
                Some(line)
            }
            Err(Fault::Stale(old)) if !self.was_stale => {
                (self.old, self.was_stale) = (old, true);
                None
            }
            Err(fault) => {
                self.was_stale = false;
                if matches!(fault, Fault::Ahead { .. } | Fault::Forked) {
                    tracing::error!(witness = self.key.name(), error = %fault, "a witness contradicts the ledger");
                }
                self.health.failed(&fault);
                None
            }
        }
    }

    async fn post(&self, body: String) -> Result<(u16, String), Fault> {
        let unreachable = |error: reqwest::Error| Fault::Unreachable(error.without_url());
        let mut response = self
            .http
            .post(&self.url)
            .body(body)
            .send()
            .await
            .map_err(unreachable)?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if answer.len() + chunk.len() > ANSWER_BYTES {
                return Err(Fault::Answer);
            }
            answer.extend(chunk);
        }
        let answer = String::from_utf8(answer).map_err(|_| Fault::Answer)?;
        Ok((response.status().as_u16(), answer))
    }
}

/// What the witness of `key` says of `checkpoint`, of `size` leaves, with this answer.
fn judge(
    key: &CosignerKey,
    checkpoint: &Note,
    size: u64,
    status: u16,
    answer: &str,
) -> Result<SignatureLine, Fault> {
    match status {
        200 => Ok(key.accept(answer, checkpoint)?),
        403 => Err(Fault::Untrusted),
        404 => Err(Fault::Unknown),
        409 => match answer.trim_end_matches('\n').parse() {
            Ok(theirs) if theirs > size => Err(Fault::Ahead { theirs, ours: size }),
            Ok(theirs) => Err(Fault::Stale(theirs)),
            Err(_) => Err(Fault::Answer),
        },
        422 => Err(Fault::Forked),
        other => Err(Fault::Refused(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_secret::Key;
    use strongroom_tlog::{Checkpoint, Cosigner, Signer};

    #[test]
    fn each_answer() {
        let cosigner = |seed: u8| Cosigner::from_seed("witness", &Key::fill(|key| key.fill(seed))).unwrap();
        let signer = Signer::from_seed("log", &Key::fill(|seed| seed.fill(7))).unwrap();
        let checkpoint = Checkpoint {
            origin: "log".into(),
            size: 9,
            root: Hash([1; 32]),
        };
        let note = signer.sign(&checkpoint.to_string()).unwrap();
        let line = |seed: u8| format!("{}\n", cosigner(seed).cosign(&checkpoint, 1).unwrap());
        let said = |status, answer: &str| match judge(cosigner(1).key(), &note, 9, status, answer) {
            Ok(line) => line.to_string() + "\n",
            Err(fault) => format!("{fault:?}"),
        };
        assert_eq!(said(200, &line(1)), line(1));
        for (status, answer, expected) in [
            (200, line(2).as_str(), "Cosignature(Unsigned)"),
            (200, "", "Cosignature(Unsigned)"),
            (200, "yes", "Cosignature(Malformed)"),
            (409, "9\n", "Stale(9)"),
            (409, "10\n", "Ahead { theirs: 10, ours: 9 }"),
            (409, "18446744073709551616", "Answer"),
            (409, "", "Answer"),
            (409, "nine", "Answer"),
            (404, "", "Unknown"),
            (403, "", "Untrusted"),
            (422, "", "Forked"),
            (302, &line(1), "Refused(302)"),
        ] {
            assert_eq!(said(status, answer), expected);
        }
    }

    #[test]
    fn a_witness_is_at_an_http_url() {
        for good in ["http://127.0.0.1:1", "https://witness.example.org/prefix/"] {
            assert!(good.parse::<WitnessUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "witness",
            "ftp://w",
            "http://user@w",
            "http://w?q",
            "http://w#f",
        ] {
            assert!(bad.parse::<WitnessUrl>().is_err(), "{bad}");
        }
    }
}
