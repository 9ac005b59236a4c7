//! The node's own log: structured lines on standard error, written by a thread of its own so that a stuck pipe stops
//! no worker.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use super::lines::{Bounds, Lines, Sink};

/// Overrides the configured level: `LARDER_LOG=debug` or `LARDER_LOG=info,larder::origin=trace`.
pub const ENVIRONMENT: &str = "LARDER_LOG";

/// How a line of the node's log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people; with colours on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is none: neither `off`, `error`, `warn`, `info`, `debug`, `trace` nor a list of `module=level`.
    #[error("{0:?} is no log level: {1}")]
    Level(String, String),
    /// The writer thread could not be started.
    #[error("the log's writer could not be started")]
    Writer(#[source] io::Error),
    /// Another log is set up in this process.
    #[error("the log is set up already")]
    Twice,
}

/// The running log.
#[derive(Debug)]
pub struct Log {
    level: reload::Handle<EnvFilter, Registry>,
    lines: Lines,
}

impl Log {
    /// Sets up the log of the process on standard error, at `level` unless [`ENVIRONMENT`] says otherwise.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn start(level: &str, format: Format, bounds: Bounds) -> Result<Self, Error> {
        let (filter, handle) = reload::Layer::new(filter(level)?);
        let lines = Lines::start("larder-log", Sink::Stderr, bounds).map_err(Error::Writer)?;
        let colours = format == Format::Human && io::stderr().is_terminal();
        let writer = OneLine { lines: lines.clone(), colours };
        let layer = match format {
            Format::Human => fmt::layer().with_ansi(colours).with_writer(writer).boxed(),
            Format::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(|_| Error::Twice)?;
        Ok(Self { level: handle, lines })
    }

    /// Changes the level while running, as a reload does; [`ENVIRONMENT`] still wins.
    ///
    /// # Errors
    /// [`Error::Level`]; the old one stays.
    pub fn set_level(&self, level: &str) -> Result<(), Error> {
        let filter = filter(level)?;
        self.level.reload(filter).map_err(|error| Error::Level(level.into(), error.to_string()))
    }

    /// Lines dropped because standard error did not take them in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lines.dropped()
    }

    /// Waits until all is written, at most a second: the last thing before the process ends.
    pub fn flush(&self) {
        self.lines.flush(Duration::from_secs(1));
    }
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    let wanted = std::env::var(ENVIRONMENT).ok().filter(|value| !value.is_empty());
    let wanted = wanted.unwrap_or_else(|| ours(level));
    EnvFilter::builder().parse(&wanted).map_err(|error| Error::Level(wanted, error.to_string()))
}

/// A level as configured is ours; what the libraries tell below a warning drowns everything else.
fn ours(level: &str) -> String {
    match level {
        "info" | "debug" | "trace" => format!("warn,larder={level},larder_store={level}"),
        _ => level.to_owned(),
    }
}

/// Makes exactly one line out of each event, whatever bytes are in it.
struct OneLine {
    lines: Lines,
    colours: bool,
}

impl<'a> MakeWriter<'a> for OneLine {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &OneLine {
    /// The subscriber writes each event in one call.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.lines.push(&one_line(event, self.colours));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Control characters inside the line as `\x0a`; the escape character stays where the line has colours.
fn one_line(event: &[u8], colours: bool) -> Vec<u8> {
    let event = event.strip_suffix(b"\n").unwrap_or(event);
    let mut line = Vec::with_capacity(event.len() + 1);
    for &byte in event {
        match byte {
            b'\t' => line.push(byte),
            0x1b if colours => line.push(byte),
            0..0x20 | 0x7f => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ => line.push(byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        for level in ["off", "error", "warn", "info", "debug", "trace", "info,larder::origin=trace"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["larder=loud", "info,,a=b=c"] {
            assert!(matches!(filter(level), Err(Error::Level(..))), "{level}");
        }
    }

    #[test]
    fn one_event_is_one_line() {
        assert_eq!(one_line(b"a\nb\r\x1b[31m\tc\x7f\n", false), b"a\\x0ab\\x0d\\x1b[31m\tc\\x7f\n");
        assert_eq!(one_line(b"\x1b[31ma\x1b[0m", true), b"\x1b[31ma\x1b[0m\n");
        assert_eq!(one_line("\u{e4}".as_bytes(), false), "\u{e4}\n".as_bytes());
    }

    #[test]
    fn hostile_events_stay_one_line_in_both_formats() {
        let directory = tempfile::tempdir().unwrap();
        for format in [Format::Human, Format::Json] {
            let path = directory.path().join(format!("{format:?}"));
            let bounds = Bounds { lines: 100, bytes: 100_000 };
            let lines = Lines::start("test", Sink::File(path.clone()), bounds).unwrap();
            let writer = OneLine { lines: lines.clone(), colours: false };
            let layer = match format {
                Format::Human => fmt::layer().with_ansi(false).with_writer(writer).boxed(),
                Format::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
            };
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
                tracing::warn!(url = "a\nb\r\n\u{1b}[2J\"}", detail = %"x\ny", "hostile\nmessage");
            });
            assert!(lines.flush(Duration::from_secs(60)));
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
            if format == Format::Json {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["url"], "a\nb\r\n\u{1b}[2J\"}");
                assert_eq!(value["message"], "hostile\nmessage");
            }
        }
    }
}
