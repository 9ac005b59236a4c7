//! Every part, in the order in which it can be refused: all of that comes before anything runs.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use arc_swap::ArcSwap;
use larder_store::{Memo, OpenError, Store};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Control, Node, gather, reload, spelling};
use crate::access_log::Log;
use crate::cache::Cache;
use crate::cache::stored::Stored;
use crate::clock::Clock;
use crate::coalesce::Flights;
use crate::error::{Kind, chain};
use crate::fence::Fence;
use crate::listener::{self, BindError, Certificates, Listeners, Shared, TlsError};
use crate::origin::PoolError;
use crate::purge::{Fleet, Gate, Purges};
use crate::status::{NotStored, Served};
use crate::telemetry::metric::{Labels, Metrics};
use crate::telemetry::trace;
use crate::transform::headers::Signature;
use crate::worker::{Core, Worker};
use crate::{access_log, config, limits};

/// Why a node did not start, or did not take another configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Certificates that cannot be used, each with its reason.
    #[error("{}", lines(.0))]
    Certificates(Vec<TlsError>),
    /// The cache directory is of no use.
    #[error("cache.directory: {}", chain(.0))]
    Store(#[from] OpenError),
    /// The access log cannot be written.
    #[error("log.access: {target}: {source}")]
    AccessLog {
        /// The file.
        target: String,
        /// What the system said.
        source: io::Error,
    },
    /// The node's own log cannot be set up.
    #[error("log.level: {}", chain(.0))]
    NodeLog(#[from] trace::Error),
    /// A site's origin cannot be connected to as configured.
    #[error("site {0:?}: {1}")]
    Origin(String, PoolError),
    /// A peer of the fleet cannot be connected to as configured.
    #[error("fleet.peers: {0}")]
    Fleet(PoolError),
    /// The system refuses what every process needs; the first is what that is.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

fn lines(errors: &[TlsError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl StartError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Self::Bind(BindError { address, source }) => match source.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "another process has it (ss -ltnp 'sport = :{}' shows which): end it, or take another port",
                    address.port()
                ),
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need CAP_NET_BIND_SERVICE, as in ops/larder.service; or take a higher port"
                        .into()
                }
                io::ErrorKind::AddrNotAvailable => {
                    format!("no interface has {} (ip addr lists them); 0.0.0.0 is all of them", address.ip())
                }
                _ => return None,
            },
            Self::Store(OpenError::Locked { .. }) => {
                "another node runs with it: end that one, or give each its own cache.directory".into()
            }
            Self::Store(error @ OpenError::Directory { path, .. }) => error.fix().unwrap_or_else(|| {
                format!("look at it as the user that runs larder: ls -ld {}, ulimit -a", path.display())
            }),
            Self::AccessLog { .. } => "let the user that runs larder write there".into(),
            Self::NodeLog(_) => format!("unset {}, or give it a level such as info", trace::ENVIRONMENT),
            Self::Origin(_, PoolError::SystemCertificates(_)) | Self::Fleet(PoolError::SystemCertificates(_)) => {
                "apt-get install ca-certificates, or name a ca_file".into()
            }
            Self::Certificates(_) | Self::Origin(..) | Self::Fleet(_) => "larder check --config FILE says more".into(),
            Self::Store(_) | Self::System(..) => {
                "look at the limits of the process: ulimit -a, or LimitNOFILE and TasksMax of its unit".into()
            }
        })
    }
}

impl Node {
    /// Binds, recovers the store, starts the workers. `path`: what a reload reads; `log`: whose level a reload sets.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(
        config: config::Node,
        path: &Path,
        log: Option<Arc<trace::Log>>,
    ) -> Result<Self, StartError> {
        let listeners = Listeners::bind(&config.listeners, config.workers)?;
        let admin_configs: Vec<_> = config.admin.iter().map(admin_listener).collect();
        let admin_listeners = Listeners::bind(&admin_configs, 1)?;
        let addresses = listeners.addresses().into_iter().map(|(_, address)| address).collect();
        let admin_address = admin_listeners.addresses().first().map(|(_, address)| *address);
        let control = control(config, path, log)?;
        gather::register(&control);
        let mut node = Self { control, addresses, admin_address, workers: Vec::new(), controller: None };
        if let Err(error) = node.launch(listeners, admin_listeners) {
            node.drain();
            node.join();
            return Err(error);
        }
        Ok(node)
    }
}

fn control(
    config: config::Node,
    path: &Path,
    log: Option<Arc<trace::Log>>,
) -> Result<Arc<Control>, StartError> {
    let certificates = certificates(&config)?;
    let clock = Clock::system();
    let pools = reload::pools(&config, None, &clock)?;
    let access_log = open_log(&config.log)?;
    let store = Store::open(config.cache.clone())?;
    let purges = Arc::new(Purges::new(config.name.as_str().into(), clock.clone(), store.clone()));
    let fence: Arc<Fence> = Arc::default();
    let fleet = fleet(&config, &purges, &fence, &clock, &store)?;
    let core = Arc::new(Core {
        name: config.name.as_str().into(),
        purges: Arc::clone(&purges),
        fence,
        clock: clock.clone(),
        cache: Cache::new(store),
        object_max: config.cache.object_max,
        flights: Arc::new(Flights::default()),
        metrics: Metrics::new(labels(), config.workers),
        log: ArcSwap::from_pointee(access_log),
    });
    let signature = Signature::new(&config.name);
    let sites = reload::sites(&core, &config, &pools, &[]);
    let worker = |sites| {
        let (core, signature) = (Arc::clone(&core), signature.clone());
        Arc::new(Worker { core, sites: ArcSwap::from_pointee(sites), signature })
    };
    let control = Arc::new(Control {
        path: path.to_owned(),
        reloading: tokio::sync::Mutex::new(()),
        workers: sites.into_iter().map(worker).collect(),
        certificates: Mutex::new(certificates.loaded().to_vec()),
        shared: Shared::new(config.limits.clone(), certificates),
        admin_shared: Shared::new(admin_limits(&config), Certificates::default()),
        gate: config.admin.as_ref().map(|admin| Arc::new(Gate::new(admin.all_tokens(), clock))),
        purges,
        fleet,
        config: Mutex::new(config),
        core,
        log,
        started: Instant::now(),
        working: AtomicUsize::new(0),
        workers_over: CancellationToken::new(),
    });
    // The purges are the control's: a strong reference would keep both for ever.
    let sites = Arc::downgrade(&control);
    control.purges.respell_by(Box::new(move |selector| match sites.upgrade() {
        Some(control) => spelling::selectors(&control, selector),
        None => vec![selector],
    }));
    Ok(control)
}

/// The node's part in its fleet, if it has one. Until that has found out what was missed, nothing stored is believed.
fn fleet(
    config: &config::Node,
    purges: &Arc<Purges>,
    fence: &Arc<Fence>,
    clock: &Clock,
    store: &Store<Stored>,
) -> Result<Option<Arc<Fleet>>, StartError> {
    let Some(fleet) = &config.fleet else { return Ok(None) };
    let memo = Memo::new(&config.cache, "fleet");
    let now = store.stats();
    let empty = now.memory_objects == 0 && now.disk_objects == 0;
    let fleet = Fleet::new(fleet.clone(), Arc::clone(purges), Arc::clone(fence), memo, clock, empty);
    fleet.map(Some).map_err(StartError::Fleet)
}

const fn admin_listener(admin: &config::AdminConfig) -> listener::Config {
    listener::Config { address: admin.address, tls: false }
}

/// The limits of the admin listener, which connections of clients cannot fill.
pub(super) fn admin_limits(config: &config::Node) -> listener::Limits {
    listener::Limits { connections_max: limits::ADMIN_CONNECTIONS_MAX, ..config.limits.clone() }
}

pub(super) fn certificates(config: &config::Node) -> Result<Certificates, StartError> {
    Certificates::load(&config.certificates).map_err(StartError::Certificates)
}

pub(super) fn open_log(config: &access_log::Config) -> Result<Log, StartError> {
    Log::open(config).map_err(|source| {
        let target = match &config.target {
            access_log::Target::File(path) => path.display().to_string(),
            access_log::Target::Stdout => "stdout".into(),
            access_log::Target::Off => "off".into(),
        };
        StartError::AccessLog { target, source }
    })
}

/// The closed sets of words that metrics are counted under.
fn labels() -> Labels {
    Labels {
        served: Served::ALL.map(Served::as_str).to_vec(),
        not_stored: NotStored::ALL.map(NotStored::as_str).to_vec(),
        errors: Kind::ALL.map(Kind::as_str).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_for_a_directory_goes_by_what_the_system_says() {
        for (kind, words) in [
            (io::ErrorKind::PermissionDenied, "install -d -m 700 -o USER /cache"),
            (io::ErrorKind::NotADirectory, "name a directory"),
            (io::ErrorKind::AlreadyExists, "name a directory"),
            (io::ErrorKind::StorageFull, "df -h /cache"),
            (io::ErrorKind::QuotaExceeded, "df -h /cache"),
            (io::ErrorKind::ReadOnlyFilesystem, "findmnt -T /cache"),
            (io::ErrorKind::OutOfMemory, "ulimit -a"),
        ] {
            let error = StartError::from(OpenError::Directory { path: "/cache".into(), source: kind.into() });
            let fix = error.fix().unwrap();
            assert!(fix.contains(words), "{kind}: {fix}");
            assert_eq!(fix.contains("install -d"), kind == io::ErrorKind::PermissionDenied, "{fix}");
        }
    }
}
