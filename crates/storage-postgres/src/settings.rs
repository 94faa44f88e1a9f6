//! Where the database is: a connection URL of which we take what is safe.

use std::path::PathBuf;

use strongroom_base::limits;
use strongroom_secret::SecretText;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls;

/// How to reach a database. It has no `Debug`: a password is in it.
pub struct Settings {
    pub(crate) config: Config,
    /// `None` where the connection does not leave this machine, or may be read.
    pub(crate) tls: Option<MakeRustlsConnect>,
}

/// Why a URL is no [`Settings`]. No text repeats the URL.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not a URL that PostgreSQL's clients understand.
    #[error(
        "is no connection URL: it looks like postgres://user@host/database?sslmode=verify-full&sslrootcert=FILE"
    )]
    Url,
    /// A password where logs, histories and process lists keep it.
    #[error("has a password in it: take it out, change it, and give it in a file (--storage-password-file)")]
    Password,
    /// Encryption perhaps, or no mode.
    #[error("has `sslmode={0}`: it is verify-full, verify-ca, require or disable")]
    Mode(String),
    /// Nothing to verify the server's certificate with.
    #[error(
        "has no `sslrootcert=FILE`: a database on the network is verified with the certificate of its authority"
    )]
    NoRoot,
    /// The file of the authority's certificate.
    #[error("names `{}` as sslrootcert, which is no certificate in PEM form", .0.display())]
    Root(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The cryptographic provider.
    #[error("cannot be used: TLS is not available")]
    Tls(#[from] rustls::Error),
}

impl Settings {
    /// Reads `url`, as libpq does, and the file of its `sslrootcert`. But without `sslmode`, a Unix socket is used in clear
    /// and anything else as with `verify-full`; and the modes that may end up in clear are refused.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn new(url: &str, password: Option<&SecretText>) -> Result<Self, SettingsError> {
        let (url, options) = take_options(url);
        let mut config: Config = url.parse().map_err(|_| SettingsError::Url)?;
        if config.get_password().is_some() {
            return Err(SettingsError::Password);
        }
        if let Some(password) = password {
            config.password(password.expose());
        }
        let is_local = |host: &Host| matches!(host, Host::Unix(_));
        let is_local = !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_local);
        let root = || options.root.as_deref().ok_or(SettingsError::NoRoot);
        let tls = match options.mode.as_deref() {
            Some("disable") => None,
            None if is_local => None,
            None | Some("verify-full") => Some(tls::verify_full(root()?)?),
            Some("verify-ca") => Some(tls::verify_ca(root()?)?),
            // libpq: "if a root CA file exists, the behavior will be the same as that of verify-ca"
            Some("require") if options.root.is_some() => Some(tls::verify_ca(root()?)?),
            Some("require") => Some(tls::require()?),
            Some(other) => return Err(SettingsError::Mode(other.to_owned())),
        };
        config
            .ssl_mode(if tls.is_some() {
                SslMode::Require
            } else {
                SslMode::Disable
            })
            .application_name("strongroom")
            .connect_timeout(limits::DATABASE_TIMEOUT.into())
            .tcp_user_timeout(limits::DATABASE_TIMEOUT.into())
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self { config, tls })
    }
}

/// The options of a URL that our client library does not know in full.
#[derive(Default)]
struct TlsOptions {
    mode: Option<String>,
    root: Option<PathBuf>,
}

/// Takes `sslmode` and `sslrootcert` out of the query of `url`.
fn take_options(url: &str) -> (String, TlsOptions) {
    let mut options = TlsOptions::default();
    let Some((base, query)) = url.split_once('?') else {
        return (url.to_owned(), options);
    };
    let mut others = Vec::new();
    for option in query.split('&') {
        match option.split_once('=') {
            Some(("sslmode", mode)) => options.mode = Some(mode.to_owned()),
            Some(("sslrootcert", path)) => options.root = Some(path.into()),
            _ => others.push(option),
        }
    }
    (format!("{base}?{}", others.join("&")), options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match Settings::new(url, None) {
            Ok(_) => panic!("{url} is taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_what_is_safe_is_taken() {
        for url in [
            "postgres://a@%2Frun%2Fpostgresql/db",
            "postgresql://a@/db?host=/run/postgresql",
            "postgres://a@127.0.0.1:5433/db?sslmode=disable",
        ] {
            assert!(
                Settings::new(url, None).is_ok_and(|settings| settings.tls.is_none()),
                "{url}"
            );
        }
        for url in ["", "redb", "http://a/b", "postgres://a@h/db?no_such_option=1"] {
            assert!(
                refusal(url).starts_with("is no connection URL") || url.is_empty(),
                "{url}"
            );
        }
        for mode in ["allow", "prefer", "verify_full"] {
            assert!(refusal(&format!("postgres://a@h/db?sslmode={mode}")).contains(mode));
        }
        for mode in ["verify-full", "verify-ca"] {
            assert!(refusal(&format!("postgres://a@h/db?sslmode={mode}")).contains("sslrootcert"));
        }
        assert!(refusal("postgres://a@h/db").contains("sslrootcert"));
        assert!(refusal("postgres://a@h/db?sslrootcert=/nowhere").contains("/nowhere"));
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for url in [
            "postgres://a:hunter2@h/db",
            "postgres://a@h/db?password=hunter2&sslmode=disable",
        ] {
            let refusal = refusal(url);
            assert!(
                refusal.contains("--storage-password-file") && !refusal.contains("hunter2"),
                "{refusal}"
            );
        }
    }
}
