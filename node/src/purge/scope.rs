//! What a token may purge.

use larder_store::{Purge, Selector};

use super::order::{Invalid, Kind};
use crate::route::Sites;

/// The bounds of a token; the default has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Stands as the author of its purges.
    pub name: String,
    /// Patterns of hosts, as of a site; none is every host.
    pub hosts: Vec<String>,
    /// Kinds of purges; none is every kind.
    pub kinds: Vec<Kind>,
    /// No hard purges.
    pub soft_only: bool,
    /// Purges a second, dry runs included.
    pub rate: Option<u32>,
}

/// What a token is too narrow for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrow {
    /// Something else than a purge.
    Path,
    /// A kind of purges.
    Kind,
    /// A hard purge.
    Hard,
    /// A host, or selectors that reach every host.
    Host,
    /// More purges at this time.
    Rate,
}

impl Narrow {
    /// Every one, for the label set of the metric.
    pub const ALL: [Self; 5] = [Self::Path, Self::Kind, Self::Hard, Self::Host, Self::Rate];

    /// The spelling for log and metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Kind => "kind",
            Self::Hard => "hard",
            Self::Host => "host",
            Self::Rate => "rate",
        }
    }
}

/// Why a token does not do for a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// What is missing.
    pub why: Narrow,
    /// The same in a sentence.
    pub error: String,
}

impl Scope {
    /// Whether all of `purge` lies within.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn allows(&self, purge: &Purge) -> Result<(), Denied> {
        let denied = |why, what: String| {
            Err(Denied { why, error: format!("the token {:?} may not purge {what}", self.name) })
        };
        let kind = Kind::of(purge);
        if !self.kinds.is_empty() && !self.kinds.contains(&kind) {
            let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.as_str()).collect();
            let what = format!("by kind {:?}, only by {}", kind.as_str(), kinds.join(", "));
            return denied(Narrow::Kind, what);
        }
        if self.soft_only && !purge.soft {
            return denied(Narrow::Hard, "hard, only with \"soft\": true".into());
        }
        if self.hosts.is_empty() {
            return Ok(());
        }
        let hosts = Sites::new([(&self.hosts, ())]);
        for selector in &purge.selectors {
            match host_of(selector) {
                Some(host) if hosts.find(host).is_some() => {}
                // A token for every host is one for what reaches every host.
                None if self.hosts.iter().any(|host| host == "*") => {}
                Some(host) => {
                    let what = format!("the host {host:?}, only {}", self.hosts.join(", "));
                    return denied(Narrow::Host, what);
                }
                None => {
                    let what = format!(
                        "by kind {:?}, which reaches every host, only {}",
                        kind.as_str(),
                        self.hosts.join(", ")
                    );
                    return denied(Narrow::Host, what);
                }
            }
        }
        Ok(())
    }
}

/// The host that a selector is bound to, without its port; none if it reaches every host.
fn host_of(selector: &Selector) -> Option<&str> {
    let authority = match selector {
        Selector::Url(url) | Selector::Prefix(url) => {
            let rest = url.split_once("://").map_or("", |(_, rest)| rest);
            &rest[..rest.find(['/', '?']).unwrap_or(rest.len())]
        }
        Selector::Host(host) => host,
        _ => return None,
    };
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    let port = authority[after_brackets..].find(':').map(|at| after_brackets + at);
    Some(&authority[..port.unwrap_or(authority.len())])
}

/// Whether some site answers for every host that `purge` names: a purge for a host that is misspelt confirms nothing.
///
/// # Errors
/// Names the selectors for which none does.
pub fn known(purge: &Purge, site: impl Fn(&str) -> bool) -> Result<(), Invalid> {
    let stranger = purge.selectors.iter().find_map(|selector| {
        let host = host_of(selector)?;
        (!site(host)).then(|| (selector.text(), host))
    });
    match stranger {
        None => Ok(()),
        Some((text, host)) => Err(Invalid {
            error: format!("selectors: no site of this node answers for {host:?}: {text:?}"),
            hint: "write a host of one of its sites, see GET /status; nothing was purged",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purge(kind: &str, texts: &[&str], soft: bool) -> Purge {
        let selectors = texts.iter().map(|text| Selector::parse(kind, text).unwrap());
        Purge { selectors: selectors.collect(), soft }
    }

    #[test]
    fn a_scope_allows_what_lies_within_and_says_what_does_not() {
        let of = |hosts: &[&str], kinds: &[Kind], soft_only| Scope {
            name: "cms".into(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            kinds: kinds.to_vec(),
            soft_only,
            rate: None,
        };
        let shop = of(&["shop.example", "*.shop.example"], &[], false);
        let rows = [
            (of(&[], &[], false), purge("all", &[""], false), None),
            (of(&[], &[Kind::Url], false), purge("url", &["http://a/"], false), None),
            (of(&[], &[Kind::Url], false), purge("tag", &["t"], false), Some(Narrow::Kind)),
            (of(&[], &[], true), purge("tag", &["t"], true), None),
            (of(&[], &[], true), purge("tag", &["t"], false), Some(Narrow::Hard)),
            (
                shop.clone(),
                purge("url", &["http://shop.example/x", "https://a.shop.example:8443/"], false),
                None,
            ),
            (shop.clone(), purge("host", &["shop.example:81"], false), None),
            (shop.clone(), purge("prefix", &["http://shop.example/"], false), None),
            (shop.clone(), purge("url", &["http://shop.example/", "http://b/"], false), Some(Narrow::Host)),
            (shop.clone(), purge("url", &["http://b/?http://shop.example/"], false), Some(Narrow::Host)),
            (shop.clone(), purge("host", &["example"], false), Some(Narrow::Host)),
            (shop.clone(), purge("tag", &["t"], false), Some(Narrow::Host)),
            (shop, purge("all", &[""], false), Some(Narrow::Host)),
            (of(&["*"], &[], false), purge("tag", &["t"], false), None),
            (of(&["[::1]"], &[], false), purge("url", &["http://[::1]:81/"], false), None),
        ];
        for (scope, purge, wanted) in rows {
            let found = scope.allows(&purge).map_err(|denied| denied.why).err();
            assert_eq!(found, wanted, "{scope:?} {purge:?}");
        }
        let told = of(&["a"], &[], false).allows(&purge("host", &["b"], false)).unwrap_err().error;
        assert_eq!(told, "the token \"cms\" may not purge the host \"b\", only a");
    }

    #[test]
    fn a_host_without_a_site_is_named() {
        let site = |host: &str| host == "a";
        assert_eq!(known(&purge("tag", &["t"], false), site), Ok(()));
        assert_eq!(known(&purge("url", &["http://A:81/", "https://a/"], false), site), Ok(()));
        let invalid = known(&purge("url", &["http://a/", "http://b/x"], false), site).unwrap_err();
        assert_eq!(invalid.error, "selectors: no site of this node answers for \"b\": \"http://b:80/x\"");
    }
}
