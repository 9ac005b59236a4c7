//! Whose turn it is: round robin over the endpoints that do not rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::endpoint::Live;

/// The endpoints of one worker's pool, and whose turn it is.
pub(super) struct Balance {
    endpoints: Vec<Arc<Live>>,
    next: AtomicUsize,
}

impl Balance {
    /// `start` lets the workers begin at different endpoints.
    pub(super) fn new(endpoints: Vec<Arc<Live>>, start: usize) -> Self {
        Self { endpoints, next: AtomicUsize::new(start) }
    }

    pub(super) fn endpoints(&self) -> &[Arc<Live>] {
        &self.endpoints
    }

    /// The next endpoint with room; the next one without; when all rest, the one that has rested longest. None only
    /// if there is no endpoint (other than `not`) at all.
    pub(super) fn pick(&self, not: Option<&Arc<Live>>) -> Option<&Arc<Live>> {
        // A second try takes nobody's turn: else the requests after a failure would all begin at the same endpoint.
        let turn = self.next.fetch_add(usize::from(not.is_none()), Ordering::Relaxed);
        let (had_theirs, to_come) = self.endpoints.split_at(turn.checked_rem(self.endpoints.len())?);
        let candidates =
            || to_come.iter().chain(had_theirs).filter(|live| not.is_none_or(|not| !Arc::ptr_eq(not, live)));
        candidates()
            .find(|live| !live.rests() && live.has_room())
            .or_else(|| candidates().find(|live| !live.rests()))
            .or_else(|| candidates().min_by_key(|live| live.common.health.rests_until()))
    }

    /// Where to try again after `first` failed: elsewhere if anywhere is better. `refused`: it takes no connections.
    pub(super) fn again(&self, first: &Arc<Live>, refused: bool) -> Option<&Arc<Live>> {
        let other = self.pick(Some(first));
        if refused || other.is_some_and(|other| !other.rests()) {
            return other;
        }
        self.endpoints.iter().find(|live| Arc::ptr_eq(live, first))
    }
}

impl Drop for Balance {
    fn drop(&mut self) {
        for live in &self.endpoints {
            live.retire();
        }
    }
}
