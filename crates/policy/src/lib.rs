//! Who may do what to which thing, and why. Pure: values in, a decision with its reason out.
//!
//! [`decide`] is the only source of an [`Allowed`], and everything that acts needs one. So what this crate says is
//! what is enforced, what *explain* shows, and what the ledger records.

mod decide;
mod lists;

pub use decide::{Allowed, Capability, Denied, Lapse, Reason, Resource, Strictness, decide};
pub use lists::{Lists, PrincipalSet};

use std::sync::Arc;

use minicbor::{Decode, Encode};
use strongroom_base::{PrincipalId, Slug};

/// What a principal may be beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// May do everything but read what is never read.
    #[n(0)]
    Admin,
}

/// Who asks: a principal that has proved itself, as the rules see it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The principal.
    pub id: PrincipalId,
    /// Its name on the wire.
    pub slug: Slug,
    /// Its roles.
    pub roles: Arc<[Role]>,
    /// The groups that it is in. What a list says of one of them, it says of the subject.
    pub groups: PrincipalSet,
}

impl Subject {
    /// Whether the subject has the admin role.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.roles.contains(&Role::Admin)
    }

    /// Whether the subject is `principal`, or in that group.
    #[must_use]
    pub fn is(&self, principal: PrincipalId) -> bool {
        self.id == principal || self.groups.contains(principal)
    }
}
