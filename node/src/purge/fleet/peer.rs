//! Another node of the fleet, and how its log is read: `GET /fleet/purges` of its admin listener.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http_body_util::{BodyExt, Limited};
use larder_store::Recorded;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::error::chain;
use crate::http::Body;
use crate::limits;
use crate::origin::{self, Pool, PoolError};

/// A part of a node's log, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The node's name.
    pub node: String,
    /// The id of its log.
    pub log: String,
    /// Every purge after this position is still in the log; what was before may be missing.
    pub complete_after: u64,
    /// The last position that was looked at: with these purges everything up to here is known.
    pub upto: u64,
    /// There is more after that.
    pub more: bool,
    /// Whether the node has caught up with its own peers.
    pub caught_up: bool,
    /// The purges, oldest first.
    pub purges: Vec<Recorded>,
}

/// Ids and positions of a whole log, to compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// The id of the log.
    pub log: String,
    /// Position and id of each purge.
    pub ids: Vec<(u64, String)>,
}

/// How to reach one.
pub(super) struct Peer {
    pub(super) url: String,
    host: String,
    token: Arc<str>,
    pool: Pool,
}

impl Peer {
    pub(super) fn new(
        endpoint: &origin::Endpoint,
        ca_file: Option<&std::path::Path>,
        token: Arc<str>,
        clock: Clock,
    ) -> Result<Self, PoolError> {
        let url = endpoint.to_string();
        let host = url.split_once("://").map_or("", |(_, host)| host).to_owned();
        let config = origin::Config {
            endpoints: vec![endpoint.clone()],
            ca_file: ca_file.map(std::path::Path::to_path_buf),
            connect_timeout: limits::FLEET_CONNECT_TIMEOUT,
            first_byte_timeout: limits::FLEET_WAIT + limits::FLEET_ANSWER_TIMEOUT,
            between_bytes_timeout: limits::FLEET_ANSWER_TIMEOUT,
            // It is asked again and again whatever happens: there is no other place to ask.
            eject_after: u32::MAX,
            ..origin::Config::default()
        };
        Ok(Self { url, host, token, pool: Pool::new(config, clock)? })
    }

    /// What came after `after` in its log `log`; waits for it for `wait`.
    pub(super) async fn purges(
        &self,
        log: &str,
        after: u64,
        wait: Duration,
        node: &str,
    ) -> Result<Page, String> {
        let log = utf8_percent_encode(log, NON_ALPHANUMERIC);
        let target = format!("/fleet/purges?log={log}&after={after}&wait={}&node={node}", wait.as_millis());
        self.ask(&target).await
    }

    /// Which purges are in its log.
    pub(super) async fn ids(&self) -> Result<Ids, String> {
        self.ask("/fleet/ids").await
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, target: &str) -> Result<T, String> {
        let request = Request::get(target)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(ACCEPT, "application/json")
            .body(());
        let head = request.map_err(|error| error.to_string())?.into_parts().0;
        let answer = self.pool.send(head, Body::Empty).await.map_err(|error| chain(&error).to_string())?;
        let status = answer.head.status;
        let body: Bytes = Limited::new(answer.body, limits::FLEET_PAGE_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        match status.as_u16() {
            200 => serde_json::from_slice(&body).map_err(|error| format!("not understood: {error}")),
            401 | 403 => Err(format!("{status}: it does not know our [fleet] token_file")),
            404 => Err("404: it has no [fleet] in its configuration".into()),
            _ => Err(format!("answered {status}")),
        }
    }
}
