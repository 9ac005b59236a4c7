//! Which stored URL may answer another one that differs only in what its `No-Vary-Search` ignores. A hint in memory, with
//! a bound: whoever follows it looks at the stored answer itself before believing anything.

use std::sync::Arc;

use http::HeaderMap;
use moka::sync::Cache as Map;
use xxhash_rust::xxh3::xxh3_128;

use crate::limits::{SEARCH_RULES_MAX, SEARCH_URLS_BYTES_MAX};
use crate::policy::search::Variance;

/// The newest rule of each path, and the URLs that were stored under it. A rule that is forgotten takes its URLs along:
/// while there was none, an unsafe request for another URL of the path left no trace.
pub struct Searches {
    rules: Map<u128, Arc<Variance>>,
    urls: Map<u128, (Arc<Variance>, Arc<str>)>,
}

impl Default for Searches {
    fn default() -> Self {
        let weigh = |_: &u128, (_, url): &(Arc<Variance>, Arc<str>)| {
            u32::try_from(url.len() + 160).unwrap_or(u32::MAX)
        };
        Self {
            rules: Map::new(SEARCH_RULES_MAX),
            urls: Map::builder().max_capacity(SEARCH_URLS_BYTES_MAX).weigher(weigh).build(),
        }
    }
}

impl Searches {
    /// Notes that an answer with these fields is stored for `url`.
    pub fn note(&self, url: &str, fields: &HeaderMap) {
        let Some(variance) = Variance::of(fields) else { return };
        let (path, query) = split(url);
        let place = xxh3_128(path.as_bytes());
        let rule = match self.rules.get(&place) {
            Some(known) if *known == variance => known,
            _ => {
                let rule = Arc::new(variance);
                self.rules.insert(place, Arc::clone(&rule));
                rule
            }
        };
        if let Some(key) = key_of(&rule, path, query) {
            self.urls.insert(key, (rule, url.into()));
        }
    }

    /// The other URL that was stored last and said that it answers this one, too.
    #[must_use]
    pub fn other(&self, url: &str) -> Option<Arc<str>> {
        let (path, query) = split(url);
        let rule = self.rules.get(&xxh3_128(path.as_bytes()))?;
        let (of, other) = self.urls.get(&key_of(&rule, path, query)?)?;
        (Arc::ptr_eq(&of, &rule) && *other != *url).then_some(other)
    }

    /// Whether another URL's answer may be given for this one now.
    #[must_use]
    pub fn may_answer(&self, url: &str) -> bool {
        self.rules.contains_key(&xxh3_128(split(url).0.as_bytes()))
    }
}

/// Whether the stored answer of `stored` with these fields says that it answers `url`, too.
#[must_use]
pub fn answers(fields: &HeaderMap, stored: &str, url: &str) -> bool {
    let ((path, query), (stored_path, stored_query)) = (split(url), split(stored));
    path == stored_path
        && Variance::of(fields).is_some_and(|rule| {
            let essence = rule.essence(query);
            essence.is_some() && essence == rule.essence(stored_query)
        })
}

/// A URL and its path: whatever is on its way for the one may come to stand for others of the other.
#[must_use]
pub fn marks(url: &str) -> [&str; 2] {
    [url, path(url)]
}

/// A URL without its query.
#[must_use]
pub fn path(url: &str) -> &str {
    split(url).0
}

fn key_of(rule: &Variance, path: &str, query: &str) -> Option<u128> {
    let essence = rule.essence(query)?;
    Some(xxh3_128(format!("{path}?{essence}").as_bytes()))
}

/// Everything before the query, and the query without its `?`.
fn split(url: &str) -> (&str, &str) {
    url.split_once('?').unwrap_or((url, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: &'static str) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert("no-vary-search", http::HeaderValue::from_static(value));
        fields
    }

    #[test]
    fn what_was_stored_last_under_the_newest_rule_is_found() {
        let (searches, tracked) = (Searches::default(), fields("params=(\"utm\")"));
        searches.note("http://a:80/p?id=1&utm=x", &tracked);
        assert_eq!(searches.other("http://a:80/p?id=1").as_deref(), Some("http://a:80/p?id=1&utm=x"));
        assert_eq!(searches.other("http://a:80/p?id=1&utm=x"), None, "itself");
        for other in ["http://a:80/p?id=2", "http://a:80/q?id=1", "http://b:80/p?id=1", "https://a:80/p?id=1"]
        {
            assert_eq!(searches.other(other), None, "{other}");
        }
        searches.note("http://a:80/p?utm=y&id=1", &tracked);
        assert_eq!(searches.other("http://a:80/p?id=1").as_deref(), Some("http://a:80/p?utm=y&id=1"));
        assert!(searches.may_answer("http://a:80/p?what=ever") && !searches.may_answer("http://a:80/"));
        searches.note("http://a:80/p?id=3", &fields("key-order"));
        assert_eq!(searches.other("http://a:80/p?id=1"), None, "another rule");
        searches.note("http://a:80/p?id=4", &HeaderMap::new());
        assert!(searches.may_answer("http://a:80/p"), "an answer that says nothing changes nothing");
    }

    #[test]
    fn a_rule_that_comes_again_does_not_bring_old_urls_along() {
        let (searches, tracked) = (Searches::default(), fields("params"));
        searches.note("http://a:80/p?1", &tracked);
        searches.rules.invalidate_all();
        assert!(!searches.may_answer("http://a:80/p?2"));
        searches.note("http://a:80/p?id", &fields("key-order"));
        searches.note("http://a:80/q", &tracked);
        let rule = Arc::new(Variance::of(&tracked).unwrap());
        searches.rules.insert(xxh3_128(b"http://a:80/p"), rule);
        assert_eq!(searches.other("http://a:80/p?2"), None);
    }

    #[test]
    fn the_stored_answer_has_the_last_word() {
        let (stored, url) = ("http://a:80/p?id=1&utm=x", "http://a:80/p?id=1");
        assert!(answers(&fields("params=(\"utm\")"), stored, url));
        assert!(!answers(&fields("params=(\"id\")"), stored, url));
        assert!(!answers(&HeaderMap::new(), stored, url));
        assert!(!answers(&fields("params"), stored, "http://a:80/q"));
    }
}
