//! The text of one line: JSON, or combined as nginx writes it. Whatever bytes a client sent, it is exactly one line.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use http::{Method, StatusCode, Version};

use crate::clock::Timestamp;
use crate::clock::{push_common, push_digits, push_rfc3339};
use crate::limits::ACCESS_LOG_FIELD_BYTES_MAX;
use crate::status::{Forward, NotStored, Served};

/// What is known of an exchange at its last byte. Fields without a value are left out of JSON.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// When the request head was complete.
    pub time: Timestamp,
    /// The site's name; empty when none matched.
    pub site: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// The request's method.
    pub method: &'a Method,
    /// The authority asked for, as the client wrote it.
    pub host: &'a [u8],
    /// Path and query as the client wrote them.
    pub target: &'a [u8],
    /// The request's version.
    pub protocol: Version,
    /// Whether the client came over TLS.
    pub tls: bool,
    /// The answer's status.
    pub status: StatusCode,
    /// Bytes of the answer's body given to the connection.
    pub bytes: u64,
    /// Whether that is all of it; otherwise the client left or the body was cut.
    pub complete: bool,
    /// From the request head to the last byte given to the connection.
    pub duration: Duration,
    /// From the request head to the answer's head.
    pub first_byte: Option<Duration>,
    /// How it was served.
    pub served: Served,
    /// Why it went to the origin.
    pub forward: Option<Forward>,
    /// Why the answer was not stored.
    pub not_stored: Option<NotStored>,
    /// Whether another one's fetch answered it.
    pub collapsed: bool,
    /// What failed or who refused, in the words of `error::Kind` and of the filters; or how the body was cut.
    pub detail: Option<&'a str>,
    /// The origin endpoint that answered.
    pub endpoint: Option<&'a str>,
    /// From asking the endpoint to its first byte.
    pub origin: Option<Duration>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
}

impl Line<'_> {
    /// Appends one JSON object and a line feed.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        push_rfc3339(out, self.time);
        out.push(b'"');
        text(out, "site", self.site.as_bytes());
        out.extend_from_slice(b",\"client\":\"");
        push_display(out, self.client);
        out.push(b'"');
        text(out, "method", self.method.as_str().as_bytes());
        text(out, "host", self.host);
        text(out, "target", self.target);
        text(out, "protocol", protocol(self.protocol).as_bytes());
        flag(out, "tls", self.tls);
        number(out, "status", u64::from(self.status.as_u16()));
        number(out, "bytes", self.bytes);
        flag(out, "complete", self.complete);
        millis(out, "duration_ms", self.duration);
        if let Some(first_byte) = self.first_byte {
            millis(out, "first_byte_ms", first_byte);
        }
        text(out, "served", self.served.as_str().as_bytes());
        if let Some(forward) = self.forward {
            text(out, "fwd", forward.as_str().as_bytes());
        }
        if let Some(not_stored) = self.not_stored {
            text(out, "not_stored", not_stored.as_str().as_bytes());
        }
        if self.collapsed {
            flag(out, "collapsed", true);
        }
        if let Some(origin) = self.origin {
            millis(out, "origin_ms", origin);
        }
        let texts = [
            ("detail", self.detail.map(str::as_bytes)),
            ("endpoint", self.endpoint.map(str::as_bytes)),
            ("referer", self.referer),
            ("user_agent", self.user_agent),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                text(out, name, value);
            }
        }
        out.extend_from_slice(b"}\n");
    }

    /// Appends `client - - [time] "request" status bytes "referer" "user agent"` and a line feed.
    pub(super) fn write_combined(&self, out: &mut Vec<u8>) {
        push_display(out, self.client);
        out.extend_from_slice(b" - - [");
        push_common(out, self.time);
        out.extend_from_slice(b"] \"");
        push_hex_escaped(out, self.method.as_str().as_bytes());
        out.push(b' ');
        push_hex_escaped(out, self.target);
        out.push(b' ');
        out.extend_from_slice(protocol(self.protocol).as_bytes());
        out.extend_from_slice(b"\" ");
        push_digits(out, u64::from(self.status.as_u16()), 3);
        out.push(b' ');
        push_digits(out, self.bytes, 1);
        for field in [self.referer, self.user_agent] {
            out.extend_from_slice(b" \"");
            push_hex_escaped(out, field.filter(|field| !field.is_empty()).unwrap_or(b"-"));
            out.push(b'"');
        }
        out.push(b'\n');
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP",
    }
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number(out: &mut Vec<u8>, key: &str, number: u64) {
    name(out, key);
    push_digits(out, number, 1);
}

fn flag(out: &mut Vec<u8>, key: &str, flag: bool) {
    name(out, key);
    out.extend_from_slice(if flag { b"true" } else { b"false" });
}

/// Milliseconds with three digits behind the point.
fn millis(out: &mut Vec<u8>, key: &str, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    number(out, key, micros / 1_000);
    out.push(b'.');
    push_digits(out, micros % 1_000, 3);
}

fn text(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    name(out, key);
    out.push(b'"');
    for chunk in value[..value.len().min(ACCESS_LOG_FIELD_BYTES_MAX)].utf8_chunks() {
        push_json_escaped(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

/// Escapes what JSON must (RFC 8259 7), and whatever some reader takes for the end of a line or a terminal for a
/// command: DEL, the C1 controls, LINE SEPARATOR and PARAGRAPH SEPARATOR.
fn push_json_escaped(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..=' ' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' if character != ' ' => {
                push_format(out, format_args!("\\u{:04x}", u32::from(character)));
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// nginx's default escaping: quote, backslash and all outside printable ASCII as `\xHH`.
fn push_hex_escaped(out: &mut Vec<u8>, value: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in &value[..value.len().min(ACCESS_LOG_FIELD_BYTES_MAX)] {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => {
                out.extend_from_slice(&[
                    b'\\',
                    b'x',
                    HEX[usize::from(byte >> 4)],
                    HEX[usize::from(byte & 15)],
                ]);
            }
            _ => out.push(byte),
        }
    }
}

fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    push_format(out, format_args!("{value}"));
}

fn push_format(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing into a vector cannot fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    pub(in crate::access_log) fn example() -> Line<'static> {
        Line {
            time: Timestamp(1_795_420_800_123),
            site: "www.example.com",
            client: IpAddr::from([192, 0, 2, 1]),
            method: &Method::GET,
            host: b"www.example.com:8080",
            target: b"/a?b=c",
            protocol: Version::HTTP_11,
            tls: true,
            status: StatusCode::OK,
            bytes: 1234,
            complete: true,
            duration: Duration::from_micros(1_234_567),
            first_byte: None,
            served: Served::Hit,
            forward: None,
            not_stored: None,
            collapsed: false,
            detail: None,
            endpoint: None,
            origin: None,
            referer: None,
            user_agent: None,
        }
    }

    fn full() -> Line<'static> {
        Line {
            first_byte: Some(Duration::from_micros(5)),
            served: Served::Miss,
            forward: Some(Forward::UriMiss),
            not_stored: Some(NotStored::VaryStar),
            collapsed: true,
            detail: Some("body-cut"),
            endpoint: Some("http://127.0.0.1:9000"),
            origin: Some(Duration::from_millis(30)),
            referer: Some(b"http://r/"),
            user_agent: Some(b"curl/8"),
            ..example()
        }
    }

    fn json_line(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        line.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn combined(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        line.write_combined(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_as_documented() {
        assert_eq!(
            json_line(&example()),
            "{\"time\":\"2026-11-23T08:00:00.123Z\",\"site\":\"www.example.com\",\"client\":\"192.0.2.1\",\
             \"method\":\"GET\",\"host\":\"www.example.com:8080\",\"target\":\"/a?b=c\",\"protocol\":\"HTTP/1.1\",\
             \"tls\":true,\"status\":200,\"bytes\":1234,\"complete\":true,\"duration_ms\":1234.567,\
             \"served\":\"hit\"}\n"
        );
        let expected = json!({
            "time": "2026-11-23T08:00:00.123Z", "site": "www.example.com", "client": "192.0.2.1", "method": "GET",
            "host": "www.example.com:8080", "target": "/a?b=c", "protocol": "HTTP/1.1", "tls": true, "status": 200,
            "bytes": 1234, "complete": true, "duration_ms": 1234.567, "first_byte_ms": 0.005, "served": "miss",
            "fwd": "uri-miss", "not_stored": "vary-star", "collapsed": true, "origin_ms": 30.0,
            "detail": "body-cut", "endpoint": "http://127.0.0.1:9000", "referer": "http://r/", "user_agent": "curl/8",
        });
        assert_eq!(serde_json::from_str::<Value>(&json_line(&full())).unwrap(), expected);
    }

    #[test]
    fn combined_as_nginx_writes_it() {
        assert_eq!(
            combined(&example()),
            "192.0.2.1 - - [23/Nov/2026:08:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234 \"-\" \"-\"\n"
        );
        let line = Line { referer: Some(b""), user_agent: Some(b"a\"b\\c\nd\xff\x7f"), ..full() };
        assert!(combined(&line).ends_with("200 1234 \"-\" \"a\\x22b\\x5Cc\\x0Ad\\xFF\\x7F\"\n"));
    }

    #[test]
    fn json_escapes() {
        let rows: [(&[u8], &str); 6] = [
            (b"a\"b\\c", r#"a\"b\\c"#),
            (b"\0\n\r\t\x1b\x7f", r"\u0000\n\r\t\u001b\u007f"),
            ("\u{85}\u{2028}\u{2029}".as_bytes(), r"\u0085\u2028\u2029"),
            ("\u{e4}\u{1f980} x".as_bytes(), "\u{e4}\u{1f980} x"),
            (b"a\xff\xfeb", "a\u{fffd}\u{fffd}b"),
            (b"cut \xe2\x80", "cut \u{fffd}"),
        ];
        for (bytes, expected) in rows {
            let text = json_line(&Line { target: bytes, ..example() });
            assert!(text.contains(&format!("\"target\":\"{expected}\",")), "{text}");
        }
    }

    #[test]
    fn long_fields_are_cut_off() {
        let long = vec![b'"'; 100_000];
        let line =
            Line { target: &long, host: &long, referer: Some(&long), user_agent: Some(&long), ..example() };
        assert!(json_line(&line).len() < 8 * ACCESS_LOG_FIELD_BYTES_MAX + 1000);
        assert!(combined(&line).len() < 13 * ACCESS_LOG_FIELD_BYTES_MAX + 1000);
        let value: Value = serde_json::from_str(&json_line(&line)).unwrap();
        assert_eq!(value["target"].as_str().unwrap().len(), ACCESS_LOG_FIELD_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_field_are_one_valid_line(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            text in "\\PC*|.*",
            numbers in any::<(u64, u64)>(),
        ) {
            let line = Line {
                time: Timestamp(numbers.0), bytes: numbers.1, duration: Duration::from_micros(numbers.0),
                site: &text, host: &bytes, target: &bytes, detail: Some(&text), endpoint: Some(&text),
                referer: Some(&bytes), user_agent: Some(&bytes), ..example()
            };
            let json = json_line(&line);
            let value: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(value["target"].as_str().unwrap(), String::from_utf8_lossy(&bytes));
            prop_assert_eq!(value["detail"].as_str().unwrap(), &text);
            let ends = |text: &str| text.chars().filter(|c| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')).count();
            prop_assert_eq!(ends(&json), 1);
            let combined = combined(&line);
            prop_assert_eq!(ends(&combined), 1);
            prop_assert!(combined.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
            prop_assert_eq!(combined.matches('"').count(), 6);
        }
    }
}
