//! What one connection is doing: shared by its driver, its socket, its guard and its exchanges.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::refusal::Refusal;
use crate::http::{Body, Cut};
use crate::limits;

/// State of one connection. Everything happens on one worker, so relaxed atomics are only there to be `Sync`.
#[derive(Debug, Default)]
pub(super) struct Activity {
    exchanges: AtomicU32,
    begun: AtomicBool,
    blocked: AtomicBool,
    half_read: AtomicBool,
    unframed: AtomicBool,
    refused: AtomicU8,
}

impl Activity {
    /// An exchange begins; it ends when the token goes.
    pub(super) fn exchange(self: &Arc<Self>) -> Exchange {
        self.begun.store(true, Ordering::Relaxed);
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        Exchange(Arc::clone(self))
    }

    /// No exchange is under way.
    pub(super) fn quiet(&self) -> bool {
        self.exchanges.load(Ordering::Relaxed) == 0
    }

    /// Nothing is under way and nothing waits to be taken by the client.
    pub(super) fn idle(&self) -> bool {
        self.quiet() && !self.blocked.load(Ordering::Relaxed)
    }

    /// Whether there was any exchange yet.
    pub(super) fn begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// The socket takes no more (or takes again).
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    /// A part of a head has arrived (or its rest has).
    pub(super) fn set_half_read(&self, half_read: bool) {
        self.half_read.store(half_read, Ordering::Relaxed);
    }

    pub(super) fn half_read(&self) -> bool {
        self.half_read.load(Ordering::Relaxed)
    }

    /// An answer begins whose end is the end of the connection: it is the last one.
    pub(super) fn set_unframed(&self) {
        self.unframed.store(true, Ordering::Relaxed);
    }

    pub(super) fn unframed(&self) -> bool {
        self.unframed.load(Ordering::Relaxed)
    }

    pub(super) fn set_refused(&self, why: Refusal) {
        self.refused.store(why as u8, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) -> Refusal {
        Refusal::from_number(self.refused.load(Ordering::Relaxed))
    }
}

/// A token for one exchange, from the request's head to the last byte of the answer handed over.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Activity>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Since when one HTTP/2 stream waits for its client to take something.
#[derive(Debug, Default)]
pub(super) struct Taking(Mutex<Option<Instant>>);

impl Taking {
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        *self.0.lock()
    }

    fn set(&self, waiting: bool) {
        *self.0.lock() = waiting.then(Instant::now);
    }
}

/// An answer's body on its way to hyper, holding its exchange open.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    /// What is left of a large buffer that goes out in pieces (HTTP/2 only).
    rest: Bytes,
    taking: Option<Arc<Taking>>,
    _exchange: Exchange,
}

impl Answer {
    /// With `taking`, the body is handed over in small pieces so that its client's pace can be seen.
    pub(super) fn new(body: Body, exchange: Exchange, taking: Option<Arc<Taking>>) -> Self {
        if let Some(taking) = &taking {
            taking.set(true);
        }
        Self { body, rest: Bytes::new(), taking, _exchange: exchange }
    }

    /// The next piece of a buffer that came whole. The last one is copied: it may wait in HTTP/2's send queue for long,
    /// and must not keep a large object in memory meanwhile.
    fn piece(&mut self) -> Bytes {
        if self.rest.len() > limits::H2_PIECE_BYTES {
            return self.rest.split_to(limits::H2_PIECE_BYTES);
        }
        Bytes::copy_from_slice(&std::mem::take(&mut self.rest))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let Some(taking) = this.taking.clone() else {
            return Pin::new(&mut this.body).poll_frame(cx);
        };
        taking.set(false);
        let polled = if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.len() > limits::H2_PIECE_BYTES => {
                        this.rest = data;
                        Poll::Ready(Some(Ok(Frame::data(this.piece()))))
                    }
                    Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(frame) => Poll::Ready(Some(Ok(frame))),
                },
                other => other,
            }
        } else {
            Poll::Ready(Some(Ok(Frame::data(this.piece()))))
        };
        taking.set(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        let mut sum = SizeHint::new();
        sum.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            sum.set_upper(upper + rest);
        }
        sum
    }
}
