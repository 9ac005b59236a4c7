//! Strays: request fields that an origin is sent, but that nothing puts into the key of its answer: no standard, no
//! `Vary`, no declaration of the site. An origin that answers by one of them would answer for everybody else too.
//!
//! An answer to a request with strays is shared with those only that carry the same ones with the same values
//! (`key`), and requests that confirm or renew what others may have are sent without theirs (`without`).

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, COOKIE, ORIGIN, PRAGMA, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::directives::list;
use super::keying::Keying;
use super::ordinary::{is_directive, is_ordinary};
use super::targeted::Said;
use super::upstream::{REQUEST_HOP_BY_HOP, REWRITTEN, STRIPPED, is_one_of};
use super::vary::{self, Vary};
use super::{Config, pattern, targeted};
use crate::limits::STRAY_KEY_BYTES_MAX;
use crate::status::NotStored;

/// What the secondary key of an answer to a request with strays begins with; no other one does.
const MARK: char = '+';

/// The CDNs that name themselves in `CDN-Loop` (RFC 8586); any other name may be a client's invention.
const CDNS: [&str; 6] = ["akamai", "cloudflare", "cloudfront", "fastly", "google", "azure"];

/// The strays of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strays {
    /// Their names and values, in the form of a secondary key.
    key: String,
    /// Whether there are others than `Cookie` and `Origin`, which some answers let be.
    firm: bool,
}

/// The strays of a request; `None` where every field has its place.
#[must_use]
pub fn of(keying: &Keying, request: &HeaderMap) -> Option<Strays> {
    let is_stray = |name: &&HeaderName| is_stray(keying, request, name);
    let mut names: Vec<&HeaderName> = request.keys().filter(is_stray).collect();
    if names.is_empty() {
        return None;
    }
    names.sort_unstable_by_key(|name| name.as_str());
    let firm = names.iter().any(|name| !is_soft(name));
    let mut key = String::from(MARK);
    for name in names {
        // Line by line and byte by byte: nobody has said that two ways of writing them mean the same.
        for line in request.get_all(name) {
            key.push_str(if key.len() > 1 { "&" } else { "" });
            key.push_str(name.as_str());
            key.push('=');
            vary::escape(&mut key, line.as_bytes());
        }
    }
    Some(Strays { key, firm })
}

impl Strays {
    /// The secondary key of an answer to them; none where it would be longer than a key may be.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        Some(self.key.as_str()).filter(|key| key.len() <= STRAY_KEY_BYTES_MAX)
    }

    /// The key under which others with the same strays may be waited for: those that answers mostly let be go with all.
    #[must_use]
    pub fn flight(&self) -> Option<&str> {
        self.key().filter(|_| self.firm)
    }
}

/// Whether a secondary key is one of strays.
#[must_use]
pub fn is_key(variant: &str) -> bool {
    variant.starts_with(MARK)
}

/// The secondary key that an answer has because of the strays of its request, `None` where they mean nothing to it.
///
/// # Errors
/// There is none that would be safe.
pub fn place(
    config: &Config,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    varies: bool,
) -> Result<Option<String>, NotStored> {
    let Some(strays) = of(&config.keying, request).filter(|strays| strays.count(config, request, response))
    else {
        return Ok(None);
    };
    // What made an origin refuse may be just that field.
    if status.is_client_error() || status.is_server_error() {
        return Err(NotStored::OddRequest);
    }
    match strays.key() {
        Some(key) if !varies => Ok(Some(key.to_owned())),
        _ => Err(NotStored::UnkeyedField),
    }
}

impl Strays {
    /// Whether the answer may have been made by them.
    fn count(&self, config: &Config, request: &HeaderMap, response: &HeaderMap) -> bool {
        let vary = vary::parse(response);
        let named = |name: &HeaderName| matches!(&vary, Vary::Names(names) if names.iter().any(|own| own == name.as_str()));
        if self.firm {
            // An origin that names a field of its own invention in `Vary` is taken at its word for the others
            // (RFC 9111 4.1).
            let own =
                |name: &str| HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| is_invented(&name));
            return !matches!(&vary, Vary::Names(names) if names.iter().any(own));
        }
        let cookie = request.contains_key(COOKIE)
            && is_stray(&config.keying, request, &COOKIE)
            && !named(&COOKIE)
            && !is_for_all(&targeted::directives(config, response));
        let to_all = response.get(ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|to| to == "*");
        let origin = request.contains_key(ORIGIN) && !named(&ORIGIN) && !to_all;
        cookie || origin
    }
}

/// Whether an origin says of an answer in so many words that everybody may have it.
#[must_use]
pub fn is_for_all(said: &Said) -> bool {
    let directives = &said.directives;
    directives.public || directives.s_maxage.is_some() || (said.targeted && directives.has_lifetime())
}

/// Whether no standard knows a field that an origin gets.
fn is_invented(name: &HeaderName) -> bool {
    !is_soft(name) && !is_ordinary(&HeaderMap::new(), name)
}

fn is_soft(name: &HeaderName) -> bool {
    [COOKIE, ORIGIN].contains(name)
}

fn is_stray(keying: &Keying, request: &HeaderMap, name: &HeaderName) -> bool {
    let text = name.as_str();
    if text == "cdn-loop" {
        let known = |member: &[u8]| {
            let id = member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            CDNS.iter().any(|known| id.eq_ignore_ascii_case(known.as_bytes()))
        };
        return !request.get_all(name).iter().all(|line| list(line.as_bytes()).all(known));
    }
    let stays = is_one_of(text, &REQUEST_HOP_BY_HOP)
        || is_one_of(text, &STRIPPED)
        || is_one_of(text, &REWRITTEN)
        || is_of_one_request(text)
        || is_of_content(name);
    let placed = keying.names.iter().any(|known| known == text) || pattern::any(&keying.harmless, text);
    !stays && !placed && !is_ordinary(request, name)
}

/// Fields that name one request or the way it took: a fetch that many share does not carry those of one. What traces
/// requests: W3C Trace Context, B3, and the forms of clouds and vendors.
const OF_ONE_REQUEST: [&str; 14] = [
    "b3",
    "baggage",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "uber-trace-id",
    "x-amzn-trace-id",
    "x-amz-cf-id",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-instana-t",
    "x-request-id",
    "x-request-start",
    "x-trace-id",
];

/// Whether a field is not sent with a fetch that many may share.
#[must_use]
pub fn is_of_one_request(name: &str) -> bool {
    OF_ONE_REQUEST.contains(&name) || name.starts_with("x-b3-") || name.starts_with("x-datadog-")
}

/// The fields of a request as they are sent with a fetch that many may share. `renews`: what is stored already and is
/// asked about; what its request did not carry is not sent then.
#[must_use]
pub fn shared(keying: &Keying, request: &HeaderMap, renews: Option<(&str, &HeaderMap)>) -> HeaderMap {
    let bare = renews.filter(|(variant, _)| !is_key(variant)).map(|(_, stored)| vary::parse(stored));
    let mut sent = HeaderMap::with_capacity(request.len());
    for (name, value) in request {
        let harmless = pattern::any(&keying.harmless, name.as_str());
        let of_one = is_of_one_request(name.as_str()) || (*name == VIA && !is_via(value));
        let named =
            |vary: &Vary| matches!(vary, Vary::Names(names) if names.iter().any(|own| own == name.as_str()));
        let stray = bare.as_ref().is_some_and(|vary| is_stray(keying, request, name) && !named(vary));
        if (of_one && !harmless) || stray {
            continue;
        }
        if [CACHE_CONTROL, PRAGMA].contains(name) {
            append_known(&mut sent, name, value);
        } else {
            sent.append(name.clone(), value.clone());
        }
    }
    sent
}

/// What describes content: part of the key of a QUERY, and sent with no fetch that has none.
fn is_of_content(name: &HeaderName) -> bool {
    name.as_str().starts_with("content-")
}

/// Takes out what describes content, of a fetch that has none (RFC 9110 8).
pub fn without_content(request: &mut HeaderMap) {
    let told: Vec<HeaderName> = request.keys().filter(|name| is_of_content(name)).cloned().collect();
    for name in told {
        request.remove(name);
    }
}

/// `1.1 proxy, HTTP/2 edge.example:443` (RFC 9110 7.6.3), without comments.
fn is_via(value: &HeaderValue) -> bool {
    list(value.as_bytes()).all(|member| {
        let mut parts = member.split(|byte| *byte == b' ');
        let (protocol, by) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:/".contains(byte);
        parts.next().is_none()
            && protocol.last().is_some_and(u8::is_ascii_digit)
            && !by.is_empty()
            && member.iter().all(|byte| *byte == b' ' || word(byte))
    })
}

/// The directives that mean something: a cache need not obey others (RFC 9111 5.2.3), and so need not pass them on.
fn append_known(sent: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if list(value.as_bytes()).all(is_directive) {
        sent.append(name.clone(), value.clone());
        return;
    }
    let known: Vec<&[u8]> = list(value.as_bytes()).filter(|member| is_directive(member)).collect();
    if let Ok(value) = HeaderValue::from_bytes(&known.join(&b", "[..]))
        && !known.is_empty()
    {
        sent.append(name.clone(), value);
    }
}

#[cfg(test)]
mod tests;
