//! Large answers that are fetched block by block, as far as somebody asks for them.
//!
//! ```text
//! mod    an answer in blocks as a body: one block after the other, those that are missing fetched on the way
//! fetch  one block: from the origin into the store, once for all who want it
//! land   the first part of an answer that nothing was known of
//! ```
//!
//! All blocks of an answer share its strong validator (RFC 9111 3.4). A block of another version ends what is being
//! given out, and before its first byte it starts the request anew.

mod fetch;
mod land;

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::{Body as HttpBody, Frame, SizeHint};
use larder_store::Seq;
use parking_lot::Mutex;

pub use land::{Landing, land};

use crate::cache::Entry;
use crate::cache::blocks::{Found, InBlocks, Place};
use crate::cache::fill::Follow;
use crate::cache::stored::Answer;
use crate::coalesce::{Flights, Seat};
use crate::context::Exchange;
use crate::error::{Error, Kind, Retry};
use crate::http::{Body, Cut};
use crate::limits::BLOCK_TRIES_MAX;
use crate::outcome::{Filling, Outcome, Source};
use crate::policy::{partial, stray, validation};
use crate::status::{Forward, Served};
use crate::tasks;
use crate::transform::range::{self, Ranges};
use crate::worker::{Asker, Site, Worker};

/// Why the bytes of an answer in blocks cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Lost {
    /// The origin has another version by now, or what is missing cannot be fetched for want of a strong validator.
    #[error("the origin has another version of it")]
    Changed,
    /// A fetch failed.
    #[error("{0}")]
    Failed(Error),
}

/// An answer in blocks, and all that is needed to fetch those that are missing.
struct Object {
    worker: Arc<Worker>,
    site: Arc<Site>,
    asker: Asker,
    /// The fields of the request that the blocks are fetched for.
    request: HeaderMap,
    url: String,
    base: String,
    target: String,
    variant: String,
    entry: Arc<Entry>,
    answer: Answer,
    blocks: InBlocks,
    /// The purge position before the lookup that found it.
    born: Seq,
    /// The first bytes, opened before the head was sent.
    first: Mutex<Option<(Range<u64>, Body)>>,
}

/// The bytes of a stored answer in blocks, for this exchange: its first ones are there, or on their way, when this
/// returns. Notes in the exchange what has to be fetched.
///
/// # Errors
/// [`Lost`]; nothing was given out.
pub async fn open(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    exchange: &mut Exchange,
    entry: &Arc<Entry>,
    (answer, blocks): (&Answer, InBlocks),
    variant: &str,
) -> Result<Source, Lost> {
    let object = Arc::new(Object {
        worker: Arc::clone(worker),
        site: Arc::clone(site),
        asker: Asker::of(exchange),
        // Every block is for everybody who gets this answer.
        request: stray::shared(
            &site.config.policy.keying,
            &exchange.request.headers,
            Some((variant, &answer.headers)),
        ),
        url: exchange.url.clone(),
        base: exchange.base.clone(),
        target: exchange.target().to_owned(),
        variant: variant.to_owned(),
        entry: Arc::clone(entry),
        answer: answer.clone(),
        blocks,
        born: exchange.position.max(entry.born()),
        first: Mutex::new(None),
    });
    let wanted = wanted(exchange, answer, blocks.complete);
    if wanted.iter().any(|range| !object.has(range)) {
        if partial::strong(&answer.headers).is_none() {
            return Err(Lost::Changed);
        }
        let facts = &mut exchange.facts;
        if facts.served == Served::Hit {
            // RFC 9211 2.2: the cache was able to partially satisfy the request.
            (facts.served, facts.forward, facts.stored) = (Served::Miss, Some(Forward::Partial), true);
            facts.forward_status = Some(http::StatusCode::PARTIAL_CONTENT.as_u16());
        }
    }
    if let Some(first) = wanted.first() {
        let body = object.piece(first.start, first.end).await?;
        *object.first.lock() = Some((first.clone(), body));
    }
    let length = blocks.complete;
    Ok(Source::Blocks(length, Arc::new(move |from, to| Body::stream(Reading::new(&object, from, to)))))
}

/// The bytes that the answer to this exchange will need.
fn wanted(exchange: &Exchange, answer: &Answer, complete: u64) -> Vec<Range<u64>> {
    let request = &exchange.request;
    let condition = validation::evaluate(&request.method, &request.headers, answer.status, &answer.headers);
    if request.method != Method::GET || condition != validation::Condition::Whole {
        return Vec::new();
    }
    let range = request.headers.get(http::header::RANGE);
    let range = range.filter(|_| validation::if_range_allows(&request.headers, &answer.headers));
    match range::parse(range, complete) {
        Ranges::None => std::iter::once(0..complete).collect(),
        Ranges::Unsatisfiable => Vec::new(),
        Ranges::One(range) => vec![range],
        Ranges::Many(ranges) => ranges,
    }
}

impl Object {
    fn place(&self, number: u64) -> Place<'_> {
        Place { url: &self.url, variant: &self.variant, version: self.answer.version, number }
    }

    /// Whether `range` is stored, as far as is known without the disk.
    fn has(&self, range: &Range<u64>) -> bool {
        self.blocks.numbers(range).all(|number| {
            let block = self.blocks.range(number);
            let wanted = block.start.max(range.start)..block.end.min(range.end);
            self.worker.core.cache.may_hold_block(&self.place(number), &wanted)
        })
    }

    /// The bytes from `from` to the end of its block, `to` at the most: from the store, from a fetch on its way, or from
    /// one that is started.
    async fn piece(self: &Arc<Self>, from: u64, to: u64) -> Result<Body, Lost> {
        let number = from / self.blocks.size;
        let wanted = from..to.min(self.blocks.range(number).end);
        for attempt in 0..BLOCK_TRIES_MAX {
            let stored = self.worker.core.cache.block(&self.place(number)).await;
            if let Some(found) = stored.as_ref().filter(|found| found.covers(&wanted)) {
                return Ok(read(found, &wanted));
            }
            // While this one comes, the next is asked for: its answer need not wait for a round trip.
            let outcome = self.fetched(number, stored, attempt > 0).await?;
            if wanted.end < to {
                self.ahead(number + 1).await;
            }
            match outcome {
                Outcome::Filling(filling) => {
                    if let Some(body) = follow(&filling, &wanted) {
                        return Ok(body);
                    }
                }
                Outcome::Changed => return Err(Lost::Changed),
                Outcome::Failed(error) => return Err(Lost::Failed(error)),
                _ => {}
            }
        }
        let what = format_args!("block {number} was not kept long enough to be read");
        Err(Lost::Failed(Error::node(Kind::FlightFailed, what)))
    }

    /// What the fetch of a block brings; `alone` where another's brought nothing of use.
    async fn fetched(
        self: &Arc<Self>,
        number: u64,
        stored: Option<Found>,
        alone: bool,
    ) -> Result<Outcome, Lost> {
        let ended = || Lost::Failed(Error::node(Kind::FlightFailed, "the fetch of the block ended"));
        let (flights, now) = (&self.worker.core.flights, self.worker.core.clock.now());
        let seat = match alone {
            true => Seat::Alone,
            false => flights.board(self.place(number).flight(), self.born.0, now),
        };
        let pilot = match seat {
            Seat::Passenger(flight) => {
                let waited = |waited| Lost::Failed(Error::origin(Kind::WaitTimeout, Retry::Never, waited));
                return flight.outcome().await.map_err(waited)?.ok_or_else(ended);
            }
            Seat::Pilot(pilot) => pilot,
            Seat::Alone => Flights::charter(self.born.0),
        };
        // Its last fetch may have ended between the look and this.
        if let Some(found) = self.worker.core.cache.block(&self.place(number)).await
            && found.covers(&self.blocks.range(number))
        {
            pilot.land(Outcome::Freshened(Arc::clone(&found.entry)));
            return Ok(Outcome::Freshened(found.entry));
        }
        let flight = pilot.flight();
        // A task of its own: whoever wants the block next does not depend on this client.
        tasks::spawn("block", fetch::fetch(Arc::clone(self), number, stored, pilot));
        flight.landing().await.ok_or_else(ended)
    }

    /// Starts the fetch of a block if it is neither here nor on its way.
    async fn ahead(self: &Arc<Self>, number: u64) {
        if self.blocks.range(number).is_empty() || partial::strong(&self.answer.headers).is_none() {
            return;
        }
        let stored = self.worker.core.cache.block(&self.place(number)).await;
        if stored.as_ref().is_some_and(|found| found.covers(&self.blocks.range(number))) {
            return;
        }
        let (flights, now) = (&self.worker.core.flights, self.worker.core.clock.now());
        if let Seat::Pilot(pilot) = flights.board(self.place(number).flight(), self.born.0, now) {
            tasks::spawn("block", fetch::fetch(Arc::clone(self), number, stored, pilot));
        }
    }
}

fn read(found: &Found, wanted: &Range<u64>) -> Body {
    let (from, to) = (wanted.start - found.range.start, wanted.end - found.range.start);
    Source::Entry(Arc::clone(&found.entry)).read(from, Some(to))
}

/// The bytes `wanted` of a block that is coming in; `None` where it has not all of them, or not any more.
fn follow(filling: &Filling, wanted: &Range<u64>) -> Option<Body> {
    if filling.range.start > wanted.start || wanted.end > filling.range.end {
        return None;
    }
    let reader = filling.tap.reader(wanted.start - filling.range.start)?;
    Some(Body::stream(Follow::new(reader, Some(wanted.end - wanted.start))))
}

type Opening = Pin<Box<dyn Future<Output = Result<Body, Lost>> + Send>>;

/// The bytes `at..to` of an answer in blocks.
struct Reading {
    object: Arc<Object>,
    at: u64,
    to: u64,
    /// The block that is read, and where it ends.
    current: Option<(Body, u64)>,
    opening: Option<Opening>,
}

impl Reading {
    fn new(object: &Arc<Object>, from: u64, to: u64) -> Self {
        let to = to.min(object.blocks.complete);
        let mut reading = Self { object: Arc::clone(object), at: from, to, current: None, opening: None };
        let mut first = object.first.lock();
        if first.as_ref().is_some_and(|(range, _)| *range == (from..to)) {
            reading.current = first.take().map(|(_, body)| (body, reading.end()));
        }
        drop(first);
        reading
    }

    /// Where the block at hand ends.
    fn end(&self) -> u64 {
        self.object.blocks.range(self.at / self.object.blocks.size).end.min(self.to)
    }

    fn cut(&mut self, cut: Cut) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        (self.at, self.current, self.opening) = (self.to, None, None);
        Poll::Ready(Some(Err(cut)))
    }
}

impl HttpBody for Reading {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            if let Some((body, end)) = &mut this.current {
                match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else { continue };
                        this.at += data.len() as u64;
                        if this.at > *end {
                            return this.cut(Cut::Store("a block is longer than it is".into()));
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Some(Err(cut)) => return this.cut(cut),
                    None if this.at < *end => {
                        return this.cut(Cut::Store("a block is shorter than it is".into()));
                    }
                    None => this.current = None,
                }
            }
            if this.at >= this.to {
                return Poll::Ready(None);
            }
            let opening = this.opening.get_or_insert_with(|| {
                let (object, at, to) = (Arc::clone(&this.object), this.at, this.to);
                Box::pin(async move { object.piece(at, to).await })
            });
            let opened = ready!(opening.as_mut().poll(cx));
            this.opening = None;
            match opened {
                Ok(body) => this.current = Some((body, this.end())),
                // Nothing of another version ever follows what went out.
                Err(lost) => return this.cut(Cut::Origin(lost.to_string())),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.to
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.to.saturating_sub(self.at))
    }
}
