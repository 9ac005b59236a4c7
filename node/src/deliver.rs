//! From an answer to what this client gets: conditional, range, compress, headers, in this order.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use larder_store::{KeyRef, Seq};

use crate::blocks::{self, Lost};
use crate::cache::fill::pour;
use crate::cache::lay::standing;
use crate::cache::stored::Answer;
use crate::cache::{Entry, derived_key};
use crate::clock::Timestamp;
use crate::coalesce::Seat;
use crate::context::Exchange;
use crate::http::{Body, Response};
use crate::limits::COMPRESS_KEEP_BYTES_MAX;
use crate::outcome::{InBlocks, Outcome, Shared, Source};
use crate::policy::validation::{self, Condition};
use crate::policy::{serving, tags};
use crate::status::{NotStored, Served};
use crate::transform::compress::{self, Coding};
use crate::transform::encode::encode_stream;
use crate::transform::multipart::Multipart;
use crate::transform::range::{self, Ranges};
use crate::transform::{conditional, headers};
use crate::worker::{Site, Worker};
use crate::{origin, rescue, tasks};

/// An answer of ours and where its bytes are.
struct Found<'a> {
    /// Its head.
    answer: &'a Answer,
    /// Its bytes.
    source: Source,
    /// The URL it lies under.
    url: &'a str,
    /// The secondary key it lies under.
    variant: &'a str,
    /// The purge position it is as new as.
    born: Seq,
}

/// The answer to this exchange from what is stored, or being stored.
async fn stored(worker: &Worker, site: &Arc<Site>, exchange: &mut Exchange, found: Found<'_>) -> Response {
    let mut coding = coding(site, exchange, &found);
    let mut form = None;
    if let Some(wanted) = wants_form(exchange, &found, coding) {
        form = encoded(worker, site, exchange, &found, wanted).await;
        // No room for one more encoder.
        coding = coding.filter(|_| form.is_some()).or(Some(Coding::Identity));
    }
    let now = worker.core.clock.now();
    shape(exchange, &found, now, coding, form)
}

/// [`entry`] for a fresh one, without waiting; `None` where something it needs is not in memory.
pub fn at_once(
    worker: &Worker,
    site: &Site,
    exchange: &mut Exchange,
    entry: &Arc<Entry>,
) -> Option<Response> {
    let answer = entry.head().answer().filter(|answer| answer.blocks.is_none())?;
    let source = Source::Entry(Arc::clone(entry));
    let (url, variant) = (entry.key().url(), entry.key().variant());
    let found = Found { answer, source, url, variant, born: entry.born() };
    let coding = coding(site, exchange, &found);
    let mut form = None;
    if let Some(wanted) = wants_form(exchange, &found, coding) {
        let variant = derived_key(found.variant, wanted);
        let hit = worker.core.cache.derived_now(found.url, &variant, answer)?;
        form = Some(Source::Entry(hit.entry).read(0, None));
    }
    exchange.facts.served = Served::Hit;
    let now = exchange.now;
    Some(shape(exchange, &found, now, coding, form))
}

/// The answer to this exchange from an entry of the store.
///
/// # Errors
/// Its bytes lie in blocks, and the first that are needed cannot be had.
pub async fn entry(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    exchange: &mut Exchange,
    served: Served,
    entry: &Arc<Entry>,
    variant: &str,
) -> Result<Response, Lost> {
    // Lookups give answers only; the list of a URL's variants is no answer.
    let Some(answer) = entry.head().answer() else {
        return Ok(rescue::refused(rescue::Refusal::BadRequest, &mut exchange.facts));
    };
    exchange.facts.served = served;
    if served == Served::Revalidated {
        exchange.facts.forward_status = Some(StatusCode::NOT_MODIFIED.as_u16());
    }
    let source = match answer.blocks {
        None => Source::Entry(Arc::clone(entry)),
        Some(in_blocks) => blocks::open(worker, site, exchange, entry, (answer, in_blocks), variant).await?,
    };
    let found = Found { answer, source, url: entry.key().url(), variant, born: entry.born() };
    Ok(stored(worker, site, exchange, found).await)
}

/// The answer to this exchange from the blocks that are on their way into the store.
///
/// # Errors
/// As [`entry`].
pub async fn in_blocks(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    exchange: &mut Exchange,
    found: &InBlocks,
) -> Result<Response, Lost> {
    let facts = &mut exchange.facts;
    (facts.stored, facts.forward_status) = (true, Some(StatusCode::PARTIAL_CONTENT.as_u16()));
    facts.endpoint = Some(Arc::clone(&found.endpoint));
    let response = entry(worker, site, exchange, Served::Miss, &found.entry, &found.variant).await;
    response.map(|response| with_withheld(exchange, response, &found.withheld))
}

/// The answer to this exchange from what is on its way into the store.
pub async fn shared(worker: &Worker, site: &Arc<Site>, exchange: &mut Exchange, shared: &Shared) -> Response {
    let facts = &mut exchange.facts;
    (facts.served, facts.stored) = (Served::Miss, true);
    facts.forward_status = Some(shared.came_with.as_u16());
    facts.endpoint = Some(Arc::clone(&shared.endpoint));
    let source = Source::Tap(shared.tap.clone(), shared.length);
    let (answer, variant, url) = (&shared.answer, &shared.variant, exchange.url.clone());
    let found = Found { answer, source, url: &url, variant, born: shared.born };
    let response = stored(worker, site, exchange, found).await;
    with_withheld(exchange, response, &shared.withheld)
}

/// Whose own request fetched an answer gets all of it.
fn with_withheld(exchange: &Exchange, mut response: Response, withheld: &HeaderMap) -> Response {
    if !exchange.facts.collapsed {
        for (name, value) in withheld {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}

/// The coding this client gets, where the answer is one that is compressed here.
fn coding(site: &Site, exchange: &Exchange, found: &Found<'_>) -> Option<Coding> {
    let (config, answer) = (&site.config.compress, found.answer);
    if !compress::compressible(config, answer.status, &answer.headers, found.source.length()) {
        return None;
    }
    let headers = &exchange.request.headers;
    if headers.contains_key(header::RANGE) || serving::no_transform(&site.config.policy, headers) {
        // A range is one of the identity form; who wants one and gets the whole gets that form too.
        return Some(Coding::Identity);
    }
    Some(compress::negotiate(config, exchange.request.headers.get_all(header::ACCEPT_ENCODING)))
}

/// The coding in which bytes are needed: none for HEAD, nor for an answer that has none.
fn wants_form(exchange: &Exchange, found: &Found<'_>, coding: Option<Coding>) -> Option<Coding> {
    let (request, answer) = (&exchange.request, found.answer);
    let coding = coding.filter(|coding| *coding != Coding::Identity && request.method != Method::HEAD)?;
    let condition = validation::evaluate(&request.method, &request.headers, answer.status, &answer.headers);
    (condition == Condition::Whole).then_some(coding)
}

/// Conditional, range, compress, headers. `coding` where the answer is one that is compressed here, `form` its bytes in
/// that coding.
fn shape(
    exchange: &mut Exchange,
    found: &Found<'_>,
    now: Timestamp,
    coding: Option<Coding>,
    form: Option<Body>,
) -> Response {
    let (request, answer) = (&exchange.request, found.answer);
    let mut response =
        match validation::evaluate(&request.method, &request.headers, answer.status, &answer.headers) {
            Condition::NotModified => {
                let head = conditional::not_modified(&answer.headers, coding);
                with(StatusCode::NOT_MODIFIED, head, Body::Empty)
            }
            Condition::Failed => {
                with(StatusCode::PRECONDITION_FAILED, conditional::failed(&answer.headers), Body::Empty)
            }
            Condition::Whole => match partial(exchange, found, coding.is_some()) {
                Some(partial) => partial,
                None => whole(exchange, found, coding, form),
            },
        };
    (exchange.facts.ttl, exchange.facts.received) = (Some(answer.freshness.ttl(now)), answer.received());
    let age = answer.freshness.age(now).as_secs();
    if age > 0 || exchange.facts.served != Served::Miss {
        headers::set_age(response.headers_mut(), age);
    }
    response
}

/// The whole answer, coded or not.
fn whole(exchange: &Exchange, found: &Found<'_>, coding: Option<Coding>, form: Option<Body>) -> Response {
    let mut head = HeaderMap::clone(&found.answer.headers);
    if let Some(coding) = coding {
        compress::encode_head(&mut head, coding);
    }
    let is_head = exchange.request.method == Method::HEAD;
    let identity = coding.is_none_or(|coding| coding == Coding::Identity);
    let body = match form {
        Some(form) => form,
        None if is_head => Body::Empty,
        None => found.source.read(0, None),
    };
    let length = if identity {
        found.source.length()
    } else {
        http_body::Body::size_hint(&body).exact().filter(|_| !is_head)
    };
    if let Some(length) = length
        && !head.contains_key(header::CONTENT_LENGTH)
    {
        head.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    with(found.answer.status, head, body)
}

/// RFC 9110 14: only of a 200 whose length is known, only for GET, only where `If-Range` allows.
fn partial(exchange: &Exchange, found: &Found<'_>, compressible: bool) -> Option<Response> {
    let request = &exchange.request;
    let range = request.headers.get(header::RANGE)?;
    let (answer, len) = (found.answer, found.source.length()?);
    let whole = request.method != Method::GET || answer.status != StatusCode::OK;
    if whole || !validation::if_range_allows(&request.headers, &answer.headers) {
        return None;
    }
    let mut head = HeaderMap::clone(&answer.headers);
    if compressible {
        compress::encode_head(&mut head, Coding::Identity);
    }
    match range::parse(Some(range), len) {
        Ranges::None => None,
        Ranges::Unsatisfiable => {
            Some(with(StatusCode::RANGE_NOT_SATISFIABLE, range::unsatisfiable_head(len), Body::Empty))
        }
        Ranges::One(range) => {
            range::partial_head(&mut head, &range, len);
            Some(with(StatusCode::PARTIAL_CONTENT, head, found.source.read(range.start, Some(range.end))))
        }
        Ranges::Many(ranges) => {
            let boundary = RandomState::new().hash_one(len);
            let parts = Multipart::new(&ranges, len, head.get(header::CONTENT_TYPE), boundary);
            parts.head(&mut head);
            let source = found.source.clone();
            let body = parts.body(move |range| source.read(range.start, Some(range.end)));
            Some(with(StatusCode::PARTIAL_CONTENT, head, body))
        }
    }
}

/// The form of `found` in `coding`; none where it would have to be made and there is no room for that.
async fn encoded(
    worker: &Worker,
    site: &Arc<Site>,
    exchange: &Exchange,
    found: &Found<'_>,
    coding: Coding,
) -> Option<Body> {
    match kept(worker, site, exchange, found, coding).await {
        Some(source) => Some(source.read(0, None)),
        None if compress::has_room() => {
            Some(encode_stream(&site.config.compress, coding, found.source.read(0, None)))
        }
        None => None,
    }
}

/// The encoded form that is kept beside `found`: made once, whoever asks meanwhile reads along.
async fn kept(
    worker: &Worker,
    site: &Arc<Site>,
    exchange: &Exchange,
    found: &Found<'_>,
    coding: Coding,
) -> Option<Source> {
    let core = &worker.core;
    let variant = derived_key(found.variant, coding);
    if let Some(hit) = core.cache.derived(found.url, &variant, found.answer).await {
        return Some(Source::Entry(hit.entry));
    }
    let too_large = found.source.length().is_some_and(|len| len > COMPRESS_KEEP_BYTES_MAX);
    if too_large || !compress::has_room() {
        return None;
    }
    let key = KeyRef::new(found.url, &variant).hash() ^ u128::from(found.answer.version);
    match core.flights.board(key, found.born.0, exchange.now) {
        Seat::Alone => None,
        Seat::Passenger(flight) => match flight.outcome().await {
            Ok(Some(Outcome::Shared(shared))) if shared.tap.readable() => {
                Some(Source::Tap(shared.tap.clone(), shared.length))
            }
            _ => None,
        },
        Seat::Pilot(pilot) => {
            let tags = tags::of_url(found.url, &found.answer.headers).ok()?;
            let standing = Some(standing(&site.config.policy, found.url, &tags));
            let head = Answer { coding, standing, ..found.answer.clone() };
            let writer = core.cache.begin(found.url, &variant, head.clone(), tags, found.born, None);
            let tap = writer.tap();
            let endpoint = Arc::from("");
            let shared = Shared {
                answer: head,
                withheld: HeaderMap::new(),
                tap: tap.clone(),
                length: None,
                names: None,
                variant,
                endpoint,
                came_with: found.answer.status,
                born: found.born,
            };
            pilot.land(Outcome::Shared(Arc::new(shared)));
            let body = encode_stream(&site.config.compress, coding, found.source.read(0, None));
            tasks::spawn("encode", async move {
                let _ = pour(body, writer).await;
                drop(pilot);
            });
            Some(Source::Tap(tap, None))
        }
    }
}

/// The origin's answer to this exchange alone, as it comes.
pub fn relayed(
    site: &Site,
    exchange: &mut Exchange,
    served: Served,
    why: Option<NotStored>,
    answer: origin::Answer,
) -> Response {
    let (mut head, mut body) = (answer.head, answer.body);
    (exchange.facts.served, exchange.facts.not_stored) = (served, why);
    exchange.facts.received = head.version;
    exchange.facts.forward_status = Some(head.status.as_u16());
    exchange.facts.endpoint = Some(answer.endpoint);
    exchange.facts.origin_time = Some(answer.connect + answer.first_byte);
    let config = &site.config.compress;
    let length = http_body::Body::size_hint(&body).exact();
    if compress::compressible(config, head.status, &head.headers, length) {
        let mut coding =
            compress::negotiate(config, exchange.request.headers.get_all(header::ACCEPT_ENCODING));
        if !compress::has_room() || serving::no_transform(&site.config.policy, &exchange.request.headers) {
            coding = Coding::Identity;
        }
        compress::encode_head(&mut head.headers, coding);
        if coding != Coding::Identity && exchange.request.method != Method::HEAD {
            body = encode_stream(config, coding, body);
        }
    }
    with(head.status, head.headers, body)
}

fn with(status: StatusCode, head: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = head;
    response
}
