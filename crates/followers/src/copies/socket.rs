//! A copy at a receiver, over TCP or TLS. The receiver says which leaves are safe with it: a line with the number of the
//! last one. One that cannot say so may be told some leaves twice, and miss what it had not read when it went away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use strongroom_base::limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::config::HostPort;

/// For a connection to be made, and for lines to be taken and acknowledged.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest acknowledgement: twenty digits, and an end of line.
const ACKNOWLEDGEMENT_BYTES: usize = 22;

/// Why a receiver does not take lines.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketFault {
    /// Not a certificate authority's file.
    #[error("cannot read certificates from `{}`", .0.display())]
    Ca(PathBuf, #[source] rustls_pki_types::pem::Error),
    /// The certificates cannot be used.
    #[error("the certificates cannot be used")]
    Tls(#[from] rustls::Error),
    /// The connection broke, or was not made.
    #[error("the connection to the receiver failed")]
    Connection(#[from] io::Error),
    /// Nothing happened for too long.
    #[error("the receiver did not {0} within {TIMEOUT:?}")]
    Slow(&'static str),
    /// It says something else than a number, or one of a leaf that it was not sent.
    #[error("the receiver sent something else than the numbers of leaves that it was sent")]
    Acknowledgement,
}

/// How a receiver is reached.
pub(crate) struct Connector {
    place: HostPort,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    acknowledges: bool,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A receiver that is connected.
pub(crate) struct Receiver {
    stream: Box<dyn Stream>,
    /// `None` if it does not acknowledge.
    acknowledged: Option<Acknowledgements>,
}

impl Connector {
    /// Over TCP.
    pub(crate) fn plain(place: &HostPort, acknowledges: bool) -> Self {
        Self {
            place: place.clone(),
            tls: None,
            acknowledges,
        }
    }

    /// Over TLS, where the certificate must be of an authority in the file `ca`, else of one that the system trusts.
    pub(crate) fn tls(place: &HostPort, acknowledges: bool, ca: Option<&Path>) -> Result<Self, SocketFault> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?;
        let config = match ca {
            Some(path) => builder.with_root_certificates(read_roots(path)?),
            None => builder.with_platform_verifier()?,
        };
        let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
        Ok(Self {
            tls: Some((connector, place.server_name.clone())),
            ..Self::plain(place, acknowledges)
        })
    }

    /// Leaves to go back when the connection is new: those that a receiver without acknowledgements may have missed.
    pub(crate) fn repeats(&self) -> u64 {
        if self.acknowledges {
            0
        } else {
            limits::LEAF_PAGE as u64
        }
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Receiver, SocketFault> {
        let connecting = async {
            let tcp = TcpStream::connect(&self.place.address).await?;
            let stream: Box<dyn Stream> = match &self.tls {
                Some((connector, name)) => Box::new(connector.connect(name.clone(), tcp).await?),
                None => Box::new(tcp),
            };
            Ok(stream)
        };
        let connected: io::Result<_> = timeout(TIMEOUT, connecting)
            .await
            .map_err(|_| SocketFault::Slow("answer"))?;
        Ok(Receiver {
            stream: connected?,
            acknowledged: self.acknowledges.then(Acknowledgements::default),
        })
    }
}

fn read_roots(path: &Path) -> Result<RootCertStore, SocketFault> {
    let failed = |error| SocketFault::Ca(path.to_owned(), error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
        roots.add(certificate.map_err(failed)?)?;
    }
    if roots.is_empty() {
        return Err(failed(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(roots)
}

impl Receiver {
    /// Sends `lines`, and waits until it has acknowledged leaf `last`, the last of them.
    pub(crate) async fn put(&mut self, lines: &[u8], last: u64) -> Result<(), SocketFault> {
        let sending = async {
            self.stream.write_all(lines).await?;
            self.stream.flush().await
        };
        timeout(TIMEOUT, sending)
            .await
            .map_err(|_| SocketFault::Slow("take lines"))??;
        let Some(acknowledged) = &mut self.acknowledged else {
            return Ok(());
        };
        while acknowledged.newest.is_none_or(|newest| newest < last) {
            let mut chunk = [0; 1024];
            let read = timeout(TIMEOUT, self.stream.read(&mut chunk)).await;
            let read = read.map_err(|_| SocketFault::Slow("acknowledge lines"))??;
            let bytes = chunk.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Err(hung_up());
            }
            acknowledged
                .read(bytes, last)
                .ok_or(SocketFault::Acknowledgement)?;
        }
        Ok(())
    }

    /// Waits until it hangs up, or says what it was not asked for.
    pub(crate) async fn gone(&mut self) -> SocketFault {
        loop {
            match self.stream.read(&mut [0; 1024]).await {
                Ok(0) => return hung_up(),
                Ok(_) if self.acknowledged.is_some() => return SocketFault::Acknowledgement,
                Ok(_) => {}
                Err(error) => return error.into(),
            }
        }
    }
}

fn hung_up() -> SocketFault {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}

/// What a receiver has acknowledged.
#[derive(Default)]
struct Acknowledgements {
    newest: Option<u64>,
    /// The beginning of a line.
    rest: Vec<u8>,
}

impl Acknowledgements {
    /// Takes in `bytes`; `None` when they are no lines with numbers up to `last`.
    fn read(&mut self, bytes: &[u8], last: u64) -> Option<()> {
        for byte in bytes {
            if *byte != b'\n' {
                self.rest.push(*byte);
                (self.rest.len() < ACKNOWLEDGEMENT_BYTES).then_some(())?;
                continue;
            }
            let line = std::mem::take(&mut self.rest);
            let number = std::str::from_utf8(&line)
                .ok()?
                .trim_end_matches('\r')
                .parse()
                .ok()?;
            (number <= last).then_some(())?;
            self.newest = self.newest.max(Some(number));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn acknowledgements_are_numbers_of_what_was_sent() {
        let read = |chunks: &[&str]| {
            let mut acknowledged = Acknowledgements::default();
            for chunk in chunks {
                acknowledged.read(chunk.as_bytes(), 255)?;
            }
            Some(acknowledged.newest)
        };
        assert_eq!(read(&["1", "2\n3"]), Some(Some(12)));
        assert_eq!(read(&["255\r\n7\n"]), Some(Some(255)));
        assert_eq!(read(&[]), Some(None));
        for bad in ["256\n", "-1\n", "\n", "ok\n", "\u{fc}\n", &"1".repeat(22)] {
            assert_eq!(read(&[bad]), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_panic(bytes: Vec<u8>, last: u64) {
            let mut acknowledged = Acknowledgements::default();
            let _ = acknowledged.read(&bytes, last);
            prop_assert!(acknowledged.newest.is_none_or(|newest| newest <= last));
        }
    }
}
