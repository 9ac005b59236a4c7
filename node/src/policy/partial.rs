//! Parts of an answer: what to ask for, and what a 206 is (RFC 9110 14, 15.3.7; RFC 9111 3.3, 3.4).

use std::ops::Range;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue};

use super::etag;

/// A part that the origin is asked for before it is known how long the whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The block with this number.
    Block(u64),
    /// So many last bytes.
    Last(u64),
}

/// What a client wants first, before it is known how long the whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// From this byte on.
    From(u64),
    /// So many last bytes.
    Last(u64),
}

impl Ask {
    /// What to ask for, for a client that wants `first`: the block that it begins in. The end of a body whose length is
    /// not known is asked for as it is while it is no larger than a block.
    #[must_use]
    pub const fn of(first: First, size: u64) -> Self {
        match first {
            First::From(at) => Self::Block(at / size),
            First::Last(count) if count <= size => Self::Last(count),
            First::Last(_) => Self::Block(0),
        }
    }

    /// What to ask for when there is nothing at this place (416): the beginning, which tells how long the whole is.
    /// `None`: there is no beginning either.
    #[must_use]
    pub const fn instead(self) -> Option<Self> {
        match self {
            Self::Block(number) if number > 0 => Some(Self::Block(0)),
            Self::Block(_) | Self::Last(_) => None,
        }
    }

    /// The `Range` field.
    #[must_use]
    pub fn field(self, size: u64) -> HeaderValue {
        match self {
            Self::Block(number) => {
                let from = number.saturating_mul(size);
                text(format_args!("bytes={from}-{}", from.saturating_add(size - 1)))
            }
            Self::Last(count) => text(format_args!("bytes=-{count}")),
        }
    }
}

/// The `Range` field for the bytes `range` of `complete`; what reaches to the end is asked for without one.
#[must_use]
pub fn range_field(range: &Range<u64>, complete: u64) -> HeaderValue {
    match range.end {
        end if end >= complete => text(format_args!("bytes={}-", range.start)),
        end => text(format_args!("bytes={}-{}", range.start, end.saturating_sub(1))),
    }
}

fn text(arguments: std::fmt::Arguments<'_>) -> HeaderValue {
    HeaderValue::from_str(&arguments.to_string()).unwrap_or_else(|_| HeaderValue::from_static("bytes=0-"))
}

/// What a 206 carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// These bytes.
    pub range: Range<u64>,
    /// Of so many.
    pub complete: u64,
}

impl Part {
    /// Whether it is all there is: then it is as good as a 200 (RFC 9111 3.4).
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.range.start == 0 && self.range.end == self.complete
    }
}

/// The one part that a 206 with these fields and a body of `length` bytes, where that is known, carries. `None` where
/// it does not say, says it in two ways, carries several parts, or has not as many bytes as it says: nobody could tell
/// which bytes those are (RFC 9110 14.4, 15.3.7).
#[must_use]
pub fn part(response: &HeaderMap, length: Option<u64>) -> Option<Part> {
    let mut lines = response.get_all(CONTENT_RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let part = content_range(line.as_bytes())?;
    let several = response.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().trim_ascii_start();
        kind.get(.."multipart/byteranges".len())
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/byteranges"))
    });
    let bytes = part.range.end - part.range.start;
    (!several && length.is_none_or(|length| length == bytes)).then_some(part)
}

/// `bytes first-last/complete` with a known complete length (RFC 9110 14.4).
fn content_range(value: &[u8]) -> Option<Part> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let (unit, rest) = value.split_once(' ')?;
    let (range, complete) = rest.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, complete) = (number(first)?, number(last)?, number(complete)?);
    let end = last.checked_add(1)?;
    let sane = unit.eq_ignore_ascii_case("bytes") && first <= last && end <= complete;
    sane.then_some(Part { range: first..end, complete })
}

fn number(digits: &str) -> Option<u64> {
    let digits = digits.trim();
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The strong validator that binds parts together (RFC 9111 3.4, RFC 9110 8.8.1): a strong `ETag`. A `Last-Modified`
/// is none for us: within its second there may be two versions.
#[must_use]
pub fn strong(response: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = response.get_all(ETAG).iter();
    let (Some(tag), None) = (lines.next(), lines.next()) else { return None };
    etag::is_strong(tag.as_bytes()).then_some(tag)
}

/// Whether a part with these fields belongs to the stored answer: they share a strong validator.
#[must_use]
pub fn belongs(stored: &HeaderMap, response: &HeaderMap) -> bool {
    match (strong(stored), strong(response)) {
        (Some(one), Some(other)) => etag::strong_eq(one.as_bytes(), other.as_bytes()),
        _ => false,
    }
}

/// The fields that the whole would have: those of one of its parts, without what is about the part (RFC 9110 14.4,
/// RFC 9530 2).
pub fn to_whole(headers: &mut HeaderMap, complete: u64) {
    headers.remove(CONTENT_RANGE);
    for digest in ["content-md5", "content-digest"] {
        headers.remove(digest);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(complete));
}

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    #[test]
    fn what_a_206_carries() {
        for (head, length, expected) in [
            ("Content-Range: bytes 5-9/10", Some(5), Some((5..10, 10))),
            ("Content-Range: Bytes 0-0/1", None, Some((0..1, 1))),
            ("Content-Range:  bytes  0-4/10 ", Some(5), Some((0..5, 10))),
            // Six bytes said, five there: which five?
            ("Content-Range: bytes 4-9/10", Some(5), None),
            ("Content-Range: bytes 5-9/*", Some(5), None),
            ("Content-Range: bytes */10", None, None),
            ("Content-Range: bytes 5-10/10", None, None),
            ("Content-Range: bytes 5-4/10", None, None),
            ("Content-Range: items 5-9/10", None, None),
            ("Content-Range: bytes +5-9/10", None, None),
            ("Content-Range: bytes -5-9/10", None, None),
            ("Content-Range: bytes 5-9", None, None),
            ("Content-Range: bytes 0-18446744073709551615/18446744073709551615", None, None),
            ("Content-Range: bytes 0-4/10|Content-Range: bytes 5-9/10", None, None),
            ("Content-Range: bytes 0-4/10|Content-Type: Multipart/ByteRanges; boundary=x", None, None),
            ("Content-Type: text/plain", None, None),
        ] {
            let found = part(&fields(head), length).map(|part| (part.range, part.complete));
            assert_eq!(found, expected, "{head}");
        }
    }

    #[test]
    fn what_is_asked_for() {
        for (first, ask, field, instead) in [
            (First::From(0), Ask::Block(0), "bytes=0-3", None),
            (First::From(9), Ask::Block(2), "bytes=8-11", Some(Ask::Block(0))),
            (First::From(u64::MAX), Ask::Block(u64::MAX / 4), "", Some(Ask::Block(0))),
            (First::Last(4), Ask::Last(4), "bytes=-4", None),
            (First::Last(5), Ask::Block(0), "bytes=0-3", None),
        ] {
            assert_eq!(Ask::of(first, 4), ask, "{first:?}");
            assert_eq!(ask.instead(), instead, "{first:?}");
            assert!(field.is_empty() || ask.field(4) == field, "{first:?}");
        }
        assert_eq!(range_field(&(4..8), 10), "bytes=4-7");
        assert_eq!(range_field(&(5..10), 10), "bytes=5-");
    }

    #[test]
    fn parts_share_a_strong_validator_or_nothing() {
        for (one, other, expected) in [
            ("ETag: \"a\"", "ETag: \"a\"", true),
            ("ETag: \"a\"", "ETag: \"b\"", false),
            ("ETag: \"a\"", "ETag: W/\"a\"", false),
            ("ETag: W/\"a\"", "ETag: W/\"a\"", false),
            ("ETag: \"a\"", "ETag: \"a\"|ETag: \"b\"", false),
            ("Last-Modified: x", "Last-Modified: x", false),
            ("", "", false),
        ] {
            assert_eq!(belongs(&fields(one), &fields(other)), expected, "{one} and {other}");
        }
    }

    #[test]
    fn the_head_of_the_whole_says_nothing_of_the_part() {
        let mut head = fields("Content-Range: bytes 0-4/10|Content-MD5: x|Content-Length: 5|ETag: \"a\"");
        to_whole(&mut head, 10);
        assert_eq!(head, fields("ETag: \"a\"|Content-Length: 10"));
    }
}
