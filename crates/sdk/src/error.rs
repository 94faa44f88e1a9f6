//! The one domain error. It knows no wire: each dialect renders it in an exhaustive match.

use std::error::Error as StdError;

use strongroom_base::Ttl;

/// Why a request was not done. The texts are public: they say what to do, and hold no secret, token or value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller did not prove who it is.
    #[error("{0}")]
    Unauthenticated(NotProved),
    /// A rule says no. The text is the same whether the thing exists or not.
    #[error("{0}")]
    Denied(String),
    /// There is no such thing, or none that this caller may know of.
    #[error("{0}")]
    NotFound(String),
    /// Others changed the same thing at the same time, or a name is taken.
    #[error("{0}")]
    Conflict(String),
    /// The request breaks a rule of form.
    #[error("`{field}` {why}")]
    Invalid {
        /// The field, as the op names it.
        field: String,
        /// What is wrong with it and what to do.
        why: String,
    },
    /// Over a limit.
    #[error("{what} is over the limit of {limit_bytes} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// Too many attempts.
    #[error("too many attempts, try again in {} s", .retry_after.as_secs_ceil())]
    RateLimited {
        /// When to come back.
        retry_after: Ttl,
    },
    /// Storage cannot answer. If the request was a write, it may have happened.
    #[error("storage is unavailable; if this was a write, it may have happened: read before you repeat it")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// The disk is nearly full, and the request would have stored something. Nothing was written.
    #[error(
        "the server's disk is nearly full, so only removals are stored: nothing was changed; its operator must make room"
    )]
    Full,
    /// The audit record could not be written, so the answer is withheld.
    #[error("the audit ledger cannot be written, so the answer is withheld; see the server's log")]
    AuditUnavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// Nobody has opened the seal, or an admin has closed it: there is no key to serve anything with.
    #[error("the server is sealed: its operators must open it, with `strongroom operator unseal`")]
    Sealed,
    /// There is no instance yet.
    #[error("there is no instance here yet: its operator must make it, with `strongroom operator init`")]
    NotInitialized,
    /// A fault of ours; the cause is in the log.
    #[error("internal error; the server's log names its cause under this request's id")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

/// What is missing from a caller's proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProved {
    /// No credential at all.
    #[error("no token was sent: log in first")]
    Missing,
    /// A token that was never issued here, has expired, or was revoked. Callers cannot tell which.
    #[error("the token is not valid here (any more): log in again")]
    UnknownToken,
    /// Unknown slug or wrong password. Callers cannot tell which.
    #[error("wrong slug or password")]
    WrongPassword,
    /// An invitation that there is not (any more). Callers cannot tell which.
    #[error("there is no such invitation (any more): ask for another one")]
    NotInvited,
    /// A token in the request's URL, where logs and histories keep it.
    #[error("a token must not be sent in the URL: send it in the Authorization header, and revoke this one")]
    TokenInUrl,
}

impl Error {
    /// `field` is wrong because `why`.
    pub fn invalid(field: impl Into<String>, why: impl ToString) -> Self {
        Self::Invalid {
            field: field.into(),
            why: why.to_string(),
        }
    }

    /// A fault of ours.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }
}
