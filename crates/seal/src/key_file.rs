//! The key file: one line, `strongroom-seal-key:v1:<base64 of 32 bytes>`, readable by its owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use strongroom_secret::SecretText;
use zeroize::Zeroizing;

use crate::key::SealKey;

const PREFIX: &str = "strongroom-seal-key:v1:";
/// Longer files are something else, and are not read into memory.
const MAX_BYTES: u64 = 1024;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others than its owner can read it.
    #[error("others can read it: chmod 600 it, and rotate the key if they may have")]
    Exposed,
    /// It is something else.
    #[error("it holds no strongroom seal key of version 1")]
    Form,
}

/// Writes `key` to a new file at `path` and makes it durable.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn create(path: &Path, key: &SealKey) -> Result<(), KeyFileError> {
    let line = Zeroizing::new(format!("{PREFIX}{}\n", *key.to_base64()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Reads the key at `path`.
///
/// # Errors
/// [`KeyFileError`]; none shows what the file holds.
pub fn read(path: &Path) -> Result<SealKey, KeyFileError> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed);
    }
    let mut line = Zeroizing::new(String::with_capacity(1024));
    file.take(MAX_BYTES)
        .read_to_string(&mut line)
        .map_err(|_| KeyFileError::Form)?;
    let key = line.trim_end().strip_prefix(PREFIX).ok_or(KeyFileError::Form)?;
    SealKey::from_text(&SecretText::new(key.to_owned())).map_err(|_| KeyFileError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_base::SystemRng;

    #[test]
    fn a_key_file_reads_back_and_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let key = SealKey::generate(&SystemRng::default());
        create(&path, &key).unwrap();
        assert!(
            matches!(create(&path, &key), Err(KeyFileError::Io(_))),
            "an existing key is never overwritten"
        );
        assert!(read(&path).unwrap().key().expose() == key.key().expose());

        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(KeyFileError::Exposed)));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        for other in [
            "",
            "hello",
            "strongroom-seal-key:v2:AAAA",
            "strongroom-seal-key:v1:AAAA",
        ] {
            std::fs::write(&path, other).unwrap();
            assert!(matches!(read(&path), Err(KeyFileError::Form)), "{other}");
        }
    }
}
