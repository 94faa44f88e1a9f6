//! Why a token does not do what it should, and what to do about it. No text holds a PIN.

use std::io;
use std::path::PathBuf;

use cryptoki::error::{Error as ModuleError, RvError};
use strongroom_base::limits;

/// Why a token does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// The library.
    #[error("the PKCS#11 module `{}` cannot be loaded: give the path of the token's library as --pkcs11-module", .0.display())]
    Module(PathBuf, #[source] ModuleError),
    /// There is no PIN.
    #[error(
        "no PIN was given for the token: put it into a file and give that as --pkcs11-pin-file, or as the systemd credential `pkcs11-pin`"
    )]
    NoPin,
    /// The PIN cannot be read.
    #[error("the PIN file `{}` cannot be read", .0.display())]
    PinFile(PathBuf, #[source] io::Error),
    /// Everybody can read the PIN.
    #[error("everybody can read the PIN file `{}`: chmod 600 it", .0.display())]
    PinExposed(PathBuf),
    /// The token is not there.
    #[error("there is no token `{label}`: put it in; tokens that are there: {others}")]
    NoToken {
        /// Its label.
        label: String,
        /// Those that are there.
        others: String,
    },
    /// There are two.
    #[error("there are several tokens `{0}`: take the others out, or give them other labels")]
    Tokens(String),
    /// The PIN is wrong.
    #[error("the token `{0}` refuses the PIN: correct the PIN file. The same PIN is not tried again")]
    WrongPin(String),
    /// The token counts.
    #[error(
        "the last login to the token `{0}` failed, so no PIN is tried that could lock it: check the PIN file, and log in once \
         with the token's own tool (`pkcs11-tool --login --token-label {0} --list-objects`)"
    )]
    Cautious(String),
    /// The token has locked itself.
    #[error(
        "the PIN of the token `{0}` is locked: unlock it with the token's own tool and its security officer's PIN"
    )]
    PinLocked(String),
    /// The key is not there.
    #[error("the token `{token}` has no AES key `{key}`")]
    NoKey {
        /// The token.
        token: String,
        /// The key.
        key: String,
    },
    /// There are two.
    #[error("the token `{token}` has several AES keys `{key}`: remove or rename the others")]
    Keys {
        /// The token.
        token: String,
        /// The key.
        key: String,
    },
    /// Somebody else has, or can have, a copy of the key.
    #[error(
        "the token `{token}` has a key `{key}` already, which was not made there, can leave it, or is of another form: give \
         another --key"
    )]
    UnfitKey {
        /// The token.
        token: String,
        /// The key.
        key: String,
    },
    /// What was to be decrypted was not encrypted by this key.
    #[error("the token does not decrypt it")]
    NotDecrypted,
    /// It takes too long.
    #[error("the token does not answer within {} s", limits::TOKEN_TIMEOUT.as_secs_ceil())]
    Slow,
    /// The thread is gone.
    #[error("the thread of the PKCS#11 module is gone: start the server again, and see its log")]
    Stopped,
    /// Anything else that the token says.
    #[error("the token `{0}` fails")]
    Token(String, #[source] ModuleError),
}

impl Pkcs11Error {
    /// What `error` means, which the token `label` gave.
    pub(crate) fn of(label: &str, error: ModuleError) -> Self {
        let label = label.to_owned();
        match error {
            ModuleError::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
                Self::WrongPin(label)
            }
            ModuleError::Pkcs11(RvError::PinLocked, _) => Self::PinLocked(label),
            ModuleError::Pkcs11(
                RvError::TokenNotPresent | RvError::TokenNotRecognized | RvError::DeviceRemoved,
                _,
            ) => Self::NoToken {
                label,
                others: "it was taken out just now".to_owned(),
            },
            error => Self::Token(label, error),
        }
    }

    /// What `error` of a decryption means: whatever the token says of the ciphertext itself, it does not open.
    pub(crate) fn of_decryption(label: &str, error: ModuleError) -> Self {
        match error {
            ModuleError::Pkcs11(
                RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::GeneralError,
                _,
            ) => Self::NotDecrypted,
            error => Self::of(label, error),
        }
    }
}
