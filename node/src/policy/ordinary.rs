//! Request fields that every browser, crawler and tool sends, and what ordinary values of them look like. Origins answer
//! by them with `Vary` or not at all. Any other field, and any other value, is a stray (`stray.rs`).

use http::{HeaderMap, HeaderName, HeaderValue};

use super::directives::list;

/// What a value of a known field looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `text/html, image/*;q=0.8` (RFC 9110 12.5.1).
    MediaRanges,
    /// `de-CH, *;q=0.1` (RFC 9110 12.5.4).
    Languages,
    /// `gzip, br;q=0.5`: the codings that are in use.
    Codings,
    /// `0` or `1`.
    Flag,
    /// `1.5`.
    Number,
    /// Words of a closed set.
    Words(&'static [&'static str]),
    /// `u=1, i` (RFC 9218).
    Priority,
    /// Structured values of client hints: `?1`, `"Chrome";v="128"`.
    Hint,
    /// Product tokens and comments (RFC 9110 10.1.5).
    Agent,
    /// An absolute URL.
    Url,
    /// Whatever it says.
    Any,
}

/// Known fields, sorted. The last group counts requests for the public cache test suite and means nothing to anyone else.
const KNOWN: [(&str, Form); 40] = [
    ("accept", Form::MediaRanges),
    ("accept-encoding", Form::Codings),
    ("accept-language", Form::Languages),
    // Its own rules decide what becomes of it (RFC 9111 3.5).
    ("authorization", Form::Any),
    // What in it is no directive is not sent with a fetch for the cache (`stray::shared`).
    ("cache-control", Form::Any),
    ("device-memory", Form::Number),
    ("dnt", Form::Flag),
    ("downlink", Form::Number),
    ("dpr", Form::Number),
    ("early-data", Form::Flag),
    ("ect", Form::Words(&["slow-2g", "2g", "3g", "4g"])),
    ("host", Form::Any),
    // Taken out of every fetch for the cache, like `range` (RFC 9111 4.3.1).
    ("if-match", Form::Any),
    ("if-modified-since", Form::Any),
    ("if-none-match", Form::Any),
    ("if-range", Form::Any),
    ("if-unmodified-since", Form::Any),
    ("pragma", Form::Any),
    ("priority", Form::Priority),
    ("purpose", Form::Words(&["prefetch", "preview"])),
    ("range", Form::Any),
    ("referer", Form::Url),
    ("req-num", Form::Number),
    ("rtt", Form::Number),
    ("save-data", Form::Words(&["on", "off"])),
    ("sec-ch-dpr", Form::Number),
    ("sec-ch-width", Form::Number),
    ("sec-gpc", Form::Flag),
    ("sec-purpose", Form::Words(&["prefetch", "prefetch;prerender", "prefetch;anonymous-client-ip"])),
    ("service-worker", Form::Words(&["script"])),
    ("service-worker-navigation-preload", Form::Words(&["true"])),
    // The node writes it itself, or takes it out.
    ("surrogate-capability", Form::Any),
    ("test-id", Form::Any),
    ("test-name", Form::Any),
    ("upgrade-insecure-requests", Form::Flag),
    ("user-agent", Form::Agent),
    ("viewport-width", Form::Number),
    ("width", Form::Number),
    ("x-moz", Form::Words(&["prefetch"])),
    ("x-purpose", Form::Words(&["prefetch", "preview"])),
];

/// What `Sec-Fetch-Dest`, `-Mode`, `-Site` and `-User` say (Fetch Metadata).
const FETCH: [&str; 36] = [
    "?0",
    "?1",
    "audio",
    "audioworklet",
    "cors",
    "cross-site",
    "document",
    "embed",
    "empty",
    "fencedframe",
    "font",
    "frame",
    "iframe",
    "image",
    "json",
    "manifest",
    "navigate",
    "no-cors",
    "none",
    "object",
    "paintworklet",
    "report",
    "same-origin",
    "same-site",
    "script",
    "serviceworker",
    "sharedworker",
    "style",
    "track",
    "video",
    "webidentity",
    "websocket",
    "worker",
    "xslt",
    "webtransport",
    "speculationrules",
];

/// Bytes of an ordinary value: more has been used to make origins refuse what others then get (cache poisoning by
/// oversized fields).
const VALUE_BYTES_MAX: usize = 1024;

/// Whether all lines of this field are such as any client may send.
#[must_use]
pub fn is_ordinary(request: &HeaderMap, name: &HeaderName) -> bool {
    let text = name.as_str();
    let form = match KNOWN.binary_search_by_key(&text, |(known, _)| known) {
        Ok(at) => KNOWN.get(at).map_or(Form::Any, |(_, form)| *form),
        Err(_) if text.starts_with("sec-ch-") => Form::Hint,
        Err(_) if text.starts_with("sec-fetch-") => Form::Words(&FETCH),
        Err(_) => return false,
    };
    let mut lines = request.get_all(name).iter();
    let many = matches!(form, Form::MediaRanges | Form::Codings | Form::Languages | Form::Any);
    (many || request.get_all(name).iter().nth(1).is_none()) && lines.all(|line| form.fits(line))
}

impl Form {
    fn fits(self, value: &HeaderValue) -> bool {
        let bytes = value.as_bytes();
        if self == Self::Any {
            return true;
        }
        if bytes.len() > VALUE_BYTES_MAX || !bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return false;
        }
        let hostile = |byte: &u8| matches!(byte, b'<' | b'>' | b'`' | b'\\' | b'{' | b'}' | b'|' | b'^');
        match self {
            Self::Any => true,
            Self::MediaRanges => list(bytes).all(|member| {
                let range = member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                range == b"*" || (range.contains(&b'/') && !member.iter().any(hostile))
            }),
            Self::Languages => list(bytes).all(|member| weighted(member, is_language)),
            Self::Codings => list(bytes).all(|member| weighted(member, is_coding)),
            Self::Flag => matches!(bytes, b"0" | b"1"),
            Self::Number => {
                bytes.len() <= 8 && bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
            }
            Self::Words(words) => words.iter().any(|word| bytes.eq_ignore_ascii_case(word.as_bytes())),
            Self::Priority => list(bytes)
                .all(|member| matches!(member, [b'u', b'=', b'0'..=b'7'] | b"i" | b"i=?0" | b"i=?1")),
            Self::Hint => {
                let quoted = bytes.len() <= 256 && bytes.starts_with(b"\"") && !bytes.iter().any(hostile);
                quoted || Self::Number.fits(value) || matches!(bytes, b"?0" | b"?1")
            }
            Self::Agent => !bytes.iter().any(|byte| hostile(byte) || matches!(byte, b'"' | b'\'')),
            Self::Url => {
                [&b"http://"[..], b"https://", b"android-app://"]
                    .iter()
                    .any(|scheme| bytes.starts_with(scheme))
                    && !bytes.iter().any(|byte| hostile(byte) || matches!(byte, b'"' | b'\'' | b' '))
            }
        }
    }
}

/// A member with nothing but a weight behind it.
fn weighted(member: &[u8], is_value: impl Fn(&[u8]) -> bool) -> bool {
    let mut parts = member.splitn(2, |byte| *byte == b';').map(<[u8]>::trim_ascii);
    let weight = |text: &[u8]| {
        text.strip_prefix(b"q=")
            .is_some_and(|q| q.len() <= 5 && q.iter().all(|b| b.is_ascii_digit() || *b == b'.'))
    };
    parts.next().is_some_and(is_value) && parts.next().is_none_or(weight)
}

fn is_coding(text: &[u8]) -> bool {
    const CODINGS: [&[u8]; 10] =
        [b"*", b"br", b"compress", b"dcb", b"dcz", b"deflate", b"gzip", b"identity", b"x-gzip", b"zstd"];
    CODINGS.iter().any(|known| text.eq_ignore_ascii_case(known))
}

/// RFC 4647 2.1: `*`, or subtags of one to eight letters and digits.
fn is_language(text: &[u8]) -> bool {
    let subtag = |part: &[u8]| (1..=8).contains(&part.len()) && part.iter().all(u8::is_ascii_alphanumeric);
    text == b"*" || text.split(|byte| *byte == b'-').all(subtag)
}

/// One of RFC 9111 5.2.1 or RFC 5861 4, with a number where it takes one.
#[must_use]
pub fn is_directive(text: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"max-age",
        b"max-stale",
        b"min-fresh",
        b"no-cache",
        b"no-store",
        b"no-transform",
        b"only-if-cached",
        b"stale-if-error",
    ];
    let mut parts = text.splitn(2, |byte| *byte == b'=');
    let name = parts.next().unwrap_or_default();
    let number = |text: &[u8]| text.len() <= 12 && text.iter().all(u8::is_ascii_digit);
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) && parts.next().is_none_or(number)
}

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    #[test]
    fn the_list_is_sorted_for_the_search() {
        assert!(KNOWN.is_sorted_by_key(|(name, _)| name));
    }

    #[test]
    fn what_browsers_and_tools_send_is_ordinary() {
        for lines in [
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            "Accept: *",
            "Accept: application/signed-exchange;v=b3;q=0.7",
            "Accept-Language: de-CH,de;q=0.9,en-US;q=0.8,*;q=0.5",
            "Accept-Language: zh-Hant-TW",
            "Accept-Encoding: gzip, deflate, br, zstd",
            "Accept-Encoding: identity;q=1, *;q=0",
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0",
            "User-Agent: curl/8.5.0",
            "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Referer: https://www.example.com/a?b=c&d=%20#",
            "Referer: android-app://com.google.android.gm/",
            "Cache-Control: max-age=0",
            "Cache-Control: no-cache, no-store",
            "Pragma: no-cache",
            "DNT: 1",
            "Upgrade-Insecure-Requests: 1",
            "Sec-Fetch-Mode: navigate",
            "Sec-Fetch-User: ?1",
            "Sec-CH-UA: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"",
            "Sec-CH-UA-Platform: \"Linux\"",
            "Priority: u=0, i",
            "Save-Data: on",
            "DPR: 1.5",
            "If-None-Match: anything at all",
        ] {
            let request = fields(lines);
            let name = request.keys().next().unwrap();
            assert!(is_ordinary(&request, name), "{lines}");
        }
    }

    #[test]
    fn what_nobody_sends_is_not() {
        let long = format!("User-Agent: {}", "a".repeat(VALUE_BYTES_MAX + 1));
        for lines in [
            "X-Anything: 1",
            "Accept: canary",
            "Accept: text/<script>",
            "Accept-Language: canaryoflength",
            "Accept-Language: de\"",
            "Accept-Language: de;x=canary",
            "Accept-Encoding: gzip;canary",
            "Accept-Encoding: canary",
            "Accept-Charset: utf-8",
            "User-Agent: <script>alert(1)</script>",
            "User-Agent: ${jndi:ldap}",
            "User-Agent: a|User-Agent: b",
            "Referer: canary",
            "Referer: javascript:alert(1)",
            "Referer: https://a/\"><script>",
            "DNT: canary",
            "Upgrade-Insecure-Requests: 2",
            "ECT: 5g",
            "DPR: 1e9x",
            "Sec-Fetch-Site: <b>",
            "Sec-Fetch-Mode: canary",
            "Sec-CH-UA: canary",
            "Priority: canary",
            "X-Moz: canary",
            &long,
        ] {
            let request = fields(lines);
            let name = request.keys().next().unwrap();
            assert!(!is_ordinary(&request, name), "{lines}");
        }
    }
}
