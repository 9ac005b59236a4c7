//! The head of a stored answer: what a hit needs, prepared when it is stored, and how it is drawn on disk.
//!
//! ```text
//! version u8 = 1 | kind u8 | ...
//! kind 0, an answer:
//!   status u16 | version id u64 | coding u8 | flags u8 | response_time u64 | corrected_age u64 | lifetime u64 |
//!   stale_while_revalidate u64 | stale_if_error u64 | fields u16 | { name u16 + bytes | value u32 + bytes }*
//! kind 2, an answer whose bytes lie in blocks beside it: complete u64 | size u64 | the same as kind 0
//! kind 3, a block: version id u64 | from u64
//! kind 1, the variants of a URL:
//!   specs u16 | { u32 + bytes }* | known u16 | { u32 + bytes }* | languages u16 | { key u32 + bytes | variant u32 + bytes }*
//! ```
//! Integers are little endian, times are milliseconds. The store checks the whole for damage before it is decoded.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use larder_store::{Head, Standing};

use super::blocks::{Block, InBlocks};
use super::uses::Uses;
use crate::clock::Timestamp;
use crate::policy::freshness::Freshness;
use crate::transform::compress::Coding;

const FORMAT: u8 = 1;
const KIND_ANSWER: u8 = 0;
const KIND_VARIANTS: u8 = 1;
const KIND_IN_BLOCKS: u8 = 2;
const KIND_BLOCK: u8 = 3;
/// Their places are their numbers on disk.
const CODINGS: [Coding; 4] = [Coding::Identity, Coding::Gzip, Coding::Brotli, Coding::Zstd];

/// What lies under a key: an answer, or where the variants of the URL are.
#[derive(Debug, Clone)]
pub enum Stored {
    /// An answer, ready to be served.
    Answer(Answer),
    /// The URL has variants: look under their keys.
    Variants(Variants),
    /// Some bytes of an answer.
    Block(Block),
}

/// A stored answer's head.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status it is served with.
    pub status: StatusCode,
    /// Its end-to-end fields, as they are served but for `Age`, `Via` and `Cache-Status`.
    pub headers: Arc<HeaderMap>,
    /// How long it is good for.
    pub freshness: Freshness,
    /// Names the bytes of the body: kept when a 304 freshens the head, new with each new body.
    pub version: u64,
    /// Whether it came over HTTP/1.0, for `Via` (RFC 9110 7.6.3).
    pub old: bool,
    /// Where its bytes are, if they are not its own entry's body.
    pub blocks: Option<InBlocks>,
    /// The coding we gave it; anything but identity is a form derived from the identity form of the same `version`.
    pub coding: Coding,
    /// How often it was given out, where it is one of several variants.
    pub uses: Uses,
    /// Where it stands when the disk runs out of room; `None` for one read from disk, whose record says it.
    pub standing: Option<Standing>,
}

/// The secondary keys of a URL (RFC 9111 4.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variants {
    /// The lists of field names that answers of this URL varied on, the newest first.
    pub specs: Vec<Box<str>>,
    /// The variant keys that are stored, the oldest first.
    pub known: Vec<Box<str>>,
    /// Keys by language, and which of `known` is in that language.
    pub languages: Vec<(Box<str>, Box<str>)>,
    /// Variants that had to leave since the uses of the others were halved; in memory only.
    pub left: usize,
}

impl Head for Stored {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        match self {
            Self::Answer(answer) => {
                match answer.blocks {
                    None => out.push(KIND_ANSWER),
                    // A kind of its own: who does not know it must not take the empty body for the whole.
                    Some(InBlocks { complete, size }) => {
                        out.push(KIND_IN_BLOCKS);
                        out.extend_from_slice(&complete.to_le_bytes());
                        out.extend_from_slice(&size.to_le_bytes());
                    }
                }
                answer.encode(out);
            }
            Self::Block(Block { version, from }) => {
                out.push(KIND_BLOCK);
                out.extend_from_slice(&version.to_le_bytes());
                out.extend_from_slice(&from.to_le_bytes());
            }
            Self::Variants(variants) => {
                out.push(KIND_VARIANTS);
                variants.encode(out);
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Cursor(bytes);
        if from.u8()? != FORMAT {
            return None;
        }
        match from.u8()? {
            KIND_ANSWER => Answer::decode(&mut from).map(Self::Answer),
            KIND_IN_BLOCKS => {
                let (complete, size) = (from.u64()?, from.u64()?);
                let blocks = Some(InBlocks { complete, size: (size > 0).then_some(size)? });
                Answer::decode(&mut from).map(|answer| Self::Answer(Answer { blocks, ..answer }))
            }
            KIND_BLOCK => Some(Self::Block(Block { version: from.u64()?, from: from.u64()? })),
            KIND_VARIANTS => Variants::decode(&mut from).map(Self::Variants),
            _ => None,
        }
    }

    fn standing(&self) -> Option<Standing> {
        match self {
            Self::Answer(answer) => answer.standing,
            Self::Variants(_) | Self::Block(_) => None,
        }
    }

    fn weight(&self) -> usize {
        const FIELD_OVERHEAD: usize = 104;
        match self {
            Self::Answer(answer) => {
                let fields = answer.headers.iter();
                fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD).sum::<usize>()
                    + 256
            }
            Self::Variants(variants) => {
                let languages = variants.languages.iter().flat_map(|(key, variant)| [key, variant]);
                let texts = variants.specs.iter().chain(&variants.known).chain(languages);
                texts.map(|text| text.len() + 16).sum::<usize>() + 64
            }
            Self::Block(_) => 0,
        }
    }
}

impl Stored {
    /// The answer, if it is one.
    #[must_use]
    pub const fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Variants(_) | Self::Block(_) => None,
        }
    }
}

impl Answer {
    /// Bytes of the whole body, for an entry whose own body has `own` bytes.
    #[must_use]
    pub fn length(&self, own: u64) -> u64 {
        self.blocks.map_or(own, |blocks| blocks.complete)
    }

    /// The version of HTTP that the origin answered with.
    #[must_use]
    pub const fn received(&self) -> Version {
        if self.old { Version::HTTP_10 } else { Version::HTTP_11 }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let f = &self.freshness;
        out.extend_from_slice(&self.status.as_u16().to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.push(CODINGS.iter().position(|coding| *coding == self.coding).unwrap_or(0) as u8);
        let flags = [f.heuristic, f.no_cache, f.must_revalidate, f.immutable, self.old];
        out.push(flags.iter().enumerate().fold(0, |bits, (i, on)| bits | (u8::from(*on) << i)));
        out.extend_from_slice(&f.response_time.0.to_le_bytes());
        for time in [f.corrected_age, f.lifetime, f.stale_while_revalidate, f.stale_if_error] {
            out.extend_from_slice(&millis(time).to_le_bytes());
        }
        let fields = u16::try_from(self.headers.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&fields.to_le_bytes());
        for (name, value) in self.headers.iter().take(usize::from(fields)) {
            put_short(out, name.as_str().as_bytes());
            put_long(out, value.as_bytes());
        }
    }

    fn decode(from: &mut Cursor<'_>) -> Option<Self> {
        let status = StatusCode::from_u16(from.u16()?).ok()?;
        let version = from.u64()?;
        let coding = *CODINGS.get(usize::from(from.u8()?))?;
        let flags = from.u8()?;
        let response_time = Timestamp(from.u64()?);
        let mut time = || from.u64().map(Duration::from_millis);
        let (corrected_age, lifetime) = (time()?, time()?);
        let (stale_while_revalidate, stale_if_error) = (time()?, time()?);
        let fields = from.u16()?;
        let mut headers = HeaderMap::with_capacity(usize::from(fields).min(256));
        for _ in 0..fields {
            let name = HeaderName::from_bytes(from.short()?).ok()?;
            headers.append(name, HeaderValue::from_bytes(from.long()?).ok()?);
        }
        let freshness = Freshness {
            response_time,
            corrected_age,
            lifetime,
            heuristic: flags & 1 != 0,
            no_cache: flags & 2 != 0,
            must_revalidate: flags & 4 != 0,
            immutable: flags & 8 != 0,
            stale_while_revalidate,
            stale_if_error,
        };
        let (headers, old) = (Arc::new(headers), flags & 16 != 0);
        let (blocks, uses, standing) = (None, Uses::default(), None);
        Some(Self { status, headers, freshness, version, old, blocks, coding, uses, standing })
    }
}

impl Variants {
    /// Notes a variant; false if nothing is new about it.
    pub fn add(&mut self, spec: &str, variant: &str, language: Option<&str>) -> bool {
        let newest = self.specs.first().is_some_and(|first| **first == *spec);
        let known = self.known.iter().any(|known| **known == *variant);
        let spoken = |(key, at): &(Box<str>, Box<str>)| Some(&**key) == language && **at == *variant;
        if newest && known && (language.is_none() || self.languages.iter().any(spoken)) {
            return false;
        }
        self.specs.retain(|known| **known != *spec);
        self.specs.insert(0, spec.into());
        self.known.retain(|known| **known != *variant);
        self.known.push(variant.into());
        if let Some(language) = language {
            self.languages.retain(|(key, at)| **key != *language && **at != *variant);
            self.languages.push((language.into(), variant.into()));
        }
        true
    }

    /// Forgets the oldest lists beyond `specs` and gives the variant beyond `known` that was used least, of equals the
    /// oldest. The newest has had no time to be used: it stays.
    pub fn overflow(&mut self, specs: usize, known: usize, uses: impl Fn(&str) -> u8) -> Option<Box<str>> {
        self.specs.truncate(specs);
        if self.known.len() <= known {
            return None;
        }
        let older = self.known.len() - 1;
        let (at, _) = self.known[..older].iter().enumerate().min_by_key(|(_, variant)| uses(variant))?;
        let least = self.known.remove(at);
        self.languages.retain(|(_, variant)| *variant != least);
        self.left += 1;
        Some(least)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for list in [&self.specs, &self.known] {
            put_count(out, list.len());
            list.iter().for_each(|text| put_long(out, text.as_bytes()));
        }
        put_count(out, self.languages.len());
        for text in self.languages.iter().flat_map(|(key, variant)| [key, variant]) {
            put_long(out, text.as_bytes());
        }
    }

    fn decode(from: &mut Cursor<'_>) -> Option<Self> {
        let text = |from: &mut Cursor<'_>| std::str::from_utf8(from.long()?).ok().map(Box::from);
        let specs = (0..from.u16()?).map(|_| text(from)).collect::<Option<_>>()?;
        let known = (0..from.u16()?).map(|_| text(from)).collect::<Option<_>>()?;
        let languages = (0..from.u16()?).map(|_| Some((text(from)?, text(from)?))).collect::<Option<_>>()?;
        Some(Self { specs, known, languages, left: 0 })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("lists of a URL are limited to some dozens");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).expect("the http crate allows field names of 64 KiB at most");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("heads are limited to kilobytes");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/html"));
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_bytes(b"\xff\x80").expect("obs-text is a field value"));
        let freshness = Freshness {
            response_time: Timestamp(1_700_000_000_123),
            corrected_age: Duration::from_secs(3),
            lifetime: Duration::from_secs(60),
            heuristic: true,
            no_cache: false,
            must_revalidate: true,
            immutable: false,
            stale_while_revalidate: Duration::from_secs(5),
            stale_if_error: Duration::from_millis(1),
        };
        let headers = Arc::new(headers);
        Answer {
            status: StatusCode::NOT_FOUND,
            headers,
            freshness,
            version: 77,
            old: true,
            blocks: None,
            coding: Coding::Brotli,
            uses: Uses::default(),
            standing: None,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut bytes = Vec::new();
        Stored::Answer(answer()).encode(&mut bytes);
        let Some(Stored::Answer(back)) = Stored::decode(&bytes) else { panic!("not an answer") };
        let wanted = answer();
        assert_eq!((back.status, back.version, back.coding), (wanted.status, wanted.version, wanted.coding));
        assert_eq!(back.received(), wanted.received());
        assert_eq!(back.headers, wanted.headers);
        assert_eq!(format!("{:?}", back.freshness), format!("{:?}", wanted.freshness));

        let variants = Variants {
            specs: vec!["accept".into()],
            known: vec!["accept\na".into(), "".into()],
            languages: vec![("accept-language=>de".into(), "".into())],
            left: 0,
        };
        bytes.clear();
        Stored::Variants(variants.clone()).encode(&mut bytes);
        let Some(Stored::Variants(back)) = Stored::decode(&bytes) else { panic!("not variants") };
        assert_eq!(back, variants);
    }

    #[test]
    fn an_answer_in_blocks_and_its_blocks_come_back() {
        let blocks = Some(InBlocks { complete: 1 << 40, size: 1 << 22 });
        let mut bytes = Vec::new();
        Stored::Answer(Answer { blocks, ..answer() }).encode(&mut bytes);
        let back = Stored::decode(&bytes);
        let back = back.as_ref().and_then(Stored::answer).expect("an answer");
        assert_eq!((back.blocks, back.length(0), back.version), (blocks, 1 << 40, 77));
        assert_ne!(bytes[1], KIND_ANSWER, "older versions must not take it for an answer without bytes");

        let block = Block { version: 77, from: 3 };
        let mut bytes = Vec::new();
        Stored::Block(block).encode(&mut bytes);
        assert!(matches!(Stored::decode(&bytes), Some(Stored::Block(back)) if back == block));
        // Blocks of no size would be looked for without end.
        let mut bytes = Vec::new();
        let none = Some(InBlocks { complete: 1, size: 0 });
        Stored::Answer(Answer { blocks: none, ..answer() }).encode(&mut bytes);
        assert!(Stored::decode(&bytes).is_none());
    }

    #[test]
    fn a_variant_that_leaves_takes_its_language_along() {
        let mut variants = Variants::default();
        assert!(variants.add("accept-language", "one", Some("=>de")));
        assert!(!variants.add("accept-language", "one", Some("=>de")), "nothing new");
        assert!(variants.add("accept-language", "two", Some("=>de")), "the newest answer speaks it");
        assert_eq!(variants.languages, [("=>de".into(), "two".into())]);
        assert!(variants.add("accept-language", "two", Some("=>en")), "one answer, one language");
        assert_eq!(variants.languages, [("=>en".into(), "two".into())]);
        assert!(variants.add("foo", "three", None));
        assert_eq!(variants.overflow(1, 2, |_| 0).as_deref(), Some("one"));
        assert_eq!((variants.specs.len(), variants.overflow(1, 2, |_| 0)), (1, None));
        assert_eq!(variants.overflow(1, 1, |_| 0).as_deref(), Some("two"));
        assert!(variants.languages.is_empty());
        assert_eq!(variants.left, 2);
    }

    #[test]
    fn the_variant_used_least_leaves() {
        let mut variants = Variants::default();
        for variant in ["a", "b", "c", "d"] {
            variants.add("foo", variant, None);
        }
        let uses = |variant: &str| match variant {
            "a" => 9,
            "b" => 2,
            "c" => 2,
            _ => 0,
        };
        assert_eq!(
            variants.overflow(1, 3, uses).as_deref(),
            Some("b"),
            "of equals the oldest, never the newest"
        );
        assert_eq!(variants.known, ["a".into(), "c".into(), Box::<str>::from("d")]);
    }

    #[test]
    fn cut_or_foreign_bytes_decode_to_nothing() {
        let mut bytes = Vec::new();
        Stored::Answer(answer()).encode(&mut bytes);
        for len in 0..bytes.len() {
            assert!(Stored::decode(&bytes[..len]).is_none(), "{len} of {} bytes", bytes.len());
        }
        bytes[0] = FORMAT + 1;
        assert!(Stored::decode(&bytes).is_none());
    }
}
