//! `multipart/byteranges` (RFC 9110 14.6): several pieces of one body in one answer, with their total length known
//! before the first byte, and never more than one piece open.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::range::{content_range, drop_content_digests, text};
use crate::http::{Body, Cut};

/// One piece: what stands before it, and which bytes it is.
#[derive(Debug, Clone)]
pub struct Part {
    /// Delimiter and fields, up to and with the empty line.
    pub preamble: Bytes,
    /// The bytes of the whole body that follow.
    pub range: Range<u64>,
}

/// A multipart answer before its bytes are read.
#[derive(Debug)]
pub struct Multipart {
    boundary: u64,
    parts: Vec<Part>,
    closing: Bytes,
    length: u64,
}

impl Multipart {
    /// Frames `ranges` of a body of `len` bytes. `boundary` must be random: nothing may be able to foresee it, or a
    /// body could contain it.
    #[must_use]
    pub fn new(ranges: &[Range<u64>], len: u64, content_type: Option<&HeaderValue>, boundary: u64) -> Self {
        let mut length = 0_u64;
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let preamble = preamble(parts.is_empty(), range, len, content_type, boundary);
            length = length
                .saturating_add(preamble.len() as u64)
                .saturating_add(range.end.saturating_sub(range.start));
            parts.push(Part { preamble, range: range.clone() });
        }
        let closing = Bytes::from(format!("\r\n--{boundary:016x}--\r\n"));
        let length = length.saturating_add(closing.len() as u64);
        Self { boundary, parts, closing, length }
    }

    /// Bytes of the whole answer body.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The pieces in the order they are sent.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }

    /// What stands after the last piece.
    #[must_use]
    pub fn closing(&self) -> Bytes {
        self.closing.clone()
    }

    /// Makes the head of the 206 from the head of the 200: the type of the whole moves into the parts.
    pub fn head(&self, headers: &mut HeaderMap) {
        drop_content_digests(headers);
        headers.remove(CONTENT_RANGE);
        let content_type = text(format_args!("multipart/byteranges; boundary={:016x}", self.boundary));
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.length));
    }

    /// The whole as one body of exactly [`Multipart::length`] bytes. `open` gives the bytes of one range, called when
    /// the piece before is out; one that is shorter or longer than its range cuts the answer.
    pub fn body<F>(self, open: F) -> Body
    where
        F: FnMut(Range<u64>) -> Body + Send + Unpin + 'static,
    {
        Body::stream(Spliced {
            parts: self.parts.into_iter(),
            open,
            current: None,
            closing: Some(self.closing),
            left: self.length,
        })
    }
}

fn preamble(
    first: bool,
    range: &Range<u64>,
    len: u64,
    content_type: Option<&HeaderValue>,
    boundary: u64,
) -> Bytes {
    let mut bytes = Vec::with_capacity(128);
    if !first {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("--{boundary:016x}\r\n").as_bytes());
    if let Some(content_type) = content_type {
        bytes.extend_from_slice(b"Content-Type: ");
        bytes.extend_from_slice(content_type.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"Content-Range: ");
    bytes.extend_from_slice(content_range(range, len).as_bytes());
    bytes.extend_from_slice(b"\r\n\r\n");
    Bytes::from(bytes)
}

struct Spliced<F> {
    parts: std::vec::IntoIter<Part>,
    open: F,
    /// The piece being sent and how much of it is still to come.
    current: Option<(Body, u64)>,
    closing: Option<Bytes>,
    /// Bytes of the answer still to come.
    left: u64,
}

impl<F> Spliced<F> {
    fn give(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn cut(&mut self, cut: Cut) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.parts = Vec::new().into_iter();
        self.current = None;
        self.closing = None;
        Poll::Ready(Some(Err(cut)))
    }
}

impl<F> HttpBody for Spliced<F>
where
    F: FnMut(Range<u64>) -> Body + Unpin,
{
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            let Some((body, left)) = &mut this.current else {
                if let Some(part) = this.parts.next() {
                    let length = part.range.end.saturating_sub(part.range.start);
                    this.current = (length > 0).then(|| ((this.open)(part.range), length));
                    return this.give(part.preamble);
                }
                return match this.closing.take() {
                    Some(closing) => this.give(closing),
                    None => Poll::Ready(None),
                };
            };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    match left.checked_sub(data.len() as u64) {
                        Some(0) => this.current = None,
                        Some(rest) => *left = rest,
                        None => return this.cut(Cut::Store("a range is longer than asked for".into())),
                    }
                    if !data.is_empty() {
                        return this.give(data);
                    }
                }
                Some(Err(cut)) => return this.cut(cut),
                None => return this.cut(Cut::Store("a range is shorter than asked for".into())),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.closing.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    const WHOLE: Bytes = Bytes::from_static(b"0123456789");

    fn slice(range: Range<u64>) -> Bytes {
        WHOLE.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
    }

    #[tokio::test]
    async fn exact_bytes_and_length() {
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        let multipart = Multipart::new(&[0..2, 8..10], 10, Some(&kind), 0xabc);
        let expected = "--0000000000000abc\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
                        \r\n--0000000000000abc\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
                        \r\n--0000000000000abc--\r\n";
        assert_eq!(multipart.length(), expected.len() as u64);
        assert_eq!(multipart.parts().count(), 2);

        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind);
        multipart.head(&mut headers);
        assert_eq!(headers[CONTENT_TYPE], "multipart/byteranges; boundary=0000000000000abc");
        assert_eq!(headers[CONTENT_LENGTH], expected.len().to_string().as_str());

        let mut body = multipart.body(|range| Body::Full(slice(range)));
        let mut sent = Vec::new();
        while let Some(frame) = body.frame().await {
            sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
            assert_eq!(body.size_hint().exact(), Some((expected.len() - sent.len()) as u64));
        }
        assert_eq!(String::from_utf8(sent).unwrap(), expected);
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn a_piece_that_does_not_fit_cuts_the_answer() {
        type Open = fn(Range<u64>) -> Body;
        let cuts: [(&str, Open); 3] = [
            ("shorter", |range| Body::from(slice(range.start..range.end - 1))),
            ("longer", |range| Body::from(slice(range.start..range.end + 1))),
            ("broken", |_| Body::stream(Broken)),
        ];
        for (title, open) in cuts {
            let body = Multipart::new(&[0..2, 4..6], 10, None, 1).body(open);
            assert!(body.collect().await.is_err(), "{title}");
        }
    }

    struct Broken;

    impl HttpBody for Broken {
        type Data = Bytes;
        type Error = Cut;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
            Poll::Ready(Some(Err(Cut::Store("disk".into()))))
        }
    }
}
