//! What a client got: head, body, how it ended, and what `Cache-Status` says.

use bytes::Bytes;

use crate::page::{self, Page};

/// How a body ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As its framing announced.
    Whole,
    /// Before its end; the sentence says how.
    Cut(String),
}

/// One answer as it came over the wire.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Bytes,
    /// Whether it was whole.
    pub end: End,
}

/// The last member of `Cache-Status` (RFC 9211).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Who speaks.
    pub name: String,
    /// The parameters, flags with an empty value.
    pub parameters: Vec<(String, String)>,
}

impl CacheStatus {
    /// A parameter's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether it says `hit`.
    #[must_use]
    pub fn hit(&self) -> bool {
        self.get("hit").is_some()
    }

    /// Why it was forwarded.
    #[must_use]
    pub fn fwd(&self) -> Option<&str> {
        self.get("fwd")
    }

    /// Whether it says `stored`.
    #[must_use]
    pub fn stored(&self) -> bool {
        self.get("stored").is_some()
    }
}

impl Answer {
    /// A field's first value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let name = name.to_ascii_lowercase();
        self.fields.iter().filter(|(n, _)| *n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What the body says of itself.
    ///
    /// # Panics
    /// When it is not a whole page.
    #[must_use]
    pub fn page(&self) -> Page {
        assert_eq!(self.end, End::Whole, "status {} {:?}", self.status, self.fields);
        match page::read(&self.body) {
            Ok(page) => page,
            Err(why) => panic!("{why}; status {} {:?}", self.status, self.fields),
        }
    }

    /// The page's version, after proving that it is the page of `target`.
    ///
    /// # Panics
    /// When it is another page, or none.
    #[must_use]
    pub fn version(&self, target: &str) -> u64 {
        let page = self.page();
        assert_eq!(page.target, target, "another URL's body");
        page.version
    }

    /// The last member of `Cache-Status`; empty without the field.
    #[must_use]
    pub fn cache_status(&self) -> CacheStatus {
        let joined = self.all("cache-status").join(", ");
        let member = split_outside_quotes(&joined, ',').pop().unwrap_or_default();
        let mut parts = split_outside_quotes(&member, ';').into_iter();
        let name = parts.next().unwrap_or_default();
        let parameter = |part: String| match part.split_once('=') {
            Some((name, value)) => (name.trim().to_owned(), value.trim().trim_matches('"').to_owned()),
            None => (part.trim().to_owned(), String::new()),
        };
        CacheStatus { name: name.trim_matches('"').to_owned(), parameters: parts.map(parameter).collect() }
    }

    /// Whether it came from the cache without asking the origin.
    #[must_use]
    pub fn hit(&self) -> bool {
        self.cache_status().hit()
    }

    /// Whether the node closes the connection after it.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.get("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"))
    }

    /// One word for the counters.
    pub(crate) fn outcome(&self) -> &'static str {
        match (&self.end, self.hit(), self.status) {
            (End::Cut(_), ..) => "cut",
            (_, true, _) => "hit",
            (_, _, 400..=499) => "4xx",
            (_, _, 500..) => "5xx",
            _ => "not hit",
        }
    }
}

/// Splits at `at`, but not inside quoted strings.
fn split_outside_quotes(text: &str, at: char) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in text.chars() {
        quoted ^= c == '"';
        if c == at && !quoted {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_of_cache_status_counts() {
        let value = r#"other;hit, edge-1;fwd=stale;detail="a, b; c";stored"#;
        let fields = vec![("cache-status".into(), value.into())];
        let status = Answer { status: 200, fields, body: Bytes::new(), end: End::Whole }.cache_status();
        assert_eq!(status.name, "edge-1");
        assert!(!status.hit() && status.stored());
        assert_eq!(status.fwd(), Some("stale"));
        assert_eq!(status.get("detail"), Some("a, b; c"));
    }
}
