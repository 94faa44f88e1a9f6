//! `strongroom witness serve`: a witness's key and its two routes (c2sp.org/tlog-witness). All that it says is public.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rustix::fs::{FlockOperation, flock};
use strongroom_base::{Clock, InstanceId, Rng};
use strongroom_ledger::{Witness, WitnessError};
use strongroom_secret::Key;
use strongroom_tlog::{Cosigner, NoteError, Refusal, VerifierKey};
use zeroize::Zeroizing;

use super::data_dir::{create_private_dir, write_private};
use super::listen::Listeners;

/// The longest request: a proof of 63 lines, and a note.
const BODY_BYTES: usize = 64 << 10;

/// Why a witness does not start.
#[derive(Debug, thiserror::Error)]
pub enum WitnessStartError {
    /// The file system refuses, or the address cannot be bound.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another witness runs on it: the two could cosign a fork.
    #[error("another witness is running on `{}`: stop it first, or give another --data", .0.display())]
    InUse(PathBuf),
    /// The key cannot be used.
    #[error("`{}` does not hold a witness's key: restore it, or give another --data", .0.display())]
    Key(PathBuf),
    /// The key cannot be made.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// A witness that is bound to its addresses.
pub struct WitnessServer {
    listeners: Listeners,
    state: Shared,
    vkey: String,
    /// The lock on the directory ends with the file.
    _lock: File,
}

#[derive(Clone)]
struct Shared {
    witness: Arc<Witness>,
    clock: Arc<dyn Clock>,
}

impl WitnessServer {
    /// The witness of `logs` whose key and memory are in `dir`; both are made if there are none.
    ///
    /// # Errors
    /// [`WitnessStartError`].
    pub fn start(
        dir: &Path,
        listen: &[SocketAddr],
        logs: Vec<VerifierKey>,
        clock: Arc<dyn Clock>,
        rng: &dyn Rng,
    ) -> Result<Self, WitnessStartError> {
        create_private_dir(dir)?;
        let lock = File::create(dir.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| WitnessStartError::InUse(dir.to_owned()))?;
        let cosigner = cosigner(dir, &*clock, rng)?;
        let vkey = cosigner.key().to_string();
        let witness = Arc::new(Witness::new(dir, cosigner, logs));
        Ok(Self {
            listeners: Listeners::bind(listen, None)?,
            state: Shared { witness, clock },
            vkey,
            _lock: lock,
        })
    }

    /// The witness's public key.
    #[must_use]
    pub fn vkey(&self) -> &str {
        &self.vkey
    }

    /// The addresses as bound.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listeners.addresses()
    }

    /// Serves until `stop` is done.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let router = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .route("/{origin}/checkpoint", get(checkpoint))
            .layer(DefaultBodyLimit::max(BODY_BYTES))
            .with_state(self.state);
        self.listeners.serve(router, stop).await;
    }
}

/// The key in `dir`: `witness.key` has the 32 bytes of its seed, `witness.vkey` its public half, which names it.
fn cosigner(dir: &Path, clock: &dyn Clock, rng: &dyn Rng) -> Result<Cosigner, WitnessStartError> {
    let (key_file, vkey_file) = (dir.join("witness.key"), dir.join("witness.vkey"));
    let unusable = || WitnessStartError::Key(key_file.clone());
    match fs::read(&key_file).map(Zeroizing::new) {
        Ok(seed) => {
            let seed = Key::from_slice(&seed).ok_or_else(unusable)?;
            let vkey = fs::read_to_string(&vkey_file)?;
            let name = vkey.split('+').next().unwrap_or_default();
            let cosigner = Cosigner::from_seed(name, &seed)?;
            let is_its = cosigner.key().to_string() == vkey.trim_end();
            is_its.then_some(cosigner).ok_or_else(unusable)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let seed = Key::fill(|seed| rng.fill(seed));
            let name = format!("strongroom-witness/{}", InstanceId::generate(clock, rng));
            let cosigner = Cosigner::from_seed(&name, &seed)?;
            // A key without its public half would have no name, so that comes first.
            write_private(&vkey_file, format!("{}\n", cosigner.key()).as_bytes())?;
            write_private(&key_file, seed.expose())?;
            Ok(cosigner)
        }
        Err(error) => Err(error.into()),
    }
}

async fn add_checkpoint(State(shared): State<Shared>, body: String) -> Response {
    let answering =
        tokio::task::spawn_blocking(move || shared.witness.add_checkpoint(&body, shared.clock.now()));
    match answering.await {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(WitnessError::Refused(refusal))) => refuse(refusal),
        Ok(Err(error)) => failed(&error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(), // the panic hook has told
    }
}

/// The statuses of c2sp.org/tlog-witness.
fn refuse(refusal: Refusal) -> Response {
    let status = match refusal {
        Refusal::Malformed => StatusCode::BAD_REQUEST,
        Refusal::Unknown => StatusCode::NOT_FOUND,
        Refusal::Untrusted => StatusCode::FORBIDDEN,
        Refusal::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Stale(size) => {
            let latest = [(CONTENT_TYPE, "text/x.tlog.size")];
            return (StatusCode::CONFLICT, latest, format!("{size}\n")).into_response();
        }
    };
    (status, format!("{refusal}\n")).into_response()
}

async fn checkpoint(State(shared): State<Shared>, UrlPath(origin): UrlPath<String>) -> Response {
    match tokio::task::spawn_blocking(move || shared.witness.checkpoint(&origin)).await {
        Ok(Ok(Some(note))) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response(),
        Ok(Ok(None)) => StatusCode::NOT_FOUND.into_response(),
        Ok(Err(error)) => failed(&error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Response {
    tracing::error!(error, "the witness failed");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
