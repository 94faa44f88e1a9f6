//! PKCS#11 tokens, in a program that is built with them.

use std::path::Path;
use std::sync::Arc;

use strongroom_seal::{Seal, TokenKey, Unreached};
#[cfg(feature = "pkcs11")]
use strongroom_seal_pkcs11::{Pkcs11, Pkcs11Config};

use crate::config::Pkcs11Files;

/// The systemd credential that holds the PIN where no file is configured.
#[cfg(feature = "pkcs11")]
const PIN_CREDENTIAL: &str = "pkcs11-pin";

/// The tokens of the configured module, if one is.
pub(super) struct Tokens {
    #[cfg(feature = "pkcs11")]
    pkcs11: Option<Pkcs11>,
}

/// There are no tokens.
#[derive(Debug, thiserror::Error)]
enum NoTokens {
    #[cfg(feature = "pkcs11")]
    #[error("no PKCS#11 module is configured: give the path of the token's library as --pkcs11-module")]
    NotConfigured,
    #[cfg(not(feature = "pkcs11"))]
    #[error("this strongroom was built without PKCS#11: use one that was built with the feature `pkcs11`")]
    NotBuilt,
}

#[cfg(feature = "pkcs11")]
impl Tokens {
    /// Those of the module in `files`. Nothing is loaded yet.
    pub(super) fn new(files: Option<&Pkcs11Files>, credentials_dir: Option<&Path>) -> std::io::Result<Self> {
        let config = files.map(|files| Pkcs11Config {
            module: files.module.clone(),
            pin_file: files
                .pin_file
                .clone()
                .or_else(|| Some(credentials_dir?.join(PIN_CREDENTIAL))),
        });
        Ok(Self {
            pkcs11: config.map(Pkcs11::new).transpose()?,
        })
    }

    /// Makes `key` in its token, unless it is there.
    pub(super) async fn prepare(&self, key: &TokenKey) -> Result<(), Unreached> {
        let prepared = self.pkcs11()?.prepare(key).await;
        prepared.map_err(|error| Unreached::Other(error.into()))
    }

    /// The seal that `key` is.
    pub(super) fn seal(&self, key: &TokenKey) -> Result<Arc<dyn Seal>, Unreached> {
        Ok(Arc::new(self.pkcs11()?.seal(key)))
    }

    fn pkcs11(&self) -> Result<&Pkcs11, Unreached> {
        let missing = || Unreached::Other(NoTokens::NotConfigured.into());
        self.pkcs11.as_ref().ok_or_else(missing)
    }
}

#[cfg(not(feature = "pkcs11"))]
#[expect(
    clippy::unused_async,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the same methods as with PKCS#11"
)]
impl Tokens {
    /// None.
    pub(super) fn new(_: Option<&Pkcs11Files>, _: Option<&Path>) -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// There is no token.
    pub(super) async fn prepare(&self, _: &TokenKey) -> Result<(), Unreached> {
        Err(Unreached::Other(NoTokens::NotBuilt.into()))
    }

    /// There is no token.
    pub(super) fn seal(&self, _: &TokenKey) -> Result<Arc<dyn Seal>, Unreached> {
        Err(Unreached::Other(NoTokens::NotBuilt.into()))
    }
}
