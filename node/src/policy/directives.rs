//! `Cache-Control` (RFC 9111 5.2): names in any case, arguments as tokens or quoted strings, one reading of
//! contradictions: the most restrictive one (RFC 9111 4.2.1).

use std::borrow::Cow;

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What a number too large to represent counts as (RFC 9111 1.2.2), seconds.
pub const DELTA_SECONDS_MAX: u32 = 1 << 31;

/// Every directive of RFC 9111 5.2, RFC 5861 and RFC 8246. Seconds are capped at [`DELTA_SECONDS_MAX`]; a time that is
/// no number is there with 0, so that it reads as stale (RFC 9111 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directives {
    /// `max-age`, seconds.
    pub max_age: Option<u32>,
    /// `s-maxage`, seconds.
    pub s_maxage: Option<u32>,
    /// `max-stale` of a request, seconds; without argument any staleness will do.
    pub max_stale: Option<u32>,
    /// `min-fresh` of a request, seconds.
    pub min_fresh: Option<u32>,
    /// `stale-while-revalidate` (RFC 5861 3), seconds.
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` (RFC 5861 4), seconds.
    pub stale_if_error: Option<u32>,
    /// `no-cache` without a list of fields.
    pub no_cache: bool,
    /// Fields of a qualified `no-cache` (RFC 9111 5.2.2.4).
    pub no_cache_fields: Vec<HeaderName>,
    /// `no-store`.
    pub no_store: bool,
    /// `no-transform`.
    pub no_transform: bool,
    /// `only-if-cached` of a request.
    pub only_if_cached: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `private` without a list of fields.
    pub private: bool,
    /// Fields of a qualified `private` (RFC 9111 5.2.2.7).
    pub private_fields: Vec<HeaderName>,
    /// `public`.
    pub public: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
}

impl Directives {
    /// The directives of a request; allocates nothing. `Pragma: no-cache` counts where there is no `Cache-Control`
    /// (RFC 9111 5.4).
    #[must_use]
    pub fn request(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        let mut any = false;
        for value in headers.get_all(CACHE_CONTROL) {
            any = true;
            for (name, argument) in members(value.as_bytes()) {
                found.add_request(name, &argument);
            }
        }
        if !any && headers.contains_key(PRAGMA) {
            found.no_cache = pragma_no_cache(headers);
        }
        found
    }

    /// The directives of an answer's `Cache-Control`. What an answer says to this cache in particular is read by
    /// [`super::targeted::directives`].
    #[must_use]
    pub fn response(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            for (name, argument) in members(value.as_bytes()) {
                found.add_response(name, &argument);
            }
        }
        found
    }

    /// Whether the directives alone give a lifetime (RFC 9111 4.2.1); `Expires` is the other way.
    #[must_use]
    pub const fn has_lifetime(&self) -> bool {
        self.max_age.is_some() || self.s_maxage.is_some()
    }

    /// Whether stale use is forbidden (RFC 9111 4.2.4): `must-revalidate`, `proxy-revalidate`, `s-maxage` (5.2.2.10).
    #[must_use]
    pub const fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some()
    }

    /// Whether a qualified `no-cache` or `private` names this field.
    #[must_use]
    pub fn withholds(&self, name: &HeaderName) -> bool {
        self.no_cache_fields.contains(name) || self.private_fields.contains(name)
    }

    fn add_request(&mut self, name: &[u8], argument: &Argument<'_>) {
        match () {
            () if is(name, "max-age") => keep_least(&mut self.max_age, argument.seconds()),
            () if is(name, "no-cache") => self.no_cache = true,
            () if is(name, "no-store") => self.no_store = true,
            () if is(name, "max-stale") => keep_least(&mut self.max_stale, argument.max_stale()),
            () if is(name, "min-fresh") => keep_most(&mut self.min_fresh, argument.seconds()),
            () if is(name, "only-if-cached") => self.only_if_cached = true,
            () if is(name, "stale-if-error") => keep_least(&mut self.stale_if_error, argument.seconds()),
            () if is(name, "no-transform") => self.no_transform = true,
            () => {}
        }
    }

    pub(super) fn add_response(&mut self, name: &[u8], argument: &Argument<'_>) {
        match () {
            () if is(name, "max-age") => keep_least(&mut self.max_age, argument.seconds()),
            () if is(name, "s-maxage") => keep_least(&mut self.s_maxage, argument.seconds()),
            () if is(name, "public") => self.public = true,
            () if is(name, "private") => match argument.field_names() {
                Some(names) => self.private_fields.extend(names),
                None => self.private = true,
            },
            () if is(name, "no-cache") => match argument.field_names() {
                Some(names) => self.no_cache_fields.extend(names),
                None => self.no_cache = true,
            },
            () if is(name, "no-store") => self.no_store = true,
            () if is(name, "must-revalidate") => self.must_revalidate = true,
            () if is(name, "proxy-revalidate") => self.proxy_revalidate = true,
            () if is(name, "must-understand") => self.must_understand = true,
            () if is(name, "immutable") => self.immutable = true,
            () if is(name, "no-transform") => self.no_transform = true,
            () if is(name, "stale-while-revalidate") => {
                keep_least(&mut self.stale_while_revalidate, argument.seconds());
            }
            () if is(name, "stale-if-error") => keep_least(&mut self.stale_if_error, argument.seconds()),
            () => {}
        }
    }
}

/// Whether a `Pragma` field says `no-cache` (RFC 9111 5.4).
pub(super) fn pragma_no_cache(headers: &HeaderMap) -> bool {
    let says = |value: &HeaderValue| members(value.as_bytes()).any(|(name, _)| is(name, "no-cache"));
    headers.get_all(PRAGMA).iter().any(says)
}

fn is(name: &[u8], known: &str) -> bool {
    name.eq_ignore_ascii_case(known.as_bytes())
}

fn keep_least(slot: &mut Option<u32>, value: u32) {
    *slot = Some(slot.map_or(value, |old| old.min(value)));
}

fn keep_most(slot: &mut Option<u32>, value: u32) {
    *slot = Some(slot.map_or(value, |old| old.max(value)));
}

/// What stands behind the `=` of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// No `=` at all.
    None,
    /// A token, or something that should have been one.
    Token(&'a [u8]),
    /// The inside of a quoted string, escapes and all.
    Quoted(&'a [u8]),
}

impl Argument<'_> {
    /// delta-seconds (RFC 9111 1.2.2) in either form (5.2: recipients ought to accept both); 0 when it is none.
    pub(super) fn seconds(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Token(text) => delta_seconds(text).unwrap_or(0),
            Self::Quoted(text) => delta_seconds(&unescaped(text)).unwrap_or(0),
        }
    }

    fn max_stale(&self) -> u32 {
        if *self == Self::None { u32::MAX } else { self.seconds() }
    }

    /// Field names of a qualified directive; `None` if it is not qualified or not by valid names, which then counts
    /// as the stricter unqualified form.
    fn field_names(&self) -> Option<Vec<HeaderName>> {
        let text = match self {
            Self::None => return None,
            Self::Token(text) => Cow::Borrowed(*text),
            Self::Quoted(text) => unescaped(text),
        };
        let names: Option<Vec<_>> = text
            .split(|byte| *byte == b',')
            .map(trim)
            .filter(|name| !name.is_empty())
            .map(|name| HeaderName::from_bytes(name).ok())
            .collect();
        names.filter(|names| !names.is_empty())
    }
}

/// delta-seconds (RFC 9111 1.2.2): digits only, too large is [`DELTA_SECONDS_MAX`].
pub(super) fn delta_seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut total = 0_u32;
    for digit in text {
        total = total.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    }
    Some(total.min(DELTA_SECONDS_MAX))
}

fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        plain.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    Cow::Owned(plain)
}

pub(super) fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// The members of a comma-separated list (RFC 9110 5.6.1), commas inside quoted strings not counted. A quote that is
/// never closed quotes nothing, so that it cannot hide a `no-store` behind it.
pub(super) fn list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    pieces(text).filter(|member| !member.is_empty())
}

/// [`list`] with its empty members: what stands between the commas, without the blanks around it.
pub(super) fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = member_end(text);
        rest = text.get(end + 1..);
        Some(trim(&text[..end]))
    })
}

fn member_end(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b',' => return at,
            b'"' => at = closing_quote(text, at).unwrap_or(at),
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Where the quoted string that opens at `open` closes.
fn closing_quote(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    while at < text.len() {
        match text[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// The directives of one field line with their arguments. Blanks around `=` are not allowed by the grammar: the name
/// still counts, so that `no-store =x` restricts, but a time written so is no time.
fn members(line: &[u8]) -> impl Iterator<Item = (&[u8], Argument<'_>)> {
    list(line).map(|member| {
        let Some(equals) = member.iter().position(|byte| *byte == b'=') else {
            return (member, Argument::None);
        };
        let (name, value) = (&member[..equals], &member[equals + 1..]);
        let bare = trim(name);
        if bare.len() != name.len() {
            return (bare, Argument::Token(b""));
        }
        match value {
            [b'"', inside @ .., b'"'] => (name, Argument::Quoted(inside)),
            _ => (name, Argument::Token(value)),
        }
    })
}

#[cfg(test)]
mod tests;
