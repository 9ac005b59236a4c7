//! One line per exchange, written at the last byte, off the hot path.
//!
//! A worker formats the line into a buffer of its own and appends it to a bounded queue; a thread writes batches. A
//! full queue or a failing disk drops lines and counts them: no request ever waits for its log line.

mod body;
mod line;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use body::{End, Logged, Sent};
pub use line::Line;

use crate::limits::{ACCESS_LOG_QUEUE_BYTES_MAX, ACCESS_LOG_QUEUE_MAX};
use crate::telemetry::lines::{Bounds, Lines, Sink};

/// Where access lines go, as meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Target {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to; reopened on SIGHUP.
    File(PathBuf),
}

/// How an access line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// The combined format of Apache and nginx.
    Combined,
}

/// The access log, as meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Where to.
    pub target: Target,
    /// In which form.
    pub format: Format,
}

/// The running access log; clones share it. Replace it by a new one when the configuration changes: the old one writes
/// what it has and ends.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Option<Lines>,
    format: Format,
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes a worker's line buffer keeps between lines.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

impl Log {
    /// Opens the target and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the writer thread not be started.
    pub fn open(config: &Config) -> io::Result<Self> {
        let sink = match &config.target {
            Target::Off => return Ok(Self::off()),
            Target::Stdout => Sink::Stdout,
            Target::File(path) => Sink::File(path.clone()),
        };
        let bounds = Bounds { lines: ACCESS_LOG_QUEUE_MAX, bytes: ACCESS_LOG_QUEUE_BYTES_MAX };
        let lines = Lines::start("larder-access", sink, bounds)?;
        Ok(Self { lines: Some(lines), format: config.format })
    }

    /// A log that goes nowhere.
    #[must_use]
    pub const fn off() -> Self {
        Self { lines: None, format: Format::Json }
    }

    /// Whether lines go anywhere: ask before collecting what a [`Line`] needs.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Queues the line; never waits.
    pub fn write(&self, line: &Line<'_>) {
        let Some(lines) = &self.lines else { return };
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            match self.format {
                Format::Json => line.write_json(scratch),
                Format::Combined => line.write_combined(scratch),
            }
            lines.push(scratch);
            if scratch.capacity() > SCRATCH_BYTES_MAX {
                *scratch = Vec::new();
            }
        });
    }

    /// Opens the file anew before the next line, as rotation asks for on SIGHUP.
    pub fn reopen(&self) {
        if let Some(lines) = &self.lines {
            lines.reopen();
        }
    }

    /// Lines dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lines.as_ref().map_or(0, Lines::dropped)
    }

    /// Waits until every line so far is written; false after `timeout`. Blocks: for the end of a drain.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.lines.as_ref().is_none_or(|lines| lines.flush(timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_reach_the_file_and_rotation_works() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let config = Config { target: Target::File(path.clone()), format: Format::Combined };
        let log = Log::open(&config).unwrap();
        assert!(log.is_on());
        let line = line::tests::example();
        log.write(&line);
        assert!(log.flush(Duration::from_secs(60)));
        std::fs::rename(&path, directory.path().join("access.log.1")).unwrap();
        log.reopen();
        log.write(&line);
        log.write(&line);
        assert!(log.flush(Duration::from_secs(60)));
        let lines =
            |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap().lines().count();
        assert_eq!((lines("access.log.1"), lines("access.log"), log.dropped()), (1, 2, 0));
    }

    #[test]
    fn off_is_off() {
        let log = Log::open(&Config::default()).unwrap();
        log.write(&line::tests::example());
        log.reopen();
        assert!(!log.is_on() && log.flush(Duration::ZERO) && log.dropped() == 0);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_the_start() {
        let target = Target::File("/nonexistent/directory/access.log".into());
        assert!(Log::open(&Config { target, format: Format::Json }).is_err());
    }
}
