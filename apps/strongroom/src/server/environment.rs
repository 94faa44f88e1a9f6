//! What the server takes from its process environment and not from its configuration: where things go that must not
//! lie beside the data, and a seal key.

use std::path::{Path, PathBuf};

use strongroom_base::InstanceId;
use strongroom_seal::Given;
use strongroom_secret::SecretText;
use zeroize::Zeroize;

/// The variables that may hold a seal key, the first one set counts. The last two are 1Backend's and, before it,
/// OpenOrch's.
const SEAL_KEY_VARIABLES: [&str; 3] = [
    "STRONGROOM_SEAL_KEY",
    "OB_ENCRYPTION_KEY",
    "OPENORCH_ENCRYPTION_KEY",
];

/// Places outside the data directory, and a key.
#[derive(Debug)]
pub struct Environment {
    /// Where key files are: `$XDG_CONFIG_HOME/strongroom`.
    pub key_dir: PathBuf,
    /// Where first passwords are: `$XDG_STATE_HOME/strongroom`.
    pub state_dir: PathBuf,
    /// The variable that holds a seal key, and the key's text.
    pub seal_key: Option<(&'static str, SecretText)>,
    /// Where systemd put the unit's credentials: `$CREDENTIALS_DIRECTORY`.
    pub credentials_dir: Option<PathBuf>,
    /// The passphrase and the shares that an operator gave to open the seal.
    pub given: Given,
}

impl Environment {
    /// That of this process; `None` without a home directory.
    #[must_use]
    pub fn of_process() -> Option<Self> {
        let home = std::env::var_os("HOME")
            .filter(|home| !home.is_empty())
            .map(PathBuf::from);
        let folder = |variable: &str, default: &str| {
            let given = std::env::var_os(variable)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute());
            Some(
                given
                    .or_else(|| Some(home.as_ref()?.join(default)))?
                    .join("strongroom"),
            )
        };
        Some(Self {
            key_dir: folder("XDG_CONFIG_HOME", ".config")?,
            state_dir: folder("XDG_STATE_HOME", ".local/state")?,
            seal_key: SEAL_KEY_VARIABLES
                .iter()
                .find_map(|&variable| Some((variable, read(variable)?))),
            credentials_dir: std::env::var_os("CREDENTIALS_DIRECTORY")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute()),
            given: Given::default(),
        })
    }

    /// The same without the key: a key in the environment of a process would be one of all instances in it.
    #[must_use]
    pub fn without_key(self) -> Self {
        Self {
            seal_key: None,
            ..self
        }
    }

    /// Where the password of the first administrator of `instance` is.
    #[must_use]
    pub fn password_file(&self, instance: InstanceId) -> PathBuf {
        self.state_dir.join(format!("{instance}.password"))
    }
}

/// Where the key file of a slot of `instance` is: that of slot 1, which the first start makes, goes without its number.
pub(crate) fn key_file(key_dir: &Path, instance: InstanceId, slot: u32) -> PathBuf {
    key_dir.join(match slot {
        1 => format!("{instance}.key"),
        slot => format!("{instance}-{slot}.key"),
    })
}

/// The variable's text; empty is unset, and bytes that are no text stay what they are: no key.
fn read(variable: &str) -> Option<SecretText> {
    match std::env::var(variable) {
        Ok(text) if text.is_empty() => None,
        Ok(text) => Some(SecretText::new(text)),
        Err(std::env::VarError::NotPresent) => None,
        Err(std::env::VarError::NotUnicode(text)) => {
            text.into_encoded_bytes().zeroize();
            Some(SecretText::new("not text".to_owned()))
        }
    }
}
