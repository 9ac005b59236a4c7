//! The only place that asks what time it is.
//!
//! Inside one process time never jumps: the wall clock is read once at start and the monotonic clock is added to it,
//! so that a step of the system's clock (NTP, a leap, an operator) cannot make anything fresh longer than its lifetime.

mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use text::{push_common, push_digits, push_rfc3339, rfc3339};

/// Milliseconds since 1970, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since 1970, the resolution of HTTP dates.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Time since `earlier`; zero when `earlier` lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment and `by` more, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A source of time: the machine's, or one that a test moves by hand.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { wall_at_start: u64, start: Instant },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock, made steady.
    #[expect(clippy::disallowed_methods, reason = "the one place that may read the wall clock")]
    #[must_use]
    pub fn system() -> Self {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        Self(Source::System { wall_at_start: wall, start: Instant::now() })
    }

    /// A clock that stands still until [`Clock::advance`] is called.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.0))))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { wall_at_start, start } => Timestamp(*wall_at_start).plus(start.elapsed()),
            Source::Manual(now) => Timestamp(now.load(Ordering::Relaxed)),
        }
    }

    /// What [`Clock::now`] says at the moment `instant`: for who has asked for that already.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Timestamp {
        match &self.0 {
            Source::System { wall_at_start, start } => {
                Timestamp(*wall_at_start).plus(instant.saturating_duration_since(*start))
            }
            Source::Manual(now) => Timestamp(now.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock forward; the machine's clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}
