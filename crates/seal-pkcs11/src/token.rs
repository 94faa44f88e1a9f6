//! The work itself, on the module's thread.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::Error as ModuleError;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use strongroom_seal::TokenKey;
use strongroom_secret::{SecretBuffer, SecretBytes, ct_eq};

use crate::{Answer, NONCE_BYTES, Pkcs11Config, Pkcs11Error, Work};

/// A longer file is no PIN.
const PIN_BYTES: u64 = 256;
const KEY_BYTES: u64 = 32;
const TAG_BITS: u64 = 128;

/// A module is initialized once a process, so only one piece of work goes on at a time, whoever loaded it.
static INITIALIZED: Mutex<()> = Mutex::new(());

/// The module, once it is loaded, and the PIN that must not be tried again.
pub(crate) struct Module {
    config: Pkcs11Config,
    library: Option<Pkcs11>,
    refused: Option<(String, SecretBytes)>,
}

/// What a token says of its PIN.
#[derive(Clone, Copy, Default)]
struct PinState {
    is_locked: bool,
    /// The next wrong PIN locks it.
    is_final_try: bool,
    /// The last login failed.
    has_failed: bool,
}

impl Module {
    pub(crate) fn new(config: Pkcs11Config) -> Self {
        Self {
            config,
            library: None,
            refused: None,
        }
    }

    /// Does `work`, from the module's beginning to its end.
    pub(crate) fn run(&mut self, work: Work) -> Answer {
        let _alone = INITIALIZED.lock().unwrap_or_else(PoisonError::into_inner);
        let library = self.load()?;
        let unusable = |error| Pkcs11Error::Module(self.config.module.clone(), error);
        library
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(unusable)?;
        let answer = self.run_on(&library, work);
        // What it says of its end changes nothing: what was asked for is done, or has failed.
        let _ = library.finalize();
        answer
    }

    fn load(&mut self) -> Result<Pkcs11, Pkcs11Error> {
        if let Some(library) = &self.library {
            return Ok(library.clone());
        }
        let module = &self.config.module;
        let loaded = Pkcs11::new(module).map_err(|error| Pkcs11Error::Module(module.clone(), error))?;
        Ok(self.library.insert(loaded).clone())
    }

    fn run_on(&mut self, library: &Pkcs11, work: Work) -> Answer {
        match work {
            Work::Prepare(key) => {
                let session = self.log_in(library, &key.token, Pkcs11::open_rw_session)?;
                prepare(&session, &key).map(|()| SecretBytes::default())
            }
            Work::Wrap {
                key,
                mut nonce,
                context,
                root,
            } => {
                let session = self.log_in(library, &key.token, Pkcs11::open_ro_session)?;
                let handle = find(&session, &key)?.ok_or_else(|| no_key(&key))?;
                let failed = |error| Pkcs11Error::of(&key.token, error);
                let mechanism = gcm(&mut nonce, &context).map_err(failed)?;
                let sealed = session
                    .encrypt(&mechanism, handle, root.expose())
                    .map_err(failed)?;
                Ok(SecretBytes::new(sealed))
            }
            Work::Unwrap {
                key,
                mut nonce,
                context,
                sealed,
            } => {
                let session = self.log_in(library, &key.token, Pkcs11::open_ro_session)?;
                let handle = find(&session, &key)?.ok_or_else(|| no_key(&key))?;
                let mechanism =
                    gcm(&mut nonce, &context).map_err(|error| Pkcs11Error::of(&key.token, error))?;
                let root = session
                    .decrypt(&mechanism, handle, &sealed)
                    .map_err(|error| Pkcs11Error::of_decryption(&key.token, error))?;
                Ok(SecretBytes::new(root))
            }
        }
    }

    /// A session with the token `label` that the PIN has opened; it ends when it is dropped.
    fn log_in(
        &mut self,
        library: &Pkcs11,
        label: &str,
        open: fn(&Pkcs11, Slot) -> Result<Session, ModuleError>,
    ) -> Result<Session, Pkcs11Error> {
        let failed = |error| Pkcs11Error::of(label, error);
        let slot = slot_of(library, label)?;
        let pin = self.pin()?;
        let info = library.get_token_info(slot).map_err(failed)?;
        let state = PinState {
            is_locked: info.user_pin_locked(),
            is_final_try: info.user_pin_final_try(),
            has_failed: info.user_pin_count_low(),
        };
        let was_refused = self
            .refused
            .as_ref()
            .is_some_and(|(token, refused)| token == label && ct_eq(refused.expose(), pin.expose()));
        may_try(label, state, was_refused)?;
        let session = open(library, slot).map_err(failed)?;
        let text = std::str::from_utf8(pin.expose()).unwrap_or_default().to_owned();
        let tried = session
            .login(UserType::User, Some(&AuthPin::new(text.into_boxed_str())))
            .map_err(failed);
        match tried {
            Ok(()) => self.refused = None,
            Err(Pkcs11Error::WrongPin(_)) => self.refused = Some((label.to_owned(), pin)),
            Err(_) => {}
        }
        tried.map(|()| session)
    }

    fn pin(&self) -> Result<SecretBytes, Pkcs11Error> {
        let path = self.config.pin_file.as_deref().ok_or(Pkcs11Error::NoPin)?;
        read_pin(path)
    }
}

/// Whether the PIN may be tried: never twice, and never when the token could lock itself for it.
fn may_try(label: &str, state: PinState, was_refused: bool) -> Result<(), Pkcs11Error> {
    let label = label.to_owned();
    match state {
        PinState { is_locked: true, .. } => Err(Pkcs11Error::PinLocked(label)),
        _ if was_refused => Err(Pkcs11Error::WrongPin(label)),
        PinState {
            is_final_try: true, ..
        }
        | PinState { has_failed: true, .. } => Err(Pkcs11Error::Cautious(label)),
        _ => Ok(()),
    }
}

fn read_pin(path: &Path) -> Result<SecretBytes, Pkcs11Error> {
    let unread = |error| Pkcs11Error::PinFile(path.to_owned(), error);
    let file = File::open(path).map_err(unread)?;
    let mode = file.metadata().map_err(unread)?.permissions().mode();
    // systemd gives credentials to a user by way of the group.
    if mode & 0o007 != 0 {
        return Err(Pkcs11Error::PinExposed(path.to_owned()));
    }
    let mut pin = SecretBuffer::with_capacity(256);
    io::copy(&mut file.take(PIN_BYTES), &mut pin).map_err(unread)?;
    let text = pin.expose().trim_ascii_end();
    if text.is_empty() || std::str::from_utf8(text).is_err() {
        return Err(unread(io::Error::other("it holds no PIN")));
    }
    Ok(SecretBytes::new(text.to_vec()))
}

/// The slot with the token `label`.
fn slot_of(library: &Pkcs11, label: &str) -> Result<Slot, Pkcs11Error> {
    let failed = |error| Pkcs11Error::of(label, error);
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for slot in library.get_slots_with_initialized_token().map_err(failed)? {
        let info = library.get_token_info(slot).map_err(failed)?;
        match info.label().trim_end() {
            own if own == label => found.push(slot),
            other => others.push(format!("`{other}`")),
        }
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(Pkcs11Error::NoToken {
            label: label.to_owned(),
            others: if others.is_empty() {
                "none".to_owned()
            } else {
                others.join(", ")
            },
        }),
        _ => Err(Pkcs11Error::Tokens(label.to_owned())),
    }
}

/// The key's handle; `None` if it is not there.
fn find(session: &Session, key: &TokenKey) -> Result<Option<ObjectHandle>, Pkcs11Error> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Label(key.key.clone().into_bytes()),
    ];
    let found = session
        .find_objects(&template)
        .map_err(|error| Pkcs11Error::of(&key.token, error))?;
    match found.as_slice() {
        [] => Ok(None),
        [handle] => Ok(Some(*handle)),
        _ => Err(Pkcs11Error::Keys {
            token: key.token.clone(),
            key: key.key.clone(),
        }),
    }
}

fn prepare(session: &Session, key: &TokenKey) -> Result<(), Pkcs11Error> {
    match find(session, key)? {
        Some(handle) if is_fit(session, handle, &key.token)? => Ok(()),
        Some(_) => Err(Pkcs11Error::UnfitKey {
            token: key.token.clone(),
            key: key.key.clone(),
        }),
        None => generate(session, key),
    }
}

fn generate(session: &Session, key: &TokenKey) -> Result<(), Pkcs11Error> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Label(key.key.clone().into_bytes()),
        Attribute::ValueLen(KEY_BYTES.into()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ];
    let made = session.generate_key(&Mechanism::AesKeyGen, &template);
    made.map(drop).map_err(|error| Pkcs11Error::of(&key.token, error))
}

/// Whether the key was made in the token, cannot leave it and never could, and is an AES-256 key that encrypts.
fn is_fit(session: &Session, handle: ObjectHandle, token: &str) -> Result<bool, Pkcs11Error> {
    let wanted = [
        (AttributeType::Local, Attribute::Local(true)),
        (AttributeType::AlwaysSensitive, Attribute::AlwaysSensitive(true)),
        (AttributeType::NeverExtractable, Attribute::NeverExtractable(true)),
        (AttributeType::Encrypt, Attribute::Encrypt(true)),
        (AttributeType::Decrypt, Attribute::Decrypt(true)),
        (AttributeType::ValueLen, Attribute::ValueLen(KEY_BYTES.into())),
    ];
    let kinds: Vec<_> = wanted.iter().map(|(kind, _)| *kind).collect();
    let found = session
        .get_attributes(handle, &kinds)
        .map_err(|error| Pkcs11Error::of(token, error))?;
    Ok(wanted.iter().all(|(_, attribute)| found.contains(attribute)))
}

fn gcm<'a>(nonce: &'a mut [u8; NONCE_BYTES], context: &'a [u8]) -> Result<Mechanism<'a>, ModuleError> {
    Ok(Mechanism::AesGcm(GcmParams::new(
        nonce,
        context,
        TAG_BITS.into(),
    )?))
}

fn no_key(key: &TokenKey) -> Pkcs11Error {
    Pkcs11Error::NoKey {
        token: key.token.clone(),
        key: key.key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pin_is_tried_that_could_lock_the_token() {
        let tries = |state, was_refused| may_try("hsm", state, was_refused);
        let calm = PinState::default();
        assert!(tries(calm, false).is_ok());
        assert!(matches!(tries(calm, true), Err(Pkcs11Error::WrongPin(_))));
        let failed = PinState {
            has_failed: true,
            ..calm
        };
        let last = PinState {
            is_final_try: true,
            ..failed
        };
        let locked = PinState {
            is_locked: true,
            ..last
        };
        assert!(matches!(tries(failed, false), Err(Pkcs11Error::Cautious(_))));
        assert!(matches!(tries(failed, true), Err(Pkcs11Error::WrongPin(_))));
        assert!(matches!(tries(last, false), Err(Pkcs11Error::Cautious(_))));
        assert!(matches!(tries(locked, false), Err(Pkcs11Error::PinLocked(_))));
        assert!(matches!(tries(locked, true), Err(Pkcs11Error::PinLocked(_))));
    }
}
