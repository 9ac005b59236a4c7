//! The heads of 304 and 412: what a conditional request gets instead of the body (RFC 9110 13, 15.4.5, 15.5.13).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AGE,
    CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderName};

use super::compress::{self, Coding};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// RFC 9110 15.4.5, then what guides caches beyond it, then what a browser checks on every answer, a 304 too (a page
/// that sends its own `If-None-Match` to another origin sees a failure without them).
const NOT_MODIFIED: [HeaderName; 15] = [
    CACHE_CONTROL,
    CONTENT_LOCATION,
    DATE,
    ETAG,
    EXPIRES,
    VARY,
    CDN_CACHE_CONTROL,
    CACHE_STATUS,
    AGE,
    http::header::VIA,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    CORP,
    TIMING_ALLOW_ORIGIN,
];

/// The head of a 304 from the head the 200 would have had. `coding`: the form the 200 would have had, so that its tag
/// and `Vary` are the same; `None` when the answer is none that is compressed here.
#[must_use]
pub fn not_modified(stored: &HeaderMap, coding: Option<Coding>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    for name in &NOT_MODIFIED {
        copy(stored, name, &mut headers);
    }
    if !headers.contains_key(ETAG) {
        copy(stored, &LAST_MODIFIED, &mut headers);
    }
    if let Some(coding) = coding {
        compress::encode_validators(&mut headers, coding);
    }
    headers
}

/// The head of a 412: what the client could compare with, and nothing of the body.
#[must_use]
pub fn failed(stored: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    for name in [&DATE, &ETAG, &LAST_MODIFIED, &VARY] {
        copy(stored, name, &mut headers);
    }
    headers
}

fn copy(from: &HeaderMap, name: &HeaderName, to: &mut HeaderMap) {
    for value in from.get_all(name) {
        to.append(name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_304_has_the_fields_of_rfc_9110_15_4_5() {
        let stored = head(&[
            ("cache-control", "max-age=1"),
            ("cache-control", "public"),
            ("content-location", "/x"),
            ("date", "d"),
            ("etag", "\"a\""),
            ("expires", "e"),
            ("vary", "origin"),
            ("last-modified", "l"),
            ("content-length", "10"),
            ("content-type", "text/html"),
            ("content-encoding", "br"),
            ("set-cookie", "a=b"),
            ("access-control-allow-origin", "*"),
        ]);
        let expected = head(&[
            ("cache-control", "max-age=1"),
            ("cache-control", "public"),
            ("content-location", "/x"),
            ("date", "d"),
            ("etag", "\"a\""),
            ("expires", "e"),
            ("vary", "origin"),
            ("access-control-allow-origin", "*"),
        ]);
        assert_eq!(not_modified(&stored, None), expected);
    }

    #[test]
    fn last_modified_stands_in_for_a_missing_tag() {
        let stored = head(&[("last-modified", "l"), ("content-type", "text/html")]);
        assert_eq!(not_modified(&stored, None), head(&[("last-modified", "l")]));
    }

    #[test]
    fn the_tag_is_that_of_the_form() {
        let stored = head(&[("etag", "\"a\"")]);
        let gzip = head(&[("etag", "W/\"a\""), ("vary", "Accept-Encoding")]);
        assert_eq!(not_modified(&stored, Some(Coding::Gzip)), gzip);
        let identity = head(&[("etag", "\"a\""), ("vary", "Accept-Encoding")]);
        assert_eq!(not_modified(&stored, Some(Coding::Identity)), identity);
    }

    #[test]
    fn a_412_has_nothing_of_the_body() {
        let stored = head(&[("etag", "\"a\""), ("content-length", "10"), ("content-encoding", "br")]);
        assert_eq!(failed(&stored), head(&[("etag", "\"a\"")]));
    }
}
