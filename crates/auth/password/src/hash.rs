//! Argon2id with bounded work: one hash per core, and a bounded number waiting.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use minicbor::{Decode, Encode};
use strongroom_base::{Ttl, limits};
use strongroom_secret::{SecretText, ct_eq};
use tokio::sync::Semaphore;

/// 19 MiB, two passes, one lane: the OWASP minimum that RFC 9106's reasoning gives for a login.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A salted hash and the parameters that made it.
#[derive(Clone, Encode, Decode)]
pub(crate) struct Hash {
    #[n(0)]
    memory_kib: u32,
    #[n(1)]
    passes: u32,
    #[n(2)]
    lanes: u32,
    #[cbor(n(3), with = "minicbor::bytes")]
    salt: [u8; 16],
    #[cbor(n(4), with = "minicbor::bytes")]
    output: [u8; 32],
}

impl Hash {
    /// A hash that no password has.
    pub(crate) fn of_nobody() -> Self {
        Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: [0; 16],
            output: [0; 32],
        }
    }

    fn compute(&self, password: &SecretText) -> Option<[u8; 32]> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()?;
        let mut output = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.expose().as_bytes(), &self.salt, &mut output)
            .ok()?;
        Some(output)
    }
}

/// Runs hashes on blocking threads.
pub(crate) struct Hasher {
    cores: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Hasher {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cores: Arc::new(Semaphore::new(cores)),
            queue: Arc::new(Semaphore::new(cores + limits::PASSWORD_QUEUE)),
        }
    }

    /// The hash of `password`. Fails with the time to come back when the queue is full.
    pub(crate) async fn hash(&self, password: SecretText, salt: [u8; 16]) -> Result<Hash, Ttl> {
        let hash = Hash {
            salt,
            ..Hash::of_nobody()
        };
        let computed = self.run(hash.clone(), password).await?;
        computed.map(|output| Hash { output, ..hash }).ok_or(BUSY)
    }

    /// Whether `password` has `hash`. Fails as [`Hasher::hash`] does.
    pub(crate) async fn verify(&self, password: SecretText, hash: Hash) -> Result<bool, Ttl> {
        let output = hash.output;
        let computed = self.run(hash, password).await?;
        Ok(computed.is_some_and(|computed| ct_eq(&computed, &output)))
    }

    async fn run(&self, hash: Hash, password: SecretText) -> Result<Option<[u8; 32]>, Ttl> {
        let place = self.queue.clone().try_acquire_owned().map_err(|_| BUSY)?;
        let core = self.cores.clone().acquire_owned().await.map_err(|_| BUSY)?;
        let computed = tokio::task::spawn_blocking(move || {
            // Both are held by the work itself: a caller that goes away does not end it.
            let _held = (place, core);
            hash.compute(&password)
        });
        computed.await.map_err(|_| BUSY)
    }
}

/// A full queue is done in about this time.
const BUSY: Ttl = Ttl::from_secs(2);
