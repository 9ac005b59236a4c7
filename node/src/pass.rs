//! Past the cache: the request as it is, the answer as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, StatusCode, header, response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use larder_store::{Hit, KeyRef, Purge, Selector, Seq};

use crate::cache::fill::Follow;
use crate::cache::lay::Told;
use crate::cache::stored::Stored;
use crate::cache::{Wanted, search};
use crate::clock::Timestamp;
use crate::context::Exchange;
use crate::error::{Error, Kind};
use crate::http::{Body, Cut};
use crate::origin;
use crate::outcome::excused;
use crate::policy::validation::{self, HeadEffect};
use crate::policy::{invalidation, storing, stray};
use crate::tasks;
use crate::worker::{Asker, Site, Worker};

/// Sends the exchange's own request to the origin. `stale`: what is stored for it and not fresh, where the request could
/// have been answered with it.
///
/// # Errors
/// What went wrong before an answer came, or a 5xx in whose place `stale` may be served.
pub async fn pass(
    worker: &Worker,
    site: &Site,
    exchange: &mut Exchange,
    stale: Option<&Hit<Stored>>,
    body: Body,
) -> Result<origin::Answer, Error> {
    let request = &exchange.request;
    let method = request.method.clone();
    let mut head =
        worker.request_head(site, &Asker::of(exchange), method, exchange.sent_target(), &request.headers)?;
    if request.method == Method::HEAD && site.config.compress.enabled {
        // It is about the form that a GET would fetch.
        head.headers.remove(header::ACCEPT_ENCODING);
    }
    let over = Arc::new(AtomicBool::new(false));
    let body = match body {
        // What was read of a QUERY to look it up.
        Body::Empty => exchange.content.bytes().into(),
        Body::Stream(inner) => {
            Body::stream(Capped { inner, left: site.config.request_body_max, over: Arc::clone(&over) })
        }
        whole => whole,
    };
    let asked = worker.core.clock.now();
    let (flights, url) = (&worker.core.flights, KeyRef::new(&exchange.url, "").hash());
    let unsafe_before = flights.unsafe_so_far(url);
    let answer = site.pool.send(head, body).await.map_err(|error| {
        if over.load(Ordering::Relaxed) { Error::client(Kind::RequestTooLarge, error) } else { error }
    })?;
    match exchange.request.method {
        Method::HEAD => {
            let (policy, request, now) =
                (&site.config.policy, &exchange.request.headers, worker.core.clock.now());
            let excused =
                |hit: &Hit<Stored>| excused(policy, request, (&hit.entry, hit.expired), &answer, now);
            if let Some(error) = stale.and_then(excused) {
                return Err(error);
            }
            compare(worker, site, exchange, &answer.head, asked).await;
            Ok(answer)
        }
        Method::POST => {
            let born = invalidate(worker, exchange, &answer.head).await;
            // Another unsafe request that was answered meanwhile may have changed what this answer says.
            let born = born.filter(|_| flights.unsafe_so_far(url) == unsafe_before + 1);
            Ok(keep(worker, site, exchange, born, answer, asked))
        }
        _ => {
            invalidate(worker, exchange, &answer.head).await;
            Ok(answer)
        }
    }
}

/// RFC 9111 4.3.5: what the answer to a HEAD says about the stored answer to a GET.
async fn compare(
    worker: &Worker,
    site: &Site,
    exchange: &Exchange,
    answer: &response::Parts,
    asked: Timestamp,
) {
    let (core, told) = (&worker.core, told(worker, site, exchange, exchange.position, asked));
    let found = core.cache.lookup(&Wanted::of(exchange, site.config.selecting())).await;
    // What an origin says to strays says nothing of what everybody gets.
    if stray::of(&site.config.policy.keying, told.request).is_some() {
        return;
    }
    let Some(entry) = found.hit.map(|hit| hit.entry) else { return };
    let Stored::Answer(stored) = entry.head() else { return };
    if stored.status != StatusCode::OK {
        return;
    }
    match validation::head_effect(&stored.headers, stored.length(entry.len()), answer.status, &answer.headers)
    {
        HeadEffect::Update => {
            core.cache.freshen(&site.config.policy, &told, &entry, &answer.headers).await;
        }
        HeadEffect::Stale => core.cache.age(&entry, told.came, told.born).await,
        HeadEffect::None => {}
    }
}

/// RFC 9110 9.3.3: an answer to a POST that says it is what a GET would bring is kept as that.
fn keep(
    worker: &Worker,
    site: &Site,
    exchange: &mut Exchange,
    born: Option<Seq>,
    mut answer: origin::Answer,
    asked: Timestamp,
) -> origin::Answer {
    let (core, policy) = (&worker.core, &site.config.policy);
    let (status, fields) = (answer.head.status, &answer.head.headers);
    let Some(born) = born else { return answer };
    let told = told(worker, site, exchange, born, asked);
    let laid = storing::may_store_post(policy, told.url, told.request, status, fields)
        .and_then(|()| core.storable(&answer))
        .and_then(|length| Ok((core.cache.lay(policy, &told, &answer.head, length)?, length)));
    let Ok((laid, length)) = laid else { return answer };
    let Some(reader) = laid.writer.tap().reader(0) else { return answer };
    let body = std::mem::replace(&mut answer.body, Body::stream(Follow::new(reader, length)));
    let aloft = search::marks(&exchange.url).map(|url| core.flights.mark(KeyRef::new(url, "").hash()));
    let core = Arc::clone(core);
    tasks::spawn("post", async move {
        if let Err(why) = laid.fill(&core.cache, body).await {
            tracing::debug!(why = why.as_str(), "the answer to a POST was not kept");
        }
        drop(aloft);
    });
    exchange.facts.stored = true;
    answer
}

fn told<'a>(worker: &Worker, site: &Site, exchange: &'a Exchange, born: Seq, asked: Timestamp) -> Told<'a> {
    Told {
        url: &exchange.url,
        base: &exchange.base,
        request: &exchange.request.headers,
        own_encoding: site.config.compress.enabled,
        asked,
        came: worker.core.clock.now(),
        born,
    }
}

/// RFC 9111 4.4: a successful unsafe request makes what is stored for its URL, and for the URLs its answer names,
/// unusable. It is a purge like any other, so that fetches in flight do not bring the old answer back; where nothing
/// is stored and nothing in flight there is nothing to write down.
///
/// Gives the position that the answer itself is as new as: behind this purge, unless another one came meanwhile.
async fn invalidate(worker: &Worker, exchange: &Exchange, answer: &response::Parts) -> Option<Seq> {
    let (core, before) = (&worker.core, exchange.position);
    let method = &exchange.request.method;
    let groups = invalidation::groups(&exchange.url, method, &answer.headers);
    let mut selectors: Vec<_> = groups.into_iter().map(Selector::Tag).collect();
    if invalidation::invalidates(method, answer.status) {
        let mut urls = invalidation::targets(&exchange.url, &answer.headers);
        urls.push(exchange.url.clone());
        for url in &urls {
            core.flights.note_unsafe(KeyRef::new(url, "").hash());
        }
        let aloft = |url: &str| core.flights.is_aloft(KeyRef::new(url, "").hash());
        urls.retain(|url| aloft(url) || aloft(search::path(url)) || core.cache.may_answer(url));
        selectors.extend(urls.into_iter().map(Selector::Url));
    }
    if selectors.is_empty() {
        return Some(before);
    }
    match core.purges.invalidate(Purge { selectors, soft: false }).await {
        Ok(seq) => (seq.0 == before.0 + 1).then_some(seq),
        Err(error) => {
            tracing::warn!(url = exchange.url, %error, "not invalidated after an unsafe request");
            None
        }
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
