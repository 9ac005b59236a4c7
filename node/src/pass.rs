//! Past the cache: the request as it is, the answer as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use larder_store::{KeyRef, Peek, Purge, Selector};

use crate::context::Exchange;
use crate::error::{Error, Kind};
use crate::http::{Body, Cut};
use crate::origin::{self, forward};
use crate::policy::invalidation;
use crate::worker::{Asker, Site, Worker};

/// Sends the exchange's own request to the origin.
///
/// # Errors
/// What went wrong before an answer came.
pub async fn pass(
    worker: &Worker,
    site: &Site,
    exchange: &Exchange,
    body: Body,
) -> Result<origin::Answer, Error> {
    let asker = Asker::of(exchange);
    let facts = worker.told(site, &asker);
    let request = &exchange.request;
    let head = forward::request_head(request.method.clone(), exchange.target(), &request.headers, &facts)
        .map_err(|error| Error::client(Kind::RequestBody, error))?;
    let over = Arc::new(AtomicBool::new(false));
    let body = match body {
        Body::Stream(inner) => {
            Body::stream(Capped { inner, left: site.config.request_body_max, over: Arc::clone(&over) })
        }
        whole => whole,
    };
    let answer = site.pool.send(head, body).await.map_err(|error| {
        if over.load(Ordering::Relaxed) { Error::client(Kind::RequestTooLarge, error) } else { error }
    })?;
    invalidate(worker, exchange, answer.head.status, &answer.head.headers).await;
    Ok(answer)
}

/// RFC 9111 4.4: a successful unsafe request makes what is stored for its URL, and for the URLs its answer names,
/// unusable. It is a purge like any other, so that fetches in flight do not bring the old answer back; where nothing
/// is stored and nothing in flight there is nothing to write down.
async fn invalidate(worker: &Worker, exchange: &Exchange, status: StatusCode, answer: &HeaderMap) {
    if !invalidation::invalidates(&exchange.request.method, status) {
        return;
    }
    let core = &worker.core;
    let mut urls = invalidation::targets(&exchange.url, answer);
    urls.push(exchange.url.clone());
    urls.retain(|url| {
        let key = KeyRef::new(url, "");
        !matches!(core.cache.store().peek(key), Peek::Absent) || !core.flights.is_empty()
    });
    if urls.is_empty() {
        return;
    }
    let selectors = urls.into_iter().map(Selector::Url).collect();
    let note = r#"{"author":"rfc9111-4.4"}"#;
    if let Err(error) = core.cache.store().purge(&Purge { selectors, soft: false }, note).await {
        tracing::warn!(url = exchange.url, %error, "not invalidated after an unsafe request");
    }
}

/// A request body that may not be longer than the site allows.
struct Capped {
    inner: crate::http::Stream,
    left: u64,
    over: Arc<AtomicBool>,
}

impl HttpBody for Capped {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let frame = std::task::ready!(self.inner.as_mut().poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => {
                    self.over.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(Cut::Client("larger than the site allows".into()))));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
