//! Bytes into several entries, one after the other: the blocks of a large answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use larder_store::Writer;

use super::fill::{commit, told};
use super::stored::Stored;
use crate::http::{Body, Cut};
use crate::status::NotStored;

/// Pours `bodies`, one behind the other, into the writers, so many bytes into each. Whoever follows a piece sees how
/// that piece ends; after a body that breaks off there are no more.
///
/// # Errors
/// Why not all of it is in the store now.
pub async fn pour_into(bodies: Vec<Body>, pieces: Vec<(Writer<Stored>, u64)>) -> Result<(), NotStored> {
    let mut source = Source { bodies: bodies.into_iter(), current: Body::Empty, rest: Bytes::new() };
    let mut pieces = pieces.into_iter();
    let mut outcome = Ok(());
    while let Some((writer, length)) = pieces.next() {
        match fill(&mut source, writer, length, pieces.len() == 0).await {
            Ok(kept) => outcome = outcome.and(kept),
            Err(why) => {
                pieces.for_each(|(writer, _)| writer.abort(&why));
                return Err(NotStored::Cut);
            }
        }
    }
    outcome
}

/// Fills one piece. `Err`: the source broke off.
async fn fill(
    source: &mut Source,
    writer: Writer<Stored>,
    length: u64,
    last: bool,
) -> Result<Result<(), NotStored>, String> {
    // Gone where its bytes cannot be kept and nobody reads them: those behind it may be wanted all the same.
    let mut writer = Some(writer);
    let mut left = length;
    let ended = loop {
        if left == 0 && !last {
            break Ok(());
        }
        match source.next(left.max(1)).await {
            Ok(None) if left == 0 => break Ok(()),
            Ok(None) => break Err("fewer bytes than announced".to_owned()),
            Ok(Some(_)) if left == 0 => break Err("more bytes than announced".to_owned()),
            Ok(Some(chunk)) => {
                left -= chunk.len() as u64;
                if let Some(open) = &mut writer
                    && open.write(chunk).await.is_err()
                {
                    writer = None;
                }
            }
            Err(cut) => break Err(told(cut)),
        }
    };
    match (ended, writer) {
        (Ok(()), Some(writer)) => Ok(commit(writer).await.map(drop)),
        (Ok(()), None) => Ok(Err(NotStored::StoreBusy)),
        (Err(why), writer) => {
            if let Some(writer) = writer {
                writer.abort(&why);
            }
            Err(why)
        }
    }
}

/// Several bodies as one.
struct Source {
    bodies: std::vec::IntoIter<Body>,
    current: Body,
    rest: Bytes,
}

impl Source {
    /// The next bytes, `most` at the most; `None` behind the last body.
    async fn next(&mut self, most: u64) -> Result<Option<Bytes>, Cut> {
        while self.rest.is_empty() {
            match self.current.frame().await {
                Some(frame) => self.rest = frame?.into_data().unwrap_or_default(),
                None => match self.bodies.next() {
                    Some(body) => self.current = body,
                    None => return Ok(None),
                },
            }
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.rest.len());
        Ok(Some(self.rest.split_to(most)))
    }
}

/// `body`, which has `length` bytes or breaks off: where its framing does not say how many there are, nothing of a body
/// that says otherwise may come to stand beside other bytes.
#[must_use]
pub fn exactly(body: Body, length: u64) -> Body {
    Body::stream(Exactly { body, left: length })
}

struct Exactly {
    body: Body,
    left: u64,
}

impl HttpBody for Exactly {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let cut = |why: &str| Poll::Ready(Some(Err(Cut::Origin(why.to_owned()))));
        match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => this.left = left,
                    None => return cut("more bytes than its Content-Range says"),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            None if this.left > 0 => cut("fewer bytes than its Content-Range says"),
            end => Poll::Ready(end),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_come_in_pieces_across_bodies() {
        let bodies = vec![Body::from(Bytes::from("abc")), Body::Empty, Body::from(Bytes::from("defg"))];
        let mut source = Source { bodies: bodies.into_iter(), current: Body::Empty, rest: Bytes::new() };
        let mut seen = Vec::new();
        while let Some(bytes) = source.next(2).await.expect("no cut") {
            seen.push(bytes);
        }
        assert_eq!(seen, ["ab", "c", "de", "fg"]);
    }

    #[tokio::test]
    async fn a_body_has_as_many_bytes_as_it_says() {
        for (text, length, whole) in [("abc", 3, true), ("abc", 2, false), ("abc", 4, false), ("", 0, true)] {
            let body = exactly(Body::from(Bytes::from(text)), length).collect().await;
            assert_eq!(body.is_ok(), whole, "{text} {length}");
        }
    }
}
