//! The demo's origin: a small real site, served by hyper on a port of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::http::{Body, Cut};
use crate::tasks;

/// Bytes of the large download.
pub(super) const DOWNLOAD_BYTES: u64 = 200 * 1024 * 1024;

const PAGE: &str = include_str!("site/index.html");
const STYLE: &str = include_str!("site/style.css");
const LOGO: &str = include_str!("site/logo.svg");
const SLOW: Duration = Duration::from_secs(2);

/// The origin and how often it was asked.
pub(super) struct Site {
    clock: Clock,
    asked: AtomicU64,
}

impl Site {
    /// An origin that nobody asked yet.
    #[must_use]
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, asked: AtomicU64::new(0) })
    }

    /// Requests so far.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Serves until the runtime ends.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener) {
        while let Ok((socket, _)) = listener.accept().await {
            let site = Arc::clone(&self);
            tasks::spawn("demo origin connection", async move {
                let answer = service_fn(move |request| {
                    let site = Arc::clone(&site);
                    async move { Ok::<_, Infallible>(site.answer(request).await) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let count = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        match request.uri().path() {
            "/" => page("text/html; charset=utf-8", "max-age=60", PAGE.into(), "demo home"),
            "/style.css" => page("text/css", "max-age=3600", STYLE.into(), "demo assets"),
            "/logo.svg" => page("image/svg+xml", "max-age=3600", LOGO.into(), "demo assets"),
            "/time" => {
                let now = httpdate::HttpDate::from(
                    std::time::UNIX_EPOCH + Duration::from_millis(self.clock.now().0),
                );
                let text = format!("{now}, request {count} at the origin\n");
                page("text/plain", "max-age=1, stale-while-revalidate=10", text.into(), "demo time")
            }
            "/slow" => {
                tokio::time::sleep(SLOW).await;
                let text = format!("This took the origin {} seconds, request {count}.\n", SLOW.as_secs());
                page("text/plain", "max-age=30", text.into(), "demo slow")
            }
            "/account" => {
                page("text/plain", "private, no-store", format!("Only for you, {count}.\n").into(), "demo")
            }
            "/download" => {
                let mut answer =
                    page("application/octet-stream", "max-age=600", Bytes::new(), "demo download");
                answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(DOWNLOAD_BYTES));
                *answer.body_mut() = Body::stream(Download { at: 0 });
                answer
            }
            _ => {
                let mut answer = page("text/plain", "max-age=5", "There is nothing here.\n".into(), "demo");
                *answer.status_mut() = StatusCode::NOT_FOUND;
                answer
            }
        }
    }
}

fn page(media_type: &'static str, cache: &'static str, body: Bytes, tags: &'static str) -> Response<Body> {
    let etag = format!("\"{:x}\"", xxhash_rust::xxh3::xxh3_64(&body));
    let mut answer = Response::new(Body::from(body));
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    fields.insert("surrogate-key", HeaderValue::from_static(tags));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        fields.insert(header::ETAG, etag);
    }
    answer
}

/// Bytes that differ from place to place, without holding them all.
struct Download {
    at: u64,
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        const PIECE: u64 = 64 * 1024;
        if self.at >= DOWNLOAD_BYTES {
            return Poll::Ready(None);
        }
        let piece: Vec<u8> = (self.at / 8..(self.at + PIECE) / 8).flat_map(u64::to_be_bytes).collect();
        self.at += PIECE;
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(DOWNLOAD_BYTES - self.at)
    }
}
