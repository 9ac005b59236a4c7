//! Pools of connections to a site's origin.
//!
//! [`Pool::send`] picks an endpoint (`balance`, `health`), takes a connection (`endpoint`, `connect`, `resolve`, `tls`,
//! `wire`), sends the request (`upload`) and hands out the answer once its head is believed (`exchange`, `answer`); the
//! body follows (`body`). [`forward`] makes the heads that go in and cleans those that come out.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{StatusCode, request, response};
use rustls_pki_types::ServerName;

use crate::clock::Clock;
use crate::error::{Error, Kind, Retry};
use crate::http::Body;
use crate::limits;

mod answer;
mod balance;
mod body;
mod connect;
mod counters;
mod endpoint;
mod exchange;
pub mod forward;
mod health;
mod resolve;
mod tls;
mod upload;
mod wire;

#[cfg(test)]
mod tests;

use balance::Balance;
pub use counters::{Counter, Counters};
use endpoint::{Common, Live};
use exchange::Failed;
use health::Health;
use resolve::Resolver;

/// What a site says of its origin, as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to connect; tried in turn.
    pub endpoints: Vec<Endpoint>,
    /// The `Host` sent upstream; `None` sends the client's.
    pub host: Option<String>,
    /// For `https` endpoints: a file of CA certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// For `https` endpoints: the name to ask for and verify, when it is not the endpoint's host.
    pub server_name: Option<String>,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Time from the request's last byte to the answer's head.
    pub first_byte_timeout: Duration,
    /// Longest silence inside the answer's body.
    pub between_bytes_timeout: Duration,
    /// Time an unused connection is kept.
    pub idle_timeout: Duration,
    /// Connections of one worker to one endpoint.
    pub connections_max: usize,
    /// Failures in a row that eject an endpoint.
    pub eject_after: u32,
    /// How long an ejected endpoint rests.
    pub eject_time: Duration,
}

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `https://`.
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            host: None,
            ca_file: None,
            server_name: None,
            connect_timeout: limits::ORIGIN_CONNECT_TIMEOUT,
            first_byte_timeout: limits::ORIGIN_FIRST_BYTE_TIMEOUT,
            between_bytes_timeout: limits::ORIGIN_BETWEEN_BYTES_TIMEOUT,
            idle_timeout: limits::ORIGIN_IDLE_TIMEOUT,
            connections_max: limits::ORIGIN_CONNECTIONS_MAX,
            eject_after: limits::ORIGIN_EJECT_AFTER,
            eject_time: limits::ORIGIN_EJECT_TIME,
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

/// Why a pool cannot be made from its configuration.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// There is nowhere to connect to.
    #[error("an origin needs at least one endpoint")]
    NoEndpoint,
    /// The file of certificate authorities is of no use.
    #[error("{}: {why}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system has no certificate authorities.
    #[error("no certificate authorities in the system's store ({0}); name a ca_file")]
    SystemCertificates(String),
    /// A certificate cannot be checked against this name.
    #[error("{0:?} is not a name a certificate can have")]
    ServerName(String),
    /// TLS as such cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// The connections of one worker to one site's origin. The pools of other workers are made by [`Pool::fork`].
pub struct Pool {
    shared: Arc<Shared>,
    balance: Balance,
}

/// What the pools of all workers have in common.
struct Shared {
    config: Config,
    clock: Clock,
    counters: Arc<Counters>,
    endpoints: Vec<Common>,
    pools: AtomicUsize,
}

/// An answer whose head is believed and whose body is on its way.
#[derive(Debug)]
pub struct Answer {
    /// Status and fields as they came with their version, hop-by-hop fields removed, `Content-Length` in one spelling.
    pub head: response::Parts,
    /// The status it came with; `head` may be made into that of another message later.
    pub came_with: StatusCode,
    /// The body: broken off it ends with [`Cut::Origin`](crate::http::Cut::Origin) or
    /// [`Cut::Silent`](crate::http::Cut::Silent), never as if it were whole.
    pub body: Body,
    /// Where it came from, as `scheme://host:port`.
    pub endpoint: Arc<str>,
    /// Whether the connection had served another request before.
    pub reused: bool,
    /// Time until there was a connection.
    pub connect: Duration,
    /// Time from then to the whole head.
    pub first_byte: Duration,
    /// Only the end of the connection says where the body ends (RFC 9112 6.3 rule 8): over `http://` a cut looks the
    /// same as an end.
    pub close_delimited: bool,
}

/// How an endpoint fares, for metrics and the admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointState {
    /// `scheme://host:port`.
    pub name: Arc<str>,
    /// Whether it is in the rotation; the same for all workers.
    pub healthy: bool,
    /// Whether it rests after failures in a row.
    pub ejected: bool,
    /// Exchanges of this worker under way.
    pub active: usize,
    /// Unused connections of this worker.
    pub idle: usize,
}

impl Pool {
    /// Reads certificate authorities if there is an `https` endpoint, so not on a worker that serves.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub fn new(config: Config, clock: Clock) -> Result<Self, PoolError> {
        if config.endpoints.is_empty() {
            return Err(PoolError::NoEndpoint);
        }
        let connector = match config.endpoints.iter().any(|endpoint| endpoint.tls) {
            true => Some(tls::connector(config.ca_file.as_deref())?),
            false => None,
        };
        let mut endpoints = Vec::with_capacity(config.endpoints.len());
        for endpoint in &config.endpoints {
            let tls = match connector.as_ref().filter(|_| endpoint.tls) {
                None => None,
                Some(connector) => {
                    let name = config.server_name.as_ref().unwrap_or(&endpoint.host);
                    let verified = ServerName::try_from(name.clone());
                    let verified = verified.map_err(|_| PoolError::ServerName(name.clone()))?;
                    Some((connector.clone(), verified))
                }
            };
            let health = Arc::new(Health::new(config.eject_after, config.eject_time));
            let resolver = Resolver::new(&endpoint.host, endpoint.port);
            endpoints.push(Common { name: endpoint.to_string().into(), health, resolver, tls });
        }
        let counters = Arc::new(Counters::default());
        let shared = Shared { config, clock, counters, endpoints, pools: AtomicUsize::new(0) };
        Ok(Self::of(Arc::new(shared)))
    }

    /// A pool for another worker: connections of its own; health, counters and addresses in common.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::of(Arc::clone(&self.shared))
    }

    fn of(shared: Arc<Shared>) -> Self {
        let Shared { config, clock, counters, endpoints, pools } = &*shared;
        let live = endpoints
            .iter()
            .map(|common| Live::new(common.clone(), config, clock.clone(), Arc::clone(counters)));
        let balance = Balance::new(live.collect(), pools.fetch_add(1, Ordering::Relaxed));
        Self { shared, balance }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// `head` is made by [`forward::request_head`]: path and query only, `Host` set, nothing hop-by-hop. The framing
    /// fields are made here from `body`. A request is sent a second time at most, and only if no application can have
    /// seen it, or if it is idempotent (RFC 9110 9.2.2), its body is at hand and the connection closed without a word;
    /// the caller need not try again.
    ///
    /// # Errors
    /// What went wrong and whose fault it is: [`Kind::NoEndpoint`], [`Kind::Dns`],
    /// [`Kind::ConnectRefused`], [`Kind::ConnectTimeout`], [`Kind::Tls`], [`Kind::TlsCertificate`],
    /// [`Kind::ClosedEarly`], [`Kind::FirstByteTimeout`], [`Kind::BadAnswer`], [`Kind::RequestBody`].
    pub async fn send(&self, head: request::Parts, body: Body) -> Result<Answer, Error> {
        self.send_over(head, body, false).await
    }

    /// [`Pool::send`] for a request whose answer is stored: one with a body goes over a connection that carried no other,
    /// so that nobody's unread body is taken for it.
    ///
    /// # Errors
    /// As [`Pool::send`].
    pub async fn send_to_store(&self, head: request::Parts, body: Body) -> Result<Answer, Error> {
        let fresh = !http_body::Body::is_end_stream(&body);
        self.send_over(head, body, fresh).await
    }

    async fn send_over(&self, head: request::Parts, body: Body, fresh: bool) -> Result<Answer, Error> {
        self.shared.counters.requests.add();
        let sent = self.send_twice_at_most(head, body, fresh).await;
        sent.map_err(|error| Error { retry: Retry::Never, ..error })
    }

    async fn send_twice_at_most(
        &self,
        head: request::Parts,
        body: Body,
        fresh: bool,
    ) -> Result<Answer, Error> {
        let config = &self.shared.config;
        let nowhere = || Error::node(Kind::NoEndpoint, "no endpoint is configured");
        let first = self.balance.pick(None).ok_or_else(nowhere)?;
        let Failed { error, request } =
            match exchange::attempt(first, upload::frame(head, body), fresh, config).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
        let again = self.balance.again(first, exchange::refused_us(&error));
        let (Some(request), Some(again)) = (request, again) else { return Err(error) };
        tracing::debug!(%error, endpoint = %again.common.name, "sent once more");
        self.shared.counters.retries.add();
        exchange::attempt(again, request, true, config).await.map_err(|failed| failed.error)
    }

    /// The state of every endpoint as this worker sees it, in the configured order.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointState> {
        self.balance.endpoints().iter().map(|live| live.state()).collect()
    }

    /// What happened so far, all workers together.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }
}
