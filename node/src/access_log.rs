//! One line per exchange, written at the last byte, off the hot path.

use std::path::PathBuf;

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
