//! Finds the site of a host: the exact name, then the longest `*.` above it, then `*`.

use std::collections::HashMap;

/// Bytes of the longest host that DNS knows, and a dot; longer ones match only `*`.
const HOST_BYTES_MAX: usize = 254;

/// Sites by host; immutable, so that a reload swaps it as a whole. A lookup allocates nothing.
#[derive(Debug)]
pub struct Sites<T> {
    sites: Vec<T>,
    exact: HashMap<Box<[u8]>, usize>,
    /// `.example.com` for `*.example.com`.
    below: HashMap<Box<[u8]>, usize>,
    any: Option<usize>,
}

impl<T> Sites<T> {
    /// Sites with their host patterns: `www.example.com`, `*.example.com` or `*`, in any case. Of a pattern that is
    /// there twice the first counts; the configuration refuses it anyway.
    pub fn new<H: AsRef<str>>(sites: impl IntoIterator<Item = (impl IntoIterator<Item = H>, T)>) -> Self {
        let mut all = Self { sites: Vec::new(), exact: HashMap::new(), below: HashMap::new(), any: None };
        for (hosts, site) in sites {
            let index = all.sites.len();
            for host in hosts {
                let host = host.as_ref().to_ascii_lowercase();
                match host.strip_prefix('*') {
                    Some("") => _ = all.any.get_or_insert(index),
                    Some(suffix) => _ = all.below.entry(suffix.as_bytes().into()).or_insert(index),
                    None => _ = all.exact.entry(host.as_bytes().into()).or_insert(index),
                }
            }
            all.sites.push(site);
        }
        all
    }

    /// The site of `host`, which may be in any case, with a port or with the dot of the DNS root.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<&T> {
        self.index(host).and_then(|index| self.sites.get(index))
    }

    /// All sites, in the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.sites.iter()
    }

    fn index(&self, host: &str) -> Option<usize> {
        let host = without_port(host);
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        let mut buffer = [0; HOST_BYTES_MAX];
        let Some(lower) = buffer.get_mut(..host.len()) else { return self.any };
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        if let Some(index) = self.exact.get(&*lower) {
            return Some(*index);
        }
        if !self.below.is_empty() {
            let dots = memchr::memchr_iter(b'.', lower).filter(|at| *at > 0);
            let longest = dots.filter_map(|at| self.below.get(lower.get(at..)?)).next();
            if longest.is_some() {
                return longest.copied();
            }
        }
        self.any
    }
}

/// `www.example.com` of `www.example.com:8080`, `[::1]` of `[::1]:80`.
fn without_port(host: &str) -> &str {
    let after_brackets = host.rfind(']').map_or(0, |at| at + 1);
    match host.get(after_brackets..).and_then(|rest| rest.find(':')) {
        Some(at) => host.get(..after_brackets + at).unwrap_or(host),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites() -> Sites<&'static str> {
        Sites::new([
            (vec!["www.example.com", "example.org"], "www"),
            (vec!["*.example.com"], "below"),
            (vec!["*.img.Example.com", "[::1]"], "images"),
        ])
    }

    #[test]
    fn the_exact_host_wins_then_the_longest_wildcard() {
        for (host, site) in [
            ("www.example.com", Some("www")),
            ("WWW.Example.COM", Some("www")),
            ("www.example.com:8080", Some("www")),
            ("www.example.com.", Some("www")),
            ("www.example.com.:80", Some("www")),
            ("example.org", Some("www")),
            ("api.example.com", Some("below")),
            ("a.b.example.com", Some("below")),
            ("img.example.com", Some("below")),
            ("a.img.example.com", Some("images")),
            ("a.b.img.example.com", Some("images")),
            ("[::1]", Some("images")),
            ("[::1]:443", Some("images")),
            ("example.com", None),
            (".example.com", None),
            ("badexample.com", None),
            ("www.example.com.evil.test", None),
            ("", None),
            (".", None),
            ("*", None),
            ("*.example.com", Some("below")),
        ] {
            assert_eq!(sites().find(host).copied(), site, "{host}");
        }
    }

    #[test]
    fn the_star_takes_what_nobody_else_does() {
        let sites = Sites::new([(vec!["*"], "any"), (vec!["www.example.com"], "www")]);
        let long = "a".repeat(300);
        for (host, site) in [("www.example.com", "www"), ("other.test", "any"), ("", "any"), (&long, "any")] {
            assert_eq!(sites.find(host), Some(&site), "{host}");
        }
        assert_eq!(sites.iter().copied().collect::<Vec<_>>(), ["any", "www"]);
    }

    #[test]
    fn a_host_of_any_length_is_looked_up() {
        let sites = Sites::new([(vec!["*.a"], 1)]);
        for length in [0, 1, 250, 251, 252, 253, 254, 255, 1000] {
            let host = format!("{}.a", "x".repeat(length));
            assert_eq!(sites.find(&host).is_some(), (1..=252).contains(&length), "{length}");
        }
    }
}
