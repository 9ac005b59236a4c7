//! From a miss to a seat in a flight.

use std::sync::Arc;

use http::header;
use larder_store::{Hit, KeyRef};

use crate::cache::stored::Stored;
use crate::coalesce::{self, Flight, Flights, Pilot};
use crate::context::Exchange;
use crate::fetch::{Flightplan, fly};
use crate::outcome::Outcome;
use crate::tasks;
use crate::worker::{Asker, Site, Worker};

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
