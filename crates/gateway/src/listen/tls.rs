//! TLS: a certificate and its key from PEM files.
//!
//! TLS 1.2 and 1.3 by rustls with *ring*, whatever provider some other part of the process
//! installed. The files are read once: a certificate that was renewed counts after the next start.
//! Clients are known by their tokens, not by certificates.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// What a gateway shows to be reached by `https`; cheap to clone.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Why a certificate or its key cannot be used. Names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file is not there, cannot be read, or has no such thing in it.
    #[error("cannot read the {what} in {path}: {why}")]
    Unreadable {
        /// `certificate` or `private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Both are there, and do not make a server.
    #[error("the certificate {certificate} and the key {key} cannot be used: {why}")]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with them, such as that they do not belong together.
        why: String,
    },
}

impl Tls {
    /// The chain of certificates in one PEM file, the server's own first, and its private key in
    /// another (or the same), in PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// When a file cannot be read, has nothing fitting in it, or they do not belong together.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let unreadable = |what, path: &Path, why: String| TlsError::Unreadable {
            what,
            path: path.to_owned(),
            why,
        };
        let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<_, _>>)
            .map_err(|error| unreadable("certificate", certificate, error.to_string()))?;
        if chain.is_empty() {
            let why = "it has no certificate in PEM".to_owned();
            return Err(unreadable("certificate", certificate, why));
        }
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unreadable("private key", key, error.to_string()))?;
        let unusable = |error: rustls::Error| TlsError::Unusable {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            why: error.to_string(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tls").finish_non_exhaustive()
    }
}
