//! A socket that gives up on a client that takes nothing, and whose end looks clean only where it is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::activity::Activity;
use super::alarm::Alarm;
use super::counters::Counters;
use super::refusal::Timeout;

/// What can be closed so that its peer does not take it for the end of a body.
pub(super) trait Reset {
    /// From here on closing is a reset.
    fn reset(&self);
}

impl Reset for TcpStream {
    fn reset(&self) {
        if let Err(error) = self.set_zero_linger() {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}

/// Fails a write that could not move a byte for longer than allowed. It lies under TLS, so that what rustls still
/// holds counts as well.
///
/// Where the end of the connection is the end of a body (HTTP/1.0 without a length, RFC 9112 6.3), only an orderly
/// shutdown may look like one: dropped without it, whatever the reason, the connection is reset.
#[derive(Debug)]
pub(super) struct Stall<T: Reset> {
    inner: T,
    shut: bool,
    since: Option<Instant>,
    alarm: Alarm,
    patience: Duration,
    activity: Arc<Activity>,
    counters: Arc<Counters>,
}

impl<T: Reset> Stall<T> {
    pub(super) fn new(
        inner: T,
        patience: Duration,
        activity: Arc<Activity>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { inner, shut: false, since: None, alarm: Alarm::default(), patience, activity, counters }
    }

    fn watch<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            if self.since.take().is_some() {
                self.activity.set_blocked(false);
            }
            return written;
        }
        let since = *self.since.get_or_insert_with(|| {
            self.activity.set_blocked(true);
            Instant::now()
        });
        if self.alarm.poll(cx, since + self.patience).is_pending() {
            return Poll::Pending;
        }
        self.counters.time_out(Timeout::Write);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: Reset + AsyncRead + Unpin> AsyncRead for Stall<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: Reset + AsyncWrite + Unpin> AsyncWrite for Stall<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.shut |= matches!(shut, Poll::Ready(Ok(())));
        shut
    }
}

impl<T: Reset> Drop for Stall<T> {
    fn drop(&mut self) {
        if self.activity.unframed() && !self.shut {
            self.inner.reset();
        }
    }
}
