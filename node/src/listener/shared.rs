//! What all workers' listeners have in common.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::TimedBody;
use super::counters::Counters;
use super::permits::Permits;
use super::tls::{Certificates, Resolver};
use super::{Limits, tls};
use crate::http::Body;

/// Limits, certificates, permits, counters and the signal to drain. One for the process; reloads swap its parts.
#[derive(Debug)]
pub struct Shared {
    pub(super) limits: ArcSwap<Limits>,
    pub(super) permits: Permits,
    pub(super) counters: Arc<Counters>,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) draining: CancellationToken,
    deadline: OnceLock<Instant>,
    resolver: Arc<Resolver>,
}

impl Shared {
    /// Everything at its start: no connection, not draining.
    #[must_use]
    pub fn new(limits: Limits, certificates: Certificates) -> Arc<Self> {
        let resolver = Arc::new(Resolver::new(certificates));
        Arc::new(Self {
            permits: Permits::new(limits.connections_max),
            limits: ArcSwap::from_pointee(limits),
            counters: Arc::default(),
            tls: tls::server_config(Arc::clone(&resolver)),
            draining: CancellationToken::new(),
            deadline: OnceLock::new(),
            resolver,
        })
    }

    /// New limits: the permits at once, the times for connections accepted from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.permits.set_max(limits.connections_max);
        self.limits.store(Arc::new(limits));
    }

    /// New certificates for handshakes from now on; connections keep theirs.
    pub fn set_certificates(&self, certificates: Certificates) {
        self.resolver.swap(certificates);
    }

    /// Stops accepting and lets connections finish: `Connection: close`, GOAWAY, and after
    /// [`Limits::drain_timeout`] the end of what is left.
    pub fn drain(&self) {
        // Tokio's clock, which needs no runtime; the first call counts.
        self.deadline.get_or_init(|| Instant::now() + self.limits.load().drain_timeout);
        self.draining.cancel();
    }

    /// Whether [`Shared::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.deadline.get().is_some()
    }

    /// When the drain ends, once it has begun.
    pub(super) fn drain_deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// The counts, for telemetry.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// A request's body with [`Limits::body_timeout`] as the longest silence; [`Body::Empty`] for none.
    #[must_use]
    pub fn request_body(&self, body: hyper::body::Incoming) -> Body {
        let silence = self.limits.load().body_timeout;
        TimedBody::new(body, silence, Arc::clone(&self.counters)).into_body()
    }
}
