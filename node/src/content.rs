//! The content of a request that was read before the cache was asked. What all requests hold of it has a bound.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::limits::QUERIES_TAKEN_MAX;

/// Contents held now.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The content of a request, or none.
#[derive(Debug, Default)]
pub struct Content {
    bytes: Bytes,
    _room: Option<Room>,
}

impl Content {
    /// All of it, for as long as this is held.
    #[must_use]
    pub const fn held(bytes: Bytes, room: Room) -> Self {
        Self { bytes, _room: Some(room) }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

/// Room for one content.
#[derive(Debug)]
pub struct Room(());

impl Room {
    /// Takes one; `None` while [`QUERIES_TAKEN_MAX`] are taken.
    #[must_use]
    pub fn take() -> Option<Self> {
        let room = Self(());
        (TAKEN.fetch_add(1, Ordering::Relaxed) < QUERIES_TAKEN_MAX).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}
