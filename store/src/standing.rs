//! Where an entry stands when the disk runs out of room.

/// To whose part of the disk an entry counts, and whether it may be evicted. The caller says it with the head; the disk
/// keeps it in the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// One of [`crate::Config::shares`]; 0, or one that is not listed there, is what all others have together.
    pub share: u16,
    /// Not evicted from disk for space, as long as all that is pinned stays below [`crate::Config::pinned_max`].
    pub pinned: bool,
}

/// A part of the disk that others cannot take: who has more than its part makes room first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What [`Standing::share`] says; not 0.
    pub share: u16,
    /// Percent of the disk.
    pub percent: u8,
}
