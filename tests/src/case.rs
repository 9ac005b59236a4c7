//! One case: its title first, its seed if it draws, its counters at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use std::sync::Mutex;

/// The title of a case and what was counted while it ran. Printed by drop, so also when the case fails.
#[derive(Debug)]
pub struct Case {
    title: &'static str,
    start: Instant,
    counters: Mutex<BTreeMap<&'static str, u64>>,
    draw: AtomicU64,
}

impl Case {
    /// Starts a case: `title` is a sentence that holds when it passes.
    #[must_use]
    pub fn new(title: &'static str) -> Arc<Self> {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh_seed);
        println!("case: {title}\n  SEED={seed}");
        let (start, counters) = (Instant::now(), Mutex::default());
        Arc::new(Self { title, start, counters, draw: AtomicU64::new(seed | 1) })
    }

    /// Counts one more of `what`.
    pub fn count(&self, what: &'static str) {
        if let Ok(mut counters) = self.counters.lock() {
            *counters.entry(what).or_default() += 1;
        }
    }

    /// A number below `bound` that the printed seed repeats (splitmix64).
    pub fn draw(&self, bound: u64) -> u64 {
        let state = self.draw.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// A seed that differs from run to run without asking the wall clock: std's own random keys.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

impl Drop for Case {
    fn drop(&mut self) {
        let verdict = if std::thread::panicking() { "FAILED" } else { "done" };
        let counters = self.counters.lock().map(|c| c.clone()).unwrap_or_default();
        let counters: Vec<_> = counters.iter().map(|(what, count)| format!("{what} {count}")).collect();
        println!("{verdict}: {} ({}; {:.2?})", self.title, counters.join(", "), self.start.elapsed());
    }
}
