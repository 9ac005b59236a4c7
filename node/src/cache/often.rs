//! How often keys were stored lately, for those that are not kept long enough to be counted where they lie: of the variants
//! of a URL that leave, one that keeps coming back is not taken for one that came once.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Counters in one row; each key has one in every row, and the least of them is its count.
const ROW: usize = 1 << 16;
const ROWS: usize = 4;

/// A count-min sketch of 256 KiB that halves itself after as many keys as one row has counters.
pub(super) struct Often {
    counts: Box<[AtomicU8]>,
    added: AtomicUsize,
}

impl Default for Often {
    fn default() -> Self {
        Self { counts: (0..ROW * ROWS).map(|_| AtomicU8::new(0)).collect(), added: AtomicUsize::new(0) }
    }
}

impl Often {
    /// Counts one more of this key.
    pub(super) fn add(&self, key: u128) {
        for place in places(key) {
            let count = &self.counts[place];
            count.store(count.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
        }
        if self.added.fetch_add(1, Ordering::Relaxed) % ROW == ROW - 1 {
            for count in &self.counts {
                count.store(count.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            }
        }
    }

    /// How often it was added lately, or more where other keys share all of its counters.
    pub(super) fn count(&self, key: u128) -> u8 {
        places(key).map(|place| self.counts[place].load(Ordering::Relaxed)).into_iter().min().unwrap_or(0)
    }
}

fn places(key: u128) -> [usize; ROWS] {
    [0, 1, 2, 3].map(|row| row * ROW + (key >> (16 * row)) as usize % ROW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_told_from_what_comes_once() {
        let often = Often::default();
        let key = |number: u128| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        for number in 0..10_000 {
            often.add(key(number));
        }
        (0..3).for_each(|_| often.add(key(7)));
        assert_eq!(often.count(key(7)), 4);
        let once = (0..10_000).filter(|number| often.count(key(*number)) == 1).count();
        assert!(once > 9_900, "{once} of 10,000");
        for number in 10_000..ROW as u128 {
            often.add(key(number));
        }
        assert!(often.count(key(7)) < 4, "lately");
    }
}
