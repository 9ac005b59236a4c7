//! What an answer's head must be like (RFC 9112 6.3), and what it says about its connection.

use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, response};

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Only the end of the connection says that the body is whole.
    pub(super) close_delimited: bool,
    /// The connection may serve another request afterwards.
    pub(super) reusable: bool,
}

/// Judges a head before anything of it is believed. hyper has refused what it cannot parse, differing lengths (where
/// it expects a body) and `Transfer-Encoding` in HTTP/1.0; it lets pass what two parsers may read in two ways.
///
/// # Errors
/// Why the answer is refused.
pub(super) fn judge(head: &response::Parts, method: &Method) -> Result<Shape, &'static str> {
    let switched = head.extensions.get::<hyper::upgrade::OnUpgrade>().is_some();
    if switched || head.status.is_informational() {
        return Err("it switches protocols though nobody asked");
    }
    let chunked = chunked(&head.headers)?;
    let length = content_length(&head.headers)?;
    if chunked && length.is_some() {
        return Err("it has both Content-Length and Transfer-Encoding");
    }
    if chunked && head.version != Version::HTTP_11 {
        return Err("it has Transfer-Encoding in HTTP/1.0");
    }
    let never_a_body = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let bodiless = never_a_body || *method == Method::HEAD;
    let close_delimited = !bodiless && !chunked && length.is_none();
    // An origin that announces a body where none can be may send one.
    let suspicious = (never_a_body && chunked)
        || (head.status == StatusCode::NO_CONTENT && length.is_some_and(|length| length > 0));
    let reusable =
        head.version == Version::HTTP_11 && !close_delimited && !suspicious && !says_close(&head.headers);
    Ok(Shape { close_delimited, reusable })
}

/// Leaves one spelling of the length; none on a 204 (RFC 9110 8.6).
pub(super) fn settle_length(head: &mut response::Parts) {
    if head.status == StatusCode::NO_CONTENT {
        head.headers.remove(CONTENT_LENGTH);
    } else if let Ok(Some(length)) = content_length(&head.headers) {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn chunked(headers: &HeaderMap) -> Result<bool, &'static str> {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err("its Transfer-Encoding is not just chunked"),
    }
}

/// The length all lines and list members agree on (RFC 9112 6.3: a list of equal values may be taken as one).
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    const BAD: &str = "its Content-Length is not one number";
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for member in value.as_bytes().split(|byte| *byte == b',') {
            let member = number(member.trim_ascii()).ok_or(BAD)?;
            if length.is_some_and(|length| length != member) {
                return Err(BAD);
            }
            length = Some(member);
        }
    }
    Ok(length)
}

/// Digits only; the standard parser would take a sign.
fn number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// How long the origin lets this connection lie unused, by its `Keep-Alive: timeout=SECONDS` (RFC 2068 19.7.1.1), less
/// the second in which it may be closing while the next request is on its way. That request is lost if it has a body.
pub(super) fn patience(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("keep-alive").iter().filter_map(|value| value.to_str().ok());
    let mut parameters =
        values.flat_map(|value| value.split(',')).filter_map(|one| one.trim().split_once('='));
    let (_, seconds) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    let seconds = number(seconds.trim().as_bytes())?;
    Some(Duration::from_secs(seconds.saturating_sub(1)))
}

fn says_close(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_connection_may_lie_unused() {
        let rows: [(&[&'static str], Option<u64>); 9] = [
            (&[], None),
            (&["timeout=5"], Some(4)),
            (&["timeout=5, max=1000"], Some(4)),
            (&["max=1000", "Timeout = 60"], Some(59)),
            (&["timeout=1"], Some(0)),
            (&["timeout=0"], Some(0)),
            (&["timeout=soon"], None),
            (&["max=7"], None),
            (&["timeout"], None),
        ];
        for (values, wanted) in rows {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("keep-alive", HeaderValue::from_static(value));
            }
            assert_eq!(patience(&headers), wanted.map(Duration::from_secs), "{values:?}");
        }
    }

    fn head(version: Version, status: u16, fields: &[(&'static str, &'static str)]) -> response::Parts {
        let mut head = http::Response::new(()).into_parts().0;
        head.version = version;
        head.status = StatusCode::from_u16(status).expect("three digits");
        for (name, value) in fields {
            head.headers.append(*name, HeaderValue::from_static(value));
        }
        head
    }

    const KEPT: Result<(bool, bool), &str> = Ok((false, true));
    const CLOSED: Result<(bool, bool), &str> = Ok((false, false));
    const BY_CLOSE: Result<(bool, bool), &str> = Ok((true, false));

    #[test]
    fn heads() {
        const BOTH: &str = "it has both Content-Length and Transfer-Encoding";
        const CODING: &str = "its Transfer-Encoding is not just chunked";
        const LENGTH: &str = "its Content-Length is not one number";
        const SWITCH: &str = "it switches protocols though nobody asked";
        const OLD: &str = "it has Transfer-Encoding in HTTP/1.0";
        type Row =
            (&'static str, u16, &'static [(&'static str, &'static str)], Result<(bool, bool), &'static str>);
        let rows: &[Row] = &[
            ("GET", 200, &[("content-length", "5")], KEPT),
            ("GET", 200, &[("content-length", "5"), ("content-length", "5")], KEPT),
            ("GET", 200, &[("content-length", "5, 5")], KEPT),
            ("GET", 200, &[("content-length", "5"), ("content-length", "6")], Err(LENGTH)),
            ("HEAD", 200, &[("content-length", "5, 6")], Err(LENGTH)),
            ("GET", 304, &[("content-length", "+5")], Err(LENGTH)),
            ("GET", 200, &[("content-length", "")], Err(LENGTH)),
            ("GET", 200, &[("content-length", "5,")], Err(LENGTH)),
            ("GET", 200, &[("content-length", "99999999999999999999")], Err(LENGTH)),
            ("GET", 200, &[("transfer-encoding", "chunked")], KEPT),
            ("GET", 200, &[("transfer-encoding", "Chunked")], KEPT),
            ("GET", 200, &[("transfer-encoding", "chunked"), ("content-length", "5")], Err(BOTH)),
            ("HEAD", 200, &[("transfer-encoding", "chunked"), ("content-length", "5")], Err(BOTH)),
            ("GET", 200, &[("transfer-encoding", "gzip, chunked")], Err(CODING)),
            ("GET", 200, &[("transfer-encoding", "chunked, chunked")], Err(CODING)),
            ("GET", 200, &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Err(CODING)),
            ("GET", 200, &[("transfer-encoding", "identity")], Err(CODING)),
            ("GET", 200, &[("transfer-encoding", "xchunked")], Err(CODING)),
            ("GET", 200, &[], BY_CLOSE),
            ("HEAD", 200, &[], KEPT),
            ("GET", 204, &[], KEPT),
            ("GET", 304, &[("content-length", "5")], KEPT),
            ("GET", 204, &[("content-length", "0")], KEPT),
            ("GET", 204, &[("content-length", "5")], CLOSED),
            ("GET", 304, &[("transfer-encoding", "chunked")], CLOSED),
            ("GET", 200, &[("content-length", "5"), ("connection", "x, Close")], CLOSED),
            (
                "GET",
                200,
                &[("content-length", "5"), ("connection", "keep-alive"), ("connection", "close")],
                CLOSED,
            ),
            ("GET", 101, &[], Err(SWITCH)),
        ];
        for (method, status, fields, expected) in rows {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let judged = judge(&head(Version::HTTP_11, *status, fields), &method);
            let judged = judged.map(|shape| (shape.close_delimited, shape.reusable));
            assert_eq!(judged, *expected, "{method} {status} {fields:?}");
        }
        let old = |fields| judge(&head(Version::HTTP_10, 200, fields), &Method::GET);
        assert_eq!(old(&[]).map(|shape| (shape.close_delimited, shape.reusable)), BY_CLOSE);
        assert_eq!(
            old(&[("content-length", "5"), ("connection", "keep-alive")])
                .map(|shape| (shape.close_delimited, shape.reusable)),
            CLOSED,
            "HTTP/1.0 connections are not kept"
        );
        assert_eq!(old(&[("transfer-encoding", "chunked")]), Err(OLD));
    }

    #[test]
    fn one_spelling_of_the_length_is_left() {
        for (status, value, expected) in [(200, "5, 5", Some("5")), (304, "07", Some("7")), (204, "5", None)]
        {
            let mut head = head(Version::HTTP_11, status, &[("content-length", value)]);
            settle_length(&mut head);
            let left: Vec<_> = head.headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(left, expected.into_iter().collect::<Vec<_>>(), "{status} {value}");
        }
    }
}
