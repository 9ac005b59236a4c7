//! A request on its way to an origin: framed by its body alone, and watched so that waiting for the client is not
//! mistaken for waiting for the origin.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Version, request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::http::{Body, Cut};

/// The body hyper sends. Trailers stay behind: we announce none.
pub(super) struct Upload {
    body: Body,
    progress: Option<Progress>,
}

/// What requests a connection carries. The two sorts share none: an origin that leaves a body unread takes it for the
/// next request on its connection, and the forged answer must not reach a request whose answer is stored for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// Requests that end with their head.
    Heads,
    /// Requests with a body, were it a last chunk only.
    Bodies,
}

/// How far a streamed body has come; shared with whoever waits for the answer.
#[derive(Clone)]
pub(super) struct Progress(Arc<Mutex<Stage>>);

#[derive(Clone, Copy)]
enum Stage {
    /// The client has not sent more yet.
    Client,
    /// The origin's turn, since then: to take a piece, or to answer.
    Origin(Instant),
}

impl Progress {
    /// The moment at which an origin that keeps silent has had `limit` to itself.
    pub(super) fn deadline(&self, limit: Duration) -> Instant {
        match *self.0.lock() {
            Stage::Client => Instant::now() + limit,
            Stage::Origin(since) => since + limit,
        }
    }

    fn set(&self, stage: Stage) {
        *self.0.lock() = stage;
    }
}

/// Puts head and body together. The framing fields are made from the body, whatever the head says, so that no two
/// parsers can disagree about where the request ends (RFC 9112 6).
pub(super) fn frame(mut head: request::Parts, body: Body) -> Request<Upload> {
    head.version = Version::HTTP_11;
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(TRANSFER_ENCODING);
    match body.size_hint().exact() {
        Some(0) if !matches!(head.method, Method::POST | Method::PUT | Method::PATCH) => {}
        Some(length) => {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // hyper would send GET and HEAD without their body.
        None => {
            head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    Request::from_parts(head, Upload::new(body))
}

impl Upload {
    fn new(body: Body) -> Self {
        let progress = match body {
            Body::Empty | Body::Full(_) => None,
            Body::Stream(_) => Some(Progress(Arc::new(Mutex::new(Stage::Origin(Instant::now()))))),
        };
        Self { body, progress }
    }

    /// Which connections it may take; asked before it is sent.
    pub(super) fn carries(&self) -> Carries {
        if self.body.size_hint().exact() == Some(0) { Carries::Heads } else { Carries::Bodies }
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        self.progress.clone()
    }
}

/// The same request once more, if its body is still at hand after it was sent.
pub(super) fn copy(request: &Request<Upload>) -> Option<Request<Upload>> {
    let body = match &request.body().body {
        Body::Empty => Body::Empty,
        Body::Full(bytes) => Body::Full(bytes.clone()),
        Body::Stream(_) => return None,
    };
    let mut copy = Request::new(Upload::new(body));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(progress) = &this.progress {
            progress.set(if polled.is_pending() { Stage::Client } else { Stage::Origin(Instant::now()) });
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => Poll::Ready(None),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
