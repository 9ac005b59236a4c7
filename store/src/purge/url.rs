//! The form of URLs in keys and selectors: `scheme://host:port/path?query`, scheme and host in lower case, the port
//! always written, no fragment (RFC 3986 sections 3.2.2 and 6.2.3).

/// Why a text is no URL we could hold an entry under.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No `http://` or `https://` in front.
    #[error("not an absolute http or https URL: {0:?}")]
    Relative(String),
    /// The host is missing or holds characters no host has.
    #[error("not a host: {0:?}")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("not a port: {0:?}")]
    Port(String),
    /// White space or control characters.
    #[error("white space or control characters in {0:?}")]
    Text(String),
}

/// Brings a URL, or the beginning of one, into the form of the keys. Path and query are kept as they are, except that a
/// missing path becomes `/` and a fragment is cut off.
///
/// # Errors
/// When scheme, host or port cannot be understood.
pub fn normalise(text: &str) -> Result<String, UrlError> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(UrlError::Text(text.to_owned()));
    }
    let relative = || UrlError::Relative(text.to_owned());
    let (scheme, rest) = text.split_once("://").ok_or_else(relative)?;
    let (scheme, default_port) = if scheme.eq_ignore_ascii_case("http") {
        ("http", 80)
    } else if scheme.eq_ignore_ascii_case("https") {
        ("https", 443)
    } else {
        return Err(relative());
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (name, port) = split(authority)?;
    let port = port.unwrap_or(default_port);
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(format!("{scheme}://{name}:{port}{slash}{path}"))
}

/// Brings `host` or `host:port` into lower case.
///
/// # Errors
/// When it is not a host.
pub fn host(text: &str) -> Result<String, UrlError> {
    let (name, port) = split(text)?;
    Ok(port.map_or_else(|| name.clone(), |port| format!("{name}:{port}")))
}

fn split(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    let bad = || UrlError::Host(authority.to_owned());
    let after_name = if authority.starts_with('[') {
        authority.find(']').ok_or_else(bad)? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (name, port) = authority.split_at(after_name);
    let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let fits = match inner {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.'),
        None => {
            !name.is_empty()
                && !name.bytes().any(|b| b.is_ascii_control() || b" /?#@[]<>\\^`{|}%\"".contains(&b))
        }
    };
    if !fits {
        return Err(bad());
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return Err(bad()),
        Some("") => None,
        Some(digits) => match digits.parse::<u16>() {
            Ok(number) if number > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Some(number),
            _ => return Err(UrlError::Port(digits.to_owned())),
        },
    };
    Ok((name.to_ascii_lowercase(), port))
}

/// The `host:port` of a key's URL.
pub(crate) fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    Some(&rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())])
}

/// The host of `host:port`.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_get_one_form() {
        let rows = [
            ("http://a", Some("http://a:80/")),
            ("http://a?q", Some("http://a:80/?q")),
            ("HTTPS://A.B:8443/C#d", Some("https://a.b:8443/C")),
            ("http://a:/x", Some("http://a:80/x")),
            ("http://[2001:DB8::1]/", Some("http://[2001:db8::1]:80/")),
            ("http://[::1]:81/", Some("http://[::1]:81/")),
            ("http://[::1/", None),
            ("http://[::1]x/", None),
            ("http://user@a/", None),
            ("http://a:0/", None),
            ("http://a:70000/", None),
            ("http://a:+1/", None),
            ("http:///x", None),
            ("ftp://a/", None),
            ("/x", None),
            ("http://a/ b", None),
        ];
        for (text, wanted) in rows {
            assert_eq!(normalise(text).ok().as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_normal_url_stays_as_it_is() {
        let url = "http://a:80/x?y=%20";
        assert_eq!(normalise(url).unwrap(), url);
    }

    #[test]
    fn hosts_come_out_of_keys() {
        let rows = [
            ("http://a:80/x", Some(("a:80", "a"))),
            ("http://[::1]:81/", Some(("[::1]:81", "[::1]"))),
            ("nonsense", None),
        ];
        for (url, wanted) in rows {
            assert_eq!(authority(url).map(|a| (a, without_port(a))), wanted, "{url}");
        }
    }
}
