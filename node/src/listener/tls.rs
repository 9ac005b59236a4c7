//! TLS: certificates by SNI from the names inside them, swapped without touching a connection.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;

use super::Certificate;

/// What clients may speak over TLS, best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no PEM of the wanted kind, or a broken one.
    #[error("{} holds no {what}: {why}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the parser said.
        why: String,
    },
    /// The certificate is no X.509.
    #[error("{}: not a certificate: {why}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: String,
    },
    /// The key is unsupported or belongs to another certificate.
    #[error("{} does not fit {}: {why}", key.display(), cert.display())]
    Key {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said.
        why: rustls::Error,
    },
}

/// One certificate as loaded, for `larder check` and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The file it came from.
    pub cert: PathBuf,
    /// Its DNS names, lower-case, wildcards as `*.example.com`.
    pub names: Vec<String>,
    /// When it expires, seconds since 1970.
    pub not_after: i64,
}

/// Certificates ready for use, found by name.
#[derive(Debug, Default)]
pub struct Certificates {
    /// Under its name, a wildcard as `*.example.com`: the certificates with that name, in the order configured.
    by_name: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    default: Option<Arc<CertifiedKey>>,
    loaded: Vec<Loaded>,
}

impl Certificates {
    /// Reads and checks all files; the first certificate is what clients get that ask for no name or an unknown one.
    /// Reads files, so not on a worker.
    ///
    /// # Errors
    /// Every file that cannot be used, with its reason.
    pub fn load(configs: &[Certificate]) -> Result<Self, Vec<TlsError>> {
        let provider = aws_lc_rs::default_provider();
        let mut all = Self::default();
        let mut errors = Vec::new();
        for config in configs {
            if let Err(error) = all.add(config, &provider) {
                errors.push(error);
            }
        }
        if errors.is_empty() { Ok(all) } else { Err(errors) }
    }

    /// What was loaded, in the order configured.
    #[must_use]
    pub fn loaded(&self) -> &[Loaded] {
        &self.loaded
    }

    fn add(&mut self, config: &Certificate, provider: &CryptoProvider) -> Result<(), TlsError> {
        let chain = read_chain(&config.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&config.key)?).map_err(|error| TlsError::Pem {
            path: config.key.clone(),
            what: "private key",
            why: error.to_string(),
        })?;
        let loaded = inspect(&config.cert, &chain[0])?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|why| TlsError::Key {
            cert: config.cert.clone(),
            key: config.key.clone(),
            why,
        })?;
        let certified = Arc::new(certified);
        for name in &loaded.names {
            self.by_name.entry(name.as_str().into()).or_default().push(Arc::clone(&certified));
        }
        self.default.get_or_insert(certified);
        self.loaded.push(loaded);
        Ok(())
    }

    /// The certificates for `name`: exact, then by wildcard for its first label (RFC 9525 6.3).
    fn find(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let lower;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            &lower
        } else {
            name
        };
        let exact = self.by_name.get(name);
        let found = exact.or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(format!("*.{parent}").as_str())
        });
        found.map(Vec::as_slice)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |why: String| TlsError::Pem { path: path.to_owned(), what: "certificate", why };
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| pem(error.to_string()))?;
    if chain.is_empty() { Err(pem("no such section in the file".to_owned())) } else { Ok(chain) }
}

fn inspect(path: &Path, leaf: &CertificateDer<'_>) -> Result<Loaded, TlsError> {
    let broken = |why: String| TlsError::Parse { path: path.to_owned(), why };
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|error| broken(error.to_string()))?;
    let alternatives = parsed.subject_alternative_name().map_err(|error| broken(error.to_string()))?;
    let mut names = Vec::new();
    for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
        if let GeneralName::DNSName(name) = name {
            names.push(name.to_ascii_lowercase());
        }
    }
    Ok(Loaded { cert: path.to_owned(), names, not_after: parsed.validity().not_after.timestamp() })
}

/// Chooses the certificate for a handshake from what is loaded at that moment.
#[derive(Debug)]
pub(super) struct Resolver(ArcSwap<Certificates>);

impl Resolver {
    pub(super) fn new(certificates: Certificates) -> Self {
        Self(ArcSwap::from_pointee(certificates))
    }

    pub(super) fn swap(&self, certificates: Certificates) {
        self.0.store(Arc::new(certificates));
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let named = hello.server_name().and_then(|name| certificates.find(name));
        let able = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        named.and_then(|keys| keys.iter().find(able)).or(certificates.default.as_ref()).cloned()
    }
}

/// One configuration for the process: tickets stay valid when certificates are swapped.
pub(super) fn server_config(resolver: Arc<Resolver>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports what rustls thinks safe")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    match aws_lc_rs::Ticketer::new() {
        Ok(ticketer) => config.ticketer = ticketer,
        Err(error) => tracing::warn!(%error, "no TLS tickets: every handshake is a full one"),
    }
    Arc::new(config)
}
