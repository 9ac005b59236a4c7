//! One endpoint at run time: its addresses, its health, its connections.

use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::health::Health;
use super::resolve::Resolver;
use super::upload::{Carries, Upload};
use super::wire::{self, Meter};
use super::{Config, Counters, EndpointState, connect};
use crate::clock::Clock;
use crate::error::{Error, Kind, Retry};
use crate::{limits, tasks};

/// How TLS is spoken with an endpoint: with whose certificates, asking for which name.
pub(super) type Tls = (TlsConnector, ServerName<'static>);

/// What the workers have in common of an endpoint.
#[derive(Clone)]
pub(super) struct Common {
    /// `scheme://host:port`.
    pub(super) name: Arc<str>,
    pub(super) health: Arc<Health>,
    pub(super) resolver: Arc<Resolver>,
    /// For `https`.
    pub(super) tls: Option<Tls>,
}

/// The running side of a configured endpoint, one for each worker.
pub(super) struct Live {
    pub(super) common: Common,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    connect_timeout: Duration,
    idle_timeout: Duration,
    connections_max: usize,
    seats: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

/// Unused connections, each with the time of its last use. The one used last is the last: the others grow old and
/// leave.
type Unused = Vec<(Link, Instant)>;

#[derive(Default)]
struct Idle {
    heads: Unused,
    bodies: Unused,
    reaped: bool,
    /// The pool is gone; what is still in use closes after its use.
    retired: bool,
}

impl Idle {
    fn of(&mut self, carries: Carries) -> &mut Unused {
        match carries {
            Carries::Heads => &mut self.heads,
            Carries::Bodies => &mut self.bodies,
        }
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.heads.iter().chain(&self.bodies).map(|(link, _)| link)
    }

    fn len(&self) -> usize {
        self.heads.len() + self.bodies.len()
    }

    /// Closes the one that was not used for longest.
    fn shrink(&mut self) {
        let since = |unused: &Unused| unused.first().map(|(_, since)| *since);
        let oldest = match (since(&self.heads), since(&self.bodies)) {
            (Some(head), Some(body)) if body < head => &mut self.bodies,
            (None, _) => &mut self.bodies,
            (Some(_), _) => &mut self.heads,
        };
        if !oldest.is_empty() {
            oldest.remove(0);
        }
    }
}

/// A connection that hyper drives in a task of its own.
pub(super) struct Link {
    pub(super) sender: SendRequest<Upload>,
    pub(super) meter: Arc<Meter>,
    /// Gone when the connection is.
    pub(super) socket: Weak<TcpStream>,
    pub(super) task: AbortHandle,
    /// How long it may lie unused, by what its origin said of that; none where it said nothing.
    pub(super) patience: Option<Duration>,
}

impl Link {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.socket.upgrade().is_some_and(|socket| wire::is_quiet(&socket))
    }
}

/// A connection while one exchange uses it. Dropped, it closes; only [`Lease::give_back`] keeps it.
pub(super) struct Lease {
    link: Option<Link>,
    pub(super) live: Arc<Live>,
    /// Whether it had served a request before.
    pub(super) reused: bool,
    carries: Carries,
    _seat: OwnedSemaphorePermit,
}

impl Live {
    pub(super) fn new(common: Common, config: &Config, clock: Clock, counters: Arc<Counters>) -> Arc<Self> {
        let connections_max = config.connections_max.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            common,
            clock,
            counters,
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
            connections_max,
            seats: Arc::new(Semaphore::new(connections_max)),
            idle: Mutex::default(),
        })
    }

    /// Whether a request could have a connection without waiting for another to end.
    pub(super) fn has_room(&self) -> bool {
        self.seats.available_permits() > 0
    }

    pub(super) fn rests(&self) -> bool {
        self.common.health.rests(self.clock.now())
    }

    /// Notes that this endpoint, not the client and not this node, spoiled an exchange.
    pub(super) fn fails(&self) {
        if self.common.health.fails(self.clock.now()) {
            self.counters.ejections.add();
            tracing::warn!(endpoint = %self.common.name, "ejected after failures in a row");
        }
    }

    pub(super) fn state(&self) -> EndpointState {
        let rests = self.rests();
        EndpointState {
            name: Arc::clone(&self.common.name),
            healthy: !rests,
            ejected: rests,
            active: self.connections_max - self.seats.available_permits().min(self.connections_max),
            idle: self.idle.lock().links().filter(|link| !link.sender.is_closed()).count(),
        }
    }

    /// A connection for one exchange: an unused one of its sort (unless `fresh`), or a new one as soon as the limit
    /// allows.
    ///
    /// # Errors
    /// No connection became free in time ([`Kind::NoEndpoint`]), or none could be made; nothing was sent yet.
    pub(super) async fn lease(self: &Arc<Self>, carries: Carries, fresh: bool) -> Result<Lease, Error> {
        let waiting = Arc::clone(&self.seats).acquire_owned();
        let Ok(Ok(seat)) = tokio::time::timeout(self.connect_timeout, waiting).await else {
            let detail = format!("{}: all {} connections are in use", self.common.name, self.connections_max);
            return Err(Error { retry: Retry::Safe, ..Error::node(Kind::NoEndpoint, detail) });
        };
        let unused = if fresh { None } else { self.take_idle(carries) };
        let reused = unused.is_some();
        let link = match unused {
            Some(link) => link,
            None => {
                self.make_room();
                connect::dial(self, self.connect_timeout).await?
            }
        };
        let counter = if reused { &self.counters.reuses } else { &self.counters.connects };
        counter.add();
        Ok(Lease { link: Some(link), live: Arc::clone(self), reused, carries, _seat: seat })
    }

    fn take_idle(&self, carries: Carries) -> Option<Link> {
        let mut idle = self.idle.lock();
        let unused = idle.of(carries);
        let now = Instant::now();
        let mut at = unused.len();
        while at > 0 {
            at -= 1;
            let (link, since) = &unused[at];
            if self.is_old(link, now.duration_since(*since)) || !link.is_usable() {
                unused.remove(at);
            } else if link.sender.is_ready() {
                return Some(unused.remove(at).0);
            }
        }
        None
    }

    /// Whether a connection has lain unused for so long that its origin may be closing it just now.
    fn is_old(&self, link: &Link, unused: Duration) -> bool {
        unused >= link.patience.map_or(self.idle_timeout, |patience| patience.min(self.idle_timeout))
    }

    /// Closes unused connections as far as one more would be too many; the caller has its seat already.
    fn make_room(&self) {
        let active = self.connections_max.saturating_sub(self.seats.available_permits());
        let mut idle = self.idle.lock();
        let surplus = (active + idle.len()).saturating_sub(self.connections_max);
        for _ in 0..surplus.min(idle.len()) {
            idle.shrink();
        }
    }

    fn keep(self: &Arc<Self>, link: Link, carries: Carries) {
        let mut idle = self.idle.lock();
        if idle.retired {
            return;
        }
        if idle.len() >= limits::ORIGIN_IDLE_MAX {
            idle.shrink();
        }
        idle.of(carries).push((link, Instant::now()));
        if !idle.reaped {
            idle.reaped = true;
            tasks::spawn("origin-reap", reap(Arc::downgrade(self), self.idle_timeout));
        }
    }

    /// Closes the unused connections and keeps none from now on.
    pub(super) fn retire(&self) {
        let mut idle = self.idle.lock();
        idle.retired = true;
        idle.heads.clear();
        idle.bodies.clear();
    }

    /// Closes what is too old or closed already; false when nothing is left.
    fn sweep(&self) -> bool {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        for carries in [Carries::Heads, Carries::Bodies] {
            idle.of(carries).retain(|(link, since)| {
                !self.is_old(link, now.duration_since(*since)) && !link.sender.is_closed()
            });
        }
        idle.reaped = idle.len() > 0;
        idle.reaped
    }
}

/// Sweeps an endpoint's unused connections until none is left.
async fn reap(live: Weak<Live>, idle_timeout: Duration) {
    let pause = (idle_timeout / 4).max(limits::ORIGIN_REAP_PAUSE_MIN);
    loop {
        tokio::time::sleep(pause).await;
        match live.upgrade() {
            Some(live) if live.sweep() => {}
            _ => return,
        }
    }
}

impl Lease {
    pub(super) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("only the end of a lease takes its link")
    }

    /// The exchange is over and left the connection clean. It is kept if hyper, too, is ready for another request;
    /// it is not while the request's body is unsent, or when bytes came after the answer's end.
    pub(super) fn give_back(mut self) {
        if let Some(link) = self.link.take_if(|link| link.sender.is_ready()) {
            self.live.keep(link, self.carries);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            link.task.abort();
        }
    }
}
