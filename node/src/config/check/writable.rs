//! Whether the cache directory can be written to, found out by doing it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Bytes written: a full disk may still take an empty file.
const PROBE: [u8; 4096] = [0; 4096];

/// The folder asked about and why nothing can be written there. A directory that is not there yet will be in one that is.
pub(super) fn refused(directory: &Path) -> Option<(&Path, io::Error)> {
    let there = directory.ancestors().find(|folder| folder.is_dir())?;
    probe(there).err().map(|error| (there, error))
}

fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".larder-check-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = file.write_all(&PROBE);
    drop(file);
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// What to do about it.
pub(super) fn fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "let the user that runs larder write there",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space (df -h) or files (df -i) there: until then nothing is kept on disk"
        }
        io::ErrorKind::ReadOnlyFilesystem => "mount it for writing: until then nothing is kept on disk",
        _ => "see what dmesg says of the disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_written_to_where_it_will_be_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        for directory in [folder.path().to_owned(), folder.path().join("not/yet/there")] {
            assert!(refused(&directory).is_none());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_takes_no_files_is_named_with_a_fix() {
        // A file system of the kernel's, which even root cannot add to.
        let (there, error) = refused(Path::new("/proc/self/no/such")).unwrap();
        assert_eq!(there, Path::new("/proc/self"));
        assert!(!fix(&error).is_empty());
        for (kind, word) in [
            (io::ErrorKind::PermissionDenied, "user"),
            (io::ErrorKind::StorageFull, "df"),
            (io::ErrorKind::ReadOnlyFilesystem, "mount"),
        ] {
            assert!(fix(&kind.into()).contains(word), "{kind}");
        }
    }
}
