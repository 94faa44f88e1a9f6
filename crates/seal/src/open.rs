//! Opening the root key by any slot.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_barrier::RootKey;
use strongroom_base::InstanceId;

use crate::given::{Given, SharesError};
use crate::key::SealKeyError;
use crate::key_file::KeyFileError;
use crate::kind::{CredentialName, SlotKind};
use crate::passphrase::PassphraseError;
use crate::seal::{Seal, SealFault};
use crate::slots::{SealError, Slot, Slots};

/// Where the seals of slots are reached from: the one place that knows files, variables, tokens and services.
#[async_trait]
pub trait Reach: Send + Sync {
    /// Makes what a new slot `id` of `kind` needs outside of the instance: a key file, a key in a token. What must be
    /// there already is left to [`Reach::reach`].
    ///
    /// # Errors
    /// [`Unreached`]; nothing was made.
    async fn prepare(&self, instance: InstanceId, id: u32, kind: &SlotKind) -> Result<(), Unreached>;

    /// Where what opens the slot is, in a few words.
    fn place(&self, instance: InstanceId, id: u32, kind: &SlotKind) -> String;

    /// The seal of the slot `id` of `kind`, with what an operator gave for it.
    ///
    /// # Errors
    /// [`Unreached`].
    async fn reach(
        &self,
        instance: InstanceId,
        id: u32,
        kind: &SlotKind,
        given: &Given,
    ) -> Result<Arc<dyn Seal>, Unreached>;
}

/// Why a slot does not give the root key. The texts say what to do, and show no secret.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Nobody gave one.
    #[error("no passphrase was given: give it with `--unseal-from`")]
    NoPassphrase,
    /// It cannot be made into a key.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The shares do not fit.
    #[error(transparent)]
    Shares(#[from] SharesError),
    /// There is no key in the environment.
    #[error("no key was given: set STRONGROOM_SEAL_KEY")]
    NoKey,
    /// The key file.
    #[error("the key file `{}` cannot be used: {why}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: KeyFileError,
    },
    /// The server was not started by systemd, or without credentials.
    #[error("there is no CREDENTIALS_DIRECTORY: start the server by systemd with `LoadCredential={0}:…`")]
    NoCredentials(CredentialName),
    /// The credential cannot be read.
    #[error("the systemd credential `{0}` cannot be read; the unit loads it with `LoadCredential={0}:…`")]
    Credential(CredentialName, #[source] io::Error),
    /// The credential is no key.
    #[error("the systemd credential `{0}` {1}")]
    CredentialKey(CredentialName, SealKeyError),
    /// The work was cut short.
    #[error("the server is stopping")]
    Stopping,
    /// The token or service behind it.
    #[error(transparent)]
    Other(Box<dyn StdError + Send + Sync>),
    /// It was reached, and does not give the root key.
    #[error(transparent)]
    Fault(#[from] SealFault),
}

/// A slot that did not open.
#[derive(Debug)]
pub struct Tried {
    /// The slot's id.
    pub slot: u32,
    /// What an operator calls its kind.
    pub kind: &'static str,
    /// What an operator calls it; may be empty.
    pub label: String,
    /// Why.
    pub why: Unreached,
}

/// The root key, and how it was had.
pub struct Opened {
    /// The root key.
    pub root: RootKey,
    /// The slot that gave it.
    pub slot: u32,
    /// Whether what opened it is something that anyone could guess.
    pub is_weak: bool,
    /// The slots that were tried before and did not open.
    pub tried: Vec<Tried>,
}

impl Slots {
    /// The root key, by the first slot that gives it. What an operator gave is tried first: it was given for a reason.
    ///
    /// # Errors
    /// [`SealError::NoneOpens`] with what is wrong with each.
    pub async fn open(
        &self,
        instance: InstanceId,
        reach: &dyn Reach,
        given: &Given,
    ) -> Result<Opened, SealError> {
        let mut order: Vec<_> = self.iter().collect();
        order.sort_by_key(|slot| slot.kind().is_unattended() != given.is_empty());
        let mut tried = Vec::new();
        for slot in order {
            match slot.open(instance, reach, given).await {
                Ok((root, is_weak)) => {
                    let slot = slot.id();
                    return Ok(Opened {
                        root,
                        slot,
                        is_weak,
                        tried,
                    });
                }
                Err(why) => tried.push(Tried {
                    slot: slot.id(),
                    kind: slot.kind().describe(),
                    label: slot.label().to_owned(),
                    why,
                }),
            }
        }
        tried.sort_by_key(|tried| tried.slot);
        Err(SealError::NoneOpens(tried))
    }
}

impl Slot {
    /// The root key in this slot, and whether anyone could guess what opens it.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn open(
        &self,
        instance: InstanceId,
        reach: &dyn Reach,
        given: &Given,
    ) -> Result<(RootKey, bool), Unreached> {
        let seal = reach.reach(instance, self.id(), self.kind(), given).await?;
        let root = self.unwrap(instance, &*seal).await?;
        Ok((root, seal.is_weak()))
    }
}
