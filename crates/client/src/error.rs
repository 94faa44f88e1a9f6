//! What can go wrong between this client and a server.

use std::path::PathBuf;

/// Why a call gave no result. A text names the server and the server's reason, never what was sent.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address is no such thing. It is not repeated here: it may hold a password.
    #[error("a server's URL is `http://…` or `https://…`, without user name and password")]
    BadUrl,
    /// The certificate authority's file cannot be used.
    #[error("cannot read certificates from `{}`", .path.display())]
    CaFile {
        /// The file asked for.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The token has characters that no token has.
    #[error("the token is not one: it has characters that cannot be sent")]
    BadToken,
    /// The connection's set-up failed before anything was sent.
    #[error("cannot set up the connection")]
    Setup(#[source] reqwest::Error),
    /// The server answered, with a refusal.
    #[error("the server refused ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's reason: one line, printable.
        message: String,
    },
    /// No answer, or half of one. A write may have happened.
    #[error("no answer from `{server}`")]
    Unreachable {
        /// The server's URL.
        server: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// The answer is not one that this dialect has.
    #[error("`{server}` does not answer like a strongroom or 1Backend server: {why}")]
    BadReply {
        /// The server's URL.
        server: String,
        /// What is wrong with the answer.
        why: BadReply,
    },
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// More bytes than this client takes.
    #[error("the answer is too long")]
    TooLong,
    /// Not JSON, or without the fields that this call's answer has.
    #[error("the answer is not the JSON that belongs to this call")]
    Shape,
}
