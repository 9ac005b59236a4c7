//! What one core works with: the parts shared by all, and the connections that are its own.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header;

use crate::access_log::Log;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::coalesce::Flights;
use crate::context::Exchange;
use crate::origin::{Pool, forward};
use crate::outcome::Outcome;
use crate::route::{SiteConfig, Sites};
use crate::telemetry::metric::{Metrics, SiteMetrics};

/// What all workers share.
pub struct Core {
    /// The node's name in `Cache-Status`, `Via` and `CDN-Loop`.
    pub name: Box<str>,
    /// What time it is.
    pub clock: Clock,
    /// What is stored.
    pub cache: Cache,
    /// Fetches on their way.
    pub flights: Arc<Flights<Outcome>>,
    /// The sites in force; a reload swaps them whole.
    pub sites: ArcSwap<Sites<Arc<Site>>>,
    /// Numbers for the operator.
    pub metrics: Arc<Metrics>,
    /// One line per exchange.
    pub log: Log,
}

/// One site at work.
pub struct Site {
    /// What it says.
    pub config: SiteConfig,
    /// Its connections, a pool for each worker: a connection never leaves its core.
    pub pools: Arc<[Pool]>,
    /// Its numbers.
    pub metrics: SiteMetrics,
}

/// One core's view.
#[derive(Clone)]
pub struct Worker {
    /// Which core, from 0.
    pub index: usize,
    /// What it shares with the others.
    pub core: Arc<Core>,
}

impl Worker {
    /// The connections to `site` that are this core's own.
    #[must_use]
    pub fn pool<'a>(&self, site: &'a Site) -> &'a Pool {
        &site.pools[self.index % site.pools.len()]
    }

    /// What the origin of `site` is told about an exchange.
    #[must_use]
    pub fn told(&self, site: &Site, exchange: &Exchange) -> forward::Facts {
        let asked = exchange.request.uri.authority().map(|authority| authority.as_str().to_owned());
        let named = || exchange.request.headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(String::from);
        forward::Facts {
            node_name: self.core.name.clone(),
            client_ip: exchange.client.address.ip(),
            tls: exchange.client.tls,
            host: asked.or_else(named).unwrap_or_else(|| exchange.host.clone()),
            host_override: site.config.origin.host.clone(),
        }
    }
}
