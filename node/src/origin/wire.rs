//! The bytes below HTTP: a socket, with or without TLS, that counts what passes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::limits;

/// What passed on a connection since its current request began.
#[derive(Debug, Default)]
pub(super) struct Meter {
    read: AtomicU64,
    written: AtomicU64,
    interim: AtomicU32,
}

impl Meter {
    /// Starts a new request.
    pub(super) fn begin(&self) {
        self.read.store(0, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
        self.interim.store(0, Ordering::Relaxed);
    }

    /// Whether the origin has said anything (inside TLS: anything of HTTP).
    pub(super) fn heard(&self) -> bool {
        self.read.load(Ordering::Relaxed) > 0
    }

    /// Whether any byte of the request left.
    pub(super) fn spoke(&self) -> bool {
        self.written.load(Ordering::Relaxed) > 0
    }

    /// Counts an interim (1xx) answer.
    pub(super) fn interim(&self) {
        self.interim.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there were more interim answers than anybody needs.
    pub(super) fn flooded(&self) -> bool {
        self.interim.load(Ordering::Relaxed) as usize > limits::ORIGIN_INTERIM_MAX
    }
}

/// A TCP stream that the pool can look at while hyper owns it.
pub(super) struct Socket(pub(super) Arc<TcpStream>);

/// Whether an unused connection is as it should be: open, and nothing was said that nobody asked for. Bytes that
/// wait here would be taken for the answer to the next request.
pub(super) fn is_quiet(socket: &TcpStream) -> bool {
    let mut byte = [0_u8];
    matches!(
        rustix::net::recv(socket, &mut byte, rustix::net::RecvFlags::PEEK),
        Err(rustix::io::Errno::AGAIN)
    )
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write_vectored(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}

/// The two ways to talk to an endpoint.
pub(super) enum Transport {
    /// `http://`.
    Plain(Socket),
    /// `https://`; an end without close_notify is an error, not an end.
    Tls(Box<TlsStream<Socket>>),
}

/// A transport and its meter: what hyper speaks HTTP on.
pub(super) struct Wire {
    pub(super) transport: Transport,
    pub(super) meter: Arc<Meter>,
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.meter.flooded() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too many interim answers")));
        }
        let before = buf.filled().len();
        ready!(match &mut this.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        })?;
        this.meter.read.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(match &mut this.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bytes),
        })?;
        this.meter.written.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
