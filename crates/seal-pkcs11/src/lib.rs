//! Seal slots on PKCS#11 tokens: HSMs, smart cards. The wrapping key is an AES key that is made in the token and never
//! leaves it; the token encrypts and decrypts the root key with it, bound to its slot by GCM.
//!
//! Modules are C libraries whose sessions are not thread-safe, so one thread has the module and works off a queue. For
//! each piece of work it begins anew, from `C_Initialize` to `C_Finalize`: a token that was taken out and put back is found
//! again, and nobody stays logged in. Work is rare: at a start, once a day, when an operator asks.
//!
//! A PIN is tried once. After a wrong one nothing is tried that could lock the token: not the same PIN again, and none at
//! all on a token that says that its last login failed.

mod error;
mod token;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use async_trait::async_trait;
use strongroom_barrier::RootKey;
use strongroom_base::{Rng, limits};
use strongroom_seal::{Seal, SealFault, TokenKey};
use strongroom_secret::{Key, SecretBytes};
use tokio::sync::oneshot;

pub use error::Pkcs11Error;

use token::Module;

/// Bytes of a GCM nonce.
const NONCE_BYTES: usize = 12;

/// A PKCS#11 module and its tokens. Cheap to clone; the module is loaded when it is first needed.
#[derive(Clone)]
pub struct Pkcs11(Arc<Thread>);

/// The thread that has the module. The last handle that is dropped waits until it has done what it was asked, because a
/// process that ends while a C library is at work may crash in the library's own destructors. It does not wait for ever:
/// a token may hang.
struct Thread {
    /// There until it is dropped.
    queue: Option<mpsc::Sender<(Work, oneshot::Sender<Answer>)>>,
    /// Ends with the thread. Nothing is ever sent.
    ended: Mutex<mpsc::Receiver<Infallible>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.queue.take());
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(limits::TOKEN_TIMEOUT.into());
    }
}

/// What an operator configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Config {
    /// The module, a shared library. It comes from the configuration only: a path out of storage would let whoever writes
    /// storage run code here.
    pub module: PathBuf,
    /// The file with the tokens' PIN.
    pub pin_file: Option<PathBuf>,
}

/// What the thread is asked to do with a key.
pub(crate) enum Work {
    /// Make it, unless it is there.
    Prepare(TokenKey),
    /// Encrypt with it.
    Wrap {
        key: TokenKey,
        nonce: [u8; NONCE_BYTES],
        context: Vec<u8>,
        root: SecretBytes,
    },
    /// Decrypt with it.
    Unwrap {
        key: TokenKey,
        nonce: [u8; NONCE_BYTES],
        context: Vec<u8>,
        sealed: Vec<u8>,
    },
}

/// What [`Work`] gives: nothing, ciphertext or plaintext.
type Answer = Result<SecretBytes, Pkcs11Error>;

impl Pkcs11 {
    /// The module of `config`. Nothing is loaded or read yet.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn new(config: Pkcs11Config) -> std::io::Result<Self> {
        let (queue, work) = mpsc::channel::<(Work, oneshot::Sender<Answer>)>();
        let (at_work, ended) = mpsc::channel();
        thread::Builder::new().name("pkcs11".to_owned()).spawn(move || {
            let _at_work: mpsc::Sender<Infallible> = at_work;
            let mut module = Module::new(config);
            while let Ok((work, answer)) = work.recv() {
                let _ = answer.send(module.run(work)); // whoever asked may have gone away
            }
        })?;
        Ok(Self(Arc::new(Thread {
            queue: Some(queue),
            ended: Mutex::new(ended),
        })))
    }

    /// Makes `key` in its token. One that is there is taken if it was made there, cannot leave it, and is fit for the work.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub async fn prepare(&self, key: &TokenKey) -> Result<(), Pkcs11Error> {
        self.ask(Work::Prepare(key.clone())).await.map(drop)
    }

    /// The seal that `key` is.
    #[must_use]
    pub fn seal(&self, key: &TokenKey) -> TokenSeal {
        TokenSeal {
            pkcs11: self.clone(),
            key: key.clone(),
        }
    }

    async fn ask(&self, work: Work) -> Answer {
        let (answer, answered) = oneshot::channel();
        let queue = self.0.queue.as_ref().ok_or(Pkcs11Error::Stopped)?;
        queue.send((work, answer)).map_err(|_| Pkcs11Error::Stopped)?;
        match tokio::time::timeout(limits::TOKEN_TIMEOUT.into(), answered).await {
            Ok(answered) => answered.map_err(|_| Pkcs11Error::Stopped)?,
            Err(_) => Err(Pkcs11Error::Slow),
        }
    }
}

/// A key in a token, as a seal.
pub struct TokenSeal {
    pkcs11: Pkcs11,
    key: TokenKey,
}

#[async_trait]
impl Seal for TokenSeal {
    async fn wrap(&self, root: &RootKey, context: &[u8], rng: &dyn Rng) -> Result<Vec<u8>, SealFault> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill(&mut nonce);
        let work = Work::Wrap {
            key: self.key.clone(),
            nonce,
            context: context.to_vec(),
            root: SecretBytes::new(root.expose().to_vec()),
        };
        let sealed = self.pkcs11.ask(work).await.map_err(SealFault::unreachable)?;
        Ok([&nonce, sealed.expose()].concat())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<RootKey, SealFault> {
        let (nonce, sealed) = wrapped.split_first_chunk().ok_or(SealFault::Wrong)?;
        let work = Work::Unwrap {
            key: self.key.clone(),
            nonce: *nonce,
            context: context.to_vec(),
            sealed: sealed.to_vec(),
        };
        let root = self.pkcs11.ask(work).await.map_err(|error| match error {
            Pkcs11Error::NotDecrypted => SealFault::Wrong,
            error => SealFault::unreachable(error),
        })?;
        Key::from_slice(root.expose())
            .map(RootKey::from_key)
            .ok_or(SealFault::Wrong)
    }
}
