//! TLS to the database: what each `sslmode` of libpq asks of the server's certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::settings::SettingsError;

/// `sslmode=verify-full`: a certificate of the authority in the file `root`, for the host that was asked for.
pub(crate) fn verify_full(root: &Path) -> Result<MakeRustlsConnect, SettingsError> {
    let config = config()?
        .with_root_certificates(roots(root)?)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// `sslmode=verify-ca`: a certificate of that authority, for any host.
pub(crate) fn verify_ca(root: &Path) -> Result<MakeRustlsConnect, SettingsError> {
    let flawed = |error| SettingsError::Root(root.to_owned(), Box::new(error));
    let inner = WebPkiServerVerifier::builder_with_provider(roots(root)?.into(), provider())
        .build()
        .map_err(flawed)?;
    lenient(Some(inner))
}

/// `sslmode=require`: encrypted, whoever it is.
pub(crate) fn require() -> Result<MakeRustlsConnect, SettingsError> {
    lenient(None)
}

fn lenient(authority: Option<Arc<WebPkiServerVerifier>>) -> Result<MakeRustlsConnect, SettingsError> {
    let provider = provider();
    let config = config()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Lenient { authority, provider }))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn config() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, SettingsError> {
    Ok(ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?)
}

/// The certificates in the file at `path`.
fn roots(path: &Path) -> Result<RootCertStore, SettingsError> {
    let flawed =
        |error: Box<dyn std::error::Error + Send + Sync>| SettingsError::Root(path.to_owned(), error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| flawed(error.into()))? {
        let certificate = certificate.map_err(|error| flawed(error.into()))?;
        roots.add(certificate).map_err(|error| flawed(error.into()))?;
    }
    if roots.is_empty() {
        return Err(flawed(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
    }
    Ok(roots)
}

/// Whoever has the certificate's key, if `authority` knows it; for any host.
#[derive(Debug)]
struct Lenient {
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        // The host is looked at last, when everything else is found to be right.
        match authority.verify_server_cert(certificate, intermediates, host, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
