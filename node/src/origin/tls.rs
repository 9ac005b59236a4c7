//! Which certificates of an origin are believed.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use super::PoolError;

/// A connector that believes the system's certificate authorities, or those of `ca_file` only. There is no way to
/// connect without checking.
///
/// # Errors
/// The file cannot be read, or there is not one usable certificate.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, PoolError> {
    let roots = match ca_file {
        Some(path) => from_file(path)?,
        None => from_system()?,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| PoolError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn from_file(path: &Path) -> Result<RootCertStore, PoolError> {
    let unusable = |why: String| PoolError::CaFile { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(certificates);
    if ignored > 0 {
        tracing::warn!(file = %path.display(), ignored, "some certificates cannot be used as authorities");
    }
    if roots.is_empty() {
        return Err(unusable("it holds no usable certificate".to_owned()));
    }
    Ok(roots)
}

fn from_system() -> Result<RootCertStore, PoolError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(PoolError::SystemCertificates(why));
    }
    Ok(roots)
}
