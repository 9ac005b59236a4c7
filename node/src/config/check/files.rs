//! Checks of the files that the configuration refers to: certificates, keys, CA files, the token.

use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use xxhash_rust::xxh3::xxh3_64;

use super::Check;
use crate::clock::Clock;
use crate::config::{Node, file, value};
use crate::{limits, listener};

impl Check<'_> {
    pub(super) fn certificates(
        &mut self,
        written: &[file::Certificate],
        listeners: &[listener::Config],
    ) -> Vec<listener::Certificate> {
        let tls = listeners.iter().position(|listener| listener.tls);
        if let Some(index) = tls.filter(|_| written.is_empty()) {
            let fix = "[[certificate]] with cert = \"cert.pem\" and key = \"key.pem\"";
            self.wrong("certificate", format!("is missing: listener[{index}] speaks TLS"), fix);
            // The place is the listener's, because there is nothing else to point at.
            if let Some(last) = self.mistakes.last_mut() {
                last.place = last.place.or(self.places.of(&format!("listener[{index}].tls")));
            }
        }
        if tls.is_none() && !written.is_empty() && !listeners.is_empty() {
            self.warn("certificate", "has no effect: no listener speaks TLS", "tls = true at a [[listener]]");
        }
        let numbered = written.iter().enumerate();
        numbered.map(|(index, pair)| self.certificate(&format!("certificate[{index}]"), pair)).collect()
    }

    fn certificate(&mut self, path: &str, written: &file::Certificate) -> listener::Certificate {
        let (cert_path, key_path) = (format!("{path}.cert"), format!("{path}.key"));
        let (cert, cert_pem) = self.required_file(&cert_path, written.cert.as_deref(), "cert.pem");
        let (key, key_pem) = self.required_file(&key_path, written.key.as_deref(), "key.pem");
        let chain = cert_pem.and_then(|pem| self.chain(&cert_path, &cert, &pem));
        if let Some(leaf) = chain.as_ref().and_then(|chain| chain.first()) {
            self.leaf(&cert_path, &cert, leaf);
        }
        let private = key_pem.and_then(|pem| match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(private) => Some(private),
            Err(_) => {
                let what = format!("{} holds no private key in PEM form", key.display());
                self.wrong(&key_path, what, "-----BEGIN PRIVATE KEY----- without a passphrase");
                None
            }
        });
        if let (Some(chain), Some(private)) = (chain, private) {
            let pair = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider());
            if let Err(error) = pair {
                let what = format!("{} does not go with {}: {error}", key.display(), cert.display());
                self.wrong(
                    &key_path,
                    what,
                    "the key the certificate was issued for, the leaf first in `cert`",
                );
            }
        }
        listener::Certificate { cert, key }
    }

    /// A certificate that ends soon still serves, so this only warns.
    fn leaf(&mut self, path: &str, file: &Path, leaf: &CertificateDer<'_>) {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(leaf) else { return };
        let alternatives = parsed.subject_alternative_name().ok().flatten();
        for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
            if let GeneralName::DNSName(name) = name {
                self.names.push(name.to_ascii_lowercase());
            }
        }
        let now = i64::try_from(Clock::system().now().seconds()).unwrap_or(i64::MAX);
        let days = parsed.validity().not_after.timestamp().saturating_sub(now).div_euclid(24 * 3600);
        let what = match u64::try_from(days) {
            Err(_) => format!("{} expired {} days ago", file.display(), days.unsigned_abs()),
            Ok(days) if days < limits::CERTIFICATE_DAYS_LEFT => {
                format!("{} expires in {days} days", file.display())
            }
            Ok(_) => return,
        };
        self.warn(path, what, "renew it, replace `cert` and `key`, reload");
    }

    /// Warns of hosts that clients ask for over TLS and that no certificate has.
    pub(super) fn certified(&mut self, node: &Node) {
        if node.certificates.is_empty() || !node.listeners.iter().any(|listener| listener.tls) {
            return;
        }
        for (index, site) in node.sites.iter().enumerate() {
            for host in &site.hosts {
                if certified(&self.names, host) {
                    continue;
                }
                self.warn(
                    &format!("site[{index}].hosts"),
                    format!("{host:?} is in no certificate: over TLS its clients are shown another name's"),
                    "a [[certificate]] with this name, unless the site is only asked for without TLS",
                );
            }
        }
    }

    pub(super) fn ca_file(&mut self, path: &str, written: &str) -> PathBuf {
        let (file, pem) = self.required_file(path, Some(written), "ca.pem");
        if let Some(pem) = pem {
            self.chain(path, &file, &pem);
        }
        file
    }

    fn chain(&mut self, path: &str, file: &Path, pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        if chain.is_none() {
            let what = format!("{} holds no certificate in PEM form", file.display());
            self.wrong(path, what, "-----BEGIN CERTIFICATE----- and so on");
        }
        self.contents.insert(file.to_owned(), xxh3_64(pem));
        chain
    }

    pub(super) fn required_file(
        &mut self,
        path: &str,
        written: Option<&str>,
        example: &str,
    ) -> (PathBuf, Option<Vec<u8>>) {
        let Some(text) = written.filter(|text| !text.is_empty()) else {
            let key = path.rsplit('.').next().unwrap_or(path);
            self.wrong(path, "is missing", format!("{key} = {example:?}"));
            return (PathBuf::new(), None);
        };
        let file = self.base.join(text);
        match read(&file) {
            Ok(bytes) => (file, Some(bytes)),
            Err(error) => {
                let fix = match error.kind() {
                    std::io::ErrorKind::NotFound => "relative paths are relative to this file",
                    std::io::ErrorKind::PermissionDenied => "let the user that runs larder read it",
                    _ => "",
                };
                self.wrong(path, format!("{} cannot be read: {error}", file.display()), fix);
                (file, None)
            }
        }
    }
}

/// Whether one of `names` is `host`. A wildcard in a certificate is one label (RFC 9525 6.3); for a wildcard of a site
/// any name below it will do. An address is never asked for by name.
fn certified(names: &[String], host: &str) -> bool {
    if host == "*" || host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    names.iter().any(|name| match host.strip_prefix('*') {
        Some(below) => name.ends_with(below),
        None => name == host || wildcard.as_ref() == Some(name),
    })
}

/// A whole file, unless it is larger than any of these should be.
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(limits::CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::CONFIG_BYTES_MAX {
        let most = value::show_size(limits::CONFIG_BYTES_MAX);
        return Err(std::io::Error::other(format!("it is larger than {most}")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_in_a_certificate_by_name_or_by_a_wildcard_of_one_label() {
        let names = ["www.example.com".to_owned(), "*.shop.example".to_owned()];
        for (host, expected) in [
            ("www.example.com", true),
            ("example.com", false),
            ("a.shop.example", true),
            ("a.b.shop.example", false),
            ("shop.example", false),
            ("*.shop.example", true),
            ("*.example.com", true),
            ("*.example.org", false),
            ("*", true),
            ("192.0.2.1", true),
            ("[2001:db8::1]", true),
        ] {
            assert_eq!(certified(&names, host), expected, "{host}");
        }
    }
}
