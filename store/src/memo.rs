//! A small text beside the store that must last like it: replaced whole, durable when that returns.
//!
//! ```text
//! memo-NAME        xxh3-64 of the text, 16 hex digits   line end   text
//! memo-NAME.new    the next one, until it is renamed
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::config::Config;
use crate::limits::MEMO_BYTES_MAX;

/// Where such a text is kept; nowhere for a store in memory.
#[derive(Debug, Clone)]
pub struct Memo {
    path: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// Nothing was ever written, or the directory is a new one.
    Nothing,
    /// The text written last.
    Text(String),
    /// Something was written and cannot be read any more.
    Damaged,
}

impl Memo {
    /// The memo `name` of the store that `config` describes.
    #[must_use]
    pub fn new(config: &Config, name: &str) -> Self {
        let path = (config.disk > 0).then(|| config.directory.join(format!("memo-{name}")));
        Self { path }
    }

    /// The text written last. Blocks.
    #[must_use]
    pub fn read(&self) -> Noted {
        let Some(path) = &self.path else { return Noted::Nothing };
        let mut bytes = Vec::new();
        let most = MEMO_BYTES_MAX as u64 + 17;
        match File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)) {
            Ok(_) => decode(&bytes).map_or(Noted::Damaged, Noted::Text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Noted::Nothing,
            Err(_) => Noted::Damaged,
        }
    }

    /// Puts `text` in the place of the last one. Blocks.
    ///
    /// # Errors
    /// Those of the disk, or a text of more than `MEMO_BYTES_MAX` bytes; the last one is still there.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if text.len() > MEMO_BYTES_MAX {
            return Err(io::Error::other("the memo is too long"));
        }
        let new = path.with_extension("new");
        let mut file = File::options().create(true).write(true).truncate(true).open(&new)?;
        write!(file, "{:016x}\n{text}", xxh3_64(text.as_bytes()))?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn decode(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (sum, text) = text.split_once('\n')?;
    let sum = u64::from_str_radix(sum, 16).ok()?;
    (sum == xxh3_64(text.as_bytes())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_is_what_was_written_last_or_known_to_be_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { directory: directory.path().to_owned(), disk: 1, ..Config::default() };
        let memo = Memo::new(&config, "fleet");
        assert_eq!(memo.read(), Noted::Nothing);
        for text in ["one", "two\nlines", ""] {
            memo.write(text).unwrap();
            assert_eq!(Memo::new(&config, "fleet").read(), Noted::Text(text.into()));
        }
        assert!(memo.write(&"x".repeat(MEMO_BYTES_MAX + 1)).is_err());
        assert_eq!(memo.read(), Noted::Text(String::new()));
        memo.write("something").unwrap();
        let path = directory.path().join("memo-fleet");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            File::options().write(true).truncate(true).open(&path).unwrap().write_all(&whole[..cut]).unwrap();
            assert_eq!(memo.read(), Noted::Damaged, "{cut}");
        }
        let none = Memo::new(&Config { disk: 0, ..config }, "fleet");
        none.write("x").unwrap();
        assert_eq!(none.read(), Noted::Nothing);
    }
}
