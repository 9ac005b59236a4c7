//! Sockets that clients connect to.
//!
//! ```text
//! socket (bind) > accept (permits) > stall (writes) > tls > guard (strict HTTP/1.1, clock) > connection (hyper) > serve
//! ```

mod accept;
mod activity;
mod alarm;
mod body;
mod connection;
mod counters;
mod guard;
mod h2_request;
mod permits;
mod refusal;
mod shared;
mod socket;
mod stall;
#[cfg(test)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::accept::run;
pub use self::body::TimedBody;
pub use self::counters::Counters;
pub use self::refusal::{Refusal, Timeout};
pub use self::shared::Shared;
pub use self::socket::{BindError, Listeners, Socket};
pub use self::tls::{Certificates, Loaded, TlsError};
use crate::limits;

/// Whom a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The client's address.
    pub address: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// What TLS knows of it; nothing on a plain connection.
    pub tls: Option<TlsInfo>,
}

/// What the handshake said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// The name the client asked a certificate for, lower-case.
    pub sni: Option<Arc<str>>,
}

/// One address to listen on, as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS with ALPN `h2, http/1.1`; otherwise plain HTTP/1.1.
    pub tls: bool,
}

/// A certificate and its key, chosen by SNI from the names inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// PEM file: the chain, leaf first.
    pub cert: PathBuf,
    /// PEM file: the private key.
    pub key: PathBuf,
}

/// What all listeners together allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open client connections, all workers together.
    pub connections_max: usize,
    /// Time for a complete request head.
    pub head_timeout: Duration,
    /// Time a kept-alive connection may stay idle.
    pub idle_timeout: Duration,
    /// Longest silence in a request body, or while the client takes nothing of its answer.
    pub body_timeout: Duration,
    /// Time between the request to drain and the end.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            head_timeout: limits::REQUEST_HEAD_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            drain_timeout: limits::DRAIN_TIMEOUT,
        }
    }
}
