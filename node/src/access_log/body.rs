//! A body that reports when its last byte is given to the connection, or that it never was.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http::{Body, Cut};

/// How a body ended.
#[derive(Debug, Clone)]
pub enum End {
    /// All of it was given to the connection.
    Whole,
    /// It broke off on our side; the client sees an aborted message.
    Cut(Cut),
    /// The client left before the end.
    Left,
}

/// What was sent of a body.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Bytes given to the connection.
    pub bytes: u64,
    /// How it ended.
    pub end: End,
}

impl Sent {
    /// Whether all of it was given to the connection.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.end, End::Whole)
    }
}

/// Wraps a body and calls `done` exactly once: at its end, at its cut, or when it is dropped before either.
pub struct Logged<F: FnOnce(Sent)> {
    body: Body,
    bytes: u64,
    done: Option<F>,
}

impl<F: FnOnce(Sent) + Send + 'static> Logged<F> {
    /// Has `done` called when `body` is over. One buffer or none is over at once, because a connection takes it in one
    /// piece: such a body comes back as it is, without a box around it. Give an answer to HEAD as [`Body::Empty`].
    pub fn wrap(body: Body, done: F) -> Body {
        match &body {
            Body::Empty => done(Sent { bytes: 0, end: End::Whole }),
            Body::Full(bytes) => done(Sent { bytes: bytes.len() as u64, end: End::Whole }),
            Body::Stream(_) => return Body::stream(Self { body, bytes: 0, done: Some(done) }),
        }
        body
    }
}

impl<F: FnOnce(Sent)> Logged<F> {
    fn finish(&mut self, end: End) {
        if let Some(done) = self.done.take() {
            done(Sent { bytes: self.bytes, end });
        }
    }
}

impl<F: FnOnce(Sent)> Unpin for Logged<F> {}

impl<F: FnOnce(Sent)> HttpBody for Logged<F> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if this.body.is_end_stream() {
                    this.finish(End::Whole);
                }
            }
            Some(Err(cut)) => this.finish(End::Cut(cut.clone())),
            None => this.finish(End::Whole),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<F: FnOnce(Sent)> Drop for Logged<F> {
    fn drop(&mut self) {
        // A connection that stops asking because the body says it is over has all of it.
        let end = if self.body.is_end_stream() { End::Whole } else { End::Left };
        self.finish(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    struct Frames(VecDeque<Result<&'static [u8], Cut>>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = Cut;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
            let next = self.get_mut().0.pop_front();
            Poll::Ready(next.map(|frame| frame.map(|data| Frame::data(Bytes::from_static(data)))))
        }
    }

    fn frames(frames: impl IntoIterator<Item = Result<&'static [u8], Cut>>) -> Body {
        Body::stream(Frames(frames.into_iter().collect()))
    }

    type Reports = Arc<Mutex<Vec<Sent>>>;

    fn logged(body: Body) -> (Body, Reports) {
        let reports = Reports::default();
        let to = Arc::clone(&reports);
        (Logged::wrap(body, move |sent| to.lock().unwrap().push(sent)), reports)
    }

    fn only(reports: &Reports) -> (u64, &'static str) {
        let reports = reports.lock().unwrap();
        let [sent] = &reports[..] else { panic!("{} reports", reports.len()) };
        let end = match sent.end {
            End::Whole => "whole",
            End::Cut(_) => "cut",
            End::Left => "left",
        };
        assert_eq!(sent.is_complete(), end == "whole");
        (sent.bytes, end)
    }

    #[tokio::test]
    async fn a_stream_to_its_end() {
        let (body, reports) = logged(frames([Ok(b"ab".as_slice()), Ok(b""), Ok(b"cde")]));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcde");
        assert_eq!(only(&reports), (5, "whole"));
    }

    #[tokio::test]
    async fn a_cut() {
        let (mut body, reports) = logged(frames([Ok(b"ab".as_slice()), Err(Cut::Silent(1))]));
        assert!(body.frame().await.unwrap().is_ok());
        assert!(reports.lock().unwrap().is_empty(), "not over yet");
        assert!(body.frame().await.unwrap().is_err());
        drop(body);
        assert_eq!(only(&reports), (2, "cut"));
    }

    #[tokio::test]
    async fn a_client_that_leaves() {
        let (mut body, reports) = logged(frames([Ok(b"ab".as_slice()), Ok(b"c")]));
        assert!(body.frame().await.is_some());
        drop(body);
        assert_eq!(only(&reports), (2, "left"));
        let (body, reports) = logged(frames([]));
        drop(body);
        assert_eq!(only(&reports), (0, "left"), "whether there was more nobody asked");
    }

    #[tokio::test]
    async fn one_buffer_stays_one_buffer() {
        let (body, reports) = logged(Body::Full(Bytes::from_static(b"abc")));
        assert!(matches!(&body, Body::Full(bytes) if bytes == "abc"));
        assert_eq!(only(&reports), (3, "whole"));
        let (body, reports) = logged(Body::Empty);
        assert!(matches!(body, Body::Empty));
        assert_eq!(only(&reports), (0, "whole"));
    }

    #[tokio::test]
    async fn length_and_end_are_those_of_the_body() {
        let inner = Full::new(Bytes::from_static(b"abc")).map_err(|never| match never {});
        let (mut body, reports) = logged(Body::stream(inner));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!body.is_end_stream());
        assert!(body.frame().await.is_some());
        assert_eq!(only(&reports), (3, "whole"), "known at the last frame, before anybody asks again");
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.is_end_stream());
        drop(body);
        assert_eq!(only(&reports), (3, "whole"));
    }
}
