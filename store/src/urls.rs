//! Which URLs may have entries, whatever their variants: a bit for each, set when an entry begins and kept until the
//! next start. It may say yes too often, never no too early.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

/// Bits, a power of two: 1 MiB, one in two taken by six million URLs.
const BITS: usize = 1 << 23;

#[derive(Debug)]
pub(crate) struct Urls(Box<[AtomicU64]>);

impl Default for Urls {
    fn default() -> Self {
        Self((0..BITS / 64).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Urls {
    pub(crate) fn add(&self, url: &str) {
        self.add_hash(hash(url));
    }

    /// The same for who knows only [`hash`] of it.
    pub(crate) fn add_hash(&self, hash: u32) {
        let (word, bit) = place(hash);
        // Most often it is there, and reading shares the line between cores.
        if self.0[word].load(Ordering::Relaxed) & bit == 0 {
            self.0[word].fetch_or(bit, Ordering::AcqRel);
        }
    }

    pub(crate) fn may_hold(&self, url: &str) -> bool {
        let (word, bit) = place(hash(url));
        self.0[word].load(Ordering::Acquire) & bit != 0
    }
}

/// What stands for a URL here; the disk holds it.
pub(crate) fn hash(url: &str) -> u32 {
    xxh3_64(url.as_bytes()) as u32
}

fn place(hash: u32) -> (usize, u64) {
    let at = hash as usize % BITS;
    (at / 64, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_held_and_little_else() {
        let urls = Urls::default();
        (0..1000).for_each(|n| urls.add(&format!("http://a:80/{n}")));
        assert!((0..1000).all(|n| urls.may_hold(&format!("http://a:80/{n}"))));
        let wrong = (0..1000).filter(|n| urls.may_hold(&format!("http://b:80/{n}"))).count();
        assert!(wrong < 10, "{wrong} of 1000");
    }
}
