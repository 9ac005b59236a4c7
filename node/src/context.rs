//! Facts about one exchange, never services. Filled on the way, read by the log, the metrics and `Cache-Status`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{Method, Version};

use larder_store::Seq;

use crate::clock::Timestamp;
use crate::content::Content;
use crate::status::{Forward, NotStored, ProxyError, Served};

/// Who asks, as the listener knows it.
#[derive(Debug, Clone)]
pub struct Client {
    /// The peer's address.
    pub address: SocketAddr,
    /// The address it came to.
    pub local: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The name asked for in the TLS handshake.
    pub sni: Option<Arc<str>>,
}

impl Client {
    /// The scheme of the URLs it asks for.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// One request and what became of it.
#[derive(Debug)]
pub struct Exchange {
    /// The request's head as it came.
    pub request: Parts,
    /// Who asked.
    pub client: Client,
    /// When the head was complete.
    pub started: Instant,
    /// The same moment on the node's clock.
    pub now: Timestamp,
    /// The purge position before anything was looked up: nothing fetched for this exchange is newer than that.
    pub position: Seq,
    /// `http://host:port/path?query`, the primary cache key; empty before the request was admitted.
    pub url: String,
    /// Where the target begins in `url`.
    pub target_at: usize,
    /// The target as the client meant it, where the site does not let all of its query count in `url`: what is sent of
    /// a request that goes past the cache.
    pub whole_target: Option<Box<str>>,
    /// Why it goes past the cache, where that is known before the cache is asked.
    pub passes: Option<Forward>,
    /// What the secondary keys of a QUERY begin with; empty for every other method, which has the whole URL to itself.
    pub base: String,
    /// The content of a QUERY that was read before it was looked up.
    pub content: Content,
    /// What became of it.
    pub facts: Facts,
}

impl Exchange {
    /// The normalised path and query, as key, rules and origin see it.
    #[must_use]
    pub fn target(&self) -> &str {
        self.url.get(self.target_at..).unwrap_or_default()
    }

    /// What the origin is sent: of a request past the cache all that the client said, otherwise what counts.
    #[must_use]
    pub fn sent_target(&self) -> &str {
        self.whole_target.as_deref().filter(|_| self.passes.is_some()).unwrap_or(self.target())
    }

    /// The method of a request that fetches what this one asks for.
    #[must_use]
    pub fn fetch_method(&self) -> Method {
        if self.request.method == Method::QUERY { Method::QUERY } else { Method::GET }
    }

    /// The authority as the key has it: in lower case, and with a port only where that is not the scheme's own. All
    /// requests that share a key share it; empty before the request was admitted.
    #[must_use]
    pub fn authority(&self) -> &str {
        authority(self.url.get(..self.target_at).unwrap_or_default())
    }
}

fn authority(origin: &str) -> &str {
    let (scheme, authority) = origin.split_once("://").unwrap_or_default();
    let own = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(own).unwrap_or(authority)
}

/// What became of a request, in the words of the log.
#[derive(Debug, Clone)]
pub struct Facts {
    /// How it was served.
    pub served: Served,
    /// Why it went to the origin.
    pub forward: Option<Forward>,
    /// The status the origin gave.
    pub forward_status: Option<u16>,
    /// Whether its answer is being stored.
    pub stored: bool,
    /// Whether it waited for another request's fetch.
    pub collapsed: bool,
    /// Why its answer was not stored.
    pub not_stored: Option<NotStored>,
    /// More, where there is more to say.
    pub detail: Option<&'static str>,
    /// What `Proxy-Status` calls it, where the node itself answers because something is wrong.
    pub proxy_error: Option<ProxyError>,
    /// The version of HTTP that the answer came over, from the origin.
    pub received: Version,
    /// Seconds until the answer is stale; negative when it is.
    pub ttl: Option<i64>,
    /// Which endpoint answered.
    pub endpoint: Option<Arc<str>>,
    /// Time until the origin's first byte.
    pub origin_time: Option<Duration>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            served: Served::Refused,
            forward: None,
            forward_status: None,
            stored: false,
            collapsed: false,
            not_stored: None,
            detail: None,
            proxy_error: None,
            received: Version::HTTP_11,
            ttl: None,
            endpoint: None,
            origin_time: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn an_authority_has_a_port_only_where_it_says_something() {
        for (origin, wanted) in [
            ("http://a.example:80", "a.example"),
            ("https://a.example:443", "a.example"),
            ("http://a.example:443", "a.example:443"),
            ("https://a.example:80", "a.example:80"),
            ("https://a.example:8443", "a.example:8443"),
            ("http://[::1]:80", "[::1]"),
            ("http://[::80]:8080", "[::80]:8080"),
            ("", ""),
        ] {
            assert_eq!(authority(origin), wanted, "{origin}");
        }
    }
}
