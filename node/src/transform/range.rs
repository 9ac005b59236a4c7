//! Which bytes a client asked for (RFC 9110 14) and the heads of the answers to it.
//!
//! A field that cannot be read, has another unit or asks for too many pieces is ignored: the whole body is always a
//! right answer (RFC 9110 14.2).

use std::ops::Range;

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::RANGES_MAX;
use crate::policy::partial::First;

/// What a `Range` field asks of a body of known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// No field, or one to be ignored: 200 with the whole body.
    None,
    /// Every range starts behind the end: 416.
    Unsatisfiable,
    /// One piece, possibly of several that touched: 206 with `Content-Range`.
    One(Range<u64>),
    /// Several pieces that do not touch, in the order they were asked for: 206 with [`super::multipart::Multipart`].
    Many(Vec<Range<u64>>),
}

/// Reads `Range` for a body of `len` bytes (RFC 9110 14.1.2, 14.2).
///
/// Overlapping and adjacent ranges become one, at the place of the first (RFC 9110 15.3.7.2). An empty body has no
/// bytes to choose from, so it is sent whole. More than [`RANGES_MAX`] ranges are ignored.
#[must_use]
pub fn parse(header: Option<&HeaderValue>, len: u64) -> Ranges {
    let Some(specs) = header.and_then(|value| byte_specs(value.as_bytes())) else { return Ranges::None };
    if len == 0 {
        return Ranges::None;
    }
    let mut pieces = Pieces::default();
    let mut count = 0;
    for spec in specs.split(|&byte| byte == b',').map(trim) {
        if spec.is_empty() {
            continue; // RFC 9110 5.6.1.2: empty list elements are skipped
        }
        count += 1;
        if count > RANGES_MAX {
            return Ranges::None;
        }
        match satisfy(spec, len) {
            Spec::Invalid => return Ranges::None,
            Spec::Behind => {}
            Spec::Within(from, to) => pieces.add(from, to),
        }
    }
    if count == 0 { Ranges::None } else { pieces.into_ranges() }
}

/// What the first range of a `Range` field asks of a body of unknown length; `None` where the field would be ignored.
#[must_use]
pub fn first(header: Option<&HeaderValue>) -> Option<First> {
    let mut specs = byte_specs(header?.as_bytes())?.split(|&byte| byte == b',').map(trim);
    let spec = specs.find(|spec| !spec.is_empty())?;
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    match (number(&spec[..dash]), number(&spec[dash + 1..])) {
        (Number::Absent, Number::Value(count)) if count > 0 => Some(First::Last(count)),
        (Number::Value(from), Number::Value(last)) if last < from => None,
        (Number::Value(from), Number::Absent | Number::Value(_)) => Some(First::From(from)),
        _ => None,
    }
}

/// `bytes 0-499/1234` for the bytes `range` of `len`; an empty range has no such field and gives `bytes */1234`.
#[must_use]
pub fn content_range(range: &Range<u64>, len: u64) -> HeaderValue {
    match range.end.checked_sub(1) {
        Some(last) if range.start <= last => text(format_args!("bytes {}-{last}/{len}", range.start)),
        _ => text(format_args!("bytes */{len}")),
    }
}

/// Makes the head of a 206 with one range from the head of the 200.
pub fn partial_head(headers: &mut HeaderMap, range: &Range<u64>, len: u64) {
    drop_content_digests(headers);
    headers.insert(CONTENT_RANGE, content_range(range, len));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end.saturating_sub(range.start)));
}

/// The head of a 416 for a body of `len` bytes (RFC 9110 15.5.17).
#[must_use]
pub fn unsatisfiable_head(len: u64) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CONTENT_RANGE, text(format_args!("bytes */{len}")));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers
}

/// Removes the digests that speak of the bytes sent and not of the whole: they are wrong for a part (RFC 9530 2).
pub(super) fn drop_content_digests(headers: &mut HeaderMap) {
    const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
    const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
    headers.remove(CONTENT_MD5);
    headers.remove(CONTENT_DIGEST);
}

/// A field value out of digits and ASCII letters.
pub(super) fn text(arguments: std::fmt::Arguments<'_>) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(arguments.to_string()))
        .expect("made of visible ASCII characters only")
}

/// The list behind `bytes=`; unit names are case-insensitive (RFC 9110 14.1).
fn byte_specs(value: &[u8]) -> Option<&[u8]> {
    let (unit, specs) = value.split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(specs)
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

enum Spec {
    Invalid,
    Behind,
    Within(u64, u64),
}

/// One `first-last`, `first-` or `-suffix` against `len` > 0.
fn satisfy(spec: &[u8], len: u64) -> Spec {
    let Some(dash) = spec.iter().position(|&byte| byte == b'-') else { return Spec::Invalid };
    match (number(&spec[..dash]), number(&spec[dash + 1..])) {
        (Number::Absent, Number::Value(0)) => Spec::Behind,
        (Number::Absent, Number::Value(suffix)) => Spec::Within(len.saturating_sub(suffix), len),
        (Number::Value(first), Number::Value(last)) if last < first => Spec::Invalid,
        (Number::Value(first), Number::Absent | Number::Value(_)) if first >= len => Spec::Behind,
        (Number::Value(first), Number::Absent) => Spec::Within(first, len),
        (Number::Value(first), Number::Value(last)) => Spec::Within(first, last.saturating_add(1).min(len)),
        _ => Spec::Invalid,
    }
}

enum Number {
    Absent,
    Bad,
    Value(u64),
}

/// Digits only; what does not fit is as good as infinite (RFC 9110 14.1.1 asks for care with large numbers).
fn number(digits: &[u8]) -> Number {
    if digits.is_empty() {
        return Number::Absent;
    }
    let mut value = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Number::Bad;
        }
        value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    }
    Number::Value(value)
}

/// Half-open pieces of which no two touch, in the order asked for, on the stack.
#[derive(Default)]
struct Pieces {
    list: [(u64, u64); RANGES_MAX],
    len: usize,
}

impl Pieces {
    /// Joins the new piece with all it touches. One pass is enough: what is here already does not touch each other.
    fn add(&mut self, from: u64, to: u64) {
        let mut joined = (from, to);
        let mut place = None;
        let mut kept = 0;
        for i in 0..self.len {
            let piece = self.list[i];
            if piece.0 <= to && from <= piece.1 {
                joined = (joined.0.min(piece.0), joined.1.max(piece.1));
                if place.is_none() {
                    place = Some(kept);
                    kept += 1;
                }
            } else {
                self.list[kept] = piece;
                kept += 1;
            }
        }
        let place = place.unwrap_or_else(|| {
            kept += 1;
            kept - 1
        });
        self.list[place] = joined;
        self.len = kept;
    }

    fn into_ranges(self) -> Ranges {
        match &self.list[..self.len] {
            [] => Ranges::Unsatisfiable,
            [(from, to)] => Ranges::One(*from..*to),
            many => Ranges::Many(many.iter().map(|(from, to)| *from..*to).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_first_of_a_body_of_unknown_length() {
        for (text, expected) in [
            ("bytes=0-0", Some(First::From(0))),
            ("Bytes= 7-", Some(First::From(7))),
            ("bytes=, ,-5, 0-1", Some(First::Last(5))),
            ("bytes=9-3", None),
            ("bytes=-0", None),
            ("bytes=-", None),
            ("bytes=x-1", None),
            ("bytes=", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(first(Some(&HeaderValue::from_static(text))), expected, "{text}");
        }
        assert_eq!(first(None), None);
    }
    use proptest::prelude::*;

    fn ask(value: &str, len: u64) -> Ranges {
        parse(Some(&HeaderValue::from_bytes(value.as_bytes()).unwrap()), len)
    }

    #[test]
    fn rfc_9110_14() {
        let one = |from: u64, to: u64| Ranges::One(from..to);
        let many = |list: &[(u64, u64)]| Ranges::Many(list.iter().map(|(a, b)| *a..*b).collect());
        let rows: &[(&str, u64, Ranges)] = &[
            // 14.1.2: the examples of the RFC, a body of 10000 bytes
            ("bytes=0-499", 10_000, one(0, 500)),
            ("bytes=500-999", 10_000, one(500, 1000)),
            ("bytes=-500", 10_000, one(9500, 10_000)),
            ("bytes=9500-", 10_000, one(9500, 10_000)),
            ("bytes=0-0,-1", 10_000, many(&[(0, 1), (9999, 10_000)])),
            ("bytes= 0-999, 4500-5499, -1000", 10_000, many(&[(0, 1000), (4500, 5500), (9000, 10_000)])),
            ("bytes=500-600,601-999", 10_000, one(500, 1000)),
            ("bytes=500-700,601-999", 10_000, one(500, 1000)),
            // a last position behind the end is the end; a suffix longer than the body is the body
            ("bytes=5-5000", 10, one(5, 10)),
            ("bytes=-5000", 10, one(0, 10)),
            ("bytes=9-9", 10, one(9, 10)),
            // unsatisfiable: all behind the end; one that fits is enough
            ("bytes=10-", 10, Ranges::Unsatisfiable),
            ("bytes=10-20", 10, Ranges::Unsatisfiable),
            ("bytes=-0", 10, Ranges::Unsatisfiable),
            ("bytes=10-20,-0,99-", 10, Ranges::Unsatisfiable),
            ("bytes=10-20,2-3", 10, one(2, 4)),
            // order asked for is kept; a joined piece takes the first place
            ("bytes=8-9,0-1", 10, many(&[(8, 10), (0, 2)])),
            ("bytes=8-9,0-1,6-7,4-4", 10, many(&[(6, 10), (0, 2), (4, 5)])),
            ("bytes=0-1,4-5,8-9,1-8", 10, one(0, 10)),
            ("bytes=0-1,4-5,8-9,5-8", 10, many(&[(0, 2), (4, 10)])),
            // lists
            ("bytes=,,0-1,\t,", 10, one(0, 2)),
            ("bytes=0-1 , 4-5", 10, many(&[(0, 2), (4, 6)])),
            ("BYTES=0-1", 10, one(0, 2)),
            // numbers without end
            ("bytes=0-99999999999999999999999999999999", 10, one(0, 10)),
            ("bytes=-99999999999999999999999999999999", 10, one(0, 10)),
            ("bytes=99999999999999999999999999999999-", 10, Ranges::Unsatisfiable),
            ("bytes=18446744073709551615-", u64::MAX, Ranges::Unsatisfiable),
            ("bytes=18446744073709551614-18446744073709551615", u64::MAX, one(u64::MAX - 1, u64::MAX)),
            // ignored: unreadable, another unit, nothing asked
            ("bytes=5-4", 10, Ranges::None),
            ("bytes=0-1,5-4", 10, Ranges::None),
            ("bytes=", 10, Ranges::None),
            ("bytes=,", 10, Ranges::None),
            ("bytes=-", 10, Ranges::None),
            ("bytes=--1", 10, Ranges::None),
            ("bytes=+1-2", 10, Ranges::None),
            ("bytes=0 - 1", 10, Ranges::None),
            ("bytes=0-1-2", 10, Ranges::None),
            ("bytes=a-b", 10, Ranges::None),
            ("bytes=1", 10, Ranges::None),
            ("bytes 0-1", 10, Ranges::None),
            ("bytes =0-1", 10, Ranges::None),
            ("items=0-1", 10, Ranges::None),
            ("", 10, Ranges::None),
            // an empty body is sent whole
            ("bytes=0-", 0, Ranges::None),
            ("bytes=-1", 0, Ranges::None),
        ];
        for (value, len, expected) in rows {
            assert_eq!(ask(value, *len), *expected, "{value:?} of {len}");
        }
        assert_eq!(parse(None, 10), Ranges::None);
    }

    #[test]
    fn too_many_ranges_are_the_whole_body() {
        let list = |count: usize| {
            let specs: Vec<String> = (0..count).map(|i| format!("{}-{}", i * 3, i * 3)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert!(matches!(ask(&list(RANGES_MAX), 1000), Ranges::Many(many) if many.len() == RANGES_MAX));
        assert_eq!(ask(&list(RANGES_MAX + 1), 1000), Ranges::None);
        assert_eq!(ask(&format!("bytes={}", "0-,".repeat(8000)), 1000), Ranges::None);
    }

    #[test]
    fn heads() {
        assert_eq!(content_range(&(0..500), 1234), "bytes 0-499/1234");
        assert_eq!(content_range(&(0..0), 1234), "bytes */1234");
        assert_eq!(unsatisfiable_head(7)[CONTENT_RANGE], "bytes */7");
        let mut headers = HeaderMap::new();
        headers.insert("content-md5", HeaderValue::from_static("x"));
        headers.insert("repr-digest", HeaderValue::from_static("sha-256=:x:"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("1234"));
        partial_head(&mut headers, &(10..15), 1234);
        assert_eq!(headers[CONTENT_LENGTH], "5");
        assert_eq!(headers[CONTENT_RANGE], "bytes 10-14/1234");
        assert!(headers.contains_key("repr-digest") && !headers.contains_key("content-md5"));
    }

    /// The model: which of the `len` bytes were asked for, byte by byte.
    fn model(specs: &[(Option<u64>, Option<u64>)], len: u64) -> Option<Vec<bool>> {
        let mut asked = vec![false; usize::try_from(len).unwrap()];
        for spec in specs {
            for (position, asked) in (0_u64..).zip(&mut asked) {
                *asked |= match *spec {
                    (Some(first), Some(last)) if last < first => return None,
                    (Some(first), last) => first <= position && position <= last.unwrap_or(u64::MAX),
                    (None, Some(suffix)) => position >= len.saturating_sub(suffix),
                    (None, None) => return None,
                };
            }
        }
        Some(asked)
    }

    proptest! {
        #[test]
        fn same_bytes_as_the_model(
            specs in prop::collection::vec((prop::option::of(0_u64..40), prop::option::of(0_u64..40)), 1..=RANGES_MAX),
            len in 1_u64..32,
        ) {
            let show = |number: &Option<u64>| number.map_or(String::new(), |n| n.to_string());
            let list: Vec<String> = specs.iter().map(|(a, b)| format!("{}-{}", show(a), show(b))).collect();
            let found = match ask(&format!("bytes={}", list.join(",")), len) {
                Ranges::None => None,
                Ranges::Unsatisfiable => Some(vec![]),
                Ranges::One(range) => Some(vec![range]),
                Ranges::Many(many) => { prop_assert!(many.len() > 1); Some(many) }
            };
            let covered = found.map(|ranges| {
                let mut covered = vec![false; usize::try_from(len).unwrap()];
                for range in &ranges {
                    assert!(range.start < range.end && range.end <= len, "{range:?}");
                    for position in range.clone() {
                        let byte = &mut covered[usize::try_from(position).unwrap()];
                        assert!(!*byte, "twice");
                        *byte = true;
                    }
                    assert!(ranges.iter().all(|other| other == range || other.end < range.start || range.end < other.start));
                }
                covered
            });
            prop_assert_eq!(covered, model(&specs, len));
        }

        #[test]
        fn never_panics(value in prop::collection::vec(prop::sample::select(&b"bytes=0-19, \tx"[..]), 0..60), len in any::<u64>()) {
            let mut value = value;
            value.splice(0..0, *b"bytes=");
            let _ = parse(Some(&HeaderValue::from_bytes(&value).unwrap()), len);
        }
    }
}
