//! What every answer gets and loses at the door: Age, Via, Cache-Status; the tag fields are kept from clients.
//!
//! Hop-by-hop fields are removed where an answer comes in (`origin::forward::clean_response`), never stored, so nothing
//! of them is left here.

use std::time::Duration;

use http::header::{AGE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use crate::status::{Forward, ProxyError};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const TAG_FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("cache-groups"),
];

/// The node's name as it stands in `Via` and `Cache-Status`, made once. A clone for each worker keeps the hit path
/// free of shared counters.
#[derive(Debug)]
pub struct Signature {
    via: HeaderValue,
    /// The same for an answer that came over HTTP/1.0.
    via_old: HeaderValue,
    /// A token or a quoted string (RFC 9211 2).
    member: Box<[u8]>,
}

impl Clone for Signature {
    fn clone(&self) -> Self {
        let own =
            |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
        Self { via: own(&self.via), via_old: own(&self.via_old), member: self.member.clone() }
    }
}

impl Signature {
    /// Any name will do; what a field cannot carry is replaced.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let pseudonym: String =
            name.chars().map(|c| if c.is_ascii() && is_token_byte(c as u8) { c } else { '-' }).collect();
        let pseudonym = if pseudonym.is_empty() { "larder" } else { &pseudonym };
        let via = |version: &str| {
            HeaderValue::from_maybe_shared(bytes::Bytes::from(format!("{version} {pseudonym}")))
                .unwrap_or(HeaderValue::from_static("1.1 larder"))
        };
        let (via, via_old) = (via("1.1"), via("1.0"));
        let mut member = Writer::default();
        member.token_or_string(if name.is_empty() { "larder" } else { name });
        Self { via, via_old, member: member.bytes().into() }
    }

    /// `1.1 edge-1`: this node's member of `Via`, for a message that came over `received` (RFC 9110 7.6.3).
    #[must_use]
    pub fn via(&self, received: Version) -> &HeaderValue {
        if received == Version::HTTP_10 { &self.via_old } else { &self.via }
    }
}

/// Everything an answer gets at the door, in order: Age, Via, tags off, Cache-Status last.
/// `age`: for an answer from the cache; `None` leaves what the origin said. `received`: the version the answer came
/// over.
pub fn finish(
    headers: &mut HeaderMap,
    signature: &Signature,
    age: Option<Duration>,
    received: Version,
    show_tags: bool,
    status: &CacheStatus<'_>,
) {
    if let Some(age) = age {
        set_age(headers, age.as_secs());
    }
    headers.append(VIA, signature.via(received).clone());
    if !show_tags {
        remove_tags(headers);
    }
    status.append(signature, headers);
}

/// Adds this node's member of `Proxy-Status` (RFC 9209 2): it made the answer itself, because of `error`, which the node
/// calls `detail`.
pub fn set_proxy_status(
    headers: &mut HeaderMap,
    signature: &Signature,
    error: ProxyError,
    status: StatusCode,
    detail: Option<&str>,
) {
    let mut out = Writer::default();
    out.push(&signature.member);
    out.push(b"; error=");
    out.push(error.as_str().as_bytes());
    if error == ProxyError::HttpRequestError {
        out.push(b"; status-code=");
        out.push(status.as_str().as_bytes());
    }
    if let Some(detail) = detail {
        // A string, whatever is in it (RFC 9209 2.1.5).
        out.push(b"; details=");
        out.string(detail);
    }
    if let Ok(value) = HeaderValue::from_bytes(out.bytes()) {
        headers.append(PROXY_STATUS, value);
    }
}

/// Removes the fields tags are read from.
pub fn remove_tags(headers: &mut HeaderMap) {
    for name in &TAG_FIELDS {
        headers.remove(name);
    }
}

/// Sets `Age` in seconds (RFC 9111 5.1); more than 2^31 is written as 2^31 (RFC 9111 1.2.2).
/// Up to 9999 seconds nothing is allocated.
pub fn set_age(headers: &mut HeaderMap, seconds: u64) {
    const AGE_MAX: u64 = 1 << 31;
    let value = small_number(seconds).unwrap_or_else(|| HeaderValue::from(seconds.min(AGE_MAX)));
    headers.insert(AGE, value);
}

const SMALL_NUMBERS: usize = 10_000;

/// The decimal text of 0 to 9999, four bytes each, left-aligned.
static SMALL_NUMBER_TEXT: [[u8; 4]; SMALL_NUMBERS] = small_number_text();

const fn small_number_text() -> [[u8; 4]; SMALL_NUMBERS] {
    let mut table = [[0; 4]; SMALL_NUMBERS];
    let mut number = 0;
    while number < SMALL_NUMBERS {
        let mut rest = number;
        let mut at = digits(number);
        while at > 0 {
            at -= 1;
            table[number][at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        number += 1;
    }
    table
}

const fn digits(number: usize) -> usize {
    match number {
        0..=9 => 1,
        10..=99 => 2,
        100..=999 => 3,
        _ => 4,
    }
}

fn small_number(number: u64) -> Option<HeaderValue> {
    let number = usize::try_from(number).ok()?;
    let text: &'static [u8] = SMALL_NUMBER_TEXT.get(number)?.get(..digits(number))?;
    std::str::from_utf8(text).ok().map(HeaderValue::from_static)
}

/// How this node handled the exchange, for its member of `Cache-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Answered from the cache, fresh or stale (RFC 9211 2.1).
    Hit,
    /// Went towards the origin (RFC 9211 2.2), which answered this node with a status (2.3) where known.
    Forwarded(Forward, Option<u16>),
    /// Neither: the node made the answer itself.
    ByNode,
}

/// This node's member of `Cache-Status` (RFC 9211).
#[derive(Debug, Clone, Copy)]
pub struct CacheStatus<'a> {
    /// `hit`, or `fwd` and `fwd-status`.
    pub handled: Handled,
    /// Seconds of freshness left, negative when stale.
    pub ttl: Option<i64>,
    /// Whether the answer was stored.
    pub stored: bool,
    /// Whether the request was answered by another one's fetch.
    pub collapsed: bool,
    /// The cache key, where the site shows it.
    pub key: Option<&'a str>,
    /// Why, in the words of log and metric.
    pub detail: Option<&'a str>,
}

impl CacheStatus<'_> {
    /// `edge-1; hit; ttl=30` or `edge-1; fwd=uri-miss; fwd-status=200; stored; collapsed; key="..."; detail=...`
    #[must_use]
    pub fn value(&self, signature: &Signature) -> HeaderValue {
        let mut out = Writer::default();
        out.push(&signature.member);
        match self.handled {
            Handled::Hit => out.push(b"; hit"),
            Handled::Forwarded(why, status) => {
                out.push(b"; fwd=");
                out.push(why.as_str().as_bytes());
                if let Some(status) = status {
                    out.push(b"; fwd-status=");
                    out.push(itoa::Buffer::new().format(status).as_bytes());
                }
            }
            Handled::ByNode => {}
        }
        if let Some(ttl) = self.ttl {
            out.push(b"; ttl=");
            out.push(itoa::Buffer::new().format(ttl.clamp(-INTEGER_MAX, INTEGER_MAX)).as_bytes());
        }
        if self.stored {
            out.push(b"; stored");
        }
        if self.collapsed {
            out.push(b"; collapsed");
        }
        if let Some(key) = self.key {
            out.push(b"; key=");
            out.string(key);
        }
        if let Some(detail) = self.detail {
            out.push(b"; detail=");
            out.token_or_string(detail);
        }
        HeaderValue::from_bytes(out.bytes()).unwrap_or(HeaderValue::from_static("larder"))
    }

    /// Adds the member behind those of the caches before this one (RFC 9211 2: the last is nearest to the client).
    pub fn append(&self, signature: &Signature, headers: &mut HeaderMap) {
        headers.append(CACHE_STATUS, self.value(signature));
    }
}

/// Largest integer of a structured field (RFC 9651 3.3.1).
const INTEGER_MAX: i64 = 999_999_999_999_999;

/// Bytes of a usual member; a longer one (with a key) goes to the heap.
const ON_STACK: usize = 160;

/// Collects a field value on the stack while it is short.
struct Writer {
    stack: [u8; ON_STACK],
    len: usize,
    heap: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { stack: [0; ON_STACK], len: 0, heap: Vec::new() }
    }
}

impl Writer {
    fn push(&mut self, bytes: &[u8]) {
        if self.heap.is_empty()
            && let Some(room) = self.stack.get_mut(self.len..self.len + bytes.len())
        {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
            return;
        }
        if self.heap.is_empty() {
            self.heap.extend_from_slice(&self.stack[..self.len]);
        }
        self.heap.extend_from_slice(bytes);
    }

    fn bytes(&self) -> &[u8] {
        if self.heap.is_empty() { &self.stack[..self.len] } else { &self.heap }
    }

    /// A token where the text is one (RFC 9651 3.3.4), otherwise a string.
    fn token_or_string(&mut self, text: &str) {
        let is_token = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
            && text.bytes().all(|byte| is_token_byte(byte) || matches!(byte, b':' | b'/'));
        if is_token { self.push(text.as_bytes()) } else { self.string(text) }
    }

    /// A string (RFC 9651 3.3.3); it has no way to say what is not printable ASCII, so that is percent-encoded.
    fn string(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        self.push(b"\"");
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => self.push(&[b'\\', byte]),
                b' '..=b'~' => self.push(&[byte]),
                _ => self.push(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
            }
        }
        self.push(b"\"");
    }
}

/// `tchar` (RFC 9110 5.6.2).
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIT: CacheStatus<'static> = CacheStatus {
        handled: Handled::Hit,
        ttl: None,
        stored: false,
        collapsed: false,
        key: None,
        detail: None,
    };

    #[test]
    fn rfc_9211_members() {
        let miss = Handled::Forwarded(Forward::UriMiss, Some(200));
        let all = CacheStatus {
            handled: miss,
            ttl: Some(60),
            stored: true,
            collapsed: true,
            key: Some("http://a:80/\"x\"\u{e4}\n"),
            detail: Some("vary-star"),
        };
        let rows: &[(&str, CacheStatus<'_>, &str)] = &[
            ("edge-1", CacheStatus { ttl: Some(30), ..HIT }, "edge-1; hit; ttl=30"),
            ("edge-1", CacheStatus { ttl: Some(-30), ..HIT }, "edge-1; hit; ttl=-30"),
            ("edge-1", CacheStatus { ttl: Some(i64::MIN), ..HIT }, "edge-1; hit; ttl=-999999999999999"),
            ("edge-1", CacheStatus { handled: miss, ..HIT }, "edge-1; fwd=uri-miss; fwd-status=200"),
            (
                "edge-1",
                all,
                "edge-1; fwd=uri-miss; fwd-status=200; ttl=60; stored; collapsed; \
                 key=\"http://a:80/\\\"x\\\"%C3%A4%0A\"; detail=vary-star",
            ),
            ("e", CacheStatus { handled: Handled::Forwarded(Forward::Bypass, None), ..HIT }, "e; fwd=bypass"),
            (
                "e",
                CacheStatus { handled: Handled::ByNode, detail: Some("no-endpoint"), ..HIT },
                "e; detail=no-endpoint",
            ),
            ("e", CacheStatus { detail: Some("two words"), ..HIT }, "e; hit; detail=\"two words\""),
            ("1edge", HIT, "\"1edge\"; hit"),
            ("my edge", HIT, "\"my edge\"; hit"),
            ("edge, b; hit", HIT, "\"edge, b; hit\"; hit"),
            ("k\u{f6}ln", HIT, "\"k%C3%B6ln\"; hit"),
            ("edge/a:1", HIT, "edge/a:1; hit"),
            ("", HIT, "larder; hit"),
        ];
        for (name, status, expected) in rows {
            assert_eq!(status.value(&Signature::new(name)), *expected);
        }
    }

    #[test]
    fn rfc_9209_members() {
        for (name, error, status, detail, expected) in [
            ("edge-1", ProxyError::ConnectionRefused, 502, None, "edge-1; error=connection_refused"),
            ("edge-1", ProxyError::DnsError, 502, Some("dns"), "edge-1; error=dns_error; details=\"dns\""),
            (
                "my edge",
                ProxyError::HttpRequestError,
                413,
                Some("body-too-large"),
                "\"my edge\"; error=http_request_error; status-code=413; details=\"body-too-large\"",
            ),
        ] {
            let mut headers = HeaderMap::new();
            let status = StatusCode::from_u16(status).unwrap();
            set_proxy_status(&mut headers, &Signature::new(name), error, status, detail);
            assert_eq!(headers[PROXY_STATUS], expected);
        }
    }

    #[test]
    fn a_long_key_is_whole() {
        for len in [ON_STACK - 30, ON_STACK - 20, ON_STACK, 8192] {
            let key = "k".repeat(len);
            let value = CacheStatus { key: Some(&key), ..HIT }.value(&Signature::new("edge-1"));
            assert_eq!(value, format!("edge-1; hit; key=\"{key}\"").as_str());
        }
    }

    #[test]
    fn via_is_a_token() {
        for (name, via) in
            [("edge-1", "1.1 edge-1"), ("my edge", "1.1 my-edge"), ("", "1.1 larder"), ("a,b\n", "1.1 a-b-")]
        {
            assert_eq!(Signature::new(name).clone().via(Version::HTTP_11), via);
            let old = Signature::new(name).clone().via(Version::HTTP_10).clone();
            assert_eq!(old.to_str().unwrap(), via.replacen("1.1", "1.0", 1));
        }
    }

    #[test]
    fn ages() {
        let mut headers = HeaderMap::new();
        let rows = (0..10_050).map(|n| (n, n.to_string()));
        for (seconds, text) in rows.chain([(1 << 31, "2147483648".into()), (u64::MAX, "2147483648".into())]) {
            set_age(&mut headers, seconds);
            assert_eq!(headers[AGE], text.as_str());
        }
    }

    #[test]
    fn what_an_answer_gets_and_loses() {
        let fields = [
            ("age", "5"),
            ("surrogate-key", "a b"),
            ("cache-tag", "a"),
            ("cache-groups", "\"a\""),
            ("via", "1.1 inner"),
            ("cache-status", "inner; hit"),
        ];
        let head = || -> HeaderMap {
            fields
                .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
                .into_iter()
                .collect()
        };
        let all = |headers: &HeaderMap, name: &str| -> Vec<String> {
            headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
        };
        let signature = Signature::new("edge-1");

        let mut headers = head();
        finish(&mut headers, &signature, Some(Duration::from_millis(7999)), Version::HTTP_11, false, &HIT);
        assert_eq!(all(&headers, "age"), ["7"]);
        assert_eq!(all(&headers, "via"), ["1.1 inner", "1.1 edge-1"]);
        assert_eq!(all(&headers, "cache-status"), ["inner; hit", "edge-1; hit"]);
        assert!(TAG_FIELDS.iter().all(|name| !headers.contains_key(name)));

        let mut headers = head();
        finish(&mut headers, &signature, None, Version::HTTP_10, true, &HIT);
        assert_eq!(all(&headers, "via"), ["1.1 inner", "1.0 edge-1"]);
        assert_eq!(all(&headers, "age"), ["5"]);
        assert!(TAG_FIELDS.iter().all(|name| headers.contains_key(name)));
    }
}
