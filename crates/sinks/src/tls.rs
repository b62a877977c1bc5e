//! What adapters that speak TLS have in common: rustls with *ring*, never a provider that some
//! other part of the process installed, and roots from the list of Mozilla or from a file.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The settings of a client that trusts the roots of Mozilla, or, with a file, only the
/// certificates in it.
///
/// # Errors
/// When the file cannot be read or has no certificate in it; the message names the file.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let refuse = |why: String| format!("cannot use the CA file {}: {why}", path.display());
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| refuse(error.to_string()))?;
            if certificates.is_empty() {
                return Err(refuse("it has no certificate in PEM".to_owned()));
            }
            for certificate in certificates {
                roots
                    .add(certificate)
                    .map_err(|error| refuse(error.to_string()))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Whether the certificate of the other side can never be trusted as things are. One that is not
/// valid at this moment may be replaced at any time.
pub(crate) fn distrusts(error: &(dyn Error + 'static)) -> bool {
    use rustls::CertificateError as Why;
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(rustls::Error::InvalidCertificate(why)) = inner.downcast_ref() {
            return !matches!(
                why,
                Why::Expired
                    | Why::ExpiredContext { .. }
                    | Why::NotValidYet
                    | Why::NotValidYetContext { .. }
            );
        }
        // The source of an I/O error is that of what it wraps, so that this is asked for.
        let wrapped = inner.downcast_ref::<std::io::Error>();
        cause = match wrapped.and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => inner.source(),
        };
    }
    false
}
