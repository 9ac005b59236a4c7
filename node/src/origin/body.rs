//! The body of an answer while it arrives: whole, or visibly broken off; and then its connection is kept, or closed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::endpoint::Lease;
use crate::error::Kind;
use crate::http::Cut;

/// Frames from an origin. Dropped before its end it closes the connection.
pub(super) struct AnswerBody {
    incoming: Incoming,
    /// The connection, to be kept if the body ends well; `None` after the end.
    lease: Option<Lease>,
    reusable: bool,
    /// Bytes still to come, where that is known.
    left: Option<u64>,
    limit: Duration,
    /// Since when we wait for the origin; a reader that does not ask is not the origin's silence.
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, lease: Lease, reusable: bool, limit: Duration) -> Self {
        let left = incoming.size_hint().exact();
        Self { incoming, lease: Some(lease), reusable, left, limit, waiting: None, timer: None }
    }

    fn data(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let arrived = data.len() as u64;
        match self.left.map(|left| left.checked_sub(arrived)) {
            Some(None) => return self.cut(Cut::Origin("more bytes than announced".to_owned())),
            left => self.left = left.flatten(),
        }
        if self.incoming.is_end_stream() {
            self.end();
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.live.common.health.works();
            if self.reusable {
                lease.give_back();
            }
        }
    }

    fn cut(&mut self, cut: Cut) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(lease) = self.lease.take() {
            lease.live.fails();
            lease.live.counters.failed(Kind::BodyCut);
        }
        Poll::Ready(Some(Err(cut)))
    }

    /// Nothing there: is it for too long? The timer is moved when it fires, not for each frame.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let deadline = since + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                let silence = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
                return self.cut(Cut::Silent(silence));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if this.lease.is_none() {
            return Poll::Ready(None);
        }
        loop {
            let polled = Pin::new(&mut this.incoming).poll_frame(cx);
            if polled.is_ready() {
                this.waiting = None;
            }
            match polled {
                Poll::Pending => return this.wait(cx),
                // Trailers are not passed on (RFC 9110 6.5.1 lets us discard them).
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return this.data(data),
                    Err(_trailers) => {}
                },
                Poll::Ready(Some(Err(error))) => return this.cut(Cut::Origin(crate::error::chain(&error))),
                Poll::Ready(None) if this.left.is_some_and(|left| left > 0) => {
                    return this.cut(Cut::Origin("fewer bytes than announced".to_owned()));
                }
                Poll::Ready(None) => {
                    this.end();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
