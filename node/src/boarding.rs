//! From a miss to a seat in a flight.

use std::sync::Arc;

use http::{HeaderMap, Method, header};
use larder_store::{Hit, KeyRef, Reader};
use parking_lot::Mutex;

use crate::cache::stored::Stored;
use crate::cache::{Entry, Lookup, Wanted, key, search};
use crate::coalesce::{self, Flight, Flights, Pilot, Waited, personal};
use crate::context::Exchange;
use crate::error::{Error, Kind, Retry};
use crate::fetch::{Asks, Flightplan, fly};
use crate::outcome::{InBlocks, Outcome, Shared};
use crate::policy::directives::Directives;
use crate::policy::freshness::Freshness;
use crate::policy::partial::Ask;
use crate::policy::serving::{self, Serve};
use crate::policy::{Config, stray};
use crate::status::NotStored;
use crate::transform::range;
use crate::worker::{Asker, Site, Worker};
use crate::{origin, tasks};

/// A place in a flight.
pub struct Seat {
    /// Where the outcome will be.
    pub flight: Arc<Flight<Outcome>>,
    /// Whether the flight was another request's.
    pub collapsed: bool,
    /// Whether nothing is shared under this key for now: it is known as unshareable (hit-for-miss).
    pub bypassed: bool,
    /// Whether the outcome was known before this request came: then it counts only while it is fresh.
    pub late: bool,
}

impl Seat {
    /// A private answer, for the request that its flight started for: whoever else sat in it may have other cookies.
    #[must_use]
    pub fn own(&self, answer: &Mutex<Option<origin::Answer>>) -> Option<origin::Answer> {
        if self.collapsed { None } else { answer.lock().take() }
    }

    /// Waits for what the flight brings home: without limit in one's own, for [`Waited`] at the most in another's.
    ///
    /// # Errors
    /// [`Waited`].
    pub async fn outcome(&self) -> Result<Option<Outcome>, Waited> {
        if self.collapsed { self.flight.outcome().await } else { Ok(self.flight.landing().await) }
    }

    /// Whether an answer counts for who sits here. Who boards after the landing has no part in the question, only in an
    /// answer that may be given out without asking. Nor has a user with cookies in another one's: what must be asked
    /// about each time may not be the same for both.
    #[must_use]
    pub fn counts(&self, site: &Site, exchange: &Exchange, freshness: &Freshness) -> bool {
        let (policy, request) = (&site.config.policy, &exchange.request.headers);
        if self.late {
            return serving::serve(policy, request, freshness, false, exchange.now) == Serve::Fresh;
        }
        if !self.collapsed || !is_personal(policy, request) {
            return true;
        }
        let unasked = serving::serve(policy, &HeaderMap::new(), freshness, false, exchange.now);
        !matches!(unasked, Serve::Revalidate(_))
    }
}

/// How a request goes on after its flight.
pub enum Settled {
    /// With an answer that is coming in. The reader is held until the answer is made, so that its first bytes do not
    /// leave meanwhile.
    Shared(Arc<Shared>, Reader),
    /// With the first blocks of an answer.
    InBlocks(Arc<InBlocks>),
    /// With what is stored, which the origin has confirmed.
    Freshened(Arc<Entry>),
    /// With an answer of its own, which is not stored.
    Own(NotStored, origin::Answer),
    /// With another flight: alone or not, for this variant.
    Again(bool, String),
    /// Not at all.
    Failed(Error),
}

/// Waits for what the flight of `seat` brings home, and tells what it means for this exchange.
pub async fn settle(
    worker: &Worker,
    site: &Site,
    exchange: &Exchange,
    seat: &Seat,
    variant: &str,
) -> Settled {
    let wanted = Wanted::of(exchange, site.config.selecting());
    let counts = |freshness: &Freshness| seat.counts(site, exchange, freshness);
    match seat.outcome().await {
        Ok(Some(Outcome::Shared(shared))) => {
            let mine = shared.secondary(&wanted);
            if mine == shared.variant && counts(&shared.answer.freshness) {
                if let Some(held) = shared.tap.reader(0) {
                    return Settled::Shared(shared, held);
                }
                // It broke off before anything of it was given out here.
                if let Some(why) = shared.tap.aborted() {
                    return Settled::Failed(Error::origin(Kind::BodyCut, Retry::Never, why));
                }
                too_late(worker, exchange, variant);
            }
            // Another variant has a flight of its own; the second time go alone rather than in circles.
            Settled::Again(variant == mine && !stray::is_key(&shared.variant), mine)
        }
        Ok(Some(Outcome::InBlocks(found))) => {
            let mine = found.secondary(&wanted);
            let fresh = found.entry.head().answer().is_some_and(|answer| counts(&answer.freshness));
            if mine == found.variant && fresh {
                return Settled::InBlocks(found);
            }
            Settled::Again(variant == mine && !stray::is_key(&found.variant), mine)
        }
        Ok(Some(Outcome::Freshened(entry))) => {
            match entry.head().answer().is_some_and(|answer| counts(&answer.freshness)) {
                true => Settled::Freshened(entry),
                false => Settled::Again(true, variant.to_owned()),
            }
        }
        Ok(Some(Outcome::Private(why, answer))) => match seat.own(&answer) {
            Some(answer) => Settled::Own(why, answer),
            None => Settled::Again(alone_after(why, site, exchange), variant.to_owned()),
        },
        Ok(Some(Outcome::Failed(error))) => Settled::Failed(error),
        Ok(Some(Outcome::Filling(_) | Outcome::Changed) | None) => {
            Settled::Failed(Error::node(Kind::FlightFailed, "the fetch ended"))
        }
        Err(waited) => Settled::Failed(Error::origin(Kind::WaitTimeout, Retry::Never, waited)),
    }
}

/// Whether the origin may answer this request by who sent it: with cookies that are not part of the key.
fn is_personal(policy: &Config, request: &HeaderMap) -> bool {
    request.contains_key(header::COOKIE) && !policy.keying.counts_cookies()
}

/// Whether a request is none that others may join: what one user is authorised to see (RFC 9111 3.5), and what is not
/// to be stored by the client's own word.
#[must_use]
pub fn asks_alone(policy: &Config, request: &HeaderMap) -> bool {
    request.contains_key(header::AUTHORIZATION)
        || (policy.client_directives
            && request.contains_key(header::CACHE_CONTROL)
            && Directives::request(request).no_store)
}

/// Whether who sat in a flight with a private answer goes alone now, or boards anew: what was private because of the
/// pilot's own fields need not be so for the next.
fn alone_after(why: NotStored, site: &Site, exchange: &Exchange) -> bool {
    let (keying, request) = (&site.config.policy.keying, &exchange.request.headers);
    match why {
        NotStored::UnkeyedField | NotStored::OddRequest => stray::of(keying, request).is_some(),
        NotStored::Cookie => request.contains_key(header::COOKIE),
        NotStored::Authorization | NotStored::RequestNoStore => false,
        _ => true,
    }
}

/// The flight for `variant` gives its bytes to those who are in it and to nobody else any more: an answer that cannot be
/// kept. The next need not find that out again.
fn too_late(worker: &Worker, exchange: &Exchange, variant: &str) {
    let key = KeyRef::new(&exchange.url, variant).hash();
    worker.core.flights.remember_unshareable(key, exchange.now);
}

/// A fresh answer of another URL that says it is this one's, too (No-Vary-Search), where nothing is stored for this one.
pub async fn alike(
    worker: &Worker,
    site: &Site,
    exchange: &mut Exchange,
    found: &Lookup,
) -> Option<Hit<Stored>> {
    if found.hit.is_some() {
        return None;
    }
    let hit = worker.core.cache.lookup_alike(&Wanted::of(exchange, site.config.selecting())).await?;
    let (policy, request) = (&site.config.policy, &exchange.request.headers);
    let freshness = &hit.entry.head().answer()?.freshness;
    let verdict = serving::serve(policy, request, freshness, hit.expired, exchange.now);
    (verdict == Serve::Fresh).then(|| {
        exchange.facts.detail = Some("no-vary-search");
        hit
    })
}

/// Takes a seat, starting the flight where there is none. `None`: the key is known as unshareable and the request asks
/// for a part or under a condition, so that it had better go to the origin as it is.
pub fn board(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    exchange: &Exchange,
    variant: &str,
    stale: Option<&Hit<Stored>>,
    alone: bool,
) -> Option<Seat> {
    let flights = &worker.core.flights;
    let own = if variant.is_empty() && stale.is_none() { own_flight(worker, site, exchange) } else { None };
    let key = KeyRef::new(&exchange.url, own.as_deref().unwrap_or(variant)).hash();
    let known = is_personal(&site.config.policy, &exchange.request.headers)
        && flights.is_unshareable(personal(key), exchange.now);
    let seat = match alone || known {
        true => coalesce::Seat::Alone,
        false => flights.board(key, exchange.position.0, exchange.now),
    };
    let bypassed = !alone && stale.is_none() && matches!(seat, coalesce::Seat::Alone);
    let pilot = match seat {
        coalesce::Seat::Passenger(flight) => {
            let late = flight.has_landed();
            return Some(Seat { flight, collapsed: true, bypassed: false, late });
        }
        coalesce::Seat::Pilot(pilot) => pilot,
        coalesce::Seat::Alone if stale.is_none() && asks_for_part(exchange) => return None,
        coalesce::Seat::Alone => Flights::charter(exchange.position.0),
    };
    let flight = pilot.flight();
    take_off(worker, site, exchange, (key, variant), stale, pilot);
    Some(Seat { flight, collapsed: false, bypassed, late: false })
}

/// Where cookies were found to matter, who brings some flies for the like alone, and does not keep the others waiting.
fn own_flight(worker: &Worker, site: &Site, exchange: &Exchange) -> Option<String> {
    let strays = stray::of(&site.config.policy.keying, &exchange.request.headers)?;
    let known = worker.core.flights.is_unshareable(key::strays_matter(&exchange.url), exchange.now);
    strays.key().filter(|_| known).map(str::to_owned)
}

/// Looks for something newer behind the client's back, once however many are served stale (RFC 5861 3).
pub fn refresh(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    exchange: &Exchange,
    variant: &str,
    stale: &Hit<Stored>,
) {
    if exchange.request.headers.contains_key(header::AUTHORIZATION) {
        return;
    }
    let key = KeyRef::new(&exchange.url, variant).hash();
    if let coalesce::Seat::Pilot(pilot) = worker.core.flights.board(key, exchange.position.0, exchange.now) {
        take_off(worker, site, exchange, (key, variant), Some(stale), pilot);
    }
}

/// Whether what is stored may be given out although it is stale, because the fetch failed in this way
/// (RFC 9111 4.2.4, RFC 5861 4). What was purged or replaced meanwhile never, nor what is doubted.
pub async fn may_stand_in(
    worker: &Worker,
    site: &Site,
    exchange: &Exchange,
    kind: Kind,
    stale: &Hit<Stored>,
) -> bool {
    let Some(stored) = stale.entry.head().answer() else { return false };
    if worker.core.fence.doubts(stale.entry.born()) {
        return false;
    }
    let (policy, now) = (&site.config.policy, worker.core.clock.now());
    let request = &exchange.request.headers;
    serving::may_serve_after(kind, policy, request, &stored.freshness, stale.expired, now)
        && worker.core.cache.is_alive(&stale.entry).await
}

/// The flight is a task of its own: a client that leaves cancels nobody.
fn take_off(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    exchange: &Exchange,
    (key, variant): (u128, &str),
    stale: Option<&Hit<Stored>>,
    pilot: Pilot<Outcome>,
) {
    let (keying, asked) = (&site.config.policy.keying, &exchange.request.headers);
    // What is under another key than the flight's is not what others will get of it.
    let renews = stale.filter(|hit| hit.entry.key().variant() == variant);
    let renews = renews.and_then(|hit| Some((variant, &*hit.entry.head().answer()?.headers)));
    let mut request = stray::shared(keying, asked, renews);
    let bared = renews.is_some() && stray::of(keying, asked) != stray::of(keying, &request);
    let mut whole = bared.then(|| stray::shared(keying, asked, None));
    if exchange.base.is_empty() {
        [Some(&mut request), whole.as_mut()].into_iter().flatten().for_each(stray::without_content);
    }
    let plan = Flightplan {
        site: Arc::clone(site),
        url: exchange.url.clone(),
        base: exchange.base.clone(),
        method: exchange.fetch_method(),
        content: exchange.content.bytes(),
        key,
        target: exchange.target().to_owned(),
        request,
        whole,
        asker: Asker::of(exchange),
        stale: stale.map(|hit| Arc::clone(&hit.entry)),
        expired: stale.is_some_and(|hit| hit.expired),
        born: exchange.position,
        asks: part(worker, site, exchange, stale).map_or(Asks::Whole, Asks::Part),
    };
    let aloft = search::marks(&exchange.url).map(|url| worker.core.flights.mark(KeyRef::new(url, "").hash()));
    let flight = fly(Arc::clone(worker), plan, pilot);
    tasks::spawn("flight", async move {
        flight.await;
        drop(aloft);
    });
}

/// The part to ask for, where the client wants one or what is stored lies in blocks: of a large answer no more is
/// fetched than somebody asks for.
fn part(worker: &Worker, site: &Site, exchange: &Exchange, stale: Option<&Hit<Stored>>) -> Option<Ask> {
    let (size, request) = (site.config.range_block, &exchange.request);
    if size == 0 || size > worker.core.object_max {
        return None;
    }
    let in_blocks = match stale.map(|hit| hit.entry.head().answer()) {
        None => false,
        Some(answer) => answer.filter(|answer| answer.blocks.is_some()).map(|_| true)?,
    };
    let first = range::first(request.headers.get(header::RANGE)).filter(|_| request.method == Method::GET);
    first.map(|first| Ask::of(first, size)).or(in_blocks.then_some(Ask::Block(0)))
}

fn asks_for_part(exchange: &Exchange) -> bool {
    let own = [
        header::RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ];
    own.iter().any(|name| exchange.request.headers.contains_key(name))
}
