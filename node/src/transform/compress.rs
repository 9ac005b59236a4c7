//! gzip, brotli and zstd by the client's q-values (RFC 9110 12.5.3, 8.4): which coding, whether, and the head of it.
//!
//! Among codings a client names with equal weight the order is zstd, brotli, gzip: at the default levels zstd takes a
//! third of brotli's time for a few percent more bytes, and time is what the first visitor waits for. Where only `*`
//! speaks for a coding the order is gzip, brotli, zstd: who does not know names is served best with what all know.

use std::cmp::Reverse;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

pub use super::encode::{encode_stream, has_room};

/// What a site says about compression, as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether to compress at all.
    pub enabled: bool,
    /// Bytes below which nothing is compressed.
    pub bytes_min: u64,
    /// Media types; `text/*` style prefixes allowed.
    pub types: Vec<String>,
    /// gzip level, 1 to 9.
    pub gzip_level: u32,
    /// brotli quality, 0 to 11.
    pub brotli_level: u32,
    /// zstd level, 1 to 19.
    pub zstd_level: u32,
}

impl Default for Config {
    fn default() -> Self {
        let types = [
            "text/*",
            "application/javascript",
            "application/json",
            "application/ld+json",
            "application/manifest+json",
            "application/rss+xml",
            "application/atom+xml",
            "application/xhtml+xml",
            "application/xml",
            "application/wasm",
            "image/svg+xml",
            "font/ttf",
            "font/otf",
        ];
        Self {
            enabled: true,
            bytes_min: crate::limits::COMPRESS_BYTES_MIN,
            types: types.map(String::from).to_vec(),
            gzip_level: 6,
            brotli_level: 5,
            zstd_level: 3,
        }
    }
}

/// A content coding (RFC 9110 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Coding {
    /// The bytes as they are.
    #[default]
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878, with a window that RFC 9659 allows.
    Zstd,
}

impl Coding {
    /// Those in which an answer is kept beside its identity form.
    pub const ENCODED: [Self; 3] = [Self::Gzip, Self::Brotli, Self::Zstd];

    /// The name in `Content-Encoding`; also the suffix of a derived form in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// Chooses the coding for a client from its `Accept-Encoding` lines (`headers.get(..)` or `headers.get_all(..)`).
///
/// The highest weight wins and at equal weight a compressed form beats identity. A member whose weight cannot be read
/// counts as refused. Where nothing is acceptable, not even identity, the answer is identity: RFC 9110 12.5.3 prefers
/// an answer without coding over none.
#[must_use]
pub fn negotiate<'a>(config: &Config, accept_encoding: impl IntoIterator<Item = &'a HeaderValue>) -> Coding {
    if !config.enabled {
        return Coding::Identity;
    }
    let mut weights = Weights::default();
    for value in accept_encoding {
        for member in value.as_bytes().split(|&byte| byte == b',') {
            weights.note(member.trim_ascii());
        }
    }
    weights.best()
}

/// Weights in thousandths, of what the client named.
#[derive(Default)]
struct Weights {
    zstd: Option<u16>,
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    star: Option<u16>,
}

impl Weights {
    fn note(&mut self, member: &[u8]) {
        let mut pieces = member.split(|&byte| byte == b';');
        let name = pieces.next().unwrap_or_default().trim_ascii();
        let slot = if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            &mut self.gzip
        } else if name.eq_ignore_ascii_case(b"br") {
            &mut self.brotli
        } else if name.eq_ignore_ascii_case(b"zstd") {
            &mut self.zstd
        } else if name.eq_ignore_ascii_case(b"identity") {
            &mut self.identity
        } else if name == b"*" {
            &mut self.star
        } else {
            return;
        };
        let weight = pieces.map(str_weight).find(|weight| *weight != Weight::OtherParameter);
        *slot = Some(match weight {
            None | Some(Weight::OtherParameter) => 1000,
            Some(Weight::Thousandths(q)) => q,
            Some(Weight::Unreadable) => 0,
        });
    }

    fn best(&self) -> Coding {
        let star = self.star.unwrap_or(0);
        // Unnamed, identity is acceptable but wished for by nobody: any coding with a weight above zero goes first.
        let identity = self.identity.or(self.star).unwrap_or(0);
        [
            (Coding::Zstd, self.zstd, 1, 3),
            (Coding::Brotli, self.brotli, 2, 2),
            (Coding::Gzip, self.gzip, 3, 1),
        ]
        .into_iter()
        .map(|(coding, named, rank_named, rank_star)| match named {
            Some(q) => (q, true, Reverse(rank_named), coding),
            None => (star, false, Reverse(rank_star), coding),
        })
        .filter(|&(q, ..)| q > 0 && q >= identity)
        .max_by_key(|&(q, is_named, rank, _)| (q, is_named, rank))
        .map_or(Coding::Identity, |(.., coding)| coding)
    }
}

#[derive(PartialEq, Eq)]
enum Weight {
    Thousandths(u16),
    Unreadable,
    OtherParameter,
}

/// `q=0.5` in thousandths: at most three digits behind the point and nothing above one (RFC 9110 12.4.2).
fn str_weight(parameter: &[u8]) -> Weight {
    let [b'q' | b'Q', b'=', value @ ..] = parameter.trim_ascii() else { return Weight::OtherParameter };
    let (whole, fraction) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return Weight::Unreadable,
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Weight::Unreadable;
    }
    let thousandths = (0..3).fold(0, |sum, i| sum * 10 + u16::from(fraction.get(i).map_or(0, |d| d - b'0')));
    match (whole, thousandths) {
        (b'0', _) => Weight::Thousandths(thousandths),
        (b'1', 0) => Weight::Thousandths(1000),
        _ => Weight::Unreadable,
    }
}

/// Whether an answer with this head may and should be encoded: the media type is listed, it is not small, not encoded
/// already, not a part of something, and nobody said `no-transform` (RFC 9111 5.2.2.6). `len`: bytes where known.
#[must_use]
pub fn compressible(config: &Config, status: StatusCode, headers: &HeaderMap, len: Option<u64>) -> bool {
    let has_body = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        );
    config.enabled
        && has_body
        && len.is_none_or(|len| len >= config.bytes_min)
        && headers.get(CONTENT_TYPE).is_some_and(|value| is_listed(&config.types, value.as_bytes()))
        && !headers.contains_key(CONTENT_RANGE)
        && headers.get_all(CONTENT_ENCODING).iter().all(|value| {
            members(value).all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
        })
        && !headers
            .get_all(CACHE_CONTROL)
            .iter()
            .any(|value| members(value).any(|directive| directive.eq_ignore_ascii_case(b"no-transform")))
}

fn is_listed(types: &[String], content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    types.iter().any(|listed| match listed.strip_suffix('*') {
        Some(prefix) => {
            essence.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
        }
        None => essence.eq_ignore_ascii_case(listed.as_bytes()),
    })
}

fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Makes the head of the encoded form from the head of the identity form.
///
/// With [`Coding::Identity`] only `Vary` changes: call it for every answer that [`compressible`] accepts, because the
/// identity form was chosen by `Accept-Encoding` as well. What speaks of the identity bytes goes: length, digests
/// (also those of the representation: a coding is part of it, RFC 9530 3), ranges; a strong tag becomes weak.
pub fn encode_head(headers: &mut HeaderMap, coding: Coding) {
    encode_validators(headers, coding);
    if coding == Coding::Identity {
        return;
    }
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    for name in ["content-md5", "digest", "content-digest", "repr-digest"] {
        headers.remove(HeaderName::from_static(name));
    }
}

/// The part of [`encode_head`] that a 304 for the encoded form needs: `Vary` and the weak tag.
pub fn encode_validators(headers: &mut HeaderMap, coding: Coding) {
    vary_by_accept_encoding(headers);
    if coding != Coding::Identity {
        weaken_etag(headers);
    }
}

fn vary_by_accept_encoding(headers: &mut HeaderMap) {
    let mut joined: Vec<u8> = Vec::new();
    for value in headers.get_all(VARY) {
        for name in members(value).filter(|name| !name.is_empty()) {
            if name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding") {
                return;
            }
            joined.extend_from_slice(name);
            joined.extend_from_slice(b", ");
        }
    }
    let value = if joined.is_empty() {
        HeaderValue::from_static("Accept-Encoding")
    } else {
        joined.extend_from_slice(b"Accept-Encoding");
        HeaderValue::from_bytes(&joined).unwrap_or(HeaderValue::from_static("*"))
    };
    headers.insert(VARY, value);
}

/// A tag that is no entity-tag at all is removed: it cannot be made weak and must not name two forms.
fn weaken_etag(headers: &mut HeaderMap) {
    let Some(etag) = headers.get(ETAG) else { return };
    match etag.as_bytes() {
        [b'W', b'/', b'"', .., b'"'] => {}
        [b'"', .., b'"'] => {
            let weak = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat());
            headers.insert(ETAG, weak.expect("a field value with two letters before it is one too"));
        }
        _ => {
            headers.remove(ETAG);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str) -> Coding {
        negotiate(&Config::default(), &HeaderValue::from_bytes(accept.as_bytes()).ok())
    }

    #[test]
    fn rfc_9110_12_5_3() {
        use Coding::{Brotli, Gzip, Identity, Zstd};
        let rows: &[(&str, Coding)] = &[
            ("gzip, deflate, br, zstd", Zstd),
            ("gzip, deflate, br", Brotli),
            ("gzip, deflate", Gzip),
            ("x-gzip", Gzip),
            ("GZIP", Gzip),
            ("deflate", Identity),
            ("", Identity),
            (",, ,gzip,", Gzip),
            // weights
            ("gzip;q=1.0, br;q=0.9, zstd;q=0.8", Gzip),
            ("gzip;q=0.5, br;q=0.501", Brotli),
            ("gzip ; q=0.5 , br;q=0.4", Gzip),
            ("gzip;Q=0.5", Gzip),
            ("gzip;q=0", Identity),
            ("gzip;q=0.000", Identity),
            ("br;q=0, gzip", Gzip),
            ("gzip;q=0.001", Gzip),
            // identity
            ("identity", Identity),
            ("identity;q=0", Identity),
            ("identity, gzip", Gzip),
            ("identity, gzip;q=0.9", Identity),
            ("identity;q=0.5, gzip;q=0.9", Gzip),
            ("identity;q=0, br;q=0.1", Brotli),
            // the star speaks for what is not named
            ("*", Gzip),
            ("*;q=0", Identity),
            ("*;q=0, br", Brotli),
            ("gzip;q=0, *", Brotli),
            ("gzip;q=0, br;q=0, *;q=0.5", Zstd),
            ("gzip;q=0.5, *;q=0.8", Brotli),
            ("br, *", Brotli),
            ("identity;q=0, *", Gzip),
            // malformed weights count as refused, other parameters as not there
            ("gzip;q=1.1", Identity),
            ("gzip;q=2", Identity),
            ("gzip;q=", Identity),
            ("gzip;q=a", Identity),
            ("gzip;q=0.5555", Identity),
            ("gzip;q=0.x", Identity),
            ("gzip;q=-1", Identity),
            ("gzip;q=NaN, br;q=0.1", Brotli),
            ("gzip;level=9", Gzip),
            ("gzip;level=9;q=0", Identity),
            ("gzip;q=1.", Gzip),
            ("\u{fc}, gzip", Gzip),
        ];
        for (accept, coding) in rows {
            assert_eq!(chosen(accept), *coding, "{accept:?}");
        }
        assert_eq!(negotiate(&Config::default(), None), Identity);
        let lines = [HeaderValue::from_static("gzip;q=0.1"), HeaderValue::from_static("br")];
        assert_eq!(negotiate(&Config::default(), &lines), Brotli);
        assert_eq!(negotiate(&Config { enabled: false, ..Config::default() }, &lines), Identity);
    }

    type Field = (&'static str, &'static str);
    /// Title, status, fields, length, verdict.
    type Row = (&'static str, u16, &'static [Field], Option<u64>, bool);

    fn head(fields: &[Field]) -> HeaderMap {
        let fields = fields.iter();
        fields.map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn what_is_compressed() {
        const HTML: Field = ("content-type", "text/html; charset=utf-8");
        let rows: &[Row] = &[
            ("a page", 200, &[HTML], Some(1000), true),
            ("an error page", 404, &[HTML], Some(1000), true),
            ("unknown length", 200, &[HTML], None, true),
            ("at the minimum", 200, &[HTML], Some(256), true),
            ("below it", 200, &[HTML], Some(255), false),
            ("no content", 204, &[HTML], None, false),
            ("a part", 206, &[HTML], Some(1000), false),
            ("a part in disguise", 200, &[HTML, ("content-range", "bytes 0-1/2")], Some(1000), false),
            ("304", 304, &[HTML], None, false),
            ("no type", 200, &[], Some(1000), false),
            ("an image", 200, &[("content-type", "image/png")], Some(1000), false),
            ("a drawing", 200, &[("content-type", "Image/SVG+xml")], Some(1000), true),
            ("almost a type", 200, &[("content-type", "application/jsonp")], Some(1000), false),
            ("almost text", 200, &[("content-type", "text")], Some(1000), false),
            ("encoded", 200, &[HTML, ("content-encoding", "gzip")], Some(1000), false),
            ("encoded, unknown", 200, &[HTML, ("content-encoding", "aes128gcm")], Some(1000), false),
            ("encoded twice", 200, &[HTML, ("content-encoding", "identity, br")], Some(1000), false),
            ("encoded as itself", 200, &[HTML, ("content-encoding", "identity")], Some(1000), true),
            ("no-transform", 200, &[HTML, ("cache-control", "max-age=5, No-Transform")], Some(1000), false),
            ("other directives", 200, &[HTML, ("cache-control", "max-age=5")], Some(1000), true),
        ];
        for (title, status, fields, len, expected) in rows {
            let status = StatusCode::from_u16(*status).unwrap();
            assert_eq!(compressible(&Config::default(), status, &head(fields), *len), *expected, "{title}");
        }
        let off = Config { enabled: false, ..Config::default() };
        assert!(!compressible(&off, StatusCode::OK, &head(&[HTML]), None));
    }

    #[test]
    fn encoded_head() {
        let mut headers = head(&[
            ("content-length", "1000"),
            ("accept-ranges", "bytes"),
            ("content-md5", "x"),
            ("digest", "x"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
            ("etag", "\"v1\""),
            ("vary", "Origin, ,X-A"),
            ("content-type", "text/html"),
        ]);
        encode_head(&mut headers, Coding::Brotli);
        let expected = head(&[
            ("etag", "W/\"v1\""),
            ("vary", "Origin, X-A, Accept-Encoding"),
            ("content-type", "text/html"),
            ("content-encoding", "br"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn identity_head_varies_too() {
        let mut headers = head(&[("content-length", "10"), ("etag", "\"v1\"")]);
        encode_head(&mut headers, Coding::Identity);
        let expected = [("content-length", "10"), ("etag", "\"v1\""), ("vary", "Accept-Encoding")];
        assert_eq!(headers, head(&expected));
    }

    #[test]
    fn vary_and_etag_rows() {
        let rows = [
            (None, "Accept-Encoding"),
            (Some("*"), "*"),
            (Some("accept-encoding"), "accept-encoding"),
            (Some("Origin, Accept-encoding"), "Origin, Accept-encoding"),
            (Some("X-Accept-Encoding"), "X-Accept-Encoding, Accept-Encoding"),
        ];
        for (before, after) in rows {
            let mut headers: HeaderMap =
                before.map(|v| (VARY, HeaderValue::from_static(v))).into_iter().collect();
            encode_head(&mut headers, Coding::Gzip);
            assert_eq!(headers[VARY], after, "{before:?}");
        }
        let mut lines = head(&[("vary", "Origin")]);
        lines.append(VARY, HeaderValue::from_static("X-A"));
        encode_head(&mut lines, Coding::Gzip);
        assert_eq!(lines.get_all(VARY).iter().collect::<Vec<_>>(), ["Origin, X-A, Accept-Encoding"]);

        let tags =
            [("\"a\"", Some("W/\"a\"")), ("W/\"a\"", Some("W/\"a\"")), ("a", None), ("\"", None), ("", None)];
        for (before, after) in tags {
            let mut headers = head(&[("etag", before)]);
            encode_head(&mut headers, Coding::Gzip);
            assert_eq!(headers.get(ETAG).map(|v| v.to_str().unwrap()), after, "{before}");
        }
    }
}
