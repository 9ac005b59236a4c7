//! From an answer to what this client gets: conditional, range, compress, headers, in this order.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use larder_store::{KeyRef, Seq};

use crate::cache::fill::pour;
use crate::cache::stored::Answer;
use crate::coalesce::Seat;
use crate::context::Exchange;
use crate::http::{Body, Response};
use crate::limits::COMPRESS_KEEP_BYTES_MAX;
use crate::outcome::{Outcome, Shared, Source};
use crate::policy::validation::{self, Condition};
use crate::status::Served;
use crate::transform::compress::{self, Coding};
use crate::transform::encode::encode_stream;
use crate::transform::multipart::Multipart;
use crate::transform::range::{self, Ranges};
use crate::transform::{conditional, headers};
use crate::worker::{Site, Worker};
use crate::{origin, tasks};

/// An answer of ours and where its bytes are.
pub struct Found<'a> {
    /// Its head.
    pub answer: &'a Answer,
    /// Its bytes.
    pub source: Source,
    /// The secondary key it lies under.
    pub variant: &'a str,
    /// The purge position it is as new as.
    pub born: Seq,
}

/// The answer to this exchange from what is stored, or being stored.
pub async fn stored(
    worker: &Worker,
    site: &Arc<Site>,
    exchange: &mut Exchange,
    found: Found<'_>,
) -> Response {
    let answer = found.answer;
    let now = worker.core.clock.now();
    exchange.facts.ttl = Some(answer.freshness.ttl(now));
    let compressible =
        compress::compressible(&site.config.compress, answer.status, &answer.headers, found.source.length());
    let mut response = shape(worker, site, exchange, found, compressible).await;
    let age = answer.freshness.age(now).as_secs();
    if age > 0 || exchange.facts.served != Served::Miss {
        headers::set_age(response.headers_mut(), age);
    }
    if exchange.request.method == Method::HEAD {
        headless(&mut response);
    }
    response
}

async fn shape(
    worker: &Worker,
    site: &Arc<Site>,
    exchange: &Exchange,
    found: Found<'_>,
    compressible: bool,
) -> Response {
    let (request, answer) = (&exchange.request, found.answer);
    let mut coding = if compressible {
        compress::negotiate(&site.config.compress, request.headers.get_all(header::ACCEPT_ENCODING))
    } else {
        Coding::Identity
    };
    match validation::evaluate(&request.method, &request.headers, answer.status, &answer.headers) {
        Condition::Whole => {}
        Condition::NotModified => {
            let head = conditional::not_modified(&answer.headers, compressible.then_some(coding));
            return with(StatusCode::NOT_MODIFIED, head, Body::Empty);
        }
        Condition::Failed => {
            return with(StatusCode::PRECONDITION_FAILED, conditional::failed(&answer.headers), Body::Empty);
        }
    }
    if let Some(partial) = partial(exchange, &found, compressible) {
        return partial;
    }
    let mut form = None;
    if coding != Coding::Identity && request.method != Method::HEAD {
        form = encoded(worker, site, exchange, &found, coding).await;
        // No room for one more encoder.
        coding = if form.is_some() { coding } else { Coding::Identity };
    }
    let mut head = HeaderMap::clone(&answer.headers);
    if compressible {
        compress::encode_head(&mut head, coding);
    }
    let body = match form {
        Some(body) => body,
        None if request.method == Method::HEAD => Body::Empty,
        None => found.source.read(0, None),
    };
    let length = if coding == Coding::Identity {
        found.source.length()
    } else {
        http_body::Body::size_hint(&body).exact().filter(|_| request.method != Method::HEAD)
    };
    if let Some(length) = length {
        head.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    with(answer.status, head, body)
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
    let variant = format!("{}\n{}", found.variant, coding.as_str());
    if let Some(hit) = core.cache.derived(&exchange.url, &variant, found.answer).await {
        return Some(Source::Entry(hit.entry));
    }
    let too_large = found.source.length().is_some_and(|len| len > COMPRESS_KEEP_BYTES_MAX);
    if too_large || !compress::has_room() {
        return None;
    }
    let key = KeyRef::new(&exchange.url, &variant).hash() ^ u128::from(found.answer.version);
    match core.flights.board(key, found.born.0, exchange.now) {
        Seat::Alone => None,
        Seat::Passenger(flight) => match flight.outcome().await {
            Ok(Some(Outcome::Shared(shared))) if shared.tap.readable() => {
                Some(Source::Tap(shared.tap.clone(), shared.length))
            }
            _ => None,
        },
        Seat::Pilot(pilot) => {
            let head = Answer { coding, ..found.answer.clone() };
            let tags = crate::policy::tags::of(&found.answer.headers);
            let writer = core.cache.begin(&exchange.url, &variant, head.clone(), tags, found.born, None);
            let tap = writer.tap();
            let endpoint = Arc::from("");
            let shared = Shared {
                answer: head,
                tap: tap.clone(),
                length: None,
                names: None,
                variant,
                endpoint,
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
pub fn relayed(site: &Site, exchange: &mut Exchange, answer: origin::Answer) -> Response {
    let (mut head, mut body) = (answer.head, answer.body);
    exchange.facts.forward_status = Some(head.status.as_u16());
    exchange.facts.endpoint = Some(answer.endpoint);
    exchange.facts.origin_time = Some(answer.connect + answer.first_byte);
    let config = &site.config.compress;
    let length = http_body::Body::size_hint(&body).exact();
    if compress::compressible(config, head.status, &head.headers, length) {
        let mut coding =
            compress::negotiate(config, exchange.request.headers.get_all(header::ACCEPT_ENCODING));
        if !compress::has_room() {
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

fn headless(response: &mut Response) {
    let whole = std::mem::take(response.body_mut());
    if let Some(length) = http_body::Body::size_hint(&whole).exact()
        && length > 0
    {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}
