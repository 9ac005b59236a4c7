//! URI references against an absolute URL (RFC 3986 5.2), for `Location` and `Content-Location`.

use crate::target;

/// The absolute URL `reference` means beside `base`, an `http` or `https` URL, without fragment, scheme and host in
/// lower case, port always written, target in normal form: the form of the cache's keys. `None` for other schemes and for what is no URL.
pub(super) fn resolve(base: &str, reference: &str) -> Option<String> {
    let reference = reference.trim_matches([' ', '\t']).split('#').next().unwrap_or_default();
    if reference.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return None;
    }
    let (base_origin, base_target) = split(base)?;
    if has_scheme(reference) {
        let (origin, target) = split(reference)?;
        return join(&origin, target);
    }
    if let Some(network) = reference.strip_prefix("//") {
        let scheme = base_origin.split(':').next().unwrap_or_default();
        let absolute = format!("{scheme}://{network}");
        let (origin, target) = split(&absolute)?;
        return join(&origin, target);
    }
    let (base_path, _) = path_and_query(base_target);
    let (path, query) = path_and_query(reference);
    let target = match path {
        "" => match query {
            None => base_target.to_owned(),
            Some(query) => format!("{base_path}?{query}"),
        },
        path => {
            let folder =
                if path.starts_with('/') { "" } else { &base_path[..=base_path.rfind('/').unwrap_or(0)] };
            let full = format!("{folder}{path}");
            query.map_or_else(|| full.clone(), |query| format!("{full}?{query}"))
        }
    };
    join(&base_origin, &target)
}

/// Whether two absolute URLs have the same scheme, host and port (RFC 9110 4.3.1).
pub(super) fn same_origin(one: &str, other: &str) -> bool {
    matches!((split(one), split(other)), (Some((one, _)), Some((other, _))) if one == other)
}

/// Origin (`http://host:port`) and the rest (`/path?query`) of an absolute URL.
fn split(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "http" => "80",
        "https" => "443",
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    // User information has no place in a cache's URL.
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let host_end = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (host, port) = match host_end {
        Some(at) if at + 1 == authority.len() => (&authority[..at], port),
        Some(at) => (&authority[..at], &authority[at + 1..]),
        None => (authority.as_str(), port),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let port: u16 = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    (!host.is_empty()).then(|| (format!("{scheme}://{host}:{port}"), target))
}

fn join(origin: &str, written: &str) -> Option<String> {
    let mut url = origin.to_owned();
    target::target(written, &mut url).ok().map(|()| url)
}

fn path_and_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// A scheme at the start (RFC 3986 3.1): letters before a colon before any slash.
fn has_scheme(reference: &str) -> bool {
    let Some(end) = reference.find([':', '/', '?']) else { return false };
    let name = &reference[..end];
    reference[end..].starts_with(':')
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_3986_5_4() {
        let base = "http://a/b/c/d;p?q";
        for (reference, expected) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            (";x", "/b/c/;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("./g/.", "/b/c/g/"),
            ("g/../h", "/b/c/h"),
            ("g;x=1/../y", "/b/c/y"),
            ("g?y/./x", "/b/c/g?y/./x"),
            ("g:h/..", ""),
        ] {
            let expected = (!expected.is_empty()).then(|| format!("http://a:80{expected}"));
            assert_eq!(resolve(base, reference), expected, "{reference}");
        }
    }

    #[test]
    fn origins() {
        for (reference, expected) in [
            ("//G", Some("http://g:80/")),
            ("HTTP://Host:8080/x", Some("http://host:8080/x")),
            ("https://h", Some("https://h:443/")),
            ("http://[::1]/x", Some("http://[::1]:80/x")),
            ("http://[::1]:8/x", Some("http://[::1]:8/x")),
            ("http://h:/x", Some("http://h:80/x")),
            ("http://h?q", Some("http://h:80/?q")),
            ("mailto:a@b", None),
            ("http://user@h/", None),
            ("http://h.:080/x", Some("http://h:80/x")),
            ("http://h./caf%c3%a9", Some("http://h:80/caf%C3%A9")),
            ("/%7euser/é?%7e=%c3", Some("http://a:80/~user/%C3%A9?~=%C3")),
            ("/x/%2e%2e/y", Some("http://a:80/y")),
            ("/%zz", None),
            ("http://h:x/", None),
            ("http://h:65536/", None),
            ("http://./", None),
            ("http:///x", None),
            ("/a b", None),
        ] {
            assert_eq!(resolve("http://a/", reference).as_deref(), expected, "{reference}");
        }
        assert!(same_origin("http://a/", "HTTP://A:80/x"));
        assert!(!same_origin("http://a/", "https://a/"));
        assert!(!same_origin("http://a/", "http://a:81/"));
        assert_eq!(resolve("a", "/x"), None);
    }
}
