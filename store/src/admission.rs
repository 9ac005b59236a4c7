//! Which bodies go to disk. Today: whatever fits. A rule that keeps one-hit wonders off the disk belongs here.

/// Whether a body of `length` bytes is written to disk.
pub(crate) const fn admits(length: u64, object_max: u64) -> bool {
    length <= object_max
}
