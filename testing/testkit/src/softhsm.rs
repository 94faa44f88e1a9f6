//! SoftHSM, a PKCS#11 module in software, with tokens of a test's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Where Debian has the module.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The security officer's PIN of every token.
const SO_PIN: &str = "so-pin-5678";

/// A folder of tokens.
pub struct SoftHsm(TempDir);

impl SoftHsm {
    /// The user PIN of every token.
    pub const PIN: &'static str = "user-pin-1234";

    /// No token yet.
    ///
    /// # Errors
    /// When SoftHSM is not installed, with the package's name.
    pub fn new() -> Result<Self> {
        if !Path::new(MODULE).exists() {
            bail!("SoftHSM is needed and not in `{MODULE}` (Debian: apt-get install softhsm2)");
        }
        let folder = tempfile::Builder::new().prefix("strongroom-hsm").tempdir()?;
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens)?;
        let conf = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
            tokens.display()
        );
        std::fs::write(folder.path().join("softhsm2.conf"), conf)?;
        Ok(Self(folder))
    }

    /// The module's library.
    #[must_use]
    pub fn module() -> &'static str {
        MODULE
    }

    /// What `SOFTHSM2_CONF` must be for a program that is to see the tokens.
    #[must_use]
    pub fn conf(&self) -> PathBuf {
        self.0.path().join("softhsm2.conf")
    }

    /// Makes the token `label`.
    ///
    /// # Errors
    /// What SoftHSM says.
    pub fn token(&self, label: &str) -> Result<()> {
        self.tool(&[
            "--init-token",
            "--free",
            "--label",
            label,
            "--so-pin",
            SO_PIN,
            "--pin",
            Self::PIN,
        ])
    }

    /// A file with `pin`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn pin_file(&self, pin: &str) -> Result<PathBuf> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.0.path().join("pin");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        std::io::Write::write_all(&mut file, format!("{pin}\n").as_bytes())?;
        Ok(path)
    }

    /// Imports an AES key, which so was not made in the token.
    ///
    /// # Errors
    /// What SoftHSM says.
    pub fn import(&self, token: &str, key: &str) -> Result<()> {
        let file = self.0.path().join("imported.key");
        std::fs::write(&file, [9; 32])?;
        let file = file.to_str().context("a path in UTF-8")?;
        self.tool(&[
            "--import",
            file,
            "--aes",
            "--token",
            token,
            "--pin",
            Self::PIN,
            "--label",
            key,
            "--id",
            "ff01",
        ])
    }

    /// Takes all tokens out.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn take_out(&self) -> Result<()> {
        std::fs::rename(self.0.path().join("tokens"), self.0.path().join("drawer"))?;
        Ok(std::fs::create_dir(self.0.path().join("tokens"))?)
    }

    /// Puts them back.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn put_back(&self) -> Result<()> {
        std::fs::remove_dir_all(self.0.path().join("tokens"))?;
        Ok(std::fs::rename(
            self.0.path().join("drawer"),
            self.0.path().join("tokens"),
        )?)
    }

    /// All bytes that the tokens are made of.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for token in std::fs::read_dir(self.0.path().join("tokens"))? {
            for file in std::fs::read_dir(token?.path())? {
                bytes.extend(std::fs::read(file?.path())?);
            }
        }
        Ok(bytes)
    }

    fn tool(&self, args: &[&str]) -> Result<()> {
        let made = Command::new("softhsm2-util")
            .args(args)
            .env("SOFTHSM2_CONF", self.conf())
            .output()
            .context("softhsm2-util (Debian: apt-get install softhsm2)")?;
        if !made.status.success() {
            bail!(
                "softhsm2-util {args:?}: {}",
                String::from_utf8_lossy(&made.stderr)
            );
        }
        Ok(())
    }
}
