//! One connection: HTTP/1.1 or HTTP/2 by hyper, driven to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{HeaderValue, Request, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFuture;

use super::activity::{Activity, Answer, Taking};
use super::alarm::Alarm;
use super::guard::{Guard, REFUSED_METHOD};
use super::refusal::{Refusal, Timeout};
use super::{Limits, Peer, Shared, h2_request};
use crate::http::{Body, Response};
use crate::{limits, tasks};

/// What a connection knows of itself and its surroundings.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) limits: Arc<Limits>,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: Arc<Peer>,
}

/// Serves HTTP/1.1 until the connection ends.
pub(super) async fn http1<T, S, Fut>(stream: T, link: Link, serve: S)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>, Arc<Peer>) -> Fut + Send + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let Link { shared, limits: times, activity, peer } = link.clone();
    let counters = Arc::clone(&shared.counters);
    let guard = Guard::new(stream, peer.tls.is_some(), times, Arc::clone(&activity), counters);
    let service = service_fn(move |request: Request<Incoming>| {
        let exchange = activity.exchange();
        let old = (request.version() == Version::HTTP_10).then(|| Arc::clone(&activity));
        let refused = (request.method().as_str() == REFUSED_METHOD).then(|| activity.refused());
        let served = refused.is_none().then(|| serve(request, Arc::clone(&peer)));
        async move {
            let response = match served {
                Some(served) => served.await,
                None => refusal(refused.unwrap_or(Refusal::Unparsable)),
            };
            if let Some(activity) = old.filter(|_| !has_length(&response)) {
                activity.set_unframed();
            }
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, exchange, None)))
        }
    });
    // No header timer: the guard has one that costs nothing for each request. `half_close` stays off: the guard keeps
    // the end of the stream from hyper while an exchange is under way.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(limits::CONNECTION_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(guard), service);
    let mut driver = Driver::new(&link, false);
    let graceful = |connection: Pin<&mut http1::Connection<_, _>>| connection.graceful_shutdown();
    driver.run(connection, graceful).await;
}

/// Serves HTTP/2 until the connection ends.
pub(super) async fn http2<T, S, Fut>(stream: T, link: Link, serve: S)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>, Arc<Peer>) -> Fut + Send + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let streams = Streams { link: link.clone(), newest: Arc::default() };
    let newest = Arc::clone(&streams.newest);
    let Link { shared, activity, peer, .. } = link.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let exchange = activity.exchange();
        let taking = Arc::new(Taking::default());
        *newest.lock() = Some(Arc::clone(&taking));
        let checked = h2_request::check(&mut request);
        if let Err(why) = checked {
            shared.counters.refuse(why);
        }
        let served = checked.map(|()| serve(request, Arc::clone(&peer)));
        async move {
            let response = match served {
                Ok(served) => served.await,
                Err(why) => refusal(why),
            };
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, exchange, Some(taking))))
        }
    });
    let connection = http2::Builder::new(streams)
        .max_concurrent_streams(limits::H2_STREAMS_MAX)
        .max_send_buf_size(limits::H2_SEND_BUFFER_BYTES)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(limits::H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(limits::H2_LOCAL_RESETS_MAX)
        .max_header_list_size(limits::H2_HEADER_LIST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut driver = Driver::new(&link, true);
    let graceful = |connection: Pin<&mut http2::Connection<_, _, _>>| connection.graceful_shutdown();
    driver.run(connection, graceful).await;
}

/// Whether HTTP/1.0 is told how long the body is.
fn has_length(response: &Response) -> bool {
    response.headers().contains_key(header::CONTENT_LENGTH) || response.body().size_hint().exact().is_some()
}

/// The answer to a request nobody looks at.
fn refusal(why: Refusal) -> Response {
    let status = why.status();
    let text =
        format!("{} {}: {}\n", status.as_u16(), status.canonical_reason().unwrap_or_default(), why.as_str());
    let mut response = Response::new(Body::Full(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Drives a connection and decides when it has to end: on drain, and for HTTP/2 when it is idle.
struct Driver<'a> {
    link: &'a Link,
    drained: Pin<Box<WaitForCancellationFuture<'a>>>,
    /// Polled once: a connection's task never changes its waker, and each poll would lock what all workers share.
    registered: bool,
    watch_idle: bool,
    idle_since: Option<Instant>,
    /// When it ends by force, once it was asked to end by itself.
    end: Option<(Instant, Timeout)>,
    alarm: Alarm,
}

impl<'a> Driver<'a> {
    fn new(link: &'a Link, watch_idle: bool) -> Self {
        let drained = Box::pin(link.shared.draining.cancelled());
        Self {
            link,
            drained,
            registered: false,
            watch_idle,
            idle_since: None,
            end: None,
            alarm: Alarm::default(),
        }
    }

    async fn run<C>(&mut self, connection: C, graceful: impl Fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        let ended = poll_fn(|cx| {
            // Twice at most: what has arrived already is served before the connection is asked to end.
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Some(ended));
                }
                if self.end.is_some() || !self.must_end(cx) {
                    break;
                }
                graceful(connection.as_mut());
            }
            match self.end {
                Some((end, _)) => self.alarm.poll(cx, end).map(|()| None),
                None => Poll::Pending,
            }
        });
        let ended = ended.await;
        let (counters, peer) = (&self.link.shared.counters, self.link.peer.address);
        match ended {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                if error.is_parse() {
                    counters.refuse(Refusal::Unparsable);
                }
                tracing::debug!(%peer, %error, "connection ended");
            }
            None => {
                let what = self.end.map_or(Timeout::Drain, |(_, what)| what);
                counters.time_out(what);
                tracing::debug!(%peer, what = what.as_str(), "connection cut");
            }
        }
    }

    /// Whether the connection is to be asked to end now.
    fn must_end(&mut self, cx: &mut Context<'_>) -> bool {
        if !std::mem::replace(&mut self.registered, true) {
            // Registers the waker; its answer is the deadline below.
            let _ = self.drained.as_mut().poll(cx);
        }
        if let Some(deadline) = self.link.shared.drain_deadline() {
            let activity = &self.link.activity;
            // Who has just come, or is halfway through a head, would be refused for no fault.
            if activity.half_read() || (!activity.begun() && !self.fresh_too_long(cx)) {
                return false;
            }
            self.end = Some((deadline, Timeout::Drain));
            return true;
        }
        self.watch_idle && self.idle_too_long(cx)
    }

    fn fresh_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        self.alarm.poll(cx, since + limits::DRAIN_FRESH_TIMEOUT).is_ready()
    }

    fn idle_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let (activity, limits) = (&self.link.activity, &self.link.limits);
        let now = Instant::now();
        if !activity.quiet() {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(now);
        }
        let patience = if activity.begun() { limits.idle_timeout } else { limits.head_timeout };
        let since = self.idle_since.unwrap_or(now);
        if self.alarm.poll(cx, since + patience).is_pending() {
            return false;
        }
        // What HTTP/2 still holds for a client that takes nothing goes with the connection.
        self.link.shared.counters.time_out(if activity.begun() { Timeout::Idle } else { Timeout::Head });
        self.end = Some((now + limits.body_timeout, Timeout::Write));
        true
    }
}

/// Starts HTTP/2 streams and gives up on those whose client takes nothing.
#[derive(Clone)]
struct Streams {
    link: Link,
    /// That of the request served last: hyper starts its stream right after.
    newest: Arc<Mutex<Option<Arc<Taking>>>>,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let taking = self.newest.lock().take().unwrap_or_default();
        let mut stream = Box::pin(stream);
        // A hit is over with the first look at it. Whatever is not is looked at again by its task, so that nothing waits
        // for a waker that does nothing.
        if stream.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        let link = self.link.clone();
        tasks::spawn("http2 stream", async move {
            let mut alarm = Alarm::default();
            let finished = poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                match taking.waiting_since() {
                    Some(since) => alarm.poll(cx, since + link.limits.body_timeout).map(|()| false),
                    None => Poll::Pending,
                }
            });
            if !finished.await {
                link.shared.counters.time_out(Timeout::Write);
            }
        });
    }
}
