//! Hosts and endpoints as people write them.

use std::net::Ipv6Addr;

use crate::config::value::Unclear;
use crate::origin::Endpoint;

fn unclear<T>(what: String, fix: impl Into<String>) -> Result<T, Unclear> {
    Err(Unclear { what, fix: fix.into() })
}

/// A host pattern of a site in lower case: `www.example.com`, `*.example.com`, `*`, `192.0.2.1` or `[2001:db8::1]`.
pub(super) fn pattern(text: &str) -> Result<String, Unclear> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return unclear(format!("{text:?} is a URL, not a host"), format!("{host:?}"));
    }
    if let Some((host, _)) = text.split_once('/') {
        return unclear(format!("{text:?} has a path; a site is a whole host"), format!("{host:?}"));
    }
    let (host, port) = split_port(text);
    if port.is_some() {
        return unclear(
            format!("{text:?} has a port; a site answers on every listener"),
            format!("{host:?}"),
        );
    }
    let (star, rest) = host.strip_prefix("*.").map_or(("", host), |rest| ("*.", rest));
    if let Some(fully_qualified) = rest.strip_suffix('.').filter(|rest| !rest.is_empty()) {
        return unclear(format!("{text:?} ends with a dot"), format!("\"{star}{fully_qualified}\""));
    }
    name(rest).map(|name| format!("{star}{name}")).map_err(|mut unclear| {
        unclear.what = unclear.what.replace(&format!("{rest:?}"), &format!("{text:?}"));
        unclear
    })
}

/// A name or an address in lower case, an IPv6 address in brackets and in its shortest form.
fn name(text: &str) -> Result<String, Unclear> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match inner.parse::<Ipv6Addr>() {
            Ok(address) => Ok(format!("[{address}]")),
            Err(_) => unclear(format!("{text:?} is not an IPv6 address"), "\"[2001:db8::1]\""),
        };
    }
    if text.contains('*') {
        return unclear(
            format!("{text:?} has a * that is not its whole first label"),
            "\"*.example.com\" or \"*\"",
        );
    }
    if !text.is_ascii() {
        return unclear(
            format!("{text:?} is not ASCII"),
            "write the form for DNS, such as \"xn--bcher-kva.example\"",
        );
    }
    let label = |label: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(known)
    };
    if text.len() > 253 || !text.split('.').all(label) {
        return unclear(format!("{text:?} is not a host name"), "such as \"www.example.com\"");
    }
    Ok(text.to_ascii_lowercase())
}

/// Host and port of an authority; the port only if there is a colon after the brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_brackets = text.rfind(']').map_or(0, |at| at + 1);
    match text[after_brackets..].rfind(':') {
        Some(at) => (&text[..after_brackets + at], Some(&text[after_brackets + at + 1..])),
        None => (text, None),
    }
}

/// An authority as sent in `Host`: a name, with a port if it is not the scheme's.
pub(super) fn authority(text: &str) -> Result<String, Unclear> {
    if let Some((_, rest)) = text.split_once("://") {
        return unclear(
            format!("{text:?} is a URL"),
            format!("{:?}", rest.split('/').next().unwrap_or_default()),
        );
    }
    let (host, port) = split_port(text);
    let host = name(host)?;
    match port.map(str::parse::<u16>) {
        None => Ok(host),
        Some(Ok(port)) if port > 0 => Ok(format!("{host}:{port}")),
        Some(_) => unclear(format!("{text:?} has no valid port"), "a port from 1 to 65535, or none"),
    }
}

/// An endpoint from `http://HOST[:PORT]` or `https://HOST[:PORT]`.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, Unclear> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return unclear(
            format!("{text:?} has no scheme"),
            format!("\"http://{text}\" or \"https://{text}\""),
        );
    };
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return unclear(format!("{text:?} is neither http nor https"), format!("\"http://{rest}\"")),
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    if let Some((_, host)) = authority.rsplit_once('@') {
        let what = format!("{scheme}://...@{host} has a user in it, which cannot be sent on");
        return unclear(what, format!("\"{scheme}://{host}\""));
    }
    if !matches!(tail, "" | "/") {
        let fix = format!("\"{scheme}://{authority}\": paths are sent on as the client asks for them");
        return unclear(format!("{text:?} has a path"), fix);
    }
    let (host, port) = split_port(authority);
    let host = name(host).map_err(|mut unclear| {
        unclear.what = format!("{text:?}: {}", unclear.what);
        unclear
    })?;
    let port = match port.map(str::parse::<u16>) {
        None => {
            if tls {
                443
            } else {
                80
            }
        }
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return unclear(format!("{text:?} has no valid port"), "a port from 1 to 65535, or none"),
    };
    Ok(Endpoint { tls, host: host.trim_matches(['[', ']']).to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_hosts_and_wildcards() {
        for (text, host) in [
            ("www.Example.com", "www.example.com"),
            ("*.example.com", "*.example.com"),
            ("*", "*"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
            ("_dmarc.xn--bcher-kva.example", "_dmarc.xn--bcher-kva.example"),
        ] {
            assert_eq!(pattern(text), Ok(host.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_pattern_not_understood_names_the_one_meant() {
        for (text, fix) in [
            ("http://www.example.com/", "\"www.example.com\""),
            ("www.example.com/shop", "\"www.example.com\""),
            ("www.example.com:8080", "\"www.example.com\""),
            ("www.example.com.", "\"www.example.com\""),
            ("*.example.com.", "\"*.example.com\""),
            ("www.*.com", "\"*.example.com\" or \"*\""),
            ("*example.com", "\"*.example.com\" or \"*\""),
            ("bücher.example", "write the form for DNS, such as \"xn--bcher-kva.example\""),
            ("", "such as \"www.example.com\""),
            ("a..b", "such as \"www.example.com\""),
            ("*.", "such as \"www.example.com\""),
            ("a b", "such as \"www.example.com\""),
            ("[::g]", "\"[2001:db8::1]\""),
        ] {
            assert_eq!(pattern(text).unwrap_err().fix, fix, "{text}");
        }
    }

    #[test]
    fn endpoints_are_urls_without_a_path() {
        for (text, tls, host, port) in [
            ("http://127.0.0.1:9000", false, "127.0.0.1", 9000),
            ("https://Origin.example.com/", true, "origin.example.com", 443),
            ("http://[::1]", false, "::1", 80),
            ("HTTPS://[::1]:8443", true, "::1", 8443),
        ] {
            assert_eq!(endpoint(text), Ok(Endpoint { tls, host: host.into(), port }), "{text}");
        }
        for (text, what) in [
            ("127.0.0.1:9000", "has no scheme"),
            ("ftp://a", "neither http nor https"),
            ("http://a/b", "has a path"),
            ("http://a?b", "has a path"),
            ("http://u:secret@a", "has a user"),
            ("http://", "is not a host name"),
            ("http://a:0", "no valid port"),
            ("http://a:99999", "no valid port"),
            ("http://a:", "no valid port"),
            ("http://a b", "is not a host name"),
            ("http://::1", "is not a host name"),
        ] {
            let found = endpoint(text).unwrap_err().what;
            assert!(found.contains(what), "{text}: {found}");
            assert!(!found.contains("secret"), "{found}");
        }
    }

    #[test]
    fn authorities_keep_their_port() {
        assert_eq!(authority("Shop.example:8080"), Ok("shop.example:8080".into()));
        assert_eq!(authority("[::1]"), Ok("[::1]".into()));
        for text in ["http://shop.example", "shop.example:x", "a/b", "u@a", ""] {
            assert!(authority(text).is_err(), "{text}");
        }
    }
}
