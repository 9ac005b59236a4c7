//! The composition root: builds every part, starts the workers, reloads, drains.
//!
//! ```text
//! start.rs     every part, in the order in which it can be refused       threads.rs  what runs where
//! reload.rs    another configuration, whole or not at all                operator.rs what the admin listener may do
//! gather.rs    every part's numbers in one scrape                        inspect.rs  what is stored for a URL
//! spelling.rs  the URLs that mean what an operator's URL means
//! ```

mod gather;
mod inspect;
mod operator;
mod reload;
mod spelling;
mod start;
#[cfg(test)]
mod tests;
mod threads;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use self::start::StartError;
use crate::listener::{Loaded, Shared};
use crate::purge::{Fleet, Gate, Purges};
use crate::telemetry::lines::Bounds;
use crate::telemetry::trace;
use crate::worker::{Core, Worker};
use crate::{config, limits};

/// A running node.
pub struct Node {
    control: Arc<Control>,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    workers: Vec<JoinHandle<()>>,
    controller: Option<JoinHandle<()>>,
}

/// What reload, drain and the admin listener work on.
struct Control {
    path: PathBuf,
    config: Mutex<config::Node>,
    reloading: tokio::sync::Mutex<()>,
    core: Arc<Core>,
    workers: Vec<Arc<Worker>>,
    shared: Arc<Shared>,
    admin_shared: Arc<Shared>,
    /// Who may use the admin listener; none where there is no admin listener.
    gate: Option<Arc<Gate>>,
    purges: Arc<Purges>,
    /// Its part in the fleet, if it has one.
    fleet: Option<Arc<Fleet>>,
    /// The certificates in force.
    certificates: Mutex<Vec<Loaded>>,
    /// The node's own log, if it has one.
    log: Option<Arc<trace::Log>>,
    started: Instant,
    /// Workers that serve.
    working: AtomicUsize,
    workers_over: CancellationToken,
}

/// What a node did so far, for the demo's one line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Requests answered.
    pub requests: u64,
    /// Those answered from the cache.
    pub from_cache: u64,
    /// Objects stored.
    pub objects: u64,
    /// Bytes in memory.
    pub bytes_memory: u64,
    /// Bytes on disk.
    pub bytes_disk: u64,
}

/// `larder run`: until SIGTERM or SIGINT; a second one ends the drain.
#[must_use]
pub fn run(path: &Path, config: config::Node) -> ExitCode {
    match try_run(path, config) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("larder: {error}");
            if let Some(fix) = error.fix() {
                eprintln!("    fix: {fix}");
            }
            ExitCode::FAILURE
        }
    }
}

fn try_run(path: &Path, config: config::Node) -> Result<ExitCode, StartError> {
    let bounds = Bounds { lines: limits::NODE_LOG_QUEUE_MAX, bytes: limits::NODE_LOG_QUEUE_BYTES_MAX };
    let log = trace::Log::start(&config.log_level.to_string(), trace::Format::Human, bounds)?;
    let log = Arc::new(log);
    let runtime = threads::runtime()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new().map_err(|error| StartError::System("receive signals", error))?
    };
    let node = Node::start(config, path, Some(Arc::clone(&log)))?;
    for address in node.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = node.admin_address() {
        tracing::info!(%address, "admin listening");
    }
    runtime.block_on(signals.obey(&node));
    node.drain();
    let joined = runtime.spawn_blocking(move || node.join());
    let code = runtime.block_on(async {
        tokio::select! {
            _ = joined => ExitCode::SUCCESS,
            () = signals.end() => {
                tracing::warn!("told to end a second time: what was in flight is cut");
                ExitCode::FAILURE
            }
        }
    });
    log.flush();
    runtime.shutdown_background();
    Ok(code)
}

/// What an operator tells a process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns at SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Returns at SIGTERM or SIGINT; reloads at SIGHUP.
    async fn obey(&mut self, node: &Node) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => { let _ = reload::reload(&node.control).await; }
            }
        }
    }
}

impl Node {
    /// Where clients connect to.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the operator connects to.
    #[must_use]
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// What it did so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        gather::totals(&self.control)
    }

    /// Stops accepting; what is in flight is answered within the drain timeout.
    pub fn drain(&self) {
        tracing::info!("draining");
        if let Some(fleet) = &self.control.fleet {
            fleet.end();
        }
        self.control.shared.drain();
    }

    /// Waits for the end of a drain and closes the store. Blocks.
    pub fn join(mut self) {
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker had ended before its time");
            }
        }
        self.control.workers_over.cancel();
        self.control.admin_shared.drain();
        if let Some(controller) = self.controller.take() {
            let _ = controller.join();
        }
        tracing::info!("stopped");
    }
}
