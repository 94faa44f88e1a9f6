//! What can be asked of a house, in whatever state it is. Plain data; the files beside this do the work.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_base::RequestId;
use strongroom_sdk::Error;
use strongroom_seal::Waiting;
use strongroom_secret::SecretText;

use super::{House, Recovery};

/// Who comes with an errand. Nobody has proved who it is.
pub struct Visit {
    /// The request's id.
    pub id: RequestId,
    /// The address that it came from, without a port.
    pub source: Arc<str>,
}

impl Visit {
    /// Whether it came from this machine.
    pub(super) fn is_local(&self) -> bool {
        let address = self.source.parse::<IpAddr>();
        address.is_ok_and(|address| address.is_loopback())
    }
}

/// One typed request to a house.
pub trait Errand: Sized + Send + 'static {
    /// What it answers.
    type Outcome: Send + 'static;
    /// Its name in the ledger.
    const NAME: &'static str;

    /// Runs it.
    fn run(
        self,
        house: &Arc<House>,
        visit: &Visit,
    ) -> impl Future<Output = Result<Self::Outcome, Error>> + Send;
}

/// How the seal is. Answers [`SealShown`].
pub struct ShowSeal;

/// A state of the seal.
#[derive(Debug)]
pub struct SealShown {
    /// Whether there is an instance.
    pub is_initialized: bool,
    /// Whether it is closed.
    pub is_sealed: bool,
    /// How far the shares of each slot have come.
    pub progress: Vec<Waiting>,
    /// What keeps it from opening by itself; for callers on this machine only.
    pub problems: Vec<String>,
}

/// One step to open the seal. Answers [`SealShown`].
pub enum Unseal {
    /// One share.
    Share(SecretText),
    /// The passphrase of a slot.
    Passphrase(SecretText),
    /// Forget the shares so far.
    Reset,
}

/// One step to a new root token, when no admin can log in any more. Answers [`Recovery`].
pub enum Recover {
    /// One share.
    Share(SecretText),
    /// Forget the shares so far.
    Cancel,
}

/// What its dialect could not decode. It answers its error, so that it is recorded like any other.
pub struct NoErrand {
    /// What is wrong with it.
    pub error: Error,
}

impl Errand for ShowSeal {
    type Outcome = SealShown;
    const NAME: &'static str = "seal.status";

    async fn run(self, house: &Arc<House>, visit: &Visit) -> Result<SealShown, Error> {
        house.show(visit).await
    }
}

impl Errand for Unseal {
    type Outcome = SealShown;
    const NAME: &'static str = "seal.unseal";

    async fn run(self, house: &Arc<House>, visit: &Visit) -> Result<SealShown, Error> {
        house.unseal(visit, self).await
    }
}

impl Errand for Recover {
    type Outcome = Recovery;
    const NAME: &'static str = "root.recover";

    async fn run(self, house: &Arc<House>, visit: &Visit) -> Result<Recovery, Error> {
        house.recover(visit, self).await
    }
}

impl Errand for NoErrand {
    type Outcome = Infallible;
    const NAME: &'static str = "malformed";

    async fn run(self, _: &Arc<House>, _: &Visit) -> Result<Infallible, Error> {
        Err(self.error)
    }
}
