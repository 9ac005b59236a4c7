//! Pools of connections to a site's origin.

use std::path::PathBuf;
use std::time::Duration;

use crate::limits;

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
