//! What the operator says of a copy.

use std::path::PathBuf;

use reqwest::Url;
use rustls_pki_types::ServerName;
use serde::Deserialize;

/// The longest name of a copy.
const NAME_BYTES: usize = 64;

/// A copy of the ledger's leaves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Said")]
pub struct CopyConfig {
    /// Its name: that of its cursor's file.
    pub(crate) name: String,
    pub(super) to: Target,
    /// The authorities of the receiver's certificate, instead of the system's.
    pub(super) ca: Option<PathBuf>,
    /// Whether the receiver says which leaves are safe with it.
    pub(super) acknowledge: bool,
}

/// Where a copy goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    File(PathBuf),
    Tcp(HostPort),
    Tls(HostPort),
}

/// Where a receiver listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// `host:port`.
    pub(super) address: String,
    /// The host as its certificate names it.
    pub(super) server_name: ServerName<'static>,
}

/// Why this is no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyConfigError {
    /// It names a file.
    #[error("a copy's name is 1 to {NAME_BYTES} of a-z, 0-9 and -")]
    Name,
    /// Neither a file nor a receiver.
    #[error("a copy goes to an absolute path, tcp://host:port or tls://host:port")]
    Target,
    /// What only a receiver has, of a file; or TLS's, without it.
    #[error("`ca` is for tls:// only, and `acknowledge` for tcp:// and tls://")]
    Superfluous,
}

/// The keys of the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    name: String,
    to: String,
    ca: Option<PathBuf>,
    acknowledge: Option<bool>,
}

impl TryFrom<Said> for CopyConfig {
    type Error = CopyConfigError;

    fn try_from(said: Said) -> Result<Self, CopyConfigError> {
        let Said {
            name,
            to,
            ca,
            acknowledge,
        } = said;
        let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(CopyConfigError::Name);
        }
        let to = target(to).ok_or(CopyConfigError::Target)?;
        let is_superfluous = match to {
            Target::File(_) => ca.is_some() || acknowledge.is_some(),
            Target::Tcp(_) => ca.is_some(),
            Target::Tls(_) => false,
        };
        if is_superfluous {
            return Err(CopyConfigError::Superfluous);
        }
        Ok(Self {
            name,
            to,
            ca,
            acknowledge: acknowledge.unwrap_or(true),
        })
    }
}

fn target(text: String) -> Option<Target> {
    if text.starts_with('/') {
        return Some(Target::File(text.into()));
    }
    let url = Url::parse(&text).ok()?;
    let (host, port) = (url.host_str()?, url.port()?);
    let address = format!("{host}:{port}");
    // Nothing but scheme, host and port.
    let is_bare = text == format!("{}://{address}", url.scheme());
    let server_name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?;
    let place = HostPort { address, server_name };
    match url.scheme() {
        "tcp" if is_bare => Some(Target::Tcp(place)),
        "tls" if is_bare => Some(Target::Tls(place)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        name: &str,
        to: &str,
        ca: Option<&str>,
        acknowledge: Option<bool>,
    ) -> Result<CopyConfig, CopyConfigError> {
        let said = Said {
            name: name.to_owned(),
            to: to.to_owned(),
            ca: ca.map(PathBuf::from),
            acknowledge,
        };
        said.try_into()
    }

    #[test]
    fn files_and_receivers() {
        for good in [
            "/a",
            "tcp://127.0.0.1:1",
            "tcp://[::1]:6514",
            "tls://siem.example.org:6514",
        ] {
            assert!(read("siem-2", good, None, None).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "tcp://host",
            "udp://host:1",
            "tls://u@host:1",
            "tls://host:1/",
            "tls://host:1?q",
        ] {
            assert_eq!(
                read("siem", bad, None, None),
                Err(CopyConfigError::Target),
                "{bad}"
            );
        }
        for bad in ["", "a/b", "A", "..", "a.tmp", &"a".repeat(65)] {
            assert_eq!(read(bad, "/a", None, None), Err(CopyConfigError::Name), "{bad}");
        }
        assert!(read("a", "tls://h:1", Some("/ca"), Some(false)).is_ok());
        for (to, ca, acknowledge) in [
            ("/a", Some("/ca"), None),
            ("/a", None, Some(true)),
            ("tcp://h:1", Some("/ca"), None),
        ] {
            assert_eq!(
                read("a", to, ca, acknowledge),
                Err(CopyConfigError::Superfluous),
                "{to}"
            );
        }
    }
}
