//! What may be purged and how it is written down. Always compiled: the purge command needs these types and nothing else.
//!
//! A purge gets the next [`Seq`] and is remembered as an *epoch*: "whatever matches this and was born before N is dead".
//! Nothing is searched when it is applied, and a fetch that was in flight needs no fence: it was born too early.
//!
//! A purge may be taken back for a while (an undo): what it hit is kept, and not served, until it is *settled*.

#[cfg(feature = "engine")]
pub(crate) mod history;
#[cfg(feature = "engine")]
pub(crate) mod journal;
#[cfg(feature = "engine")]
pub(crate) mod ledger;
pub mod pattern;
#[cfg(feature = "engine")]
pub(crate) mod tables;
mod url;

use serde::{Deserialize, Serialize};

pub use url::{UrlError, host, normalise};

/// A position in the sequence of purges of one store; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One thing to purge. The texts are expected in the form of [`Selector::parse`]; keys are compared with them bytewise.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "text", rename_all = "lowercase")]
pub enum Selector {
    /// Every variant of one URL.
    Url(String),
    /// Every URL that starts with this text; scheme and host are part of it.
    Prefix(String),
    /// Every entry that carries this tag, on any host.
    Tag(String),
    /// Every URL of this host: on any port and scheme, or on one port if the text names it.
    Host(String),
    /// Every URL that this regular expression finds something in, see [`pattern`].
    Regex(String),
    /// Everything.
    All,
}

/// The longest text of a selector, bytes: room for the longest URL a node accepts.
pub const SELECTOR_BYTES_MAX: usize = 16 * 1024;

/// Why a selector was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The kind is not one of the six.
    #[error("unknown kind {0:?}: use url, prefix, tag, host, regex or all")]
    Kind(String),
    /// The URL or prefix cannot be understood.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// An empty tag or host.
    #[error("empty {0}")]
    Empty(&'static str),
    /// White space or control characters inside a tag.
    #[error("{0:?} holds white space or control characters")]
    Text(String),
    /// Not a regular expression that a node would match with.
    #[error(transparent)]
    Regex(#[from] pattern::PatternError),
    /// More than [`SELECTOR_BYTES_MAX`].
    #[error("longer than {SELECTOR_BYTES_MAX} bytes")]
    Long,
}

impl Selector {
    /// Reads a selector as an operator writes it and brings it into the form of the keys: scheme and host in lower case,
    /// the port always there.
    ///
    /// # Errors
    /// When `kind` is unknown or `text` does not fit it.
    pub fn parse(kind: &str, text: &str) -> Result<Self, SelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(SelectorError::Long);
        }
        match kind {
            "url" => Ok(Self::Url(normalise(text)?)),
            "prefix" => Ok(Self::Prefix(normalise(text)?)),
            "tag" if text.is_empty() => Err(SelectorError::Empty("tag")),
            "tag" if text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                Err(SelectorError::Text(text.to_owned()))
            }
            "tag" => Ok(Self::Tag(text.to_owned())),
            "host" if text.is_empty() => Err(SelectorError::Empty("host")),
            "host" => Ok(Self::Host(host(text)?)),
            "regex" => {
                pattern::compile(text)?;
                Ok(Self::Regex(text.to_owned()))
            }
            "all" => Ok(Self::All),
            other => Err(SelectorError::Kind(other.to_owned())),
        }
    }

    /// The word for its kind, as in [`Selector::parse`].
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Prefix(_) => "prefix",
            Self::Tag(_) => "tag",
            Self::Host(_) => "host",
            Self::Regex(_) => "regex",
            Self::All => "all",
        }
    }

    /// Its text; empty for [`Selector::All`].
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Url(text) | Self::Prefix(text) | Self::Tag(text) | Self::Host(text) | Self::Regex(text) => {
                text
            }
            Self::All => "",
        }
    }

    /// Whether an entry with this URL and these tags is meant. The engine's tables answer the same from hashes; this is
    /// the plain definition that tests and dry runs compare with.
    #[must_use]
    pub fn matches(&self, url: &str, tags: &[&str]) -> bool {
        match self {
            Self::Url(text) => url == text,
            Self::Prefix(text) => url.starts_with(text.as_str()),
            Self::Tag(text) => tags.contains(&text.as_str()),
            Self::Host(text) => {
                url::authority(url).is_some_and(|a| a == text || url::without_port(a) == text)
            }
            Self::Regex(text) => {
                pattern::compile(text).is_ok_and(|regex| regex.is_match(&pattern::written(url)))
            }
            Self::All => true,
        }
    }
}

/// Several selectors that are purged together, under one sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// What is meant; an entry that matches one of them is.
    pub selectors: Vec<Selector>,
    /// Soft: the entry is stale from now on, but may be revalidated or served while it is. Hard: never served again.
    #[serde(default)]
    pub soft: bool,
}

/// A purge as it stands in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its position.
    pub seq: Seq,
    /// What was purged.
    pub purge: Purge,
    /// What the caller wanted kept with it.
    pub note: String,
    /// When it was written down here, milliseconds since 1970 (UTC); 0 where that was not noted.
    #[serde(default)]
    pub time: u64,
    /// The purge that this record takes back; it purges nothing itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<Seq>,
}

/// A purge of the history, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The purge.
    pub recorded: Recorded,
    /// The record that took it back.
    pub undone: Option<Seq>,
    /// Milliseconds for which it can still be taken back; `None` when it cannot.
    pub undoable: Option<u64>,
}

/// A part of the history, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub purges: Vec<Told>,
    /// The history is complete after this position; what was at or before it may have been dropped.
    pub reaches: Seq,
    /// Position of the newest record.
    pub seq: Seq,
    /// Name of the log, another one after it had to be begun anew; 0 without a log on disk.
    pub log: u32,
    /// Whether records after the last one here were left out.
    pub more: bool,
}

/// The confirmation of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The position the purge got. Whatever was born before it and matches is dead.
    pub seq: Seq,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_operators_write_them() {
        let rows = [
            ("url", "HTTP://Example.COM/A?b", Ok(Selector::Url("http://example.com:80/A?b".into()))),
            ("prefix", "https://a/x/", Ok(Selector::Prefix("https://a:443/x/".into()))),
            ("host", "A.example", Ok(Selector::Host("a.example".into()))),
            ("host", "A.example:81", Ok(Selector::Host("a.example:81".into()))),
            ("tag", "T-1", Ok(Selector::Tag("T-1".into()))),
            ("tag", "a b", Err(SelectorError::Text("a b".into()))),
            ("tag", "", Err(SelectorError::Empty("tag"))),
            ("all", "", Ok(Selector::All)),
            ("regex", "^http://a/[0-9]+$", Ok(Selector::Regex("^http://a/[0-9]+$".into()))),
            ("ban", "", Err(SelectorError::Kind("ban".into()))),
        ];
        for (kind, text, wanted) in rows {
            assert_eq!(Selector::parse(kind, text), wanted, "{kind} {text}");
        }
    }

    #[test]
    fn selectors_match_what_they_say() {
        let url = "http://a.example:8080/x/y?z";
        let rows = [
            (Selector::Url(url.into()), true),
            (Selector::Url("http://a.example:8080/x/y".into()), false),
            (Selector::Prefix("http://a.example:8080/x/".into()), true),
            (Selector::Prefix("http://a.example:8080/y/".into()), false),
            (Selector::Host("a.example".into()), true),
            (Selector::Host("a.example:8080".into()), true),
            (Selector::Host("a.example:80".into()), false),
            (Selector::Host("example".into()), false),
            (Selector::Tag("t".into()), true),
            (Selector::Tag("u".into()), false),
            (Selector::Regex("^http://a\\.example:8080/[a-z]/".into()), true),
            (Selector::Regex("^/x".into()), false),
            (Selector::All, true),
        ];
        for (selector, wanted) in rows {
            assert_eq!(selector.matches(url, &["s", "t"]), wanted, "{selector:?}");
        }
    }

    #[test]
    fn a_purge_is_plain_json() {
        let purge = Purge { selectors: vec![Selector::Tag("t".into()), Selector::All], soft: true };
        let text = serde_json::to_string(&purge).unwrap();
        assert_eq!(text, r#"{"selectors":[{"kind":"tag","text":"t"},{"kind":"all"}],"soft":true}"#);
        assert_eq!(serde_json::from_str::<Purge>(&text).unwrap(), purge);
    }
}
