//! Certificates for a case: one authority, which clients and nodes of the case trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate authority of one case.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// Certificate chain and key, PEM.
pub struct Pair {
    /// The chain, leaf first.
    pub cert: String,
    /// The private key.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a root");
        Self { issuer: Issuer::new(params, key), certificate }
    }
}

impl Authority {
    /// A certificate for `names`.
    ///
    /// # Panics
    /// When a name is not a DNS name or address.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("names");
        let cert = params.signed_by(&key, &self.issuer).expect("a leaf");
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// Writes the root itself, for `ca_file`.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn write_root(&self, folder: &Path) -> PathBuf {
        let path = folder.join("root.pem");
        std::fs::write(&path, self.certificate.pem()).expect("a folder of the case");
        path
    }

    /// What a TLS origin accepts with.
    pub(crate) fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let pair = self.issue(names);
        let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("the PEM just made");
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("the PEM just made");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider's versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a chain and its key");
        TlsAcceptor::from(Arc::new(config))
    }

    /// Shakes hands over `stream` as a client that trusts this authority.
    ///
    /// # Errors
    /// What the handshake says.
    pub async fn connect(
        &self,
        stream: TcpStream,
        sni: &str,
        alpn: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("the root just made");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider's versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(sni.to_owned()).expect("a server name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}
