//! The encryption boundary over storage: plaintext above, ciphertext below.
//!
//! The root key opens the *keyring* (KEKs by epoch), a KEK opens a workspace's keys (DEKs by epoch, the key of its
//! names, the key of its ledger fields), and a DEK opens records. What this crate alone knows: the bytes of a sealed
//! record ([`envelope`]), the bytes of storage keys ([`planes`]), and which key opens what ([`keyring`]). A rotation adds
//! epochs ([`Barrier::rotate`], [`Fence`]); a rewrap ([`Rewrap`]) ends old ones.
//!
//! Invariant: nothing else calls an AEAD on stored data, and storage never sees a name or a value.

pub mod cbor;
pub mod envelope;
pub mod keyring;
pub mod planes;
pub mod xaes;

mod barrier;
mod cache;
mod chain;
mod keeper;
mod listing;
mod names;
mod place;
mod rewrap;
mod rotation;
mod source;
mod view;

pub use barrier::{Barrier, BarrierError};
pub use envelope::Record;
pub use keeper::{RowAtRest, RowFlaw, RowKeeper, Ties};
pub use keyring::RootKey;
pub use place::Place;
pub use planes::{Kind, StorageKey};
pub use rewrap::{Rewrap, RewrapStep};
pub use rotation::Fence;
pub use source::Named;
pub use view::{Child, Folder, Stored, View};
