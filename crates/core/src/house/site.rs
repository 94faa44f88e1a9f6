//! What a house stands on: the one thing that knows concrete backends, engines and files.

use std::error::Error as StdError;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_barrier::RootKey;
use strongroom_base::InstanceId;
use strongroom_seal::{Given, Reach, Seal, SlotKind, Slots, Unreached};

use crate::{Core, NewInstance};

/// Why an instance cannot be opened or made. It goes to the operator's log.
pub type SiteError = Box<dyn StdError + Send + Sync>;

/// Opens and makes instances. None of it decides whether it should.
#[async_trait]
pub trait Site: Send + Sync {
    /// Whose storage it is, and the seal slots in it; `None` while there is no instance.
    ///
    /// # Errors
    /// When storage cannot answer or they cannot be read.
    async fn slots(&self) -> Result<Option<(InstanceId, Slots)>, SiteError>;

    /// Where the slots' seals are reached.
    fn reach(&self) -> &dyn Reach;

    /// Opens the instance with its root key, which `slot` gave. `is_weak`: whether anyone could guess what opens that.
    ///
    /// # Errors
    /// When it does not open; nothing was changed.
    async fn open(&self, root: &RootKey, slot: u32, is_weak: bool) -> Result<Arc<Core>, SiteError>;

    /// Makes the instance, whose root key `slot` gives, and opens it.
    ///
    /// # Errors
    /// When it cannot be made.
    async fn make(&self, new: NewInstance, slot: u32, is_weak: bool) -> Result<Arc<Core>, SiteError>;

    /// The instance is about to be closed: what follows it ends.
    fn left(&self);

    /// Whether nobody on the network can read along.
    fn is_encrypted(&self) -> bool;
}

/// Where nothing but the instance that is open already can be.
pub(super) struct NoSite;

#[async_trait]
impl Reach for NoSite {
    async fn prepare(&self, _: InstanceId, _: u32, _: &SlotKind) -> Result<(), Unreached> {
        Err(Unreached::Stopping)
    }

    fn place(&self, _: InstanceId, _: u32, kind: &SlotKind) -> String {
        kind.opens_by()
    }

    async fn reach(
        &self,
        _: InstanceId,
        _: u32,
        _: &SlotKind,
        _: &Given,
    ) -> Result<Arc<dyn Seal>, Unreached> {
        Err(Unreached::Stopping)
    }
}

#[async_trait]
impl Site for NoSite {
    async fn slots(&self) -> Result<Option<(InstanceId, Slots)>, SiteError> {
        Err(NO_SITE.into())
    }

    fn reach(&self) -> &dyn Reach {
        self
    }

    async fn open(&self, _: &RootKey, _: u32, _: bool) -> Result<Arc<Core>, SiteError> {
        Err(NO_SITE.into())
    }

    async fn make(&self, _: NewInstance, _: u32, _: bool) -> Result<Arc<Core>, SiteError> {
        Err(NO_SITE.into())
    }

    fn left(&self) {}

    fn is_encrypted(&self) -> bool {
        false
    }
}

const NO_SITE: &str = "nothing can be opened here";
