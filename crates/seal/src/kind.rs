//! The kinds of slots, and what a slot of each kind remembers of how it is opened. All of it lies in clear.

use std::fmt;

use minicbor::{Decode, Encode};
use strongroom_base::limits;

use crate::passphrase::Stretch;
use crate::share::ShareSet;

/// A way to open a slot. In CBOR an array of the kind's number and its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum SlotKind {
    /// A file outside the data directory.
    #[n(1)]
    KeyFile,
    /// An environment variable.
    #[n(2)]
    EnvVar,
    /// A passphrase.
    #[n(3)]
    Passphrase(#[n(0)] Stretch),
    /// Shares on paper, some of which are needed.
    #[n(4)]
    Shares(#[n(0)] ShareSet),
    /// A key that never leaves a PKCS#11 token.
    #[n(5)]
    Pkcs11(#[n(0)] TokenKey),
    /// A credential that systemd hands to the server.
    #[n(6)]
    SystemdCredential(#[n(0)] CredentialName),
}

/// A key in a PKCS#11 token, by the labels of both.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TokenKey {
    /// The token's label.
    #[n(0)]
    pub token: String,
    /// The key's label in it.
    #[n(1)]
    pub key: String,
    /// How the key wraps.
    #[n(2)]
    pub mechanism: Mechanism,
}

/// How a key in a token wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Mechanism {
    /// `CKM_AES_GCM` with a 256-bit key: a nonce of 12 bytes, a tag of 16.
    #[n(1)]
    AesGcm,
}

/// The name of a systemd credential: a plain file name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct CredentialName(#[n(0)] String);

/// A label or a name that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, too much, or what no terminal shows.
    #[error("must be 1 to {} printable characters", limits::SLOT_LABEL_BYTES)]
    Label,
    /// Not a token's label.
    #[error("must be 1 to 32 printable ASCII characters")]
    Token,
    /// Not the name of a file.
    #[error("must be 1 to 64 letters, digits, `.`, `_` or `-`, and begin with a letter or digit")]
    Credential,
}

impl SlotKind {
    /// How it is spelled in commands and on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::KeyFile => "key-file",
            Self::EnvVar => "env-var",
            Self::Passphrase(_) => "passphrase",
            Self::Shares(_) => "shares",
            Self::Pkcs11(_) => "pkcs11",
            Self::SystemdCredential(_) => "systemd-credential",
        }
    }

    /// What an operator calls it.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::KeyFile => "the key file",
            Self::EnvVar => "the key in the environment",
            Self::Passphrase(_) => "the passphrase",
            Self::Shares(_) => "the shares",
            Self::Pkcs11(_) => "the PKCS#11 token",
            Self::SystemdCredential(_) => "the systemd credential",
        }
    }

    /// What it remembers of what opens it, in a few words.
    #[must_use]
    pub fn opens_by(&self) -> String {
        match self {
            Self::KeyFile => "a file".to_owned(),
            Self::EnvVar => "STRONGROOM_SEAL_KEY".to_owned(),
            Self::Passphrase(_) => "a passphrase".to_owned(),
            Self::Shares(set) => format!("{} of {} shares", set.needed, set.shares),
            Self::Pkcs11(key) => format!("key `{}` in token `{}`", key.key, key.token),
            Self::SystemdCredential(name) => format!("credential `{name}`"),
        }
    }

    /// The number that is bound to what a slot has wrapped.
    pub(crate) fn number(&self) -> u8 {
        match self {
            Self::KeyFile => 1,
            Self::EnvVar => 2,
            Self::Passphrase(_) => 3,
            Self::Shares(_) => 4,
            Self::Pkcs11(_) => 5,
            Self::SystemdCredential(_) => 6,
        }
    }

    /// Whether it opens without anyone who types something.
    #[must_use]
    pub fn is_unattended(&self) -> bool {
        match self {
            Self::KeyFile | Self::EnvVar | Self::Pkcs11(_) | Self::SystemdCredential(_) => true,
            Self::Passphrase(_) | Self::Shares(_) => false,
        }
    }

    /// Whether the parameters are some that this program gives out.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::KeyFile | Self::EnvVar => true,
            Self::Passphrase(stretch) => stretch.is_sound(),
            Self::Shares(set) => set.threshold().is_ok(),
            Self::Pkcs11(key) => token_label(&key.token).is_ok() && token_label(&key.key).is_ok(),
            Self::SystemdCredential(name) => CredentialName::new(&name.0).is_ok(),
        }
    }
}

impl TokenKey {
    /// The key `key` in the token `token`.
    ///
    /// # Errors
    /// [`NameError::Token`] for either.
    pub fn new(token: &str, key: &str) -> Result<Self, NameError> {
        Ok(Self {
            token: token_label(token)?,
            key: token_label(key)?,
            mechanism: Mechanism::AesGcm,
        })
    }
}

impl CredentialName {
    /// The name `text`.
    ///
    /// # Errors
    /// [`NameError::Credential`]: it must not lead out of the folder of credentials.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_name = (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(is_plain);
        is_name
            .then(|| Self(text.to_owned()))
            .ok_or(NameError::Credential)
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A label that an operator gives to a slot.
pub(crate) fn slot_label(text: &str) -> Result<String, NameError> {
    let is_label = text.len() <= limits::SLOT_LABEL_BYTES && !text.chars().any(char::is_control);
    is_label.then(|| text.to_owned()).ok_or(NameError::Label)
}

/// PKCS#11 gives a token's label 32 characters, padded with blanks.
fn token_label(text: &str) -> Result<String, NameError> {
    let is_label = (1..=32).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        && text.trim() == text;
    is_label.then(|| text.to_owned()).ok_or(NameError::Token)
}
