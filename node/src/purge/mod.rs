//! Purges of this node: one order in, carried out once however often it is sent, a receipt out.
//!
//! ```text
//! order.rs    what was asked for, checked whole       log.rs   what is kept with each purge, the history
//! ledger.rs   where purges are kept                   seen.rs  which ids are done
//! gate.rs     who may purge                           scope.rs how far a token reaches
//! ```
//!
//! Whatever brings an order (the admin listener, later a bus or another node) calls [`Purges::carry_out`].

pub mod fleet;
mod gate;
mod ledger;
mod log;
mod order;
mod scope;
mod seen;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use larder_store::{NotUndoable, Past, Purge, PurgeError, Recorded, Selector, Seq};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

pub use self::fleet::Fleet;
use self::gate::Quiet;
pub use self::gate::{CameFrom, Gate, Pass, Token, carries};
pub use self::ledger::{Ledger, Pending, Reach};
pub use self::log::{Line, Listing, Note};
pub use self::order::{Invalid, Kind, Order};
pub use self::scope::{Denied, Narrow, Scope, known};
use self::seen::{Done, Seen};
use crate::clock::{Clock, rfc3339};
use crate::error::chain;
use crate::{limits, tasks};

/// What the caller gets for an order: the confirmation that it is in force and durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The order's id, or the one it was given here.
    pub id: String,
    /// This node's name.
    pub node: String,
    /// Position of the purge in this node's log; of the newest one for a dry run.
    pub sequence: u64,
    /// What kind of selectors.
    pub kind: Kind,
    /// How many.
    pub selectors: usize,
    /// Expired instead of purged.
    pub soft: bool,
    /// Only counted.
    pub dry_run: bool,
    /// Objects hit; not counted for a real purge, which is in force without a search.
    pub objects: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// When, as RFC 3339.
    pub applied_at: String,
    /// Whether it had been done before, by the same id.
    pub repeated: bool,
}

/// Why an order was not confirmed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failed {
    /// The id stands for another purge; nothing was done.
    #[error("id: {0:?} was used for another purge")]
    Id(String),
    /// The store did not confirm.
    #[error("{}", chain(.0.as_ref()))]
    Store(Arc<PurgeError>),
    /// The task that did it ended early; it may or may not be done.
    #[error("the purge was interrupted")]
    Interrupted,
}

/// How often what happened, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Purges done, by [`Kind::ALL`], hard.
    pub purged: [u64; Kind::ALL.len()],
    /// The same, soft.
    pub expired: [u64; Kind::ALL.len()],
    /// Orders that had been done before.
    pub repeated: u64,
    /// Orders not confirmed.
    pub failed: u64,
    /// Bodies that were no order.
    pub invalid: u64,
    /// `PURGE` at a site by somebody who may not.
    pub refused: u64,
}

#[derive(Default)]
struct Counters {
    purged: [AtomicU64; Kind::ALL.len()],
    expired: [AtomicU64; Kind::ALL.len()],
    repeated: AtomicU64,
    failed: AtomicU64,
    invalid: AtomicU64,
    refused: AtomicU64,
}

/// The selectors that mean what one of a purge means, under the sites in force.
pub type Respell = Box<dyn Fn(Selector) -> Vec<Selector> + Send + Sync>;

/// Everything about purges on this node.
pub struct Purges {
    node: Arc<str>,
    clock: Clock,
    ledger: Box<dyn Ledger>,
    seen: Mutex<Seen>,
    /// Orders without an id so far.
    nameless: AtomicU64,
    counters: Counters,
    respell: OnceLock<Respell>,
    /// Position of the newest purge in force, for whoever waits for the next.
    moved: watch::Sender<u64>,
    quiet: Quiet,
}

impl Purges {
    /// Purges on `ledger`; the ids of its history count as done.
    #[must_use]
    pub fn new(node: Arc<str>, clock: Clock, ledger: impl Ledger) -> Self {
        let history = ledger.history();
        let mut seen = Seen::new(limits::PURGE_IDS_MAX.max(history.len()));
        for recorded in history {
            let note = Note::decode(&recorded.note);
            if !note.id.is_empty() {
                let receipt = receipt(&node, &note, &recorded.purge, recorded.seq.0);
                let print =
                    note.print.unwrap_or_else(|| seen::print(&recorded.purge, note.undoes.as_deref()));
                seen.remember(Done { print, receipt });
            }
        }
        let ledger = Box::new(ledger);
        let moved = watch::Sender::new(ledger.sequence().0);
        Self {
            node,
            clock,
            ledger,
            seen: Mutex::new(seen),
            nameless: AtomicU64::new(0),
            counters: Counters::default(),
            respell: OnceLock::new(),
            moved,
            quiet: Quiet::default(),
        }
    }

    /// From now on selectors mean what the sites say that they mean: `/a?utm_source=x` is `/a` where that does not count.
    pub fn respell_by(&self, respell: Respell) {
        _ = self.respell.set(respell);
    }

    /// This node's name.
    #[must_use]
    pub const fn node(&self) -> &Arc<str> {
        &self.node
    }

    /// Position of the newest purge.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.ledger.sequence().0
    }

    /// Reads the body of `POST /purge`, and counts those that are none.
    ///
    /// # Errors
    /// [`Invalid`]; nothing was done.
    pub fn parse(&self, body: &[u8]) -> Result<Order, Invalid> {
        Order::parse(body).inspect_err(|_| {
            self.counters.invalid.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Carries `order` out. It goes on when the caller leaves: an order half done would be done twice by a retry.
    ///
    /// # Errors
    /// [`Failed`]: not confirmed. Sending it again with the same id is safe.
    pub async fn carry_out(self: &Arc<Self>, mut order: Order) -> Result<Receipt, Failed> {
        if order.dry_run {
            order.purge = self.meant(order.purge);
            return Ok(self.count(order).await);
        }
        let this = Arc::clone(self);
        let note = self.note(&order);
        let task = tasks::spawn("purge", async move { this.once(order.purge, note).await });
        let result = task.await.unwrap_or(Err(Failed::Interrupted));
        if let Err(failed) = &result {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(error = %failed, "purge not confirmed");
        }
        result
    }

    /// The first `limit` records after a position, or without it the newest ones, as `GET /purges` tells them. This is
    /// the whole of each: its kind, selectors, id, author and reason are the body of a `POST /purge` that does the same.
    #[must_use]
    pub fn listing(&self, after: Option<u64>, limit: usize) -> Listing {
        let limit = limit.min(limits::PURGES_LISTED_MAX);
        let page = self.ledger.page(after.map(Seq), limit, limits::PURGES_LISTED_BYTES_MAX);
        log::listing(&self.node, &page, after)
    }

    /// Position of the newest purge, as it moves.
    #[must_use]
    pub fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// A part of the log: what came after `after`.
    #[must_use]
    pub fn past(&self, after: u64) -> Past {
        self.ledger.past(Seq(after))
    }

    /// Position and id of every purge in the log that has one.
    #[must_use]
    pub fn ids(&self) -> Vec<(u64, String)> {
        let history = self.ledger.history();
        let ids = history.iter().map(|recorded| (recorded.seq.0, Note::decode(&recorded.note).id));
        ids.filter(|(_, id)| !id.is_empty()).collect()
    }

    /// Whether `id` was done here.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.seen.lock().knows(id)
    }

    /// Applies a purge from another node's log, unless it is known; whether it was not. One without an id was that node's
    /// own business.
    ///
    /// # Errors
    /// [`Failed`]: not in force, or not durable.
    pub async fn accept(&self, recorded: Recorded) -> Result<bool, Failed> {
        let mut note = Note::decode(&recorded.note);
        if note.id.is_empty() {
            return Ok(false);
        }
        let print = *note.print.get_or_insert_with(|| seen::print(&recorded.purge, note.undoes.as_deref()));
        let done = match self.once(recorded.purge.clone(), note.clone()).await {
            // The same id for another purge: somebody draws bad ids, and both purges were confirmed to somebody.
            Err(Failed::Id(_)) => {
                note.id = format!("{}~{print:x}", note.id);
                self.once(recorded.purge, note).await
            }
            // Nothing is left of it here: what it would bring back, this node has let go.
            Err(Failed::Store(error)) if matches!(*error, PurgeError::NotUndoable(_)) => return Ok(false),
            done => done,
        };
        done.map(|receipt| !receipt.repeated)
    }

    /// Invalidates what an unsafe request has changed. URLs are this node's own affair (RFC 9111 4.4); groups are told to the
    /// whole fleet, because any of its nodes may hold their members (RFC 9875 3).
    ///
    /// # Errors
    /// [`Failed`]: in force at the most, but not durable.
    pub async fn invalidate(self: &Arc<Self>, purge: Purge) -> Result<Seq, Failed> {
        if purge.selectors.iter().any(|selector| matches!(selector, Selector::Tag(_))) {
            let author = Some("rfc9875".to_owned());
            let order = Order { id: None, purge, undo: None, dry_run: false, author, reason: None };
            return self.carry_out(order).await.map(|receipt| Seq(receipt.sequence));
        }
        let note = Note { author: Some("rfc9111-4.4".into()), ..Note::default() };
        let seq = self.ledger.apply(purge, note.encode()).await;
        seq.map_err(|error| Failed::Store(Arc::new(error)))
    }

    /// Takes a position of its own that purges nothing.
    ///
    /// # Errors
    /// [`Failed::Store`]: it is not durable.
    pub async fn mark(&self, reason: &str) -> Result<u64, Failed> {
        let (author, reason) = (Some("larder".to_owned()), Some(reason.to_owned()));
        let note = Note { time: rfc3339(self.clock.now()), author, reason, ..Note::default() };
        let nothing = Purge { selectors: Vec::new(), soft: true };
        let seq = self.ledger.apply(nothing, note.encode()).await;
        let seq = seq.map_err(|error| Failed::Store(Arc::new(error)))?.0;
        self.moved.send_modify(|position| *position = seq.max(*position));
        Ok(seq)
    }

    /// Counts a `PURGE` at a site by somebody who may not, and logs it now and then.
    pub fn refuse(&self, site: &str, from: SocketAddr, why: &str) {
        let total = self.counters.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if self.quiet.is_over(self.clock.now()) {
            tracing::warn!(site, %from, why, refused_total = total, "PURGE refused");
        }
    }

    /// How often what happened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            purged: self.counters.purged.each_ref().map(of),
            expired: self.counters.expired.each_ref().map(of),
            repeated: of(&self.counters.repeated),
            failed: of(&self.counters.failed),
            invalid: of(&self.counters.invalid),
            refused: of(&self.counters.refused),
        }
    }

    async fn count(&self, order: Order) -> Receipt {
        let note = self.note(&order);
        let mut receipt = receipt(&self.node, &note, &order.purge, self.sequence());
        let reach = self.ledger.survey(order.purge).await;
        receipt.dry_run = true;
        (receipt.objects, receipt.bytes) = (Some(reach.objects), Some(reach.bytes));
        receipt
    }

    async fn once(&self, purge: Purge, note: Note) -> Result<Receipt, Failed> {
        let print = note.print.unwrap_or_else(|| seen::print(&purge, note.undoes.as_deref()));
        let slot = self.seen.lock().slot(&note.id);
        // Others with this id wait here for the one that does it; if that one fails, the next of them tries.
        let mut fresh = false;
        let done = slot
            .get_or_try_init(|| {
                fresh = true;
                self.apply(purge, note, print)
            })
            .await?;
        if done.print != print {
            return Err(Failed::Id(done.receipt.id.clone()));
        }
        if fresh {
            return Ok(done.receipt.clone());
        }
        self.counters.repeated.fetch_add(1, Ordering::Relaxed);
        Ok(Receipt { repeated: true, ..done.receipt.clone() })
    }

    async fn apply(&self, purge: Purge, note: Note, print: u64) -> Result<Done, Failed> {
        let purge = self.meant(purge);
        let done = match &note.undoes {
            None => self.ledger.apply(purge.clone(), note.encode()).await,
            Some(id) => {
                let known = self.seen.lock().get(id).map(|done| Seq(done.receipt.sequence));
                match known {
                    Some(seq) => self.ledger.undo(seq, note.encode()).await,
                    None => Err(PurgeError::NotUndoable(NotUndoable::Unknown)),
                }
            }
        };
        let seq = done.map_err(|e| Failed::Store(Arc::new(e)))?;
        self.moved.send_modify(|position| *position = seq.0.max(*position));
        let receipt = receipt(&self.node, &note, &purge, seq.0);
        let counters = if purge.soft { &self.counters.expired } else { &self.counters.purged };
        counters[receipt.kind as usize].fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            id = receipt.id,
            sequence = receipt.sequence,
            kind = receipt.kind.as_str(),
            selectors = receipt.selectors,
            soft = receipt.soft,
            undoes = note.undoes,
            author = note.author,
            reason = note.reason,
            "purged"
        );
        Ok(Done { print, receipt })
    }

    fn note(&self, order: &Order) -> Note {
        let now = self.clock.now();
        let id = order.id.clone().unwrap_or_else(|| {
            // Names differ within a fleet, times within a node's life and the count within one millisecond.
            let number = self.nameless.fetch_add(1, Ordering::Relaxed);
            format!("{}:{:x}:{number:x}", self.node, now.0)
        });
        let (author, reason, undoes) = (order.author.clone(), order.reason.clone(), order.undo.clone());
        let print = Some(seen::print(&order.purge, undoes.as_deref()));
        Note { id, time: rfc3339(now), author, reason, undoes, print }
    }

    /// The same purge with everything that it means under the sites in force, each once.
    fn meant(&self, mut purge: Purge) -> Purge {
        if let Some(respell) = self.respell.get() {
            let mut all = HashSet::new();
            let meant = purge.selectors.into_iter().flat_map(respell);
            purge.selectors = meant.filter(|selector| all.insert(selector.clone())).collect();
        }
        purge
    }
}

fn receipt(node: &str, note: &Note, purge: &Purge, sequence: u64) -> Receipt {
    Receipt {
        id: note.id.clone(),
        node: node.to_owned(),
        sequence,
        kind: Kind::of(purge),
        selectors: purge.selectors.len() + usize::from(note.undoes.is_some()),
        soft: purge.soft,
        dry_run: false,
        objects: None,
        bytes: None,
        applied_at: note.time.clone(),
        repeated: false,
    }
}
