//! How often a stored answer is given out, for the choice among the variants of a URL.

use std::sync::atomic::{AtomicU8, Ordering};

/// A count of uses that is kept in memory only and halved now and then, so that it says "lately".
#[derive(Debug, Default)]
pub struct Uses(AtomicU8);

impl Uses {
    /// Above it nothing is counted: a variant in constant use writes to no shared line of memory.
    const ENOUGH: u8 = 100;

    /// Counts one more.
    pub fn note(&self) {
        if self.0.load(Ordering::Relaxed) < Self::ENOUGH {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many, lately.
    #[must_use]
    pub fn count(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Halves them.
    pub fn fade(&self) {
        self.0.store(self.count() / 2, Ordering::Relaxed);
    }
}

impl Clone for Uses {
    fn clone(&self) -> Self {
        Self(AtomicU8::new(self.count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_say_lately() {
        let uses = Uses::default();
        (0..1000).for_each(|_| uses.note());
        assert_eq!(uses.count(), Uses::ENOUGH);
        uses.fade();
        assert_eq!((uses.count(), uses.clone().count()), (50, 50));
    }
}
