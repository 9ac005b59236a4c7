//! From a miss to a seat in a flight.

use std::sync::Arc;

use http::{HeaderMap, header};
use larder_store::{Hit, KeyRef};
use parking_lot::Mutex;

use crate::cache::stored::Stored;
use crate::coalesce::{self, Flight, Flights, Pilot, Waited};
use crate::context::Exchange;
use crate::error::Kind;
use crate::fetch::{Flightplan, fly};
use crate::outcome::Outcome;
use crate::policy::Config;
use crate::policy::directives::Directives;
use crate::policy::freshness::Freshness;
use crate::policy::serving::{self, Serve};
use crate::status::NotStored;
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
    /// answer that may be given out without asking.
    #[must_use]
    pub fn counts(&self, site: &Site, exchange: &Exchange, freshness: &Freshness) -> bool {
        let (policy, request) = (&site.config.policy, &exchange.request.headers);
        !self.late || serving::serve(policy, request, freshness, false, exchange.now) == Serve::Fresh
    }
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
#[must_use]
pub fn alone_after(why: NotStored, request: &HeaderMap) -> bool {
    match why {
        NotStored::Cookie => request.contains_key(header::COOKIE),
        NotStored::Authorization | NotStored::RequestNoStore => false,
        _ => true,
    }
}

/// The flight for `variant` gives its bytes to those who are in it and to nobody else any more: an answer that cannot be
/// kept. The next need not find that out again.
pub fn too_late(worker: &Worker, exchange: &Exchange, variant: &str) {
    let key = KeyRef::new(&exchange.url, variant).hash();
    worker.core.flights.remember_unshareable(key, exchange.now);
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
    let key = KeyRef::new(&exchange.url, variant).hash();
    let flights = &worker.core.flights;
    let seat =
        if alone { coalesce::Seat::Alone } else { flights.board(key, exchange.position.0, exchange.now) };
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
    take_off(worker, site, exchange, key, stale, pilot);
    Some(Seat { flight, collapsed: false, bypassed, late: false })
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
        take_off(worker, site, exchange, key, Some(stale), pilot);
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
    key: u128,
    stale: Option<&Hit<Stored>>,
    pilot: Pilot<Outcome>,
) {
    let plan = Flightplan {
        site: Arc::clone(site),
        url: exchange.url.clone(),
        base: exchange.base.clone(),
        key,
        target: exchange.target().to_owned(),
        request: exchange.request.headers.clone(),
        asker: Asker::of(exchange),
        stale: stale.map(|hit| Arc::clone(&hit.entry)),
        expired: stale.is_some_and(|hit| hit.expired),
        born: exchange.position,
    };
    let aloft = worker.core.flights.mark(KeyRef::new(&exchange.url, "").hash());
    let flight = fly(Arc::clone(worker), plan, pilot);
    tasks::spawn("flight", async move {
        flight.await;
        drop(aloft);
    });
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
