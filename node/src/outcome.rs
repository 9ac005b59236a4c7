//! What a flight brings home, for everyone who sits in it.

use std::ops::Range;
use std::sync::Arc;

use ::http::{HeaderMap, StatusCode};
use larder_store::Tap;
use parking_lot::Mutex;

use crate::cache::stored::{Answer, Stored};
use crate::cache::{Entry, Wanted};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Retry};
use crate::policy::vary::VaryNames;
use crate::policy::{Config, serving, stray};
use crate::status::NotStored;
use crate::{http, origin};

/// What a flight brings home.
#[derive(Clone)]
pub enum Outcome {
    /// An answer that may be shared, while its body is still coming in.
    Shared(Arc<Shared>),
    /// The origin said 304: the stored answer is good again.
    Freshened(Arc<Entry>),
    /// An answer whose bytes lie in blocks: those that were asked for first are coming in.
    InBlocks(Arc<InBlocks>),
    /// A block of an answer that is coming in.
    Filling(Filling),
    /// A block is of another version than its answer, which is over.
    Changed,
    /// An answer for one request only: the one the flight started for. The others go alone.
    Private(NotStored, Arc<Mutex<Option<origin::Answer>>>),
    /// Nothing.
    Failed(Error),
}

/// An answer that may be shared.
pub struct Shared {
    /// Its head.
    pub answer: Answer,
    /// The fields that are not stored: for the one whose request fetched it and for nobody else.
    pub withheld: HeaderMap,
    /// Its body, from the first byte on.
    pub tap: Tap,
    /// Bytes of the body, where it is known.
    pub length: Option<u64>,
    /// What it varies on; whoever shares it must have the same `variant`.
    pub names: Option<VaryNames>,
    /// The secondary key it is stored under.
    pub variant: String,
    /// Who sent it.
    pub endpoint: Arc<str>,
    /// The status it came with: a 206 that carries the whole is shared as a 200.
    pub came_with: StatusCode,
    /// The purge position before it was asked for.
    pub born: larder_store::Seq,
}

/// An answer whose bytes lie in blocks.
pub struct InBlocks {
    /// Its head.
    pub entry: Arc<Entry>,
    /// The fields that are not stored, see [`Shared::withheld`].
    pub withheld: HeaderMap,
    /// See [`Shared::names`].
    pub names: Option<VaryNames>,
    /// See [`Shared::variant`].
    pub variant: String,
    /// Who sent its first part.
    pub endpoint: Arc<str>,
}

/// A block that is coming in.
#[derive(Clone)]
pub struct Filling {
    /// Its bytes.
    pub tap: Tap,
    /// Which bytes of the whole they are.
    pub range: Range<u64>,
}

impl InBlocks {
    /// The secondary key that a request has for this answer.
    #[must_use]
    pub fn secondary(&self, wanted: &Wanted<'_>) -> String {
        secondary(self.names.as_ref(), &self.variant, wanted)
    }
}

impl Shared {
    /// The secondary key that a request has for this answer.
    #[must_use]
    pub fn secondary(&self, wanted: &Wanted<'_>) -> String {
        secondary(self.names.as_ref(), &self.variant, wanted)
    }
}

fn secondary(names: Option<&VaryNames>, variant: &str, wanted: &Wanted<'_>) -> String {
    // For requests only that carry the same strays.
    if stray::is_key(variant) {
        return wanted.strays().and_then(|strays| strays.key().map(str::to_owned)).unwrap_or_default();
    }
    names.map_or_else(|| wanted.base.to_owned(), |names| wanted.variant(names))
}

/// RFC 5861 4: the error that `answer` is, where the stale `entry` may be served in its place.
#[must_use]
pub fn excused(
    config: &Config,
    request: &HeaderMap,
    (entry, expired): (&Entry, bool),
    answer: &origin::Answer,
    now: Timestamp,
) -> Option<Error> {
    let Stored::Answer(stored) = entry.head() else { return None };
    let status = answer.head.status;
    let allowed = config.stale_if_error_on.is_error(status)
        && serving::may_serve_on_error(config, request, &stored.freshness, expired, now);
    allowed.then(|| {
        let what = format_args!("{} answered {status}", answer.endpoint);
        Error { status: Some(status.as_u16()), ..Error::origin(Kind::ErrorStatus, Retry::Never, what) }
    })
}

/// Where the bytes of an answer are.
#[derive(Clone)]
pub enum Source {
    /// In the store.
    Entry(Arc<Entry>),
    /// On their way into it.
    Tap(Tap, Option<u64>),
    /// So many, in blocks, of which some may have to be fetched first; opens the bytes between two places.
    Blocks(u64, Opener),
}

/// Opens the bytes of an answer between two places.
pub type Opener = Arc<dyn Fn(u64, u64) -> http::Body + Send + Sync>;

impl Source {
    /// Bytes of the whole body, where it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Entry(entry) => Some(entry.len()),
            Self::Tap(_, length) => *length,
            Self::Blocks(length, _) => Some(*length),
        }
    }

    /// The bytes from `from` on, `to` (exclusive) at the most.
    #[must_use]
    pub fn read(&self, from: u64, to: Option<u64>) -> http::Body {
        use crate::cache::fill::Follow;
        match self {
            Self::Entry(entry) => {
                let to = to.unwrap_or_else(|| entry.len());
                match entry.bytes() {
                    Some(bytes) => slice(&bytes, from, to).into(),
                    None => {
                        http::Body::stream(Follow::new(entry.read(from, to), Some(to.saturating_sub(from))))
                    }
                }
            }
            Self::Blocks(length, open) => open(from, to.unwrap_or(*length)),
            Self::Tap(tap, length) => {
                let length = to.or(*length).map(|end| end.saturating_sub(from));
                match tap.reader(from) {
                    Some(reader) => http::Body::stream(Follow::new(reader, length)),
                    None => http::Body::broken(http::Cut::Store("the start of the body is gone".into())),
                }
            }
        }
    }
}

fn slice(bytes: &bytes::Bytes, from: u64, to: u64) -> bytes::Bytes {
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(from)..at(to).max(at(from)))
}
