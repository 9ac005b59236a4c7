//! Where purges are kept: the store, without the type of its heads.

use std::future::Future;
use std::pin::Pin;

use larder_store::{Head, Page, Past, Purge, PurgeError, Recorded, Seq, Store};

use crate::limits;

/// A future of a [`Ledger`].
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a purge would hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Objects.
    pub objects: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// A durable, ordered log of purges, each in force the moment it is written: the store, or a test's own.
pub trait Ledger: Send + Sync + 'static {
    /// Position of the newest purge.
    fn sequence(&self) -> Seq;
    /// Writes `purge` and `note` durably and puts it in force; its position, or why it is not confirmed.
    fn apply(&self, purge: Purge, note: String) -> Pending<Result<Seq, PurgeError>>;
    /// Takes the purge at `seq` back, durably; its own position, or why the purge stays.
    fn undo(&self, seq: Seq, note: String) -> Pending<Result<Seq, PurgeError>>;
    /// What `purge` would hit.
    fn survey(&self, purge: Purge) -> Pending<Reach>;
    /// Recent purges, oldest first.
    fn history(&self) -> Vec<Recorded>;
    /// Those after a position, a part at a time.
    fn past(&self, after: Seq) -> Past;
    /// The first purges after a position, or the newest; at most `limit`, and about `bytes` of them.
    fn page(&self, after: Option<Seq>, limit: usize, bytes: usize) -> Page;
}

impl<H: Head> Ledger for Store<H> {
    fn sequence(&self) -> Seq {
        self.seq()
    }

    fn apply(&self, purge: Purge, note: String) -> Pending<Result<Seq, PurgeError>> {
        let store = self.clone();
        Box::pin(async move { Ok(store.purge(&purge, &note).await?.seq) })
    }

    fn undo(&self, seq: Seq, note: String) -> Pending<Result<Seq, PurgeError>> {
        let store = self.clone();
        Box::pin(async move { Ok(Self::undo(&store, seq, &note).await?.seq) })
    }

    fn survey(&self, purge: Purge) -> Pending<Reach> {
        let store = self.clone();
        Box::pin(async move {
            let survey = Self::survey(&store, &purge).await;
            Reach { objects: survey.objects, bytes: survey.bytes }
        })
    }

    fn history(&self) -> Vec<Recorded> {
        Self::history(self)
    }

    fn past(&self, after: Seq) -> Past {
        Self::past(self, after, limits::FLEET_PAGE_MAX, limits::FLEET_PAGE_SELECTOR_BYTES_MAX)
    }

    fn page(&self, after: Option<Seq>, limit: usize, bytes: usize) -> Page {
        Self::page(self, after, limit, bytes)
    }
}
