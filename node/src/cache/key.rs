//! The text a response is kept under, made from the request: `http://host:port/path?query`.
//!
//! A target is brought into one normal form (RFC 3986 6.2.2), and that form is both the key and what the origin is
//! sent. So two targets that share an entry were the same request to the origin, and no entry can hold the answer to
//! another one's target. The normal form of a normal form is itself.

/// The target cannot be sent on: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadTarget(
    /// What is wrong, for the log.
    pub &'static str,
);

impl std::fmt::Display for BadTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadTarget {}

/// Appends the normal form of a request target to `out`; on an error `out` is as before.
///
/// In the path: escapes of unreserved characters decoded, all others in upper case and never decoded (`%2F` is not
/// `/`), dot segments removed (RFC 3986 5.2.4; an escaped dot is a dot), `//` kept, an empty path made `/`. In the
/// query: the same for escapes, the rest and the order as they are; a query with a broken escape, which browsers do
/// send, is left alone as a whole, because decoding around the break could make up a new escape. Bytes beyond ASCII
/// are escaped. `*` stays `*` (RFC 9110 9.3.7).
///
/// # Errors
/// A target that is not a path, a control character, space or `#`, and in the path a broken escape or `%00`.
pub fn target(uri_path_and_query: &str, out: &mut String) -> Result<(), BadTarget> {
    let bytes = uri_path_and_query.as_bytes();
    if bytes.first() == Some(&b'/') && is_normal(bytes) {
        out.push_str(uri_path_and_query);
        return Ok(());
    }
    let start = out.len();
    let result = normalise(uri_path_and_query, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends `http://host:port/path?query`: the host in lower case, the port always written.
///
/// `scheme`, `host` and `port` are those of the client's request, host and port as [`authority`] splits them, and
/// `target` is in normal form.
pub fn url(scheme: &str, host: &str, port: u16, target: &str, out: &mut String) {
    origin_of(scheme, host, port, target.len(), out);
    out.push_str(target);
}

/// Appends `http://host:port`, with room for a target of `room` bytes behind it: one allocation for the whole key.
pub fn origin_of(scheme: &str, host: &str, port: u16, room: usize, out: &mut String) {
    out.reserve(scheme.len() + host.len() + room + "://:65535".len());
    out.push_str(scheme);
    out.push_str("://");
    let start = out.len();
    out.push_str(host);
    if let Some(host) = out.get_mut(start..) {
        host.make_ascii_lowercase();
    }
    out.push(':');
    out.push_str(itoa::Buffer::new().format(port));
}

/// Splits the value of `Host` or `:authority` into host and port, if there is one; brackets stay with an IPv6 host.
///
/// Stricter than RFC 3986 3.2.2: letters, digits, `.`, `-`, `_` and bracketed addresses only, so that no host can
/// look like a host with a port or a path in a key.
///
/// # Errors
/// Any other character, an empty host, more than 255 bytes, a port that is not 1 to 65535: 400.
pub fn authority(text: &str) -> Result<(&str, Option<u16>), BadTarget> {
    const BAD: BadTarget = BadTarget("not a host");
    let host_end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']').ok_or(BAD)? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    let known = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    if !known || host.is_empty() || host.len() > 255 {
        return Err(BAD);
    }
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        None => Err(BAD),
        // RFC 3986 3.2.3: an empty port is the default one.
        Some("") => Ok((host, None)),
        Some(digits) => {
            let number = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
            Ok((host, Some(number.filter(|port| *port > 0).ok_or(BadTarget("not a port"))?)))
        }
    }
}

const OTHER: u8 = 0;
const UNRESERVED: u8 = 1;
const SPECIAL: u8 = 2;
const FORBIDDEN: u8 = 3;

/// What each byte means to a target (RFC 3986 2.3): copied, looked at twice, or refused.
const CLASS: [u8; 256] = {
    let mut class = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => UNRESERVED,
            0..=b' ' | 0x7f | b'#' => FORBIDDEN,
            b'%' | 0x80.. => SPECIAL,
            _ => OTHER,
        };
        byte += 1;
    }
    class
};

fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// Whether one scan finds nothing to change; a dot that begins a segment is left to the slow way.
fn is_normal(bytes: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in bytes {
        if class(byte) >= SPECIAL || (byte == b'.' && previous == b'/') {
            return false;
        }
        previous = byte;
    }
    true
}

#[cold]
fn normalise(text: &str, out: &mut String) -> Result<(), BadTarget> {
    if text == "*" {
        out.push('*');
        return Ok(());
    }
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    match path.strip_prefix('/') {
        Some(segments) => push_path(segments, out)?,
        None if path.is_empty() => out.push('/'),
        None => return Err(BadTarget("not a path")),
    }
    if let Some(query) = query {
        out.push('?');
        let whole = escapes_are_whole(query.as_bytes());
        push_decoded(query, whole, out)?;
    }
    Ok(())
}

/// RFC 3986 5.2.4, segment by segment, on the end of `out`.
fn push_path(segments: &str, out: &mut String) -> Result<(), BadTarget> {
    let root = out.len();
    let mut ends_in_dots = false;
    for segment in segments.split('/') {
        if !escapes_are_whole(segment.as_bytes()) {
            return Err(BadTarget("broken escape"));
        }
        let start = out.len();
        out.push('/');
        push_decoded(segment, true, out)?;
        let decoded = &out[start + 1..];
        if decoded.contains("%00") {
            return Err(BadTarget("escaped NUL"));
        }
        let dots = if decoded == "." || decoded == ".." { decoded.len() } else { 0 };
        ends_in_dots = dots > 0;
        if dots > 0 {
            out.truncate(start);
        }
        if dots == 2 {
            let parent = out[root..].rfind('/').unwrap_or(0);
            out.truncate(root + parent);
        }
    }
    if ends_in_dots {
        out.push('/');
    }
    Ok(())
}

/// Whether every `%` is followed by two hexadecimal digits.
fn escapes_are_whole(bytes: &[u8]) -> bool {
    let percents = memchr::memchr_iter(b'%', bytes);
    percents.into_iter().all(|at| {
        matches!(bytes.get(at + 1..at + 3), Some([high, low])
        if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
    })
}

/// Copies `text`: escapes of unreserved characters decoded and the others in upper case if `decode`, bytes beyond
/// ASCII escaped in any case.
fn push_decoded(text: &str, decode: bool, out: &mut String) -> Result<(), BadTarget> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match class(byte) {
            FORBIDDEN => return Err(BadTarget("character that no target has")),
            SPECIAL if byte != b'%' => push_escape(byte, out),
            SPECIAL if decode => {
                let digits = bytes.next().zip(bytes.next());
                let decoded = digits.and_then(|(high, low)| Some(hex(high)? << 4 | hex(low)?));
                match decoded.ok_or(BadTarget("broken escape"))? {
                    plain if class(plain) == UNRESERVED => out.push(char::from(plain)),
                    other => push_escape(other, out),
                }
            }
            _ => out.push(char::from(byte)),
        }
    }
    Ok(())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn push_escape(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(text: &str) -> Result<String, BadTarget> {
        let mut out = String::from("kept");
        let result = target(text, &mut out);
        let rest = out.strip_prefix("kept").expect("what was there stays").to_owned();
        result.map(|()| rest).inspect_err(|_| assert_eq!(out, "kept"))
    }

    #[test]
    fn the_normal_form_of_a_target() {
        for (text, form) in [
            ("/", "/"),
            ("", "/"),
            ("?q", "/?q"),
            ("*", "*"),
            ("/a/b.css?v=1&b=%C3%A9", "/a/b.css?v=1&b=%C3%A9"),
            // 6.2.2.2: escapes of unreserved characters
            ("/%7Euser/%41%2d%5f", "/~user/A-_"),
            ("/?%7Euser=%41", "/?~user=A"),
            // 6.2.2.1: the case of hexadecimal digits; reserved characters stay escaped
            ("/a%2fb%3f%23%25", "/a%2Fb%3F%23%25"),
            ("/?a=%2f%26", "/?a=%2F%26"),
            ("/%2541", "/%2541"),
            ("/%2500", "/%2500"),
            // 6.2.2.3: dot segments, also escaped ones
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b/%2e", "/b/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
            ("/a..b/..c/d..", "/a..b/..c/d.."),
            ("/a%2f../b", "/a%2F../b"),
            // empty segments are segments
            ("//", "//"),
            ("/a//b/", "/a//b/"),
            ("/a//../b", "/a/b"),
            ("/..//x", "//x"),
            // the query keeps its dots, order and slashes
            ("/a?b=/../c&a", "/a?b=/../c&a"),
            ("/a?", "/a?"),
            ("/a??b", "/a??b"),
            // a broken escape in the query: nothing there is touched
            ("/a?b=100%&c=%41", "/a?b=100%&c=%41"),
            ("/a?%%34%31", "/a?%%34%31"),
            ("/%41?b=%zz", "/A?b=%zz"),
            // beyond ASCII
            ("/é?ü", "/%C3%A9?%C3%BC"),
            ("/a?%é", "/a?%%C3%A9"),
            // left as they are: neither reserved nor unreserved
            ("/a\\..\\b|{}\"", "/a\\..\\b|{}\""),
        ] {
            assert_eq!(normal(text).as_deref(), Ok(form), "{text}");
        }
    }

    #[test]
    fn a_target_that_cannot_be_sent_on() {
        for text in [
            "a",
            "**",
            "http://a/",
            "/%",
            "/%4",
            "/%zz",
            "/%4/1",
            "/a/%00",
            "/%2500/%00x",
            "/a b",
            "/a\r\nb",
            "/\0",
            "/\x7f",
            "/a#b",
            "/a?b c",
            "/a?\n",
            "/a?b#c",
        ] {
            assert!(normal(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_url_has_a_lower_case_host_and_always_a_port() {
        let mut out = String::new();
        url("https", "WWW.Example.com", 443, "/A?B", &mut out);
        assert_eq!(out, "https://www.example.com:443/A?B");
    }

    #[test]
    fn authorities() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("example.com.", "example.com.", None),
            ("a_b-c:65535", "a_b-c", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:80", "[2001:db8::1]", Some(80)),
            ("example.com:00080", "example.com", Some(80)),
        ] {
            assert_eq!(authority(text), Ok((host, port)), "{text}");
        }
        let long = "a".repeat(256);
        for text in [
            "", ":80", "a/b", "a@b", "a b", "a:b", "a:0", "a:65536", "a:-1", "a:+80", "[::1", "[::g]",
            "[::1]x", "[]", "a:80:90", "a%41", "é", "a,b", "a#b", "a?b", "*", &long,
        ] {
            assert!(authority(text).is_err(), "{text}");
        }
    }

    /// The origin's view of a target, by a slower and plainer way than ours.
    fn meaning(text: &str) -> Vec<u8> {
        percent_encoding::percent_decode_str(text).collect()
    }

    fn targets() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-z.~]{1,3}",
            3 => Just("/".to_owned()),
            2 => Just("..".to_owned()),
            1 => Just("?".to_owned()),
            3 => "%[0-9a-fA-F]{2}",
            2 => prop_oneof![Just("%2e"), Just("%2E"), Just("%2f"), Just("%25"), Just("%41"), Just("%7e")]
                .prop_map(str::to_owned),
            1 => "[%&=;+é\\\\]",
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn the_form_is_its_own_form(text in targets()) {
            if let Ok(form) = normal(&text) {
                prop_assert_eq!(normal(&form), Ok(form.clone()));
                prop_assert!(form.is_ascii());
            }
        }

        #[test]
        fn the_fast_way_and_the_slow_way_agree(text in targets()) {
            let mut slow = String::new();
            let result = normalise(&text, &mut slow);
            prop_assert_eq!(normal(&text), result.map(|()| slow));
        }

        #[test]
        fn any_text_is_normalised_or_refused(text in "\\PC*") {
            if let Ok(form) = normal(&text) {
                prop_assert!(form == "*" || form.starts_with('/'));
                prop_assert!(form.len() <= text.len() * 3 + 1);
            }
        }

        // Where nothing but escapes differs, equal forms decode to equal bytes: no two meanings share an entry.
        #[test]
        fn equal_forms_mean_the_same(one in targets(), other in targets()) {
            let dots = |text: &str| meaning(text).windows(2).any(|pair| pair == b"/.");
            if let (Ok(a), Ok(b)) = (normal(&one), normal(&other))
                && a == b && !dots(&one) && !dots(&other)
            {
                prop_assert_eq!(meaning(&one), meaning(&other));
            }
        }

        #[test]
        fn a_form_keeps_its_meaning(text in targets()) {
            let dots = meaning(&text).windows(2).any(|pair| pair == b"/.");
            if let Ok(form) = normal(&text) && !dots {
                prop_assert_eq!(meaning(&form), meaning(&text));
                let slashes = |text: &str| text.split('?').next().map(|path| path.matches('/').count());
                prop_assert_eq!(slashes(&form), slashes(&text));
            }
        }

        #[test]
        fn different_requests_have_different_keys(
            one in ("[a-z.]{1,4}", 1u16..3, targets()),
            other in ("[a-z.]{1,4}", 1u16..3, targets()),
        ) {
            let key = |(host, port, text): &(String, u16, String)| {
                let mut out = String::new();
                let form = normal(text).ok()?;
                url("http", host, *port, &form, &mut out);
                Some((out, (host.clone(), *port, form)))
            };
            if let (Some((key_one, one)), Some((key_other, other))) = (key(&one), key(&other)) {
                prop_assert_eq!(key_one == key_other, one == other);
            }
        }

        #[test]
        fn no_authority_panics(text in "\\PC{0,12}|[\\[\\]:a0.]{0,8}") {
            if let Ok((host, _)) = authority(&text) {
                prop_assert!(text.starts_with(host));
            }
        }
    }
}
