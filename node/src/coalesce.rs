//! One fetch per key, however many ask: flights, their pilots and the seats in them.
//!
//! The pilot (the task that fetches) owns the flight; whoever asks only sits in it, so a client that leaves cancels
//! nobody. A flight that ends without landing fails everyone in it: no second stampede behind the first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::limits::{HIT_FOR_MISS_KEYS_MAX, HIT_FOR_MISS_TIME, SEAT_WAIT_MAX, SEATS_MAX};

const SHARDS: usize = 64;
const UNSAFE_COUNTS: usize = 4096;

type Shard<T> = Mutex<HashMap<u128, Arc<Flight<T>>>>;

/// All fetches that others may join.
pub struct Flights<T> {
    shards: Box<[Shard<T>]>,
    /// URLs for which something is asked or stored now, and how often.
    aloft: Box<[Mutex<HashMap<u128, usize>>]>,
    unsafe_answers: Box<[AtomicUsize]>,
    /// Keys whose answers could not be shared, each until when it is remembered (hit-for-miss).
    unshareable: moka::sync::Cache<u128, Timestamp>,
}

/// One fetch on its way. `position` is the purge position before it left: whoever asks later than a newer purge
/// must not be served by it.
pub struct Flight<T> {
    position: u64,
    outcome: OnceLock<T>,
    over: OnceLock<()>,
    moved: Notify,
    seats: AtomicUsize,
}

/// How a request goes on.
pub enum Seat<T> {
    /// It leads: it has to start the fetch.
    Pilot(Pilot<T>),
    /// Someone fetches already: wait for that.
    Passenger(Arc<Flight<T>>),
    /// Go alone: the key is known as unshareable, or the flight is full.
    Alone,
}

/// The right and the duty to land a flight. Dropped without landing, everyone in it fails.
pub struct Pilot<T> {
    flight: Arc<Flight<T>>,
    flights: Option<(Arc<Flights<T>>, u128)>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect();
        let aloft = (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect();
        let unsafe_answers = (0..UNSAFE_COUNTS).map(|_| AtomicUsize::new(0)).collect();
        Self { shards, aloft, unsafe_answers, unshareable: moka::sync::Cache::new(HIT_FOR_MISS_KEYS_MAX) }
    }
}

impl<T: Clone> Flights<T> {
    fn shard(&self, key: u128) -> &Shard<T> {
        &self.shards[shard_of(key)]
    }

    /// Takes a seat in the flight for `key`, or becomes its pilot.
    pub fn board(self: &Arc<Self>, key: u128, position: u64, now: Timestamp) -> Seat<T> {
        if self.is_unshareable(key, now) {
            return Seat::Alone;
        }
        let mut shard = self.shard(key).lock();
        match shard.get(&key) {
            Some(flight) if flight.position >= position => {
                if flight.seats.fetch_add(1, Ordering::Relaxed) >= SEATS_MAX {
                    return Seat::Alone;
                }
                Seat::Passenger(Arc::clone(flight))
            }
            _ => {
                let flight = Arc::new(Flight::new(position));
                shard.insert(key, Arc::clone(&flight));
                Seat::Pilot(Pilot { flight, flights: Some((Arc::clone(self), key)) })
            }
        }
    }

    /// A flight that nobody else can find.
    #[must_use]
    pub fn charter(position: u64) -> Pilot<T> {
        Pilot { flight: Arc::new(Flight::new(position)), flights: None }
    }

    /// Notes that something is asked for this URL and may be stored, alone or not, until the mark is dropped.
    #[must_use]
    pub fn mark(self: &Arc<Self>, url: u128) -> Aloft<T> {
        *self.aloft[shard_of(url)].lock().entry(url).or_default() += 1;
        Aloft { flights: Arc::clone(self), url }
    }

    /// Whether something that was asked for this URL may still be stored.
    pub fn is_aloft(&self, url: u128) -> bool {
        self.aloft[shard_of(url)].lock().contains_key(&url)
    }

    /// Notes that an unsafe request for this URL was answered. Several URLs share a count: it may say more than there
    /// was, never less.
    pub fn note_unsafe(&self, url: u128) {
        self.unsafe_answers[unsafe_of(url)].fetch_add(1, Ordering::AcqRel);
    }

    /// Unsafe requests answered so far, for this URL and those it shares a count with.
    pub fn unsafe_so_far(&self, url: u128) -> usize {
        self.unsafe_answers[unsafe_of(url)].load(Ordering::Acquire)
    }

    /// Remembers that the answers for `key` cannot be shared, so that the next herd does not queue.
    pub fn remember_unshareable(&self, key: u128, now: Timestamp) {
        self.unshareable.insert(key, now.plus(HIT_FOR_MISS_TIME));
    }

    /// Forgets it again: an answer was stored after all.
    pub fn forget_unshareable(&self, key: u128) {
        self.unshareable.invalidate(&key);
    }

    /// Whether [`Flights::remember_unshareable`] was told so not long ago.
    #[must_use]
    pub fn is_unshareable(&self, key: u128, now: Timestamp) -> bool {
        self.unshareable.get(&key).is_some_and(|until| until > now)
    }

    /// Flights on their way, for the metrics.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Clone> Flight<T> {
    fn new(position: u64) -> Self {
        Self {
            position,
            outcome: OnceLock::new(),
            over: OnceLock::new(),
            moved: Notify::new(),
            seats: AtomicUsize::new(1),
        }
    }

    /// Whether the outcome is known: whoever boards from now on comes after the answer.
    pub fn has_landed(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Waits for the outcome; `None` when the flight ended without one. For the pilot's own seat: the origin's timeouts
    /// bound it.
    pub async fn landing(&self) -> Option<T> {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return Some(outcome.clone());
            }
            if self.over.get().is_some() {
                return None;
            }
            moved.await;
        }
    }

    /// [`Flight::landing`] for who waits in another request's flight.
    ///
    /// # Errors
    /// [`Waited`] after [`SEAT_WAIT_MAX`].
    pub async fn outcome(&self) -> Result<Option<T>, Waited> {
        tokio::time::timeout(SEAT_WAIT_MAX, self.landing()).await.map_err(|_| Waited(SEAT_WAIT_MAX))
    }
}

/// The wait in a flight was longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("waited {0:?} for another request's fetch")]
pub struct Waited(pub Duration);

impl<T: Clone> Pilot<T> {
    /// The flight, to sit in it oneself.
    #[must_use]
    pub fn flight(&self) -> Arc<Flight<T>> {
        Arc::clone(&self.flight)
    }

    /// Tells everyone the outcome. Others may still join until the pilot is dropped.
    pub fn land(&self, outcome: T) {
        let _ = self.flight.outcome.set(outcome);
        self.flight.moved.notify_waiters();
    }
}

/// See [`Flights::mark`].
pub struct Aloft<T> {
    flights: Arc<Flights<T>>,
    url: u128,
}

impl<T> Drop for Aloft<T> {
    fn drop(&mut self) {
        let mut shard = self.flights.aloft[shard_of(self.url)].lock();
        if let Some(count) = shard.get_mut(&self.url) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&self.url);
            }
        }
    }
}

impl<T> Drop for Pilot<T> {
    fn drop(&mut self) {
        if let Some((flights, key)) = self.flights.take() {
            let mut shard = flights.shards[shard_of(key)].lock();
            if shard.get(&key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
                shard.remove(&key);
            }
        }
        let _ = self.flight.over.set(());
        self.flight.moved.notify_waiters();
    }
}

/// The key under which is remembered that users with cookies get each their own.
#[must_use]
pub const fn personal(key: u128) -> u128 {
    !key
}

const fn unsafe_of(url: u128) -> usize {
    (url >> 64) as usize % UNSAFE_COUNTS
}

const fn shard_of(key: u128) -> usize {
    (key >> 64) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn pilot(seat: Seat<u32>) -> Pilot<u32> {
        match seat {
            Seat::Pilot(pilot) => pilot,
            _ => panic!("expected to lead"),
        }
    }

    fn passenger(seat: Seat<u32>) -> Arc<Flight<u32>> {
        match seat {
            Seat::Passenger(flight) => flight,
            _ => panic!("expected a seat"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_gets_the_pilots_outcome() {
        let flights = Arc::new(Flights::default());
        let lead = pilot(flights.board(7, 0, NOW));
        let seats: Vec<_> = (0..500).map(|_| passenger(flights.board(7, 0, NOW))).collect();
        lead.land(42);
        for seat in &seats {
            assert_eq!(seat.outcome().await, Ok(Some(42)));
        }
        assert_eq!(passenger(flights.board(7, 0, NOW)).outcome().await, Ok(Some(42)), "joins while it fills");
        drop(lead);
        assert!(flights.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flight_that_never_lands_fails_its_passengers() {
        let flights = Arc::new(Flights::default());
        let lead = pilot(flights.board(7, 0, NOW));
        let seat = passenger(flights.board(7, 0, NOW));
        drop(lead);
        assert_eq!(seat.outcome().await, Ok(None));
        let _lead = pilot(flights.board(7, 0, NOW));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded() {
        let flights = Arc::new(Flights::default());
        let _lead = pilot(flights.board(7, 0, NOW));
        let seat = passenger(flights.board(7, 0, NOW));
        assert_eq!(seat.outcome().await, Err(Waited(SEAT_WAIT_MAX)));
    }

    #[test]
    fn a_flight_older_than_a_purge_takes_nobody_on_board() {
        let flights = Arc::new(Flights::<u32>::default());
        let old = pilot(flights.board(7, 1, NOW));
        let new = pilot(flights.board(7, 2, NOW));
        drop(old);
        passenger(flights.board(7, 2, NOW));
        drop(new);
        assert!(flights.is_empty());
    }

    #[test]
    fn a_url_is_aloft_until_its_last_mark_is_gone() {
        let flights = Arc::new(Flights::<u32>::default());
        let (one, two) = (flights.mark(7), flights.mark(7));
        drop(one);
        assert!(flights.is_aloft(7) && !flights.is_aloft(8));
        drop(two);
        assert!(!flights.is_aloft(7));
    }

    #[test]
    fn an_unshareable_key_does_not_queue_until_it_is_forgotten() {
        let flights = Arc::new(Flights::<u32>::default());
        flights.remember_unshareable(7, NOW);
        assert!(matches!(flights.board(7, 0, NOW), Seat::Alone));
        assert!(matches!(flights.board(7, 0, NOW.plus(HIT_FOR_MISS_TIME)), Seat::Pilot(_)));
        flights.forget_unshareable(7);
        assert!(matches!(flights.board(7, 0, NOW), Seat::Pilot(_)));
    }
}
