//! What can be asked about accounts, and what is answered: plain data.

use strongroom_base::{LeaseId, MountUid, PrincipalId, Slug, Timestamp};
use strongroom_sdk::{Error, Target, ops};
use strongroom_secret::SecretText;

use crate::TokenForm;
use crate::accounts::Accounts;

/// Log in with a password. Answers [`Minted`].
pub struct Login {
    /// The app that the session acts on.
    pub host: String,
    /// Who logs in.
    pub slug: String,
    /// The password.
    pub password: SecretText,
    /// What the client calls itself; may be empty.
    pub device: String,
    /// What the token looks like.
    pub form: TokenForm,
}

/// Make an account, where registration is open, and log in. Answers [`Minted`].
pub struct Register {
    /// The app that the session acts on.
    pub host: String,
    /// The new account's slug.
    pub slug: String,
    /// What people call it; may be empty.
    pub name: String,
    /// Its password.
    pub password: SecretText,
    /// What the client calls itself; may be empty.
    pub device: String,
    /// What the token looks like.
    pub form: TokenForm,
}

/// Get another token for the caller's session, which ends when the old one would. Answers [`Minted`].
pub struct Refresh {
    /// What the token looks like.
    pub form: TokenForm,
}

/// A token and what it stands for.
#[derive(Debug)]
pub struct Minted {
    /// The token. It is nowhere else.
    pub token: SecretText,
    /// What it stands for.
    pub facts: SessionFacts,
}

/// A session as its owner sees it.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// The session's lease.
    pub lease: LeaseId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// The owner's slug.
    pub slug: Slug,
    /// Whether the owner has the admin role.
    pub is_admin: bool,
    /// The app that it acts on.
    pub mount: MountUid,
    /// That app's host.
    pub host: String,
    /// What the client calls itself.
    pub device: String,
    /// When it began.
    pub created: Timestamp,
    /// The end that the token's text claims. The session itself lasts longer, and decides.
    pub expires: Timestamp,
}

/// Make an admin for those who have proved that they hold the root key, and log it in. Answers [`Minted`].
pub(crate) struct MintRoot {
    /// The proof.
    pub(crate) proof: RootProof,
}

/// Somebody has opened the seal of this instance.
pub(crate) struct RootProof {
    slot: u32,
}

impl RootProof {
    /// The shares of `slot` gave the root key.
    pub(crate) fn of_shares(slot: u32) -> Self {
        Self { slot }
    }

    /// The slot.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }
}

/// Show the caller's account. Answers [`Account`].
pub struct WhoAmI {
    /// Whether the sessions are to be counted.
    pub count_sessions: bool,
}

/// An account as its owner sees it.
#[derive(Debug)]
pub struct Account {
    /// Its id.
    pub id: PrincipalId,
    /// Its slug.
    pub slug: Slug,
    /// What people call it.
    pub name: String,
    /// Whether it has the admin role.
    pub is_admin: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// Its sessions, if they were to be counted; at most 1,000 are.
    pub sessions: usize,
}

/// The key that verifies tokens. Answers [`PublicKeyPem`].
pub struct PublicKey;

/// A public key.
#[derive(Debug)]
pub struct PublicKeyPem {
    /// PEM, `PUBLIC KEY`.
    pub pem: String,
}

/// Whether the instance's seal key is one that nobody can guess. Answers a `bool`.
pub struct IsSecure;

/// What a dialect says of itself to anyone. Answers nothing: the dialect knows.
pub struct Describe;

/// A request that its dialect could not decode. It answers its error, so that it is recorded like any other.
pub struct Malformed {
    /// What is wrong with it.
    pub error: Error,
    /// Whether anyone is told; if not, strangers are told to log in.
    pub is_for_anyone: bool,
}

ops! { Accounts:
    Login -> Minted, "login", Connect, |_| Target::Public, login;
    Register -> Minted, "register", Connect, |_| Target::Registration, register;
    Refresh -> Minted, "session.refresh", UseAccount, |_| Target::Mounts(vec![None]), refresh;
    MintRoot -> Minted, "root.mint", Connect, |_| Target::Public, mint_root;
    WhoAmI -> Account, "account.read", UseAccount, |_| Target::Account, who_am_i;
    PublicKey -> PublicKeyPem, "public_key.read", Connect, |_| Target::Public, public_key;
    IsSecure -> bool, "seal.is_secure", UseAccount, |_| Target::Account, is_secure;
    Describe -> (), "describe", Connect, |_| Target::Public, describe;
    Malformed -> std::convert::Infallible, "malformed", Connect, Malformed::about, malformed;
}

impl Malformed {
    fn about(&self) -> Target {
        if self.is_for_anyone {
            Target::Public
        } else {
            Target::Account
        }
    }
}
