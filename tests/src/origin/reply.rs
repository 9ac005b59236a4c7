//! What the origin answers: a head, a body, and where it waits or breaks off.

use bytes::Bytes;

use super::Asked;
use crate::gate::Gate;
use crate::page;

/// One answer of the origin.
#[derive(Clone)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) content: Content,
    pub(super) framing: Framing,
    pub(super) interim: Option<&'static str>,
    pub(super) hold: Option<Gate>,
    pub(super) pause: Option<(u64, Gate)>,
    pub(super) cut: Option<(u64, Cut)>,
    pub(super) close: bool,
}

#[derive(Clone)]
pub(super) enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// So many of [`page::Pattern`], from a place on.
    Pattern(u64, u64),
    /// These bytes instead of head and body, then close.
    Raw(Bytes),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    Close,
}

/// How an answer breaks off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Close,
    Reset,
    /// The end of the TCP connection alone, without TLS's own (close_notify).
    Drop,
}

impl Reply {
    /// A status with a body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            fields: Vec::new(),
            content: Content::Bytes(body.into()),
            framing: Framing::Length,
            interim: None,
            hold: None,
            pause: None,
            cut: None,
            close: false,
        }
    }

    /// 200 and the page of the URL in its current version, a kilobyte.
    #[must_use]
    pub fn page(asked: &Asked) -> Self {
        Self::page_of(asked, 1000)
    }

    /// The same with a size.
    #[must_use]
    pub fn page_of(asked: &Asked, size: usize) -> Self {
        Self::new(200, page::body(&asked.target, asked.version, size)).with("content-type", "text/plain")
    }

    /// 200 and a page that may be stored for an hour, with `ETag: "v<version>"`; 304 when the request names it.
    #[must_use]
    pub fn validated(asked: &Asked) -> Self {
        let etag = format!("\"v{}\"", asked.version);
        let fresh = asked.get("if-none-match").is_some_and(|tags| tags.contains(&etag));
        let reply = if fresh { Self::new(304, "") } else { Self::page(asked) };
        reply.with("etag", &etag)
    }

    /// 200 and so many bytes of [`page::Pattern`].
    #[must_use]
    pub fn pattern(length: u64) -> Self {
        let reply = Self { content: Content::Pattern(0, length), ..Self::new(200, "") };
        reply.with("content-type", "application/octet-stream")
    }

    /// A pattern of `length` bytes with `ETag: "v<version>"` from a server that knows one range, `If-Range` and
    /// `If-None-Match`. The pattern of another version begins elsewhere.
    #[must_use]
    pub fn ranged(asked: &Asked, length: u64) -> Self {
        let (etag, shift) = (format!("\"v{}\"", asked.version), asked.version * page::SHIFT);
        let whole = Self { content: Content::Pattern(shift, length), ..Self::new(200, "") };
        let whole = whole.with("etag", &etag).with("accept-ranges", "bytes");
        if asked.get("if-none-match").is_some_and(|tags| tags.contains(&etag)) {
            return Self { content: Content::Bytes(Bytes::new()), status: 304, ..whole };
        }
        let same = asked.get("if-range").is_none_or(|tag| tag == etag);
        let Some(range) = asked.get("range").filter(|_| same).and_then(|r| r.strip_prefix("bytes=")) else {
            return whole;
        };
        let (first, last) = range.split_once('-').expect("a node asks for one range");
        let (from, to) = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Err(_), Ok(count)) => (length.saturating_sub(count), length),
            (Ok(from), Ok(last)) => (from, (last + 1).min(length)),
            (Ok(from), Err(_)) => (from, length),
            (Err(_), Err(_)) => panic!("a node asks for {range:?}"),
        };
        if from >= to {
            return Self::new(416, "").with("content-range", &format!("bytes */{length}"));
        }
        let says = format!("bytes {from}-{}/{length}", to - 1);
        let part = Self { content: Content::Pattern(shift + from, to - from), status: 206, ..whole };
        part.with("content-range", &says)
    }

    /// Exactly these bytes, then the connection closes.
    #[must_use]
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Raw(bytes.into()), ..Self::new(200, "") }
    }

    /// Another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Another body; an answer without one (304) stays without.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        if self.status != 304 {
            self.content = Content::Bytes(body.into());
        }
        self
    }

    /// One more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another value for a field.
    #[must_use]
    pub fn replacing(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.with(name, value)
    }

    /// `Cache-Control`.
    #[must_use]
    pub fn cache(self, value: &str) -> Self {
        self.with("cache-control", value)
    }

    /// Stale when it arrives, by `Age` instead of waiting: fresh for a minute, an hour old.
    #[must_use]
    pub fn stale(self, more: &str) -> Self {
        let value = if more.is_empty() { "max-age=60".to_owned() } else { format!("max-age=60, {more}") };
        self.cache(&value).with("age", "3600")
    }

    /// Chunked instead of Content-Length.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// Neither: the end of the connection is the end of the body.
    #[must_use]
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::Close;
        self.close = true;
        self
    }

    /// `Connection: close`.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self.with("connection", "close")
    }

    /// These bytes of interim answers first.
    #[must_use]
    pub fn interim(mut self, bytes: &'static str) -> Self {
        self.interim = Some(bytes);
        self
    }

    /// Waits before the first byte.
    #[must_use]
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.hold = Some(gate.clone());
        self
    }

    /// Waits after so many bytes of the body.
    #[must_use]
    pub fn paused_at(mut self, bytes: u64, gate: &Gate) -> Self {
        self.pause = Some((bytes, gate.clone()));
        self
    }

    /// Closes after so many bytes of the body, whatever was announced.
    #[must_use]
    pub fn cut_at(mut self, bytes: u64) -> Self {
        self.cut = Some((bytes, Cut::Close));
        self
    }

    /// The same with a TCP reset.
    #[must_use]
    pub fn reset_at(mut self, bytes: u64) -> Self {
        self.cut = Some((bytes, Cut::Reset));
        self
    }

    /// The same with the end of TCP alone: over TLS without close_notify.
    #[must_use]
    pub fn dropped_at(mut self, bytes: u64) -> Self {
        self.cut = Some((bytes, Cut::Drop));
        self
    }

    pub(super) fn length(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) | Content::Raw(bytes) => bytes.len() as u64,
            Content::Pattern(_, length) => *length,
        }
    }
}
