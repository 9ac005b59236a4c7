//! `Vary` (RFC 9110 12.5.5) and the secondary key of a request (RFC 9111 4.1).

use http::header::{ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::directives::{list, pieces, trim};
use super::keying::Keying;
use super::stray;
use super::upstream::{REWRITTEN, STRIPPED, is_one_of};

/// What an answer says about the requests it fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vary {
    /// Every request for the URL.
    None,
    /// No other request at all.
    Star,
    /// Requests whose fields of these names have the same meaning.
    Names(VaryNames),
}

impl Vary {
    /// The same, and these names as if the answer had named them too.
    #[must_use]
    pub fn with(self, keyed: &VaryNames) -> Self {
        match self {
            Self::Star => Self::Star,
            named if keyed.0.is_empty() => named,
            Self::None => Self::Names(keyed.clone()),
            Self::Names(names) => Self::Names(names.and(keyed)),
        }
    }
}

/// Field names in lower case, sorted, each once; kept as one comma-separated string.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct VaryNames(String);

impl VaryNames {
    /// The names as one comma-separated string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names of a comma-separated string, sorted and deduplicated; what is no field name is left out.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self::collect(list(text.as_bytes()))
    }

    /// The names one by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').filter(|name| !name.is_empty())
    }

    /// All names but this one.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        Self::collect(self.iter().filter(|known| *known != name).map(str::as_bytes))
    }

    /// The names of both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self::collect(self.iter().chain(other.iter()).map(str::as_bytes))
    }

    /// Whether every name of `other` is there.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|name| self.iter().any(|own| own == name))
    }

    /// Whether no name is left once `Accept-Encoding` is ours.
    #[must_use]
    pub fn is_empty(&self, own_encoding: bool) -> bool {
        self.selecting(own_encoding).next().is_none()
    }

    fn selecting(&self, own_encoding: bool) -> impl Iterator<Item = &str> {
        self.iter().filter(move |name| !(own_encoding && *name == ACCEPT_ENCODING.as_str()))
    }

    fn collect<'a>(members: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut names: Vec<_> = members.filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        Self(names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(","))
    }
}

/// What a site says about selecting stored answers (RFC 9111 4.1).
#[derive(Debug, Clone, Copy)]
pub struct Selecting<'a> {
    /// Whether `Accept-Encoding` is negotiated by this node.
    pub own_encoding: bool,
    /// What selects whether the origin says so or not.
    pub keying: &'a Keying,
}

/// Reads every `Vary` line of an answer. A `*` anywhere is `*` (RFC 9110 12.5.5); so is a name that is none, because
/// we could not compare it, and a field that the node writes itself, because the origin answered to what we wrote and
/// not to what the key would hold. A field that no origin gets cannot have selected anything: it is left out.
#[must_use]
pub fn parse(response: &HeaderMap) -> Vary {
    let members = response.get_all(VARY).iter().flat_map(|line| list(line.as_bytes()));
    let mut sent = Vec::new();
    for member in members {
        let Ok(name) = HeaderName::from_bytes(member) else { return Vary::Star };
        if name == "*" || is_one_of(name.as_str(), &REWRITTEN) {
            return Vary::Star;
        }
        if !is_one_of(name.as_str(), &STRIPPED) && !stray::is_of_one_request(name.as_str()) {
            sent.push(member);
        }
    }
    let names = VaryNames::collect(sent.into_iter());
    if names.0.is_empty() { Vary::None } else { Vary::Names(names) }
}

/// The secondary key: the request's fields of these names in normal form, empty if nothing selects. Requests with the
/// same key are the same to the origin as far as RFC 9111 4.1 lets a cache know: lines combined, blanks around members
/// dropped but in known single values, and for `Accept-Language`, `Accept-Encoding` and `Accept-Charset` case and order of equal
/// preference ignored. A missing field is not an empty one. `own_encoding`: this node negotiates `Accept-Encoding`
/// itself and asks the origin for one form only. `base`: what every key of this request begins with, such as the content
/// of a QUERY.
#[must_use]
pub fn variant(base: &str, names: &VaryNames, request: &HeaderMap, own_encoding: bool) -> String {
    let mut key = base.to_owned();
    for name in names.selecting(own_encoding) {
        start_member(&mut key, name);
        if request.contains_key(name) {
            key.push('=');
            write_value(&mut key, name, request);
        }
    }
    key
}

/// A second key under which an answer in the one language of `Content-Language` may be kept beside [`variant`]:
/// `None` unless the answer varies by `Accept-Language` and has exactly one language.
#[must_use]
pub fn language_of_answer(
    names: &VaryNames,
    request: &HeaderMap,
    response: &HeaderMap,
    own_encoding: bool,
) -> Option<String> {
    let mut languages = response.get_all(CONTENT_LANGUAGE).iter().flat_map(|line| list(line.as_bytes()));
    let (Some(language), None) = (languages.next(), languages.next()) else { return None };
    by_language(names, request, own_encoding, language)
}

/// The second key to look under when [`variant`] finds nothing: `None` unless the client likes one language best. What
/// is kept there is in just that language, so that the origin could have chosen nothing better.
#[must_use]
pub fn language_of_request(names: &VaryNames, request: &HeaderMap, own_encoding: bool) -> Option<String> {
    let ranked = preferences(request, &ACCEPT_LANGUAGE);
    let (best, quality) = ranked.first()?;
    let tied = ranked.get(1).is_some_and(|(_, next)| next == quality);
    if tied || *quality == 0 || best == b"*" {
        return None;
    }
    by_language(names, request, own_encoding, best)
}

fn by_language(
    names: &VaryNames,
    request: &HeaderMap,
    own_encoding: bool,
    language: &[u8],
) -> Option<String> {
    if !names.iter().any(|name| name == ACCEPT_LANGUAGE.as_str()) {
        return None;
    }
    let mut key = String::new();
    for name in names.selecting(own_encoding) {
        start_member(&mut key, name);
        if name == ACCEPT_LANGUAGE.as_str() {
            key.push_str("=>");
            escape(&mut key, &language.to_ascii_lowercase());
        } else if request.contains_key(name) {
            key.push('=');
            write_value(&mut key, name, request);
        }
    }
    Some(key)
}

fn start_member(key: &mut String, name: &str) {
    if !key.is_empty() {
        key.push('&');
    }
    key.push_str(name);
}

/// Fields that are lists by definition (RFC 9110 5.6.1, RFC 9111 5, RFC 7240, Fetch): blanks around their members, and
/// how they are spread over lines, mean nothing.
const LISTS: [&str; 10] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "cache-control",
    "content-encoding",
    "content-language",
    "pragma",
    "prefer",
];

/// Fields that are no lists by definition: two lines of them are not the one line that a list would make.
const SINGULAR: [&str; 9] = [
    "authorization",
    "cookie",
    "date",
    "from",
    "if-modified-since",
    "origin",
    "referer",
    "user-agent",
    "x-requested-with",
];

/// In a field that nobody has called a list or a single value, blanks around a comma do not count (RFC 9111 4.1): whoever
/// combines two lines of it may write them or not (RFC 9110 5.3). Everything else in it does, empty members too.
fn write_value(key: &mut String, name: &str, request: &HeaderMap) {
    let known = [ACCEPT_LANGUAGE, ACCEPT_ENCODING, ACCEPT_CHARSET];
    if let Some(name) = known.iter().find(|known| known.as_str() == name) {
        for (at, (value, quality)) in preferences(request, name).iter().enumerate() {
            if at > 0 {
                key.push(',');
            }
            escape(key, value);
            if *quality < 1000 {
                key.push_str(&format!(";q={quality}"));
            }
        }
        return;
    }
    let lines = request.get_all(name).iter().map(HeaderValue::as_bytes);
    if LISTS.contains(&name) {
        write_joined(key, lines.flat_map(list), |key| key.push(','));
    } else if SINGULAR.contains(&name) {
        write_joined(key, lines, |key| key.push(','));
    } else {
        write_joined(key, lines.flat_map(pieces), |key| key.push(','));
    }
}

fn write_joined<'a>(key: &mut String, parts: impl Iterator<Item = &'a [u8]>, join: fn(&mut String)) {
    for (at, part) in parts.enumerate() {
        if at > 0 {
            join(key);
        }
        escape(key, part);
    }
}

/// The members of a field of preferences (RFC 9110 12.4.2) in lower case with their weight in thousandths, the
/// heaviest first, equals by name. A weight that is none counts as it stands: such a member is a value of its own.
fn preferences(request: &HeaderMap, name: &HeaderName) -> Vec<(Vec<u8>, u16)> {
    let mut found: Vec<(Vec<u8>, u16)> = Vec::new();
    for member in request.get_all(name).iter().flat_map(|line| list(line.as_bytes())) {
        let lower = member.to_ascii_lowercase();
        let mut parts = lower.splitn(2, |byte| *byte == b';').map(trim);
        let value = parts.next().unwrap_or_default();
        let entry = match parts.next().map(weight) {
            None => (value.to_vec(), 1000),
            Some(Some(quality)) => (value.to_vec(), quality),
            Some(None) => (lower.clone(), 1000),
        };
        found.push(entry);
    }
    found.sort_unstable_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    found.dedup();
    found
}

/// `q=0.5` in thousandths.
pub(super) fn weight(text: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', number @ ..] = text else { return None };
    let (whole, fraction) = match number {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    if !matches!(whole, b'0' | b'1') || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| fraction.get(at).map_or(0, |digit| u16::from(digit - b'0'));
    let total = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (total <= 1000).then_some(total)
}

/// Visible ASCII as it is, the rest and our own separators as `%XX`, so that no two values spell the same key.
pub(super) fn escape(key: &mut String, value: &[u8]) {
    for &byte in value {
        match byte {
            b'%' | b'&' | b',' | b';' | b'=' | b'>' | 0..=0x1f | 0x7f..=0xff => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                key.push('%');
                key.push(char::from(HEX[usize::from(byte >> 4)]));
                key.push(char::from(HEX[usize::from(byte & 15)]));
            }
            _ => key.push(char::from(byte)),
        }
    }
}

#[cfg(test)]
mod tests;
