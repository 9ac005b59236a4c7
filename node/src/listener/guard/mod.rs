//! Strict HTTP/1.1 between the socket and hyper (RFC 9112).
//!
//! hyper takes bare LF, both lengths at once and any `Host`, so its parser is never shown anything but heads that were
//! found flawless here, and bodies whose framing was followed here: where a request ends is decided once. A head that
//! came in one read passes in place; one that came in pieces is kept here until it is whole. In place of a bad head
//! hyper gets [`REFUSAL`], so that the refusal is answered in order, after the answers to what was pipelined before it;
//! nothing that came after it is ever looked at. Bad chunk framing becomes the end of the stream: a broken body.
//!
//! The guard also watches the clock wherever hyper waits for a head: hyper's own timer is a fresh allocation for each
//! request and does not tell an idle connection from a slow head.

mod chunks;
mod head;
mod scan;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use self::scan::{End, Scanner};
use super::activity::Activity;
use super::alarm::Alarm;
use super::counters::Counters;
use super::refusal::{Refusal, Timeout};
use super::{Limits, limits};

pub(super) use self::head::is_host;

/// The method of the request that hyper sees in place of a refused one. No client can send it.
pub(super) const REFUSED_METHOD: &str = "LARDER-REFUSED";
const REFUSAL: &[u8] = b"LARDER-REFUSED / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

const _: () = assert!(limits::REQUEST_FIELDS_MAX <= 100, "hyper's own limit, which answers without a reason");

/// What the guard waits for when hyper wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The first byte of a head.
    Idle,
    /// The rest of a head.
    Head,
    /// The end of an exchange whose client has closed its side already.
    HalfClosed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client closed its side; hyper is told once nothing is under way.
    Finished,
    /// A refusal was put in place of a head: hyper gets no more bytes.
    Refused,
    /// The body's framing broke: hyper gets an end of stream.
    Broken,
}

/// The guard around one connection.
#[derive(Debug)]
pub(super) struct Guard<T> {
    inner: T,
    scanner: Scanner,
    phase: Phase,
    /// Bytes not passed yet: `ready` that may pass, then the beginning of a head.
    held: Vec<u8>,
    ready: usize,
    waiting: Option<(Wait, Instant)>,
    alarm: Alarm,
    /// hyper was woken once to see that the client has closed its side.
    told: bool,
    /// The write side is shut; bytes thrown away since.
    shut: bool,
    thrown: usize,
    limits: Arc<Limits>,
    activity: Arc<Activity>,
    counters: Arc<Counters>,
}

impl<T> Guard<T> {
    pub(super) fn new(
        inner: T,
        secure: bool,
        limits: Arc<Limits>,
        activity: Arc<Activity>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            inner,
            scanner: Scanner::new(secure),
            phase: Phase::Open,
            held: Vec::new(),
            ready: 0,
            waiting: None,
            alarm: Alarm::default(),
            told: false,
            shut: false,
            thrown: 0,
            limits,
            activity,
            counters,
        }
    }

    /// Judges what was read into `buf` after `before`, leaves there what may pass and keeps the rest.
    fn judge(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let fresh = &buf.filled()[before..];
        let end = if self.held.is_empty() {
            let verdict = self.scanner.scan(fresh);
            if verdict.end == End::Open {
                self.held.extend_from_slice(&fresh[verdict.pass..]);
            }
            buf.set_filled(before + verdict.pass);
            if verdict.pass > 0 {
                self.waiting = None;
            }
            verdict.end
        } else {
            self.held.extend_from_slice(fresh);
            buf.set_filled(before);
            let verdict = self.scanner.scan(&self.held);
            self.ready = verdict.pass;
            if verdict.pass > 0 {
                self.waiting = None;
            }
            verdict.end
        };
        match end {
            End::Open => {}
            End::Refused(why) => self.refuse(why),
            End::Broken => {
                self.counters.refuse(Refusal::Chunk);
                self.held.truncate(self.ready);
                self.phase = Phase::Broken;
            }
        }
        self.activity.set_half_read(self.held.len() > self.ready);
    }

    fn refuse(&mut self, why: Refusal) {
        self.counters.refuse(why);
        self.activity.set_refused(why);
        self.scanner.end();
        self.phase = Phase::Refused;
        self.held.truncate(self.ready);
        self.held.extend_from_slice(REFUSAL);
        self.ready = self.held.len();
        self.activity.set_half_read(false);
    }

    /// Passes on what is ready among the held bytes.
    fn pass(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.ready.min(buf.remaining());
        buf.put_slice(&self.held[..length]);
        if length == self.held.len() {
            self.held = Vec::new();
        } else {
            self.held.drain(..length);
        }
        self.ready -= length;
    }

    /// Nothing to read: ready when patience has ended, with what it was that ended it.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Wait> {
        let limits = &self.limits;
        let (wait, patience) = if self.phase == Phase::Finished {
            (Wait::HalfClosed, limits::HALF_CLOSED_TIMEOUT)
        } else if !self.held.is_empty() {
            (Wait::Head, limits.head_timeout)
        } else if self.scanner.in_head() && self.activity.idle() {
            (Wait::Idle, if self.activity.begun() { limits.idle_timeout } else { limits.head_timeout })
        } else {
            self.waiting = None;
            return Poll::Pending;
        };
        let since = match self.waiting {
            Some((same, since)) if same == wait => since,
            _ => Instant::now(),
        };
        self.waiting = Some((wait, since));
        ready!(self.alarm.poll(cx, since + patience));
        Poll::Ready(wait)
    }

    /// A client that has closed its side still takes its answer.
    fn moved(&mut self) {
        if self.phase == Phase::Finished {
            self.waiting = None;
        }
    }

    /// Patience has ended. Whether hyper is to be told that the stream is at its end.
    fn give_up(&mut self, wait: Wait) -> bool {
        self.waiting = None;
        match wait {
            Wait::Idle => {
                let what = if self.activity.begun() { Timeout::Idle } else { Timeout::Head };
                self.counters.time_out(what);
                true
            }
            Wait::Head => {
                self.counters.time_out(Timeout::Head);
                self.refuse(Refusal::HeadTimeout);
                false
            }
            Wait::HalfClosed => {
                self.counters.time_out(Timeout::HalfClosed);
                true
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guard<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        loop {
            if this.ready > 0 {
                this.pass(buf);
                return Poll::Ready(Ok(()));
            }
            match this.phase {
                Phase::Broken => return Poll::Ready(Ok(())),
                // No waker: the answer under way ends the connection, not its client.
                Phase::Refused => return Poll::Pending,
                Phase::Finished if this.activity.idle() => return Poll::Ready(Ok(())),
                Phase::Finished | Phase::Open => {}
            }
            if this.phase == Phase::Open {
                match Pin::new(&mut this.inner).poll_read(cx, buf)? {
                    Poll::Ready(()) if buf.filled().len() > before => {
                        this.judge(buf, before);
                        if buf.filled().len() > before {
                            return Poll::Ready(Ok(()));
                        }
                        continue;
                    }
                    // A body that ends early is broken now; between requests hyper may still be answering.
                    Poll::Ready(()) if !this.scanner.in_head() => return Poll::Ready(Ok(())),
                    Poll::Ready(()) => {
                        this.phase = Phase::Finished;
                        this.held = Vec::new();
                        this.activity.set_half_read(false);
                        continue;
                    }
                    Poll::Pending => {}
                }
            }
            let wait = ready!(this.wait(cx));
            if this.give_up(wait) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Guard<T> {
    /// Reads and throws away what the client still sends, for a while: closing a socket with unread bytes resets it,
    /// and the client would never see the answer (RFC 9112 9.6).
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let clean = self.phase == Phase::Open && self.scanner.in_head() && self.held.is_empty();
        let since = match self.waiting {
            Some((_, since)) => since,
            None => Instant::now(),
        };
        self.waiting = Some((Wait::HalfClosed, since));
        let mut space = [0; 4096];
        while self.thrown < limits::LINGER_BYTES_MAX {
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => self.thrown += buf.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if clean && self.thrown == 0 => return Poll::Ready(()),
                Poll::Pending => return self.alarm.poll(cx, since + limits::LINGER_TIMEOUT),
            }
        }
        Poll::Ready(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf));
        this.moved();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, bufs));
        this.moved();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// hyper flushes when it has written an answer and does not always read again after it: from here on the
    /// connection is idle, and somebody must watch the clock.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        let quiet = !this.shut && this.ready == 0 && this.activity.idle();
        let over = match this.phase {
            Phase::Finished if quiet => !std::mem::replace(&mut this.told, true),
            Phase::Open if quiet && this.held.is_empty() && this.waiting.is_none() => {
                this.wait(cx).is_ready()
            }
            _ => false,
        };
        if over {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.shut = true;
            this.waiting = None;
        }
        this.linger(cx).map(Ok)
    }
}
