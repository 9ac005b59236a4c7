//! The fleet: what other nodes have purged is purged here too, also what was purged while this node was away.
//!
//! ```text
//! peer.rs   another node, and how its log is read     state.rs   what is remembered over a restart
//! judge.rs  whether what is stored may be believed    confirm.rs who has confirmed what
//! follow.rs the tasks: read, apply, remember, judge
//! ```
//!
//! Every node keeps its own log in its own order; a purge is the same purge by its id, wherever it is met. A node reads the
//! log of each peer from the place it remembers and applies what it does not know, at the position of its arrival: later
//! than where it stood before, so never weaker. Places are kept after the purges are durable, so that what a crash forgets
//! is read again, and an id that is known does nothing. No clock takes part in it.

mod confirm;
mod follow;
mod judge;
mod peer;
mod state;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder_store::Memo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use self::confirm::{Confirmed, Wait};
use self::judge::{Phase, Reading};
use self::peer::Peer;
pub use self::peer::{Ids, Page};
use self::state::State;
use super::Purges;
use crate::clock::Clock;
use crate::fence::Fence;
use crate::limits;
use crate::origin::{Endpoint, PoolError};

/// What a node is told of its fleet, as meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// The admin listeners of the other nodes.
    pub peers: Vec<Endpoint>,
    /// What all nodes of the fleet show each other.
    pub token: Arc<str>,
    /// For `https` peers: CA certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Time to catch up before the node is ready without.
    pub catch_up_timeout: Duration,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("peers", &self.peers)
            .field("token", &"(secret)")
            .field("ca_file", &self.ca_file)
            .field("catch_up_timeout", &self.catch_up_timeout)
            .finish()
    }
}

/// Somewhere to read purges from, and how that goes.
struct Source {
    peer: Peer,
    about: Mutex<About>,
}

#[derive(Debug, Clone, Default)]
struct About {
    tried: bool,
    read: bool,
    caught_up: bool,
    /// The name it gave.
    node: Option<String>,
    /// Why it was not read at the last try.
    error: Option<String>,
}

/// How often what happened, for the metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Purges applied that a source had and this node had not.
    pub fetched: AtomicU64,
    /// Those that were known already.
    pub known: AtomicU64,
    /// Those that were found missing only by comparing whole logs: should stay 0.
    pub missing: AtomicU64,
    /// Times that everything stored was doubted.
    pub doubts: AtomicU64,
}

/// This node's part in its fleet.
pub struct Fleet {
    purges: Arc<Purges>,
    fence: Arc<Fence>,
    memo: Memo,
    config: Config,
    state: Mutex<State>,
    saving: tokio::sync::Mutex<()>,
    settling: tokio::sync::Mutex<()>,
    sources: Vec<Source>,
    phase: Mutex<Phase>,
    /// What was remembered is damaged: whatever the sources say, something may be missing.
    damaged: AtomicBool,
    /// Nothing was stored at the start, so that nothing can be older than a purge that was missed.
    empty: bool,
    started: Instant,
    confirmed: confirm::Book,
    counts: Counts,
    over: CancellationToken,
}

impl Fleet {
    /// Reads what is remembered, and doubts everything stored until [`Fleet::run`] has found out more. `empty`: nothing is
    /// stored. Blocks.
    ///
    /// # Errors
    /// A peer cannot be connected to as configured.
    pub fn new(
        config: Config,
        purges: Arc<Purges>,
        fence: Arc<Fence>,
        memo: Memo,
        clock: &Clock,
        empty: bool,
    ) -> Result<Arc<Self>, PoolError> {
        let found = State::read(&memo);
        if found.damaged {
            tracing::error!("what was remembered of the fleet is damaged: everything stored is doubted");
        }
        fence.doubt_all();
        let source = |endpoint: &Endpoint| {
            let peer =
                Peer::new(endpoint, config.ca_file.as_deref(), Arc::clone(&config.token), clock.clone());
            Ok(Source { peer: peer?, about: Mutex::default() })
        };
        let sources = config.peers.iter().map(source).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self {
            purges,
            fence,
            memo,
            config,
            state: Mutex::new(found.state),
            saving: tokio::sync::Mutex::default(),
            settling: tokio::sync::Mutex::default(),
            sources,
            phase: Mutex::new(Phase::Starting),
            damaged: AtomicBool::new(found.damaged),
            empty: empty && found.first,
            started: Instant::now(),
            confirmed: confirm::Book::default(),
            counts: Counts::default(),
            over: CancellationToken::new(),
        }))
    }

    /// Whether `token` is the one of the fleet's nodes.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.config.token
    }

    /// Why the node is not ready on its account.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        if *self.phase.lock() != Phase::Starting {
            return Vec::new();
        }
        let told = self.sources.iter().map(|source| {
            let about = source.about.lock();
            let how = match (&about.error, about.read) {
                (Some(error), _) => error.clone(),
                (None, true) if about.caught_up => "read".to_owned(),
                (None, true) => "read, but catching up itself".to_owned(),
                (None, false) => "asking".to_owned(),
            };
            format!("{}: {how}", source.peer.url)
        });
        let told = told.collect::<Vec<_>>().join("; ");
        let (passed, most) = (self.started.elapsed().as_secs(), self.config.catch_up_timeout.as_secs());
        vec![format!("catching up on purges, {passed} s of {most} s: {told}")]
    }

    /// Ends waiting: the node stops.
    pub fn end(&self) {
        self.over.cancel();
    }

    /// How often what happened.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Each peer's URL, and whether its log was read at the last try.
    #[must_use]
    pub fn peers(&self) -> Vec<(String, bool)> {
        let up = |source: &Source| (source.peer.url.clone(), source.about.lock().read);
        self.sources.iter().map(up).collect()
    }

    /// Whether what is stored is doubted for want of anybody who could tell: no peer was there in time.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        *self.phase.lock() == Phase::Alone
    }

    /// Everything an operator may want to know, for `GET /fleet`.
    #[must_use]
    pub fn told(&self) -> Value {
        let phase = match *self.phase.lock() {
            Phase::Starting => "starting",
            Phase::Alone => "alone",
            Phase::InStep => "in-step",
        };
        let state = self.state.lock().clone();
        let own = self.purges.sequence();
        let peers = self.sources.iter().map(|source| {
            let (about, place) = (source.about.lock().clone(), state.place(&source.peer.url));
            json!({
                "url": source.peer.url,
                "node": about.node,
                "reachable": about.read,
                "error": about.error,
                "read_upto": place.sequence,
                "confirmed": about.node.as_deref().and_then(|node| self.confirmed.of(node)),
            })
        });
        json!({
            "node": **self.purges.node(),
            "log": state.log,
            "phase": phase,
            "sequence": own,
            "fence": state.fence,
            "peers": peers.collect::<Vec<_>>(),
        })
    }

    /// The part of this node's log after `after`, for the node `node` that has read the log `log` so far; waits for up to
    /// `wait` until there is something. That it asks for what comes after confirms that it has what was before.
    pub async fn page(&self, log: &str, after: u64, wait: Duration, node: &str) -> Page {
        let own = self.state.lock().log.clone();
        let after = if log == own { after } else { 0 };
        if log == own {
            self.confirmed.note(node, after);
        }
        let mut moved = self.purges.moved();
        let news = moved.wait_for(|position| *position > after);
        tokio::select! {
            _ = tokio::time::timeout(wait.min(limits::FLEET_WAIT), news) => {}
            () = self.over.cancelled() => {}
        }
        let past = self.purges.past(after);
        Page {
            node: self.purges.node().to_string(),
            log: own,
            complete_after: past.complete_after.0,
            upto: past.upto.0,
            more: past.more,
            caught_up: *self.phase.lock() != Phase::Starting,
            purges: past.purges,
        }
    }

    /// The ids in this node's log.
    #[must_use]
    pub fn ids(&self) -> Ids {
        Ids { log: self.state.lock().log.clone(), ids: self.purges.ids() }
    }

    fn readings(&self) -> Vec<Reading> {
        let state = self.state.lock();
        let reading = |source: &Source| {
            let about = source.about.lock();
            let gap = state.place(&source.peer.url).gap && !self.empty;
            Reading { tried: about.tried, read: about.read, gap, caught_up: about.caught_up }
        };
        self.sources.iter().map(reading).collect()
    }

    fn is_late(&self) -> bool {
        self.started.elapsed() >= self.config.catch_up_timeout
    }

    fn count(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}
