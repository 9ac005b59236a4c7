//! What is wrong with a file: where, what, and what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Finds places in a text without reading it from the start each time.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        Self { text, starts: starts.collect() }
    }

    /// The place of byte `offset`. Beyond the first few thousand bytes of a line its column counts bytes.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let offset = offset.min(self.text.len());
        let before = self.text.get(start..offset).unwrap_or_default();
        let column = if before.len() > 4096 { before.len() } else { before.chars().count() };
        Place { line, column: column + 1 }
    }
}

/// One thing that is wrong with the configuration, or one that deserves a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// Where in it; `None` when it is about the file as a whole.
    pub place: Option<Place>,
    /// The key, as in `site[2].origin.endpoints`; empty when it is about the file as a whole.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to write or do instead; empty when `what` says it all.
    pub fix: String,
}

impl Mistake {
    /// The text, in colours for a terminal if asked: the place, the path and what is wrong; below it the fix.
    #[must_use]
    pub fn render(&self, label: &str, colour: bool) -> String {
        let (bold, signal, green, reset) = match (colour, label) {
            (false, _) => ("", "", "", ""),
            (true, "warning") => ("\x1b[1m", "\x1b[1;33m", "\x1b[32m", "\x1b[0m"),
            (true, _) => ("\x1b[1m", "\x1b[1;31m", "\x1b[32m", "\x1b[0m"),
        };
        let place = self.place.map_or(String::new(), |p| format!(":{}:{}", p.line, p.column));
        let mut text = format!("{bold}{}{place}:{reset} {signal}{label}:{reset} ", printable(&self.file));
        if !self.path.is_empty() {
            text.push_str(&format!("{bold}{}{reset}: ", self.path));
        }
        text.push_str(&self.what);
        if !self.fix.is_empty() {
            text.push_str(&format!("\n    {green}fix:{reset} {}", self.fix));
        }
        text
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", printable(&self.file))?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.what)?;
        if !self.fix.is_empty() {
            write!(f, " (fix: {})", self.fix)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// One mistake about a file as a whole.
    #[must_use]
    pub fn whole_file(file: &Path, what: impl Into<String>, fix: impl Into<String>) -> Self {
        let (file, what, fix) = (file.to_owned(), what.into(), fix.into());
        Self(vec![Mistake { file, place: None, path: String::new(), what, fix }])
    }

    /// One line for each, for the log and for the answer to `POST /reload`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(Mistake::to_string).collect()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for Mistakes {}

fn printable(file: &Path) -> String {
    file.display().to_string().replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let lines = Lines::new("a\nbé c\n");
        for (offset, line, column) in
            [(0, 1, 1), (1, 1, 2), (2, 2, 1), (5, 2, 3), (6, 2, 4), (8, 3, 1), (99, 3, 1)]
        {
            assert_eq!(lines.place(offset), Place { line, column }, "offset {offset}");
        }
        let long = "é".repeat(5000);
        assert_eq!(Lines::new(&long).place(10_000), Place { line: 1, column: 10_001 });
        assert_eq!(Lines::new("").place(0), Place { line: 1, column: 1 });
    }

    #[test]
    fn the_fix_follows_what_is_wrong() {
        let mistake = Mistake {
            file: "edge.toml".into(),
            place: Some(Place { line: 3, column: 1 }),
            path: "node.name".into(),
            what: "is missing".into(),
            fix: "name = \"edge-1\"".into(),
        };
        assert_eq!(mistake.to_string(), "edge.toml:3:1: node.name: is missing (fix: name = \"edge-1\")");
        let plain = mistake.render("error", false);
        assert_eq!(plain, "edge.toml:3:1: error: node.name: is missing\n    fix: name = \"edge-1\"");
        assert!(mistake.render("error", true).contains("\x1b[1;31merror:"));
    }
}
