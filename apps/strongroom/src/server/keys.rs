//! Where what opens the seal slots is reached from: key files, the environment, systemd's credentials, tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_base::{InstanceId, SystemRng};
use strongroom_seal::key_file::{self, KeyFileError};
use strongroom_seal::{CredentialName, Given, Reach, Seal, SealKey, SlotKind, Stretch, Unreached};
use strongroom_secret::{SecretBuffer, SecretText};
use tokio::task::spawn_blocking;

use super::boot::BootError;
use super::data_dir::create_private_dir;
use super::environment::{Environment, key_file};
use super::tokens::Tokens;
use crate::config::Config;

/// A credential is a key and perhaps the end of a line; longer files are something else.
const CREDENTIAL_BYTES: u64 = 1024;

/// What this process can open slots with.
pub(crate) struct Keys {
    key_dir: PathBuf,
    env_key: Option<Arc<SealKey>>,
    credentials_dir: Option<PathBuf>,
    tokens: Tokens,
}

impl Keys {
    /// Those of `environment`, and the tokens that `config` names.
    ///
    /// # Errors
    /// [`BootError::SealKey`], [`BootError::Tokens`].
    pub(crate) fn new(config: &Config, environment: &Environment) -> Result<Self, BootError> {
        let credentials_dir = environment.credentials_dir.clone();
        Ok(Self {
            key_dir: environment.key_dir.clone(),
            env_key: env_key(environment)?.map(Arc::new),
            tokens: Tokens::new(config.pkcs11.as_ref(), credentials_dir.as_deref())
                .map_err(BootError::Tokens)?,
            credentials_dir,
        })
    }

    /// Whether the environment holds a key.
    pub(crate) fn has_env_key(&self) -> bool {
        self.env_key.is_some()
    }

    /// Where the key file of the slot `id` is.
    pub(crate) fn key_file(&self, instance: InstanceId, id: u32) -> PathBuf {
        key_file(&self.key_dir, instance, id)
    }
}

#[async_trait]
impl Reach for Keys {
    async fn prepare(&self, instance: InstanceId, id: u32, kind: &SlotKind) -> Result<(), Unreached> {
        match kind {
            SlotKind::KeyFile => prepare_key_file(self.key_file(instance, id)),
            SlotKind::Pkcs11(key) => self.tokens.prepare(key).await,
            SlotKind::EnvVar
            | SlotKind::Passphrase(_)
            | SlotKind::Shares(_)
            | SlotKind::SystemdCredential(_) => Ok(()),
        }
    }

    fn place(&self, instance: InstanceId, id: u32, kind: &SlotKind) -> String {
        match kind {
            SlotKind::KeyFile => self.key_file(instance, id).display().to_string(),
            kind => kind.opens_by(),
        }
    }

    async fn reach(
        &self,
        instance: InstanceId,
        id: u32,
        kind: &SlotKind,
        given: &Given,
    ) -> Result<Arc<dyn Seal>, Unreached> {
        Ok(match kind {
            SlotKind::KeyFile => Arc::new(read_key_file(self.key_file(instance, id))?),
            SlotKind::EnvVar => self.env_key.clone().ok_or(Unreached::NoKey)?,
            SlotKind::Passphrase(stretch) => Arc::new(stretched(stretch, given).await?),
            SlotKind::Shares(set) => Arc::new(given.share_key(set)?),
            SlotKind::SystemdCredential(name) => Arc::new(credential(self.credentials_dir.as_deref(), name)?),
            SlotKind::Pkcs11(key) => self.tokens.seal(key)?,
        })
    }
}

/// The key in the environment, if there is one.
fn env_key(environment: &Environment) -> Result<Option<SealKey>, BootError> {
    let Some((variable, text)) = &environment.seal_key else {
        return Ok(None);
    };
    if *variable == "OPENORCH_ENCRYPTION_KEY" {
        tracing::warn!("OPENORCH_ENCRYPTION_KEY is an old name: use STRONGROOM_SEAL_KEY");
    }
    SealKey::from_text(text)
        .map(Some)
        .map_err(|why| BootError::SealKey(variable, why))
}

/// Makes the key file at `path`. One that is there is of a slot that was never finished: nothing opens by it yet.
fn prepare_key_file(path: PathBuf) -> Result<(), Unreached> {
    let made = || -> Result<(), KeyFileError> {
        if path.try_exists()? {
            return key_file::read(&path).map(drop);
        }
        if let Some(folder) = path.parent() {
            create_private_dir(folder)?;
        }
        key_file::create(&path, &SealKey::generate(&SystemRng::default()))
    };
    made().map_err(|why| Unreached::KeyFile { path, why })
}

fn read_key_file(path: PathBuf) -> Result<SealKey, Unreached> {
    key_file::read(&path).map_err(|why| Unreached::KeyFile { path, why })
}

/// The key of the passphrase that was given. It takes a while and a core, so it does not run between requests.
async fn stretched(stretch: &Stretch, given: &Given) -> Result<SealKey, Unreached> {
    let (stretch, passphrase) = (
        stretch.clone(),
        given.passphrase().ok_or(Unreached::NoPassphrase)?,
    );
    let work = spawn_blocking(move || stretch.key(&passphrase));
    Ok(work.await.map_err(|_| Unreached::Stopping)??)
}

/// The key in the credential `name`.
fn credential(folder: Option<&Path>, name: &CredentialName) -> Result<SealKey, Unreached> {
    let folder = folder.ok_or_else(|| Unreached::NoCredentials(name.clone()))?;
    let text =
        read_text(&folder.join(name.as_str())).map_err(|error| Unreached::Credential(name.clone(), error))?;
    SealKey::from_text(&text).map_err(|why| Unreached::CredentialKey(name.clone(), why))
}

/// The text of a small file, without the end of its last line.
fn read_text(path: &Path) -> std::io::Result<SecretText> {
    use std::io::Read;
    let mut text = SecretBuffer::with_capacity(CREDENTIAL_BYTES as usize);
    std::io::copy(&mut std::fs::File::open(path)?.take(CREDENTIAL_BYTES), &mut text)?;
    let bytes = text.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    // What is no text is no key either: it is told as that.
    Ok(SecretText::new(
        std::str::from_utf8(bytes).unwrap_or_default().to_owned(),
    ))
}
