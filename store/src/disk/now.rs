//! Reading what the system has in memory, without waiting for the disk: for workers, who must not.

use std::fs::File;
use std::io::{self, IoSliceMut};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// Fills the buffers if that takes no waiting; false if it would, or if the system or file system cannot tell.
pub(crate) fn read_now(file: &File, buffers: &mut [IoSliceMut<'_>], from: u64) -> io::Result<bool> {
    let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    match preadv2(file, buffers, from, ReadWriteFlags::NOWAIT) {
        // Less: the rest is on disk, or there is none, which a reader that may wait finds out.
        Ok(read) => Ok(read == wanted),
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS | Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
