//! Questions about what lies at a path of the ledger, asked across engines.

use async_trait::async_trait;
use strongroom_base::{Name, PrincipalId};
use strongroom_policy::{Lapse, Lists};

use crate::{Error, Permit};

/// What the rules go by at a path.
pub enum Rules {
    /// Nothing has this name.
    Free(Name),
    /// A secret has it, and the caller may review it.
    Secret {
        /// Its lists.
        lists: Lists,
        /// Who answers for it.
        owner: PrincipalId,
        /// Why it is not served any more, if it is not.
        lapse: Option<Lapse>,
    },
    /// It is nothing of this engine, or not the caller's to review.
    Hidden,
}

/// An engine that knows what lies at a path.
#[async_trait]
pub trait Judge: Send + Sync + 'static {
    /// What lies at `path`, a path as the ledger names it: `apps/<host>/<name>`. Only in the permit's mounts.
    ///
    /// # Errors
    /// When storage cannot answer.
    async fn rules(&self, permit: &Permit, path: &str) -> Result<Rules, Error>;
}
