//! Certificates: chosen by name, swapped while connections live, refused when they do not fit.

use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// Looks at certificates instead of judging them.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Writes a certificate for `names` and its key; gives the certificate's DER as well.
pub(super) fn certificate(directory: &Path, file: &str, names: &[&str]) -> (Certificate, Vec<u8>) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let paths = [directory.join(format!("{file}.pem")), directory.join(format!("{file}.key"))];
    for (path, text) in paths.iter().zip([cert.pem(), signing_key.serialize_pem()]) {
        write(path, text.as_bytes());
    }
    let [cert_path, key_path] = paths;
    (Certificate { cert: cert_path, key: key_path }, cert.der().to_vec())
}

fn write(path: &Path, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path);
    std::io::Write::write_all(&mut file.unwrap(), bytes).unwrap();
}

pub(super) async fn connect(
    address: SocketAddr,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn leaf(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn the_name_chooses_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (first, first_der) = certificate(directory.path(), "first", &["a.example", "www.a.example"]);
    let (second, second_der) = certificate(directory.path(), "second", &["*.b.example", "c.b.example"]);
    let (third, third_der) = certificate(directory.path(), "third", &["B.example", "x.y.b.example"]);
    let certificates = Certificates::load(&[first, second, third]).unwrap();
    assert_eq!(certificates.loaded()[2].names, ["b.example", "x.y.b.example"]);
    let node = node_with(Limits::default(), Some(certificates));
    for (name, expected) in [
        ("a.example", &first_der),
        ("www.a.example", &first_der),
        ("A.EXAMPLE", &first_der),
        ("any.b.example", &second_der),
        ("c.b.example", &second_der),
        ("b.example", &third_der),
        ("x.y.b.example", &third_der),
        // A wildcard is for one label; unknown names and none get the first certificate.
        ("two.labels.b.example", &first_der),
        ("unknown.example", &first_der),
        ("127.0.0.1", &first_der),
    ] {
        let stream = connect(node.address, name, &[]).await.unwrap();
        assert_eq!(&leaf(&stream), expected, "{name}");
    }
}

#[tokio::test]
async fn the_peer_carries_the_name_and_alpn_chooses_the_protocol() {
    let directory = tempfile::tempdir().unwrap();
    let (config, _) = certificate(directory.path(), "a", &["a.example"]);
    let node = node_with(Limits::default(), Some(Certificates::load(&[config]).unwrap()));
    for (name, sni) in [("A.example", "Some(\"a.example\")"), ("127.0.0.1", "None")] {
        let mut stream = connect(node.address, name, &["http/1.1"]).await.unwrap();
        stream.write_all(b"GET /sni HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.ends_with(sni), "{answer}");
    }
    let both = connect(node.address, "a.example", &["http/1.1", "h2"]).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "our order counts");
    assert!(connect(node.address, "a.example", &["h3"]).await.is_err());
    until("counted", || node.shared.counters().handshakes_failed() == 1).await;
}

#[tokio::test]
async fn certificates_are_swapped_under_living_connections() {
    let directory = tempfile::tempdir().unwrap();
    let (old, old_der) = certificate(directory.path(), "old", &["a.example"]);
    let (new, new_der) = certificate(directory.path(), "new", &["a.example"]);
    let node = node_with(Limits::default(), Some(Certificates::load(&[old]).unwrap()));
    let mut before = connect(node.address, "a.example", &[]).await.unwrap();
    assert_eq!(leaf(&before), old_der);
    node.shared.set_certificates(Certificates::load(&[new]).unwrap());
    assert_eq!(leaf(&connect(node.address, "a.example", &[]).await.unwrap()), new_der);
    before.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(statuses(&read_answer(&mut before).await), ["200"]);
}

#[tokio::test]
async fn a_refusal_over_tls_is_read_before_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let (config, _) = certificate(directory.path(), "a", &["a.example"]);
    let node = node_with(Limits::default(), Some(Certificates::load(&[config]).unwrap()));
    let mut stream = connect(node.address, "a.example", &[]).await.unwrap();
    stream
        .write_all(format!("GET / HTTP/1.1\nHost: a\n\n{GET}{}", "x".repeat(200_000)).as_bytes())
        .await
        .unwrap();
    assert_eq!(statuses(&read_to_end(&mut stream).await), ["400"]);
    assert!(node.origin.seen().is_empty());
}

#[test]
fn what_cannot_be_used_is_named_all_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (one, _) = certificate(directory.path(), "one", &["a.example"]);
    let (two, _) = certificate(directory.path(), "two", &["a.example"]);
    let absent = Certificate { cert: directory.path().join("absent"), key: one.key.clone() };
    let swapped = Certificate { cert: one.cert.clone(), key: two.key.clone() };
    let reversed = Certificate { cert: one.key.clone(), key: one.key.clone() };
    let keyless = Certificate { cert: one.cert.clone(), key: one.cert.clone() };
    let garbage = Certificate { cert: directory.path().join("garbage.pem"), key: one.key.clone() };
    write(&garbage.cert, b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");
    let errors = Certificates::load(&[one, absent, swapped, reversed, keyless, garbage]).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let expected =
        ["cannot read", "does not fit", "holds no certificate", "holds no private key", "not a certificate"];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, part) in errors.iter().zip(expected) {
        assert!(error.contains(part), "{error} should say {part}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let (config, _) = certificate(directory.path(), "a", &["a.example"]);
    let node = node_with(Limits::default(), Some(Certificates::load(&[config]).unwrap()));
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    until("accepted", || node.shared.counters().active() == 1).await;
    // From here on the clock jumps: nothing else is going on.
    tokio::time::pause();
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_eq!(node.shared.counters().timeouts(Timeout::Handshake), 1);
    assert_eq!(node.shared.counters().handshakes_failed(), 1);
}
