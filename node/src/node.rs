//! The composition root: builds every part, starts the workers, reloads, drains.

mod gather;
mod inspect;
mod reload;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use larder_store::Store;
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};

use crate::access_log::Log;
use crate::admin::{self, Admin};
use crate::cache::Cache;
use crate::cache::stored::Stored;
use crate::clock::Clock;
use crate::coalesce::Flights;
use crate::context::Client;
use crate::error::Kind;
use crate::listener::{self, Certificates, Listeners, Peer, Shared, Socket};
use crate::purge::Purges;
use crate::status::{NotStored, Served};
use crate::telemetry::lines::Bounds;
use crate::telemetry::metric::{Labels, Metrics};
use crate::telemetry::trace;
use crate::transform::headers::Signature;
use crate::worker::{Core, Worker};
use crate::{config, limits, proxy};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] listener::BindError),
    /// The cache directory is of no use.
    #[error("cache.directory: {0}")]
    Store(#[from] larder_store::OpenError),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

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
    admin: Mutex<Option<Arc<Admin>>>,
    started: Instant,
    workers_over: AtomicBool,
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

/// `larder run`: until SIGTERM or SIGINT.
#[must_use]
pub fn run(path: &Path, config: config::Node) -> ExitCode {
    let bounds = Bounds { lines: limits::NODE_LOG_QUEUE_MAX, bytes: limits::NODE_LOG_QUEUE_BYTES_MAX };
    let log = match trace::Log::start(&config.log_level.to_string(), trace::Format::Human, bounds) {
        Ok(log) => log,
        Err(error) => return failed(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let node = match Node::start(config, path) {
        Ok(node) => node,
        Err(error) => return failed(&error),
    };
    for address in node.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Err(error) = runtime.block_on(node.obey()) {
        tracing::error!(%error, "signals cannot be received");
    }
    node.drain();
    node.join();
    log.flush();
    ExitCode::SUCCESS
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("larder: {error}");
    ExitCode::FAILURE
}

impl Node {
    /// Binds, recovers the store, starts the workers. `path`: what a reload reads.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(config: config::Node, path: &Path) -> Result<Self, StartError> {
        // All that can be refused comes before anything runs.
        let mut listeners = Listeners::bind(&config.listeners, config.workers)?;
        let admin_config =
            config.admin.iter().map(|admin| listener::Config { address: admin.address, tls: false });
        let mut admin_listeners = Listeners::bind(&admin_config.collect::<Vec<_>>(), 1)?;
        let certificates = load_certificates(&config).map_err(StartError::Other)?;
        let store: Store<Stored> = Store::open(store_config(&config.cache))?;
        let clock = Clock::system();
        let core = Arc::new(Core {
            name: config.name.as_str().into(),
            clock: clock.clone(),
            cache: Cache::new(store),
            object_max: config.cache.object_max,
            flights: Arc::new(Flights::default()),
            metrics: Metrics::new(labels(), config.workers),
            log: ArcSwap::from_pointee(
                Log::open(&config.log).map_err(|error| StartError::Other(format!("log.access: {error}")))?,
            ),
        });
        let shared = Shared::new(config.limits.clone(), certificates);
        let admin_limits =
            listener::Limits { connections_max: limits::ADMIN_CONNECTIONS_MAX, ..config.limits.clone() };
        let signature = Signature::new(&config.name);
        let sites = reload::sites(&core, &config, &[]).map_err(StartError::Other)?;
        let workers: Vec<_> = sites
            .into_iter()
            .map(|sites| {
                let (core, signature) = (Arc::clone(&core), signature.clone());
                Arc::new(Worker { core, sites: ArcSwap::from_pointee(sites), signature })
            })
            .collect();
        let control = Arc::new(Control {
            path: path.to_owned(),
            config: Mutex::new(config),
            reloading: tokio::sync::Mutex::new(()),
            core,
            workers,
            shared,
            admin_shared: Shared::new(admin_limits, Certificates::default()),
            admin: Mutex::new(None),
            started: Instant::now(),
            workers_over: AtomicBool::new(false),
        });
        gather::register(&control);
        let addresses = listeners.addresses().into_iter().map(|(_, address)| address).collect();
        let admin_address = admin_listeners.addresses().first().map(|(_, address)| *address);
        let mut threads = Vec::new();
        for (index, worker) in control.workers.iter().enumerate() {
            let (worker, shared, sockets) =
                (Arc::clone(worker), Arc::clone(&control.shared), listeners.take(index));
            threads.push(thread(format!("worker-{index}"), move || work(worker, shared, sockets))?);
        }
        let controller = {
            let (control, sockets) = (Arc::clone(&control), admin_listeners.take(0));
            thread("control".into(), move || administer(&control, sockets))?
        };
        Ok(Self { control, addresses, admin_address, workers: threads, controller: Some(controller) })
    }

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
        self.control.shared.drain();
    }

    /// Waits for the end of a drain and closes the store. Blocks.
    pub fn join(mut self) {
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        self.control.workers_over.store(true, Ordering::Release);
        self.control.admin_shared.drain();
        if let Some(controller) = self.controller.take() {
            let _ = controller.join();
        }
        tracing::info!("stopped");
    }

    /// Returns at SIGTERM or SIGINT; reloads at SIGHUP.
    async fn obey(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => { let _ = reload::reload(&self.control).await; }
            }
        }
    }
}

fn thread(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    let started = std::thread::Builder::new().name(name).spawn(run);
    started.map_err(|error| StartError::Other(format!("a thread cannot be started: {error}")))
}

/// One core: accepts, serves, and at the end lets the flights land that it started.
fn work(worker: Arc<Worker>, shared: Arc<Shared>, sockets: Vec<Socket>) {
    run_on_this_thread(async move {
        let (serving, at) = (Arc::clone(&shared), Arc::clone(&worker));
        listener::run(sockets, Arc::clone(&shared), move |request, peer: Arc<Peer>| {
            let (worker, request) = (Arc::clone(&at), request.map(|body| serving.request_body(body)));
            let client = Client {
                address: peer.address,
                local: peer.local,
                tls: peer.tls.is_some(),
                sni: peer.tls.as_ref().and_then(|tls| tls.sni.clone()),
            };
            proxy::serve(worker, request, client)
        })
        .await;
        let flown_out = async {
            while !worker.core.flights.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let _ = tokio::time::timeout(limits::FLIGHTS_DRAIN_TIMEOUT, flown_out).await;
    });
}

/// The operator's side: the admin listener, and at the end the store.
fn administer(control: &Arc<Control>, sockets: Vec<Socket>) {
    let control = Arc::clone(control);
    run_on_this_thread(async move {
        let name = Arc::from(control.core.name.as_ref());
        let purges =
            Arc::new(Purges::new(name, control.core.clock.clone(), control.core.cache.store().clone()));
        if let Some(admin) = gather::admin(&control, purges) {
            let admin = Arc::new(admin);
            *control.admin.lock() = Some(Arc::clone(&admin));
            listener::run(sockets, Arc::clone(&control.admin_shared), move |mut request, peer: Arc<Peer>| {
                request.extensions_mut().insert(admin::CameFrom(peer.address));
                admin::serve(request, Arc::clone(&admin))
            })
            .await;
        }
        while !control.workers_over.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        control.core.cache.store().clone().close().await;
        control.core.log.load().flush(limits::LOG_FLUSH_TIMEOUT);
    });
}

fn run_on_this_thread(future: impl Future<Output = ()>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => tracing::error!(%error, "a runtime cannot be started"),
    }
}

/// The closed sets of words that metrics are counted under.
fn labels() -> Labels {
    Labels {
        served: Served::ALL.map(Served::as_str).to_vec(),
        not_stored: NotStored::ALL.map(NotStored::as_str).to_vec(),
        errors: Kind::ALL.map(Kind::as_str).to_vec(),
    }
}

fn load_certificates(config: &config::Node) -> Result<Certificates, String> {
    Certificates::load(&config.certificates)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn store_config(cache: &config::Cache) -> larder_store::Config {
    larder_store::Config {
        directory: cache.directory.clone(),
        memory: cache.memory,
        disk: cache.disk,
        object_max: cache.object_max,
        memory_object_max: cache.memory_object_max,
        io_threads: cache.io_threads,
    }
}
