//! Request fields of preference reduced to the classes a site declares (RFC 9110 12.5): what is left is what the cache
//! key holds and what the origin is sent, so that a URL has as many variants as its origin has answers.

use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::directives::{list, trim};
use super::vary::weight;

/// What a site says its origin chooses by. Empty lists leave the field as the client sent it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    accept: Vec<Member>,
    accept_language: Vec<Member>,
}

/// One declared member, and what an origin is told of a client that likes it best.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    /// In lower case.
    name: Box<str>,
    alone: HeaderValue,
    /// The same for a client that takes anything else, too.
    or_any: HeaderValue,
}

impl Member {
    fn new(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let alone = HeaderValue::from_str(&name).ok()?;
        let or_any = HeaderValue::from_str(&format!("{name}, */*;q=0.1")).ok()?;
        Some(Self { name: name.into(), alone, or_any })
    }
}

impl Config {
    /// Media types and language tags, the origin's favourite first. What no field could carry is left out.
    #[must_use]
    pub fn new(accept: &[String], accept_language: &[String]) -> Self {
        let members = |names: &[String]| names.iter().filter_map(|name| Member::new(name)).collect();
        Self { accept: members(accept), accept_language: members(accept_language) }
    }

    /// Reduces the fields of a request whose answer may be shared. `own_encoding`: this node negotiates
    /// `Accept-Encoding` itself, so that the origin never sees it. Allocates nothing.
    pub fn reduce(&self, request: &mut HeaderMap, own_encoding: bool) {
        if !own_encoding {
            reduce_encoding(request);
        }
        if !self.accept_language.is_empty() && request.contains_key(ACCEPT_LANGUAGE) {
            let chosen = choose(&self.accept_language, request, &ACCEPT_LANGUAGE, language);
            put(request, ACCEPT_LANGUAGE, chosen.map(|member| member.alone.clone()));
        }
        if !self.accept.is_empty() && request.contains_key(ACCEPT) {
            let any = ranges(request, &ACCEPT).any(|(range, quality)| range == b"*/*" && quality > 0);
            let chosen = choose(&self.accept, request, &ACCEPT, media_type);
            let class = chosen.map(|member| if any { member.or_any.clone() } else { member.alone.clone() });
            put(request, ACCEPT, class);
        }
    }
}

fn put(request: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(request.insert(name, value)),
        None => drop(request.remove(name)),
    }
}

/// Codings worth telling apart. An origin that can do another one does one of these as well.
const CODINGS: [(&[u8], &str); 3] = [(b"zstd", "zstd"), (b"br", "br"), (b"gzip", "gzip")];
/// Every subset of [`CODINGS`]; the place is the sum of 1, 2 and 4.
const CLASSES: [&str; 8] = ["", "zstd", "br", "zstd, br", "gzip", "zstd, gzip", "br, gzip", "zstd, br, gzip"];

/// Which of the codings that origins use the client takes (RFC 9110 12.5.3), without their order and weights; the field
/// goes where none is left.
fn reduce_encoding(request: &mut HeaderMap) {
    if !request.contains_key(ACCEPT_ENCODING) {
        return;
    }
    let mut class = 0;
    for (at, (coding, _)) in CODINGS.iter().enumerate() {
        let alias = |range: &[u8]| *coding == b"gzip" && range.eq_ignore_ascii_case(b"x-gzip");
        let named = ranges(request, &ACCEPT_ENCODING)
            .find(|(range, _)| range.eq_ignore_ascii_case(coding) || alias(range))
            .map(|(_, quality)| quality > 0);
        class |= usize::from(named.unwrap_or(false)) << at;
    }
    let text = CLASSES.get(class).copied().unwrap_or_default();
    put(request, ACCEPT_ENCODING, (!text.is_empty()).then(|| HeaderValue::from_static(text)));
}

/// How well a range fits a member: nothing, or the better the larger.
type Fit = fn(range: &[u8], quality: u16, member: &[u8]) -> Option<usize>;

/// The member with the greatest weight by the range that fits it best; of equals the first declared. Ranges of nothing
/// but wildcards name no member: whoever sends `*/*` has not said that it can show AVIF.
fn choose<'a>(members: &'a [Member], request: &HeaderMap, name: &HeaderName, fit: Fit) -> Option<&'a Member> {
    let mut best: Option<(u16, &Member)> = None;
    for member in members {
        let fits = ranges(request, name)
            .filter_map(|(range, quality)| Some((fit(range, quality, member.name.as_bytes())?, quality)));
        let Some((_, quality)) = fits.max() else { continue };
        if quality > 0 && best.is_none_or(|(most, _)| quality > most) {
            best = Some((quality, member));
        }
    }
    best.map(|(_, member)| member)
}

/// RFC 9110 12.5.1, by the name alone.
fn media_type(range: &[u8], _: u16, member: &[u8]) -> Option<usize> {
    range.eq_ignore_ascii_case(member).then_some(1)
}

/// RFC 4647: the range itself or a beginning of the tag (3.3.1), else the tag as a beginning of the range (lookup, 3.4),
/// which refuses nothing.
fn language(range: &[u8], quality: u16, member: &[u8]) -> Option<usize> {
    const NEARER: usize = 1 << 16;
    if begins(member, range) {
        return Some(NEARER + range.len());
    }
    (quality > 0 && begins(range, member)).then_some(member.len())
}

/// Whether `text` is `prefix` or goes on behind it with a further subtag.
fn begins(text: &[u8], prefix: &[u8]) -> bool {
    text.split_at_checked(prefix.len()).is_some_and(|(head, rest)| {
        head.eq_ignore_ascii_case(prefix) && (rest.is_empty() || rest.starts_with(b"-"))
    })
}

/// The ranges of a field with their weights in thousandths (RFC 9110 12.4.2); one whose weight is none counts fully.
/// Other parameters belong to the range.
fn ranges<'a>(request: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'a [u8], u16)> {
    request.get_all(name).iter().flat_map(|line| list(line.as_bytes())).map(|member| {
        let at = member.iter().rposition(|byte| *byte == b';');
        let (range, last) = at.map_or((member, None), |at| (&member[..at], Some(trim(&member[at + 1..]))));
        match last.map(|last| (last, weight(last))) {
            Some((_, Some(quality))) => (trim(range), quality),
            Some(([b'q' | b'Q', b'=', ..], None)) => (trim(range), 1000),
            _ => (member, 1000),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    fn config() -> Config {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Config::new(&names(&["image/avif", "image/webp"]), &names(&["en", "de", "fr", "pt-BR"]))
    }

    fn reduced(field: &str, value: &str) -> String {
        let mut request = fields(&format!("{field}: {value}"));
        config().reduce(&mut request, false);
        request.get(field).map_or("-", |value| value.to_str().unwrap()).to_owned()
    }

    #[test]
    fn languages_become_the_declared_one_liked_best() {
        for (rule, value, expected) in [
            ("9110 12.5.4: named", "de", "de"),
            ("9110 12.5.4: the greatest weight", "en;q=0.8, de;q=0.9", "de"),
            ("9110 12.4.2: without a weight it is 1", "en;q=0.9, fr", "fr"),
            ("of equals the one declared first", "fr, de", "de"),
            ("9110 8.5.1: case does not matter", "DE", "de"),
            ("4647 3.4: a region falls back", "de-CH, en;q=0.5", "de"),
            ("4647 3.3.1: a range is a beginning of the tag", "pt, en;q=0.5", "pt-br"),
            ("4647 2.1: subtags are whole", "den, en;q=0.1", "en"),
            ("the exact range says the weight", "en-US, en;q=0.1, de;q=0.5", "de"),
            ("9110 12.4.2: 0 refuses", "en;q=0, de;q=0.1", "de"),
            ("refusing a region refuses no language", "en-US;q=0, en;q=0.5", "en"),
            ("nor alone does it ask for one", "en-US;q=0", "-"),
            ("* names none: the origin's own choice", "*", "-"),
            ("* beside one that is named", "*, fr;q=0.5", "fr"),
            ("none declared fits", "ja, ko;q=0.5", "-"),
            ("empty", "", "-"),
            ("a weight that is none counts fully", "de;q=x, en;q=0.9", "de"),
            ("9110 5.6.1: empty members", ", ,de", "de"),
        ] {
            assert_eq!(reduced("accept-language", value), expected, "{rule}: {value}");
        }
    }

    #[test]
    fn media_types_become_the_declared_one_liked_best() {
        for (rule, value, expected) in [
            ("9110 12.5.1: named", "image/webp", "image/webp"),
            ("of equals the one declared first", "image/webp, image/avif", "image/avif"),
            ("9110 12.5.1: the greatest weight", "image/avif;q=0.5, image/webp", "image/webp"),
            ("9110 8.3.1: case", "Image/AVIF", "image/avif"),
            (
                "a browser that takes anything else, too",
                "text/html,image/avif,image/webp,*/*;q=0.8",
                "image/avif, */*;q=0.1",
            ),
            ("*/* says nothing of AVIF", "*/*", "-"),
            ("nor does image/*", "image/png,image/*;q=0.8,*/*;q=0.5", "-"),
            ("refused by name", "image/avif;q=0, */*", "-"),
            ("other parameters make another range", "image/avif;profile=x, image/webp", "image/webp"),
            ("none declared fits", "text/html", "-"),
        ] {
            assert_eq!(reduced("accept", value), expected, "{rule}: {value}");
        }
    }

    #[test]
    fn codings_become_a_class() {
        for (rule, value, expected) in [
            ("9110 12.5.3: order does not matter", "br, gzip, deflate", "br, gzip"),
            ("order", "gzip, br", "br, gzip"),
            ("weights do not", "gzip;q=0.1, br;q=1.0", "br, gzip"),
            ("9110 12.4.2: 0 refuses", "gzip, br;q=0", "gzip"),
            ("9110 8.4.1.3: x-gzip is gzip", "x-gzip", "gzip"),
            ("case", "GZIP", "gzip"),
            ("all three", "gzip, deflate, br, zstd", "zstd, br, gzip"),
            ("nothing an origin would use", "deflate", "-"),
            ("identity is what is sent without", "identity", "-"),
            ("* names none", "*", "-"),
            ("empty", "", "-"),
        ] {
            assert_eq!(reduced("accept-encoding", value), expected, "{rule}: {value}");
        }
        let mut request = fields("accept-encoding: gzip, br;q=0.3");
        let sent = request.clone();
        config().reduce(&mut request, true);
        assert_eq!(request, sent, "where the node encodes, the client's own words choose the form");
    }

    #[test]
    fn what_is_reduced_stays_as_it_is() {
        for (field, value) in [
            ("accept", "image/avif;q=0.7,image/webp;q=0.2,*/*;q=0.1"),
            ("accept-language", "pt, fr-CA;q=0.4"),
            ("accept-encoding", "zstd;q=0.9, gzip"),
        ] {
            let once = reduced(field, value);
            assert_eq!(reduced(field, &once), once, "{field}");
        }
        let mut request = fields("accept: text/html|accept-language: ja");
        let sent = request.clone();
        Config::default().reduce(&mut request, true);
        assert_eq!(request, sent, "nothing declared, nothing changed");
    }
}
