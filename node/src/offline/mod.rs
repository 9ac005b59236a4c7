//! `larder store`: a look at a cache on disk while no node runs with it.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 all is well, 1 damage was found, 2 it could not be looked
//! at.

mod export;
mod list;
mod stat;
mod verify;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use larder_store::offline::{Damage, Item, Offline};
use larder_store::{Head, OpenError};

use crate::cache::stored::{Answer, Stored};
use crate::clock::{Clock, Timestamp};
use crate::error::chain;

/// What is asked about a cache on disk.
#[derive(Debug)]
pub enum Ask {
    /// How much there is, of what age, of which sites; so many of these.
    Stat {
        /// Sites that are named.
        top: usize,
    },
    /// A line for each object whose URL begins like this.
    List {
        /// The beginning of the URLs; empty for all.
        prefix: String,
    },
    /// Whether every byte is what was written.
    Verify,
    /// Bodies and heads as files.
    Export {
        /// The beginning of the URLs; empty for all.
        prefix: String,
        /// Where they are written; must be new or empty.
        to: PathBuf,
    },
}

/// Damage was found.
const EXIT_DAMAGE: u8 = 1;
/// It could not be looked at.
const EXIT_USAGE: u8 = 2;

/// What ends a command early.
#[derive(Debug)]
enum Stop {
    /// Whoever reads stdout has seen enough.
    Pipe,
    /// In words, with what to do.
    Failed(String, String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Pipe,
            _ => Self::Failed(error.to_string(), String::new()),
        }
    }
}

/// Answers `ask` about the cache in `directory`, as JSON or for people.
#[must_use]
pub fn run(directory: &Path, json: bool, ask: &Ask) -> ExitCode {
    let offline = match Offline::open(directory) {
        Ok(offline) => offline,
        Err(error) => return fail(&chain(&error), &fix(&error)),
    };
    let mut look = Look {
        offline,
        now: Clock::system().now(),
        json,
        out: io::BufWriter::new(io::stdout().lock()),
        bad: 0,
    };
    let done = match ask {
        Ask::Stat { top } => stat::stat(&mut look, directory, *top),
        Ask::List { prefix } => list::list(&mut look, prefix),
        Ask::Verify => verify::verify(&mut look),
        Ask::Export { prefix, to } => export::export(&mut look, prefix, to),
    };
    let done = done.and_then(|()| Ok(look.out.flush()?));
    let Look { offline, bad, out, .. } = look;
    drop(out);
    let dropped = offline.dropped();
    offline.close();
    match done {
        Err(Stop::Failed(what, fix)) => fail(&what, &fix),
        Ok(()) | Err(Stop::Pipe) if bad + dropped == 0 => ExitCode::SUCCESS,
        Ok(()) | Err(Stop::Pipe) => {
            _ = writeln!(
                io::stderr(),
                "larder: {bad} objects are damaged, {dropped} records were dropped\n  = the node fetches anew what \
                 it finds damaged; smartctl and dmesg say whether the disk fails"
            );
            ExitCode::from(EXIT_DAMAGE)
        }
    }
}

fn fix(error: &OpenError) -> String {
    match error {
        OpenError::Locked { .. } => {
            "stop the node first (systemctl stop larder), or ask it: GET /cache?url=URL and /metrics".into()
        }
        OpenError::Foreign { .. } => "name the cache.directory of a node of this version".into(),
        other => other.fix().unwrap_or_default(),
    }
}

fn fail(what: &str, fix: &str) -> ExitCode {
    let fix = if fix.is_empty() { String::new() } else { format!("\n  = {fix}") };
    _ = writeln!(io::stderr(), "larder: {what}{fix}");
    ExitCode::from(EXIT_USAGE)
}

/// A directory being looked at.
struct Look<'a> {
    offline: Offline,
    now: Timestamp,
    json: bool,
    out: io::BufWriter<io::StdoutLock<'a>>,
    /// Objects found damaged.
    bad: u64,
}

impl Look<'_> {
    /// Visits every object; a bar shows on a terminal how far it has come.
    fn each(
        &mut self,
        what: &'static str,
        mut visit: impl FnMut(&mut Visit<'_>, &Item) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let bar = bar(self.offline.objects(), what);
        let mut stopped = Ok(());
        let mut bad = 0;
        let mut at = Visit { offline: &self.offline, out: &mut self.out, now: self.now, json: self.json };
        self.offline.each(|item| {
            bar.inc(1);
            match item {
                Ok(item) => stopped = visit(&mut at, &item),
                Err(_) => bad += 1,
            }
            stopped.is_ok()
        });
        bar.finish_and_clear();
        self.bad += bad;
        stopped
    }
}

/// What a visitor of objects has at hand.
struct Visit<'a> {
    offline: &'a Offline,
    out: &'a mut dyn Write,
    now: Timestamp,
    json: bool,
}

fn bar(objects: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(objects), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {bar:32} {pos}/{len} objects  {elapsed}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The answer that an object is, unless it is a list of variants or a block of a large answer.
fn answer(item: &Item) -> Option<Answer> {
    match Stored::decode(&item.head) {
        Some(Stored::Answer(answer)) => Some(answer),
        Some(Stored::Variants(_) | Stored::Block(_)) | None => None,
    }
}

/// One word on whether an object would be served.
fn state(item: &Item, answer: Option<&Answer>, now: Timestamp) -> &'static str {
    match answer {
        _ if item.purged => "purged",
        None => "part",
        Some(answer) if item.expired || answer.freshness.no_cache || !answer.freshness.is_fresh(now) => {
            "stale"
        }
        Some(_) => "fresh",
    }
}

/// The damage in one word, for JSON.
const fn word(damage: Damage) -> &'static str {
    match damage {
        Damage::Record => "record",
        Damage::Missing => "missing",
        Damage::Changed => "changed",
        Damage::Unreadable => "unreadable",
    }
}
