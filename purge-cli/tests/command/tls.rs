//! Nodes behind https.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::good;
use crate::stage::{Fleet, Node};

#[test]
fn https_nodes_are_trusted_by_their_authority_only() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let node = Node::wrapped(&[good()], move |socket| {
        Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket))
    });
    let entry = |extra: &str| {
        let admin = format!("https://localhost:{}", node.address.port());
        format!("[[node]]\nname = \"edge-1\"\nadmin = \"{admin}\"\ntoken_file = \"admin.token\"\n{extra}")
    };
    let fleet = Fleet::written(&entry("ca_file = \"ca.pem\"\n"));
    fleet.write("ca.pem", &cert.pem());
    let said = fleet.run(&["all"]);
    assert_eq!((said.code, said.row("edge-1")[1].as_str()), (0, "purged"), "{said:?}");

    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fleet.write("ca.pem", &other.cert.pem());
    let said = fleet.run(&["all"]);
    assert_eq!((said.code, said.row("edge-1")[1].as_str()), (1, "untrusted"), "{said:?}");
    assert!(said.err.contains("ca_file"), "{}", said.err);
    assert_eq!(node.asked().len(), 1, "no token goes to a node that is not trusted");

    fleet.write("ca.pem", "nonsense");
    assert_eq!(fleet.run(&["all"]).code, 2);
}
