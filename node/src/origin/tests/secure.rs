//! Origins that speak TLS.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A certificate authority of our own and the file that names it.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::io::Write::write_all(&mut file, issuer.pem().as_bytes()).expect("written");
        Self { issuer, file }
    }

    pub(super) fn file(&self) -> &Path {
        self.file.path()
    }

    /// TLS for a server of this name.
    pub(super) fn serves(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    pub(super) fn trusts(&self, origin: &Origin, server_name: Option<&str>) -> Config {
        let mut config = config(&[origin.address]);
        config.endpoints[0].tls = true;
        config.ca_file = Some(self.file().to_owned());
        config.server_name = server_name.map(str::to_owned);
        config
    }
}

#[tokio::test]
async fn a_certificate_is_checked_against_authority_and_name() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let rows = [
        ("the address", &ours, "127.0.0.1", None, true),
        ("the name asked for", &ours, "origin.example", Some("origin.example"), true),
        ("another name than the address", &ours, "origin.example", None, false),
        ("another name than asked for", &ours, "origin.example", Some("other.example"), false),
        ("another authority", &theirs, "127.0.0.1", None, false),
    ];
    for (what, authority, certified, server_name, good) in rows {
        let origin = Origin::play_tls(vec![polite()], authority.serves(certified)).await;
        let pool = pool_of(ours.trusts(&origin, server_name));
        if good {
            assert_eq!((fetch(&pool).await, fetch(&pool).await), ("ok".into(), "ok".into()), "{what}");
            assert_eq!((origin.accepted(), pool.counters().reuses.get()), (1, 1), "{what}");
            continue;
        }
        let error = get(&pool).await.map(|answer| answer.head).expect_err(what);
        assert_eq!((error.kind, error.side), (Kind::TlsCertificate, Side::Origin), "{what}: {error}");
        until(|| origin.ended() == 1).await;
        assert!(
            origin.requests().iter().all(|heard| heard.starts_with("handshake:")),
            "{what}: nothing was sent"
        );
        assert_eq!(pool.counters().connects.get(), 0, "{what}");
    }
}

#[tokio::test]
async fn an_end_without_farewell_is_a_cut() {
    let authority = Authority::new();
    let by_close = "HTTP/1.1 200 OK\r\n\r\nok";
    for (last, whole) in [(Step::Farewell, true), (Step::Reset, false), (Step::Gate(opened()), false)] {
        let gate = Gate::new();
        let script = vec![Step::Hear, say(by_close), Step::Gate(gate.clone()), last];
        let origin = Origin::play_tls(vec![script], authority.serves("127.0.0.1")).await;
        let pool = pool_of(authority.trusts(&origin, None));
        let answer = get(&pool).await.expect("a head");
        assert!(answer.close_delimited);
        gate.open();
        match read(answer).await {
            Ok(body) => assert!(whole && body == "ok"),
            Err(cut) => assert!(!whole && matches!(cut, Cut::Origin(_)), "{cut}"),
        }
    }
}

/// A step that does nothing: the script ends and the socket closes under TLS.
fn opened() -> Gate {
    let gate = Gate::new();
    gate.open();
    gate
}

#[tokio::test]
async fn a_stale_connection_with_farewell_is_made_up_for() {
    let authority = Authority::new();
    let stale = vec![Step::Hear, say(OK), Step::Hear, Step::Farewell];
    let origin = Origin::play_tls(vec![stale, polite()], authority.serves("127.0.0.1")).await;
    let pool = pool_of(authority.trusts(&origin, None));
    assert_eq!((fetch(&pool).await, fetch(&pool).await), ("ok".into(), "ok".into()));
    assert_eq!(pool.counters().retries.get(), 1);
}

#[tokio::test]
async fn plain_http_where_tls_should_be() {
    let origin = Origin::play(vec![vec![say(OK), Step::Hang]]).await;
    let error = get(&pool_of(Authority::new().trusts(&origin, None))).await.expect_err("no TLS");
    assert_eq!(error.kind, Kind::Tls);
}

#[test]
fn a_file_that_holds_no_authority_is_refused() {
    let endpoint = Endpoint { tls: true, host: "127.0.0.1".to_owned(), port: 443 };
    let empty = tempfile::NamedTempFile::new().expect("a temporary file");
    for path in [empty.path(), Path::new("/no/such/file")] {
        let ca_file = Some(path.to_owned());
        let config = Config { endpoints: vec![endpoint.clone()], ca_file, ..Config::default() };
        let refused = Pool::new(config, Clock::system()).map(|_| ()).expect_err("no authority");
        assert!(refused.to_string().starts_with(&path.display().to_string()), "{refused}");
    }
}

#[test]
fn a_name_no_certificate_can_have_is_refused() {
    let authority = Authority::new();
    let endpoint = Endpoint { tls: true, host: "not a name".to_owned(), port: 443 };
    let ca_file = Some(authority.file().to_owned());
    let config = Config { endpoints: vec![endpoint], ca_file, ..Config::default() };
    let refused = Pool::new(config, Clock::system()).map(|_| ());
    assert!(matches!(refused, Err(PoolError::ServerName(name)) if name == "not a name"));
}
