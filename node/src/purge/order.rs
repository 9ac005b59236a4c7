//! One purge as it was asked for: the JSON body of `POST /purge`, checked whole before anything is done.

use larder_store::{Purge, Selector};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cache::key;
use crate::limits;

/// What the selectors of a purge are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Single URLs with all their variants.
    Url,
    /// Surrogate keys.
    Tag,
    /// Beginnings of URLs, scheme and host included.
    Prefix,
    /// Hosts.
    Host,
    /// Everything.
    All,
    /// Regular expressions for URLs.
    Regex,
    /// Not a purge: takes one back.
    Undo,
}

impl Kind {
    /// Every kind, for the label sets of metrics.
    pub const ALL: [Self; 7] =
        [Self::Url, Self::Tag, Self::Prefix, Self::Host, Self::All, Self::Regex, Self::Undo];

    /// The spelling for JSON, log and metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Tag => "tag",
            Self::Prefix => "prefix",
            Self::Host => "host",
            Self::All => "all",
            Self::Regex => "regex",
            Self::Undo => "undo",
        }
    }

    /// What a recorded purge is; all selectors of one purge are of one kind.
    #[must_use]
    pub fn of(purge: &Purge) -> Self {
        match purge.selectors.first() {
            Some(Selector::Url(_)) => Self::Url,
            Some(Selector::Tag(_)) => Self::Tag,
            Some(Selector::Prefix(_)) => Self::Prefix,
            Some(Selector::Host(_)) => Self::Host,
            Some(Selector::Regex(_)) => Self::Regex,
            Some(Selector::All) => Self::All,
            None => Self::Undo,
        }
    }
}

/// A purge that can be carried out: by `POST /purge` today, whatever else brings one tomorrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The caller's id; the same id does the same thing once.
    pub id: Option<String>,
    /// What to purge, normalised; nothing in an undo.
    pub purge: Purge,
    /// The id of the purge to take back instead.
    pub undo: Option<String>,
    /// Only count.
    pub dry_run: bool,
    /// Who.
    pub author: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Why a body is no purge, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Invalid {
    /// What is wrong, naming the selector where it is one.
    pub error: String,
    /// What to do.
    pub hint: &'static str,
}

const SHAPE: &str =
    r#"send {"kind":"url|tag|prefix|host|regex|all|undo","selectors":["..."],"soft":false,"dry_run":false}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: Kind,
    #[serde(default)]
    selectors: Vec<Value>,
    #[serde(default)]
    soft: bool,
    #[serde(default)]
    dry_run: bool,
    id: Option<String>,
    author: Option<String>,
    reason: Option<String>,
}

impl Order {
    /// Reads the body of `POST /purge`.
    ///
    /// # Errors
    /// [`Invalid`] for the first fault of the form, or for all selectors that are none.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let written: Written = serde_json::from_slice(body).map_err(|e| Invalid {
            error: format!("the body is not a purge: {}", short(&e.to_string())),
            hint: SHAPE,
        })?;
        if let Some(id) = &written.id {
            check_id(id)?;
        }
        check_text("author", written.author.as_deref())?;
        check_text("reason", written.reason.as_deref())?;
        let (selectors, undo) = match written.kind {
            Kind::Undo => (Vec::new(), Some(undone(&written)?)),
            kind => (selectors(kind, &written.selectors)?, None),
        };
        Ok(Self {
            id: written.id,
            purge: Purge { selectors, soft: written.soft && undo.is_none() },
            undo,
            dry_run: written.dry_run,
            author: written.author,
            reason: written.reason,
        })
    }

    /// What kind of selectors it has.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.undo.is_some() { Kind::Undo } else { Kind::of(&self.purge) }
    }
}

/// The id of the purge that an undo means.
fn undone(written: &Written) -> Result<String, Invalid> {
    let [Value::String(id)] = &written.selectors[..] else {
        let error = format!("selectors: {}; kind \"undo\" needs one id", written.selectors.len());
        return Err(Invalid { error, hint: "write the id of the purge, as GET /purges tells it" });
    };
    if written.dry_run {
        let hint = "GET /purges tells whether a purge can be taken back, and for how long";
        return Err(Invalid { error: "dry_run: an undo has none".into(), hint });
    }
    check_id(id)?;
    Ok(id.clone())
}

fn check_id(id: &str) -> Result<(), Invalid> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    if !id.is_empty() && id.len() <= limits::PURGE_ID_BYTES_MAX && id.bytes().all(word) {
        return Ok(());
    }
    let hint = "use 1 to 128 letters, digits, '-', '_', '.' or ':', a UUID for instance";
    Err(Invalid { error: format!("id: not an id: {:?}", short(id)), hint })
}

fn check_text(name: &str, text: Option<&str>) -> Result<(), Invalid> {
    match text {
        Some(text) if text.len() > limits::PURGE_TEXT_BYTES_MAX => {
            Err(Invalid { error: format!("{name}: longer than 1024 bytes"), hint: "say it shorter" })
        }
        _ => Ok(()),
    }
}

fn selectors(kind: Kind, written: &[Value]) -> Result<Vec<Selector>, Invalid> {
    let hint = match kind {
        Kind::Url => "write whole URLs, like \"https://www.example.com/news\"",
        Kind::Tag => "write tags as the origin sends them in Surrogate-Key or Cache-Tag",
        Kind::Prefix => "write the beginning of a whole URL, like \"https://www.example.com/img/\"",
        Kind::Host => "write host names without scheme and path, like \"www.example.com\"",
        Kind::Regex => {
            "write regular expressions for whole URLs, like \"^https://www\\.example\\.com/img/.*\\.png$\""
        }
        Kind::All | Kind::Undo => "leave selectors out",
    };
    let wrong = |error: String| Err(Invalid { error, hint });
    if kind == Kind::All {
        return match written.first() {
            None => Ok(vec![Selector::All]),
            Some(first) => {
                wrong(format!("selectors[0]: kind \"all\" takes none: {}", short(&first.to_string())))
            }
        };
    }
    if written.is_empty() {
        return wrong(format!("selectors: empty; kind {:?} needs at least one", kind.as_str()));
    }
    if written.len() > limits::PURGE_SELECTORS_MAX {
        let error = format!("selectors: {}, more than {}", written.len(), limits::PURGE_SELECTORS_MAX);
        return Err(Invalid { error, hint: "send them in several purges" });
    }
    let mut good = Vec::with_capacity(written.len());
    let mut mistakes = Vec::new();
    for (i, value) in written.iter().enumerate() {
        let parsed = match value {
            Value::String(text) => read(kind, text).map_err(|why| short(&why)),
            other => Err(format!("not a string: {}", short(&other.to_string()))),
        };
        match parsed {
            Ok(selectors) => good.extend(selectors),
            Err(why) => mistakes.push(format!("selectors[{i}]: {why}")),
        }
    }
    if mistakes.is_empty() {
        return Ok(good);
    }
    let more = mistakes.len().saturating_sub(limits::PURGE_MISTAKES_TOLD_MAX);
    mistakes.truncate(limits::PURGE_MISTAKES_TOLD_MAX);
    let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
    wrong(mistakes.join("; ") + &tail)
}

/// A selector as somebody wrote it, in the form of the keys; several where that is not one text.
fn read(kind: Kind, text: &str) -> Result<Vec<Selector>, String> {
    let selector = Selector::parse(kind.as_str(), text).map_err(|why| why.to_string())?;
    let read = match selector {
        Selector::Url(url) => key::of_url(&url).map(|url| vec![Selector::Url(url)]),
        Selector::Prefix(prefix) => {
            key::of_prefix(&prefix).map(|all| all.into_iter().map(Selector::Prefix).collect())
        }
        Selector::Host(host) => key::of_host(&host).map(|host| vec![Selector::Host(host)]),
        Selector::Tag(_) | Selector::Regex(_) | Selector::All => Ok(vec![selector]),
    };
    read.map_err(|why| format!("{why}: {text:?}"))
}

/// At most 200 characters of a text somebody sent.
fn short(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
