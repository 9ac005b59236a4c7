//! A flight from take-off to landing: ask the origin, judge the answer, lay it down while everyone reads along.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use larder_store::Seq;
use parking_lot::Mutex;

use crate::blocks;
use crate::cache::lay::{Laid, Told};
use crate::cache::pieces::exactly;
use crate::cache::stored::Stored;
use crate::cache::{Entry, key};
use crate::clock::Timestamp;
use crate::coalesce::{Pilot, personal};
use crate::error::{Error, Kind, Retry};
use crate::http::Body;
use crate::origin;
use crate::outcome::{InBlocks, Outcome, Shared, excused};
use crate::policy::partial::{self, Ask, Part};
use crate::policy::{storing, stray, validation};
use crate::status::NotStored;
use crate::telemetry::event;
use crate::transform::range::{self, Ranges};
use crate::worker::{Asker, Site, Worker};

/// Everything a flight needs to know, so that it outlives the request that started it.
pub struct Flightplan {
    /// Whose origin.
    pub site: Arc<Site>,
    /// The primary key.
    pub url: String,
    /// The key under which others may join, for the memory of unshareable ones.
    pub key: u128,
    /// What the secondary keys of the request begin with.
    pub base: String,
    /// GET, or QUERY with its content.
    pub method: Method,
    /// The content of the request.
    pub content: Bytes,
    /// The path and query for the origin.
    pub target: String,
    /// The fields of the request that started it.
    pub request: HeaderMap,
    /// The same with its strays, where they were left out to renew what others have too.
    pub whole: Option<HeaderMap>,
    /// Who started it.
    pub asker: Asker,
    /// The stale answer to revalidate.
    pub stale: Option<Arc<Entry>>,
    /// Whether that one was purged softly.
    pub expired: bool,
    /// The purge position before the lookup.
    pub born: Seq,
    /// How much is asked for.
    pub asks: Asks,
}

/// How much a flight asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// All of it, for everyone.
    Whole,
    /// A part, for everyone.
    Part(Ask),
    /// What its pilot asks for, because a part may not be stored for this reason.
    Own(NotStored),
}

/// Flies: lands `pilot` with an outcome and stays until the body is in.
pub async fn fly(worker: Arc<Worker>, mut plan: Flightplan, pilot: Pilot<Outcome>) {
    loop {
        let asked = worker.core.clock.now();
        let (answer, conditional) = match ask(&worker, &plan).await {
            Ok(answer) => answer,
            Err(error) => return pilot.land(Outcome::Failed(error)),
        };
        let came = worker.core.clock.now();
        if answer.head.status == StatusCode::NOT_MODIFIED {
            if !conditional {
                let what = format_args!("{} answered 304 to no condition", answer.endpoint);
                return pilot.land(Outcome::Failed(Error::origin(Kind::BadAnswer, Retry::Never, what)));
            }
            match freshen(&worker, &plan, &answer.head.headers, asked, came).await {
                Some(entry) => return pilot.land(Outcome::Freshened(entry)),
                // The 304 was not for what we hold, or a purge came: ask for the whole.
                None => {
                    plan.stale = None;
                    plan.request = plan.whole.take().unwrap_or(plan.request);
                    continue;
                }
            }
        }
        let (policy, stale) = (&plan.site.config.policy, plan.stale.as_deref());
        let excused = |entry| excused(policy, &plan.request, (entry, plan.expired), &answer, came);
        if let Some(error) = stale.and_then(excused) {
            return pilot.land(Outcome::Failed(error));
        }
        let whole = match (plan.asks, answer.head.status) {
            (Asks::Part(_), StatusCode::PARTIAL_CONTENT) => match as_part(&plan, answer) {
                AsPart::Whole(answer) => Some(*answer),
                AsPart::Part(answer, part) => {
                    match land_part(&worker, &plan, &pilot, *answer, &part, asked, came).await {
                        Ok(()) => return,
                        Err(why) => plan.asks_for_itself(why),
                    }
                    None
                }
                AsPart::Useless => {
                    plan.asks = Asks::Whole;
                    None
                }
            },
            (Asks::Part(ask), StatusCode::RANGE_NOT_SATISFIABLE) => {
                plan.asks = ask.instead().map_or(Asks::Whole, Asks::Part);
                None
            }
            _ => Some(answer),
        };
        if let Some(answer) = whole
            && land(&worker, &mut plan, &pilot, answer, asked, came).await
        {
            return;
        }
    }
}

/// Asks the origin, under a condition where a stored answer has a validator.
async fn ask(worker: &Worker, plan: &Flightplan) -> Result<(origin::Answer, bool), Error> {
    let method = plan.method.clone();
    let mut head = worker.request_head(&plan.site, &plan.asker, method, &plan.target, &plan.request)?;
    let own = head.headers.remove(header::RANGE).zip(Some(head.headers.remove(header::IF_RANGE)));
    validation::remove_conditions(&mut head.headers);
    if let (Asks::Own(_), Some((range, condition))) = (plan.asks, own) {
        head.headers.insert(header::RANGE, range);
        condition.map(|condition| head.headers.insert(header::IF_RANGE, condition));
    }
    if let Asks::Part(ask) = plan.asks {
        head.headers.insert(header::RANGE, ask.field(plan.site.config.range_block));
    }
    if plan.site.config.compress.enabled {
        head.headers.remove(header::ACCEPT_ENCODING);
    }
    let conditional = match plan.stale.as_ref().map(|entry| entry.head()) {
        Some(Stored::Answer(stored)) if !matches!(plan.asks, Asks::Own(_)) => {
            validation::add_validators(&mut head.headers, &stored.headers)
        }
        _ => false,
    };
    let content = Body::from(plan.content.clone());
    Ok((plan.site.pool.send_to_store(head, content).await?, conditional))
}

/// What a 206 is to whoever asked for a part.
enum AsPart {
    /// All there is.
    Whole(Box<origin::Answer>),
    /// A part.
    Part(Box<origin::Answer>, Part),
    /// Nothing that could be stored, or given to the pilot.
    Useless,
}

fn as_part(plan: &Flightplan, mut answer: origin::Answer) -> AsPart {
    let length = http_body::Body::size_hint(&answer.body).exact();
    let Some(part) = partial::part(&answer.head.headers, length) else { return AsPart::Useless };
    if answer.close_delimited {
        return AsPart::Useless;
    }
    partial::to_whole(&mut answer.head.headers, part.complete);
    if part.is_whole() {
        answer.body = exactly(answer.body, part.complete);
        answer.head.status = StatusCode::OK;
        return AsPart::Whole(Box::new(answer));
    }
    // Without a strong validator nothing can be added to it: it has to have all that is asked for.
    let inside = |range: &Range<u64>| part.range.start <= range.start && range.end <= part.range.end;
    let enough = match range::parse(plan.request.get(header::RANGE), part.complete) {
        Ranges::One(range) => inside(&range),
        Ranges::Many(ranges) => ranges.iter().all(inside),
        Ranges::None | Ranges::Unsatisfiable => false,
    };
    if partial::strong(&answer.head.headers).is_none() && !enough {
        return AsPart::Useless;
    }
    AsPart::Part(Box::new(answer), part)
}

/// Stores a part, and lands with what it is a part of.
///
/// # Errors
/// Why it is not stored.
async fn land_part(
    worker: &Worker,
    plan: &Flightplan,
    pilot: &Pilot<Outcome>,
    mut answer: origin::Answer,
    part: &Part,
    asked: Timestamp,
    came: Timestamp,
) -> Result<(), NotStored> {
    let policy = &plan.site.config.policy;
    // RFC 9111 3.3: as what it is a part of would be stored.
    answer.head.status = StatusCode::OK;
    storing::may_store(policy, &Method::GET, &plan.request, answer.head.status, &answer.head.headers)?;
    let told = plan.told(asked, came);
    let landing = blocks::land(worker, &plan.site, &told, &answer.head, part).await?;
    worker.core.flights.forget_unshareable(plan.key);
    let stored = landing.entry.head().answer().map(|stored| withheld(&answer.head.headers, &stored.headers));
    pilot.land(Outcome::InBlocks(Arc::new(InBlocks {
        entry: Arc::clone(&landing.entry),
        withheld: stored.unwrap_or_default(),
        names: landing.names.clone(),
        variant: landing.variant.clone(),
        endpoint: answer.endpoint,
    })));
    landing.fill(worker, &plan.url, answer.body).await;
    Ok(())
}

/// RFC 9111 4.3.4: the stored head takes over what the 304 says.
async fn freshen(
    worker: &Worker,
    plan: &Flightplan,
    update: &HeaderMap,
    asked: Timestamp,
    came: Timestamp,
) -> Option<Arc<Entry>> {
    let entry = plan.stale.as_ref()?;
    let told = plan.told(asked, came);
    let policy = &plan.site.config.policy;
    let fresh = worker.core.cache.freshen(policy, &told, entry, update).await?;
    for other in worker.core.cache.beside(&plan.url, &plan.base, entry).await {
        // Only a strong validator says that other variants are meant too.
        if validation::names_strongly(update) {
            worker.core.cache.freshen(policy, &told, &other, update).await;
        }
    }
    Some(fresh)
}

/// Lands with an answer; false where it has to be asked for again, because it is for the pilot alone and was not asked
/// for with all that the pilot sent.
async fn land(
    worker: &Worker,
    plan: &mut Flightplan,
    pilot: &Pilot<Outcome>,
    answer: origin::Answer,
    asked: Timestamp,
    came: Timestamp,
) -> bool {
    let core = &worker.core;
    let came_with = answer.came_with;
    let (laid, answer, length) = match prepare(worker, plan, answer, asked, came) {
        Ok(prepared) => prepared,
        Err((found, answer)) => {
            let why = if let Asks::Own(why) = plan.asks { why } else { found };
            plan.supersede(worker, why, answer.head.status);
            if let Some(whole) = plan.whole.take() {
                (plan.request, plan.stale) = (whole, None);
                return false;
            }
            // An origin in trouble may share again in a second, and what the pilot's own fields forbid says nothing
            // about the next request; everything else stays as it is for a while.
            if !answer.head.status.is_server_error() && !why.is_the_askers() {
                core.flights.remember_unshareable(plan.key, came);
            }
            // Of others with cookies it does.
            if why == NotStored::Cookie {
                core.flights.remember_unshareable(personal(plan.key), came);
            }
            pilot.land(Outcome::Private(why, Arc::new(Mutex::new(Some(*answer)))));
            return true;
        }
    };
    core.flights.forget_unshareable(plan.key);
    core.flights.forget_unshareable(personal(plan.key));
    if stray::is_key(&laid.place.variant) {
        core.flights.remember_unshareable(key::strays_matter(&plan.url), came);
    }
    pilot.land(Outcome::Shared(Arc::new(Shared {
        answer: laid.answer.clone(),
        withheld: withheld(&answer.head.headers, &laid.answer.headers),
        tap: laid.writer.tap(),
        length,
        names: laid.place.names.clone(),
        variant: laid.place.variant.clone(),
        endpoint: answer.endpoint,
        came_with,
        born: plan.born,
    })));
    if let Err(why) = laid.fill(&core.cache, answer.body).await {
        if matches!(why, NotStored::TooLarge | NotStored::StoreBusy) {
            core.flights.remember_unshareable(plan.key, core.clock.now());
        }
        event::NotStored { reason: why.as_str(), url: &plan.url }.emit(&core.metrics);
    }
    true
}

/// What of an answer is not stored: its cookies, and what a qualified `private` or `no-cache` names.
fn withheld(told: &HeaderMap, stored: &HeaderMap) -> HeaderMap {
    let mut found = HeaderMap::new();
    for (name, value) in told.iter().filter(|(name, _)| !stored.contains_key(*name)) {
        found.append(name.clone(), value.clone());
    }
    found
}

/// Whether an answer that is not stored says that the stored one is over: the origin keeps it from caches now, or the
/// resource is gone.
fn replaces(why: NotStored, status: StatusCode) -> bool {
    matches!(why, NotStored::NoStore | NotStored::Private)
        || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

type Prepared = (Laid, Box<origin::Answer>, Option<u64>);

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
    let laid = storing::may_store(policy, &Method::GET, &plan.request, status, fields)
        .and_then(|()| core.storable(&answer))
        .and_then(|length| {
            let told = plan.told(asked, came);
            Ok((core.cache.lay(policy, &told, &answer.head, length)?, length))
        });
    match laid {
        Ok((laid, length)) => Ok((laid, Box::new(answer), length)),
        Err(why) => Err((why, Box::new(answer))),
    }
}

impl Flightplan {
    /// What was stored goes where an answer that is not stored says that it is over.
    fn supersede(&self, worker: &Worker, why: NotStored, status: StatusCode) {
        if let Some(entry) = self.stale.as_ref().filter(|_| replaces(why, status)) {
            worker.core.cache.store().remove(entry.key().as_ref());
        }
    }

    /// From now on for its pilot alone, with all that the pilot sent.
    fn asks_for_itself(&mut self, why: NotStored) {
        self.asks = Asks::Own(why);
        if let Some(whole) = self.whole.take() {
            self.request = whole;
        }
    }

    fn told(&self, asked: Timestamp, came: Timestamp) -> Told<'_> {
        Told {
            url: &self.url,
            base: &self.base,
            request: &self.request,
            own_encoding: self.site.config.compress.enabled,
            asked,
            came,
            born: self.born,
        }
    }
}
