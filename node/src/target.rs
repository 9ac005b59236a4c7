//! The normal form of a request target (RFC 3986 6.2.2), which is what keys are made of and what the origin is sent.

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

/// What the normal forms of all targets that begin with `text`, a beginning of a target, begin with: one text, or two
/// where only the rest of the query decides how its escapes are written.
///
/// # Errors
/// As [`target`], and for a beginning that ends inside an escape: no normal form does.
pub fn beginnings(text: &str) -> Result<Vec<String>, BadTarget> {
    if matches!(text.as_bytes(), [.., b'%'] | [.., b'%', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F']) {
        return Err(BadTarget("ends inside an escape, which takes two digits behind the %"));
    }
    let Some((path, query)) = text.split_once('?') else {
        let mut out = String::new();
        push_path(text.strip_prefix('/').ok_or(BadTarget("not a path"))?, true, &mut out)?;
        return Ok(vec![out]);
    };
    let mut told = String::new();
    normalise(path, &mut told)?;
    told.push('?');
    let mut decoded = told.clone();
    push_decoded(query, false, &mut told)?;
    if escapes_are_whole(query.as_bytes()) {
        push_decoded(query, true, &mut decoded)?;
        if decoded != told {
            return Ok(vec![decoded, told]);
        }
    }
    Ok(vec![told])
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
        Some(segments) => push_path(segments, false, out)?,
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

/// RFC 3986 5.2.4, segment by segment, on the end of `out`. `open`: the last segment may go on, so its dots are none yet.
fn push_path(segments: &str, open: bool, out: &mut String) -> Result<(), BadTarget> {
    let root = out.len();
    let mut ends_in_dots = false;
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
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
        let goes_on = open && segments.peek().is_none();
        let dots = if !goes_on && (decoded == "." || decoded == "..") { decoded.len() } else { 0 };
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
    fn the_beginning_of_a_target() {
        let rows: [(&str, &[&str]); 17] = [
            ("/", &["/"]),
            ("/caf%c3%a9", &["/caf%C3%A9"]),
            ("/café/x", &["/caf%C3%A9/x"]),
            ("/caf%c3", &["/caf%C3"]),
            ("/%7Eu", &["/~u"]),
            ("/a/../b", &["/b"]),
            ("/a/./", &["/a/"]),
            ("/a/../", &["/"]),
            // "/a/..b" and "/a/.b" begin so.
            ("/a/..", &["/a/.."]),
            ("/x/../a/%2e", &["/a/."]),
            // Here the segment is over.
            ("/a/..?q", &["/?q"]),
            ("/a?b=c/..", &["/a?b=c/.."]),
            ("/a?b=%c3%a9", &["/a?b=%C3%A9", "/a?b=%c3%a9"]),
            ("/a?b=%7E&é", &["/a?b=~&%C3%A9", "/a?b=%7E&%C3%A9"]),
            ("/a?b=%C3", &["/a?b=%C3"]),
            ("/a?b=100%&c=%7e", &["/a?b=100%&c=%7e"]),
            ("/a?", &["/a?"]),
        ];
        for (text, wanted) in rows {
            assert_eq!(beginnings(text).unwrap(), wanted, "{text}");
        }
        for text in
            ["", "a", "*", "/%", "/caf%c3%a", "/a?b=%", "/a?b=%4", "/%zz", "/a%4/", "/%00", "/a b", "/a#b"]
        {
            assert!(beginnings(text).is_err(), "{text:?}");
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

        // Whatever a target begins with, its normal form begins with what that means.
        #[test]
        fn a_beginning_finds_all_that_begin_with_it(text in targets(), end in 0usize..40) {
            let end = text.ceil_char_boundary(end.min(text.len()));
            if let (Ok(form), Ok(found)) = (normal(&text), beginnings(&text[..end]))
                && !meaning(&text[end..]).windows(3).any(|window| window == b"/..")
                && !meaning(&text[..end]).ends_with(b"/.") && !meaning(&text[..end]).ends_with(b"/")
                && !meaning(&text[..end]).ends_with(b"/..")
            {
                prop_assert!(found.iter().any(|found| form.starts_with(found.as_str())), "{found:?} {form}");
            }
        }
    }
}
