//! The body of a request, with a limit to its silence.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::counters::Counters;
use super::refusal::Timeout;
use crate::http::{Body, Cut};

/// A request body that fails with [`Cut::Client`] when its client sends nothing for too long, breaks off or breaks its
/// framing. Trailers are dropped (RFC 9110 6.5.1 lets an intermediary do so).
#[derive(Debug)]
pub struct TimedBody<B = hyper::body::Incoming> {
    inner: B,
    silence: Duration,
    since: Option<Instant>,
    alarm: Alarm,
    counters: Arc<Counters>,
    over: bool,
}

impl<B> TimedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: std::error::Error,
{
    /// `inner` with `silence` as the longest time between two pieces; counted in `counters`.
    pub fn new(inner: B, silence: Duration, counters: Arc<Counters>) -> Self {
        Self { inner, silence, since: None, alarm: Alarm::default(), counters, over: false }
    }

    /// As the body every floor knows; no allocation for a request without one.
    pub fn into_body(self) -> Body {
        if self.inner.is_end_stream() { Body::Empty } else { Body::stream(self) }
    }

    fn cut(&mut self, why: String) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.over = true;
        Poll::Ready(Some(Err(Cut::Client(why))))
    }
}

impl<B> HttpBody for TimedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: std::error::Error,
{
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                this.since = None;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.cut(crate::error::chain(&error)),
            Poll::Ready(_) => {
                this.over = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let since = *this.since.get_or_insert_with(Instant::now);
                ready!(this.alarm.poll(cx, since + this.silence));
                this.counters.time_out(Timeout::Body);
                let silence = this.silence.as_millis();
                this.cut(format!("the client sent nothing for {silence} ms"))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.over { SizeHint::with_exact(0) } else { self.inner.size_hint() }
    }
}
