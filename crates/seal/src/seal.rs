//! What every kind of slot must be able to do.

use std::error::Error as StdError;

use async_trait::async_trait;
use strongroom_barrier::RootKey;
use strongroom_base::Rng;

/// What stands behind a slot: it wraps the root key, and unwraps what it has wrapped. [`crate::contract`] is the suite that
/// each implementation passes.
#[async_trait]
pub trait Seal: Send + Sync {
    /// `root`, wrapped so that only this seal gives it back, and only for `context`.
    ///
    /// # Errors
    /// [`SealFault::Unreachable`].
    async fn wrap(&self, root: &RootKey, context: &[u8], rng: &dyn Rng) -> Result<Vec<u8>, SealFault>;

    /// The root key that this seal wrapped for `context`.
    ///
    /// # Errors
    /// [`SealFault::Wrong`] for whatever it did not wrap so.
    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<RootKey, SealFault>;

    /// Whether anyone could guess what opens it.
    fn is_weak(&self) -> bool {
        false
    }
}

/// Why a seal does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SealFault {
    /// It was not wrapped by this seal, or for another slot or instance, or was damaged.
    #[error("it does not open this slot")]
    Wrong,
    /// What the seal needs is not there: a token, a service, memory.
    #[error(transparent)]
    Unreachable(Box<dyn StdError + Send + Sync>),
}

impl SealFault {
    /// The seal cannot work because of `cause`.
    pub fn unreachable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unreachable(cause.into())
    }
}
