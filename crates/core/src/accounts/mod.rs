//! Accounts and sessions: what every dialect's login, registration and *who am I* come to.

mod engine;
mod ops;

pub use engine::Accounts;
pub use ops::{
    Account, Describe, IsSecure, Login, Malformed, Minted, PublicKey, PublicKeyPem, Refresh, Register,
    SessionFacts, WhoAmI,
};
pub(crate) use ops::{MintRoot, RootProof};
