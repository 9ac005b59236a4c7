//! The few HTTP shapes every floor shares: the body of an answer and why it broke off.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Head and body of an answer on its way to a client.
pub type Response = http::Response<Body>;

/// A boxed stream of frames, for everything that is not one buffer.
pub type Stream = Pin<Box<dyn HttpBody<Data = Bytes, Error = Cut> + Send>>;

/// Why a body ended before its end. A client sees an aborted message, never a short one that looks whole.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Cut {
    /// The origin closed, reset or broke its framing before the body was complete.
    #[error("the origin's answer broke off: {0}")]
    Origin(String),
    /// Nothing came from the origin for the configured time between bytes.
    #[error("the origin sent nothing for {0} ms")]
    Silent(u64),
    /// A stored body could not be read to its end.
    #[error("the stored body could not be read: {0}")]
    Store(String),
    /// The client's own request body broke off or came too slowly.
    #[error("the request body broke off: {0}")]
    Client(String),
}

/// The body of an answer (or of a request on its way to an origin).
#[derive(Default)]
pub enum Body {
    /// No bytes at all.
    #[default]
    Empty,
    /// One buffer, the shape of a hit in memory: no allocation, no copy.
    Full(Bytes),
    /// Frames as they come, with their length where it is known.
    Stream(Stream),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Body {
    /// Boxes any body whose errors can be told as a [`Cut`].
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = Cut> + Send + 'static,
    {
        Self::Stream(Box::pin(body))
    }

    /// A body that breaks off at once.
    #[must_use]
    pub fn broken(cut: Cut) -> Self {
        Self::stream(Broken(Some(cut)))
    }
}

struct Broken(Option<Cut>);

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}
