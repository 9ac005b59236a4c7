//! The text a response is kept under, made from the request: `http://host:port/path?query`.
//!
//! A target is brought into one normal form (RFC 3986 6.2.2), and that form is both the key and what the origin is
//! sent. So two targets that share an entry were the same request to the origin, and no entry can hold the answer to
//! another one's target. The normal form of a normal form is itself.

use larder_store::KeyRef;

use crate::target;
pub use crate::target::{BadTarget, target};

/// Appends `http://host:port/path?query`: the host in lower case, the port always written.
///
/// `scheme`, `host` and `port` are those of the client's request, host and port as [`authority`] splits them, and
/// `target` is in normal form.
pub fn url(scheme: &str, host: &str, port: u16, target: &str, out: &mut String) {
    origin_of(scheme, host, port, target.len(), out);
    out.push_str(target);
}

/// Appends `http://host:port`, with room for a target of `room` bytes behind it: one allocation for the whole key.
pub fn origin_of(scheme: &str, host: &str, port: u16, room: usize, out: &mut String) {
    out.reserve(scheme.len() + host.len() + room + "://:65535".len());
    out.push_str(scheme);
    out.push_str("://");
    let start = out.len();
    out.push_str(host);
    if let Some(host) = out.get_mut(start..) {
        host.make_ascii_lowercase();
    }
    out.push(':');
    out.push_str(itoa::Buffer::new().format(port));
}

/// The key under which it is remembered that answers of a URL are made by the cookies of their requests.
#[must_use]
pub fn strays_matter(url: &str) -> u128 {
    KeyRef::new(url, "+").hash()
}

/// Splits the value of `Host` or `:authority` into host and port, if there is one; brackets stay with an IPv6 host.
///
/// Stricter than RFC 3986 3.2.2: letters, digits, `.`, `-`, `_` and bracketed addresses only, so that no host can
/// look like a host with a port or a path in a key.
///
/// # Errors
/// Any other character, an empty host, more than 255 bytes, a port that is not 1 to 65535: 400.
pub fn authority(text: &str) -> Result<(&str, Option<u16>), BadTarget> {
    const BAD: BadTarget = BadTarget("not a host");
    let host_end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']').ok_or(BAD)? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    let known = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    if !known || host.is_empty() || host.len() > 255 {
        return Err(BAD);
    }
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        None => Err(BAD),
        // RFC 3986 3.2.3: an empty port is the default one.
        Some("") => Ok((host, None)),
        Some(digits) => {
            let number = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
            Ok((host, Some(number.filter(|port| *port > 0).ok_or(BadTarget("not a port"))?)))
        }
    }
}

/// The URL of a key from one in the form of [`larder_store::purge::normalise`], as somebody wrote it: the target in
/// normal form, the host without a final dot.
///
/// # Errors
/// No request with this URL is let in.
pub fn of_url(url: &str) -> Result<String, BadTarget> {
    let (mut key, written) = split(url)?;
    target(written, &mut key)?;
    Ok(key)
}

/// The same for the beginning of a URL: what the keys that are meant begin with.
///
/// # Errors
/// As [`of_url`] and [`target::beginnings`].
pub fn of_prefix(prefix: &str) -> Result<Vec<String>, BadTarget> {
    let (origin, written) = split(prefix)?;
    Ok(target::beginnings(written)?.iter().map(|beginning| format!("{origin}{beginning}")).collect())
}

/// The same for a host, with or without a port.
///
/// # Errors
/// No request to this host is let in.
pub fn of_host(text: &str) -> Result<String, BadTarget> {
    let (host, port) = authority(text)?;
    let host = without_dot(host)?.to_ascii_lowercase();
    Ok(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
}

/// `http://host:port` of an absolute URL with a port, and the rest of it.
fn split(url: &str) -> Result<(String, &str), BadTarget> {
    const BAD: BadTarget = BadTarget("not a whole URL");
    let (scheme, rest) = url.split_once("://").ok_or(BAD)?;
    let (named, written) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = authority(named)?;
    let mut origin = String::new();
    origin_of(scheme, without_dot(host)?, port.ok_or(BAD)?, written.len(), &mut origin);
    Ok((origin, written))
}

fn without_dot(host: &str) -> Result<&str, BadTarget> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() { Err(BadTarget("not a host")) } else { Ok(host) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_has_a_lower_case_host_and_always_a_port() {
        let mut out = String::new();
        url("https", "WWW.Example.com", 443, "/A?B", &mut out);
        assert_eq!(out, "https://www.example.com:443/A?B");
    }

    #[test]
    fn authorities() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("example.com.", "example.com.", None),
            ("a_b-c:65535", "a_b-c", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:80", "[2001:db8::1]", Some(80)),
            ("example.com:00080", "example.com", Some(80)),
        ] {
            assert_eq!(authority(text), Ok((host, port)), "{text}");
        }
        let long = "a".repeat(256);
        for text in [
            "", ":80", "a/b", "a@b", "a b", "a:b", "a:0", "a:65536", "a:-1", "a:+80", "[::1", "[::g]",
            "[::1]x", "[]", "a:80:90", "a%41", "é", "a,b", "a#b", "a?b", "*", &long,
        ] {
            assert!(authority(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_an_operator_writes_becomes_a_key() {
        for (written, key) in [
            ("http://a:80/", Some("http://a:80/")),
            ("http://a.example.:80/caf%c3%a9?%7e", Some("http://a.example:80/caf%C3%A9?~")),
            ("https://a:443/x/../é", Some("https://a:443/%C3%A9")),
            ("http://[::1]:81/%7Eu", Some("http://[::1]:81/~u")),
            ("http://a:80/%zz", None),
            ("http://.:80/", None),
            ("http://bücher:80/", None),
            ("http://a/", None),
            ("/a", None),
        ] {
            assert_eq!(of_url(written).ok().as_deref(), key, "{written}");
        }
        assert_eq!(of_prefix("http://a.:80/%7e").unwrap(), ["http://a:80/~"]);
        assert_eq!(of_prefix("http://a:80/?%7e").unwrap(), ["http://a:80/?~", "http://a:80/?%7e"]);
        assert!(of_prefix("http://a:80/%7").is_err());
        for (written, host) in [
            ("a.example.", Some("a.example")),
            ("A.:81", Some("a:81")),
            ("[::1]", Some("[::1]")),
            (".", None),
        ] {
            assert_eq!(of_host(written).ok().as_deref(), host, "{written}");
        }
    }

    proptest! {
        #[test]
        fn different_requests_have_different_keys(
            one in ("[a-z.]{1,4}", 1u16..3, "/[a-z.~?%/]{0,8}"),
            other in ("[a-z.]{1,4}", 1u16..3, "/[a-z.~?%/]{0,8}"),
        ) {
            let key = |(host, port, text): &(String, u16, String)| {
                let mut out = String::new();
                let mut form = String::new();
                target(text, &mut form).ok()?;
                url("http", host, *port, &form, &mut out);
                Some((out, (host.clone(), *port, form)))
            };
            if let (Some((key_one, one)), Some((key_other, other))) = (key(&one), key(&other)) {
                prop_assert_eq!(key_one == key_other, one == other);
            }
        }

        #[test]
        fn no_authority_panics(text in "\\PC{0,12}|[\\[\\]:a0.]{0,8}") {
            if let Ok((host, _)) = authority(&text) {
                prop_assert!(text.starts_with(host));
            }
        }
    }
}
