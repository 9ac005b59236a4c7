//! Whether the disk has room for the cache.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::limits;

/// The bytes that `directory` has room for and the folder asked about, if that is less than `wanted`. What it holds
/// already counts as room.
pub(super) fn short(directory: &Path, wanted: u64) -> Option<(u64, &Path)> {
    // The directory may not be there yet; then it will be in one that is.
    let there = directory.ancestors().find(|folder| folder.is_dir())?;
    let system = rustix::fs::statvfs(there).ok()?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let missing = wanted.checked_sub(free).filter(|missing| *missing > 0)?;
    let room = free.saturating_add(taken(directory, missing)?);
    (room < wanted).then_some((round(room), there))
}

/// Bytes that `directory` takes; it stops counting at `enough`, and gives up on too many files.
fn taken(directory: &Path, enough: u64) -> Option<u64> {
    let (mut sum, mut seen, mut folders) = (0_u64, 0, vec![directory.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > limits::CACHE_FILES_COUNTED_MAX {
                return None;
            }
            let Ok(data) = entry.metadata() else { continue };
            sum = sum.saturating_add(data.blocks().saturating_mul(512));
            if sum >= enough {
                return Some(sum);
            }
            if data.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Some(sum)
}

/// Down to what people would write, two digits at least.
fn round(bytes: u64) -> u64 {
    let unit = [40, 30, 20, 10].into_iter().map(|shift| 1_u64 << shift).find(|unit| bytes / unit >= 10);
    unit.map_or(bytes, |unit| bytes / unit * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_asked_for_where_the_directory_will_be() {
        let folder = tempfile::tempdir().unwrap();
        for directory in [folder.path().to_owned(), folder.path().join("not/yet/there")] {
            let (room, there) = short(&directory, 1 << 60).unwrap();
            assert!(room < 1 << 60 && there == folder.path(), "{room} in {}", there.display());
            assert_eq!(short(&directory, 4096), None);
        }
        assert_eq!((round(123_456_789_012), round(1 << 40), round(5)), (114 << 30, 1 << 40, 5));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test prepares its files before anything runs")]
    fn what_the_cache_has_already_counts_as_room() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("inner/body"), vec![1; 100_000]).unwrap();
        assert!(taken(folder.path(), u64::MAX).unwrap() >= 100_000);
        let enough = taken(folder.path(), 1).unwrap();
        assert!((1..100_000).contains(&enough), "{enough}");
    }
}
