//! Accounts and sessions: what every dialect's login, registration and *who am I* come to.

mod engine;
mod invitations;
mod ops;
mod people;
mod people_ops;

pub use engine::Accounts;
pub use ops::{
    Account, Describe, IsSecure, Login, Malformed, Minted, PublicKey, PublicKeyPem, Refresh, Register,
    SessionFacts, WhoAmI,
};
pub(crate) use ops::{MintRoot, RootProof};
pub use people_ops::{
    AcceptInvitation, AddPrincipal, Invitation, Invite, ListPrincipals, ListTokens, PrincipalFacts,
    PrincipalPage, RevokeToken, Revoked, SetMembership, SetStanding, TokenFacts, TokenPage,
};
pub use strongroom_identity::{PrincipalKind, Standing};
