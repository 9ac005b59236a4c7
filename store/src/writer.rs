//! Filling an entry. What is dropped without commit never existed.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;

use crate::entry::{Entry, Head};
use crate::error::{NotKept, WriteError};
use crate::fill::Fill;
use crate::key::Key;
use crate::purge::Seq;
use crate::reader::Reader;
use crate::standing::Standing;
use crate::tiers::Shared;

/// Writes one body. Everybody with a [`Tap`] reads it at the same time.
#[derive(Debug)]
pub struct Writer<H: Head> {
    pub(crate) shared: Arc<Shared<H>>,
    pub(crate) fill: Arc<Fill>,
    /// Taken by commit.
    pub(crate) parts: Option<Parts<H>>,
    pub(crate) length: Option<u64>,
    pub(crate) written: u64,
}

/// What an entry is made of besides its body.
#[derive(Debug)]
pub(crate) struct Parts<H> {
    pub(crate) key: Key,
    pub(crate) head: H,
    pub(crate) tags: Box<[u64]>,
    pub(crate) born: Seq,
    /// Last checked against the purges at this position.
    pub(crate) checked: u64,
    pub(crate) dead: bool,
    pub(crate) expired: bool,
    /// Expired by what cannot be taken back.
    pub(crate) aged: bool,
    /// `None`: as it was before.
    pub(crate) standing: Option<Standing>,
}

impl<H: Head> Writer<H> {
    /// Appends a chunk; readers see it at once. Waits while too much of it is in memory, for the disk or, if it cannot be
    /// stored, for the slowest reader.
    ///
    /// # Errors
    /// [`WriteError::Unwanted`]: it cannot be stored and nobody reads it. [`WriteError::Length`]: more than announced;
    /// readers see an abort.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.written += chunk.len() as u64;
        if self.length.is_some_and(|length| self.written > length) {
            self.fill.abort("longer than announced");
            return Err(WriteError::Length);
        }
        if let Some(parts) = &mut self.parts {
            self.shared.check(parts);
        }
        self.fill.push(chunk)?;
        poll_fn(|cx| self.fill.poll_room(cx)).await
    }

    /// For readers that follow while it grows.
    #[must_use]
    pub fn tap(&self) -> Tap {
        Tap::new(Arc::clone(&self.fill))
    }

    /// Ends it; it never existed, and its readers get [`crate::ReadError::Aborted`] with this reason.
    pub fn abort(self, why: &str) {
        self.fill.abort(why);
    }

    /// The body is complete. From here on the entry is found, or one that was there with a larger `born`. Its readers
    /// end well even if it is not kept.
    ///
    /// # Errors
    /// Why there is no entry.
    pub async fn commit(mut self) -> Result<Arc<Entry<H>>, NotKept> {
        if self.length.is_some_and(|length| self.written != length) {
            self.fill.abort("shorter than announced");
            return Err(self.shared.not_kept(NotKept::Length));
        }
        self.fill.finish();
        let parts = self.parts.take().expect("only commit takes them");
        let whole = poll_fn(|cx| self.fill.poll_whole(cx)).await;
        let kept = match whole {
            Ok(whole) => self.shared.keep(parts, whole).await,
            Err(why) => Err(why),
        };
        kept.map_err(|why| self.shared.not_kept(why))
    }
}

impl<H: Head> Drop for Writer<H> {
    fn drop(&mut self) {
        self.fill.abort("dropped");
    }
}

/// A hold on a growing body; readers are made from it.
#[derive(Debug)]
pub struct Tap(Arc<Fill>);

impl Tap {
    fn new(fill: Arc<Fill>) -> Self {
        fill.add_tap(true);
        Self(fill)
    }

    /// A reader of everything from `from` on, as it comes. `None` when those bytes are gone, because the body is not
    /// stored and others have read on, or when it was aborted.
    #[must_use]
    pub fn reader(&self, from: u64) -> Option<Reader> {
        Reader::fill(&self.0, from)
    }

    /// Whether a reader could start at the first byte now.
    #[must_use]
    pub fn readable(&self) -> bool {
        self.0.readable()
    }

    /// Why the body broke off, if it did: there are no readers of it any more.
    #[must_use]
    pub fn aborted(&self) -> Option<Arc<str>> {
        self.0.aborted()
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.written()
    }
}

impl Clone for Tap {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.0.add_tap(false);
    }
}
