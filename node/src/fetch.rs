//! A flight from take-off to landing: ask the origin, judge the answer, lay it down while everyone reads along.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header};
use larder_store::Seq;
use parking_lot::Mutex;

use crate::cache::Entry;
use crate::cache::fill::pour;
use crate::cache::stored::{Answer, Stored};
use crate::clock::Timestamp;
use crate::coalesce::Pilot;
use crate::error::{Error, Kind, Retry};
use crate::http::Body;
use crate::origin::{self, forward};
use crate::outcome::{Outcome, Shared, secondary};
use crate::policy::vary::{self, Vary};
use crate::policy::{freshness, serving, storing, tags, validation};
use crate::status::NotStored;
use crate::telemetry::event;
use crate::transform::compress::Coding;
use crate::worker::{Asker, Site, Worker};

/// Everything a flight needs to know, so that it outlives the request that started it.
pub struct Flightplan {
    /// Whose origin.
    pub site: Arc<Site>,
    /// The primary key.
    pub url: String,
    /// The key under which others may join, for the memory of unshareable ones.
    pub key: u128,
    /// The path and query for the origin.
    pub target: String,
    /// The fields of the request that started it.
    pub request: HeaderMap,
    /// Who started it.
    pub asker: Asker,
    /// The stale answer to revalidate.
    pub stale: Option<Arc<Entry>>,
    /// Whether that one was purged softly.
    pub expired: bool,
    /// The purge position before the lookup.
    pub born: Seq,
}

/// Flies: lands `pilot` with an outcome and stays until the body is in.
pub async fn fly(worker: Arc<Worker>, mut plan: Flightplan, pilot: Pilot<Outcome>) {
    let mut validate = true;
    loop {
        let asked = worker.core.clock.now();
        let answer = match ask(&worker, &plan, validate).await {
            Ok(answer) => answer,
            Err(error) => return pilot.land(Outcome::Failed(error)),
        };
        let came = worker.core.clock.now();
        if answer.head.status == StatusCode::NOT_MODIFIED && validate && plan.stale.is_some() {
            match freshen(&worker, &plan, &answer.head.headers, asked, came).await {
                Some(entry) => return pilot.land(Outcome::Freshened(entry)),
                // The 304 was not for what we hold, or a purge came: ask for the whole.
                None => {
                    validate = false;
                    plan.stale = None;
                    continue;
                }
            }
        }
        if let Some(error) = excused(&plan, &answer, came) {
            return pilot.land(Outcome::Failed(error));
        }
        return land(&worker, plan, pilot, answer, asked, came).await;
    }
}

async fn ask(worker: &Worker, plan: &Flightplan, validate: bool) -> Result<origin::Answer, Error> {
    let facts = worker.told(&plan.site, &plan.asker);
    let mut head = forward::request_head(Method::GET, &plan.target, &plan.request, &facts)
        .map_err(|error| Error::client(Kind::RequestBody, error))?;
    for name in CLIENTS_OWN {
        head.headers.remove(name);
    }
    if plan.site.config.compress.enabled {
        head.headers.remove(header::ACCEPT_ENCODING);
    }
    if let (true, Some(Stored::Answer(stored))) = (validate, plan.stale.as_ref().map(|entry| entry.head())) {
        validation::add_validators(&mut head.headers, &stored.headers);
    }
    plan.site.pool.send(head, Body::Empty).await
}

/// A flight fetches the whole for everyone: what one client asked for itself stays behind.
const CLIENTS_OWN: [header::HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

/// RFC 9111 4.3.4: the stored head takes over what the 304 says.
async fn freshen(
    worker: &Worker,
    plan: &Flightplan,
    update: &HeaderMap,
    asked: Timestamp,
    came: Timestamp,
) -> Option<Arc<Entry>> {
    let entry = plan.stale.as_ref()?;
    let Stored::Answer(stored) = entry.head() else { return None };
    if !validation::selects(&stored.headers, update) {
        return None;
    }
    let policy = &plan.site.config.policy;
    let mut headers = validation::merge_304(policy, &stored.headers, update);
    if storing::may_store(policy, &Method::GET, &plan.request, stored.status, &headers).is_err() {
        worker.core.cache.store().remove(entry.key().as_ref());
        return None;
    }
    let fresh = freshness::freshness(policy, &plan.request, stored.status, &headers, asked, came);
    freshness::ensure_date(&mut headers, came);
    let head = Answer { freshness: fresh, headers: Arc::new(headers), ..stored.clone() };
    let tags = tags::of(&head.headers);
    worker.core.cache.store().refresh(entry, Stored::Answer(head), tags, plan.born).await
}

/// RFC 5861 4: an error in whose place the stored answer may be served.
fn excused(plan: &Flightplan, answer: &origin::Answer, now: Timestamp) -> Option<Error> {
    let status = answer.head.status;
    if !serving::is_error(status) {
        return None;
    }
    let Some(Stored::Answer(stored)) = plan.stale.as_ref().map(|entry| entry.head()) else { return None };
    let policy = &plan.site.config.policy;
    let allowed = serving::may_serve_on_error(policy, &plan.request, &stored.freshness, plan.expired, now);
    allowed.then(|| {
        Error::origin(Kind::ErrorStatus, Retry::Never, format_args!("{} answered {status}", answer.endpoint))
    })
}

async fn land(
    worker: &Worker,
    plan: Flightplan,
    pilot: Pilot<Outcome>,
    answer: origin::Answer,
    asked: Timestamp,
    came: Timestamp,
) {
    let core = &worker.core;
    let (shared, writer, body) = match prepare(worker, &plan, answer, asked, came) {
        Ok(prepared) => prepared,
        Err((why, answer)) => {
            // An origin in trouble may share again in a second; everything else stays as it is for a while.
            if !answer.head.status.is_server_error() {
                core.flights.remember_unshareable(plan.key, came);
            }
            if let (Some(entry), NotStored::NoStore | NotStored::Private) = (&plan.stale, why) {
                core.cache.store().remove(entry.key().as_ref());
            }
            return pilot.land(Outcome::Private(why, Arc::new(Mutex::new(Some(*answer)))));
        }
    };
    core.flights.forget_unshareable(plan.key);
    let (names, variant) = (shared.names.clone(), shared.variant.clone());
    pilot.land(Outcome::Shared(Arc::new(shared)));
    match pour(body, writer).await {
        Ok(_) => {
            if let Some(names) = names {
                core.cache.mark(&plan.url, &names, &variant, plan.born).await;
            }
        }
        Err(why) => {
            event::NotStored { reason: why.as_str(), url: &plan.url }.emit(&core.metrics);
        }
    }
}

type Prepared = (Shared, larder_store::Writer<Stored>, Body);

/// Judges the answer: either it is laid down for everyone, or it is one request's own.
fn prepare(
    worker: &Worker,
    plan: &Flightplan,
    answer: origin::Answer,
    asked: Timestamp,
    came: Timestamp,
) -> Result<Prepared, (NotStored, Box<origin::Answer>)> {
    let (core, policy) = (&worker.core, &plan.site.config.policy);
    let (status, fields) = (answer.head.status, &answer.head.headers);
    if let Err(why) = storing::may_store(policy, &Method::GET, &plan.request, status, fields) {
        return Err((why, Box::new(answer)));
    }
    if answer.close_delimited {
        return Err((NotStored::CloseDelimited, Box::new(answer)));
    }
    let length = http_body::Body::size_hint(&answer.body).exact();
    if length.is_some_and(|length| length > core.object_max) {
        return Err((NotStored::TooLarge, Box::new(answer)));
    }
    let names = match vary::parse(fields) {
        Vary::Star => return Err((NotStored::VaryStar, Box::new(answer))),
        Vary::None => None,
        Vary::Names(names) => Some(names),
    };
    let variant = secondary(names.as_ref(), &plan.request, plan.site.config.compress.enabled);
    let fresh = freshness::freshness(policy, &plan.request, status, fields, asked, came);
    let mut headers = storing::stored_fields(policy, fields);
    freshness::ensure_date(&mut headers, came);
    let head = Answer {
        status,
        headers: Arc::new(headers),
        freshness: fresh,
        version: core.cache.new_version(),
        coding: Coding::Identity,
    };
    let tags = tags::of(fields);
    let writer = core.cache.begin(&plan.url, &variant, head.clone(), tags, plan.born, length);
    let tap = writer.tap();
    let endpoint = Arc::clone(&answer.endpoint);
    let shared = Shared { answer: head, tap, length, names, variant, endpoint, born: plan.born };
    Ok((shared, writer, answer.body))
}
