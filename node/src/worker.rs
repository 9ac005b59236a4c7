//! What one core works with: the parts shared by all, and the connections that are its own.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use larder_store::Hit;

use crate::access_log::Log;
use crate::cache::Cache;
use crate::cache::stored::{Answer, Stored};
use crate::clock::Clock;
use crate::coalesce::Flights;
use crate::context::Exchange;
use crate::error::{Error, Kind};
use crate::fence::Fence;
use crate::origin::{self, Pool, forward};
use crate::outcome::Outcome;
use crate::policy::serving::{self, Serve};
use crate::policy::targeted::{OUR_CAPABILITY, SURROGATE_CAPABILITY, SURROGATE_CONTROL};
use crate::purge::Purges;
use crate::route::{SiteConfig, Sites};
use crate::status::{Forward, NotStored};
use crate::telemetry::metric::{self, Metrics};
use crate::transform::headers::Signature;

/// What all workers share.
pub struct Core {
    /// The node's name in `Cache-Status`, `Via` and `CDN-Loop`.
    pub name: Box<str>,
    /// What time it is.
    pub clock: Clock,
    /// What is stored.
    pub cache: Cache,
    /// Bytes of the largest body that is stored.
    pub object_max: u64,
    /// Fetches on their way.
    pub flights: Arc<Flights<Outcome>>,
    /// Its purges.
    pub purges: Arc<Purges>,
    /// What is stored and not to be believed.
    pub fence: Arc<Fence>,
    /// Numbers for the operator.
    pub metrics: Metrics,
    /// One line per exchange.
    pub log: ArcSwap<Log>,
}

/// One site at work on one core. Nothing in it is counted by other cores on the way of a hit.
pub struct Site {
    /// What it says.
    pub config: Arc<SiteConfig>,
    /// Its connections: they never leave their core.
    pub pool: Arc<Pool>,
    /// Its numbers.
    pub metrics: Arc<metric::Site>,
    /// The same site where its rules hold, in the order of `config.rules`.
    pub ruled: Vec<Arc<Self>>,
}

impl Site {
    /// A site with its rules.
    #[must_use]
    pub fn new(config: Arc<SiteConfig>, pool: Arc<Pool>, metrics: Arc<metric::Site>) -> Self {
        let ruled = config.rules.iter().map(|rule| {
            let (config, pool, metrics) = (config.under(rule), Arc::clone(&pool), Arc::clone(&metrics));
            Arc::new(Self { config: Arc::new(config), pool, metrics, ruled: Vec::new() })
        });
        let ruled = ruled.collect();
        Self { config, pool, metrics, ruled }
    }

    /// The site as it is for this request: under the first rule that covers it, or plain.
    #[must_use]
    pub fn for_request(self: &Arc<Self>, method: &Method, target: &str) -> Arc<Self> {
        let rules = self.config.rules.iter().zip(&self.ruled);
        let found = rules.into_iter().find(|(rule, _)| rule.scope.covers(method, target));
        Arc::clone(found.map_or(self, |(_, site)| site))
    }
}

/// One core's view.
pub struct Worker {
    /// What it shares with the others.
    pub core: Arc<Core>,
    /// The sites in force; a reload swaps them whole.
    pub sites: ArcSwap<Sites<Arc<Site>>>,
    /// The node's name as it stands in answers.
    pub signature: Signature,
}

impl Core {
    /// The length of the body of an answer that may be stored, where it is known.
    ///
    /// # Errors
    /// The body forbids to store it.
    pub fn storable(&self, answer: &origin::Answer) -> Result<Option<u64>, NotStored> {
        if answer.close_delimited {
            return Err(NotStored::CloseDelimited);
        }
        let length = http_body::Body::size_hint(&answer.body).exact();
        match length {
            Some(length) if length > self.object_max => Err(NotStored::TooLarge),
            length => Ok(length),
        }
    }
}

impl Worker {
    /// Whether a stored answer may be given out: what is doubted only after the origin has confirmed it. `None` where it is
    /// past its `keep`.
    #[must_use]
    pub fn verdict(
        &self,
        site: &Site,
        exchange: &Exchange,
        hit: &Hit<Stored>,
        answer: &Answer,
    ) -> Option<Serve> {
        let (policy, request, now) = (&site.config.policy, &exchange.request.headers, exchange.now);
        if !serving::is_kept(policy, &answer.freshness, now) {
            return None;
        }
        if self.core.fence.doubts(hit.entry.born()) {
            return Some(Serve::Revalidate(Forward::Stale));
        }
        Some(serving::serve(policy, request, &answer.freshness, hit.expired, now))
    }

    /// The head that the origin of `site` gets for a request with the fields `client`.
    ///
    /// # Errors
    /// What was asked for cannot be asked of an origin.
    pub fn request_head(
        &self,
        site: &Site,
        asker: &Asker,
        method: Method,
        target: &str,
        client: &HeaderMap,
    ) -> Result<Parts, Error> {
        let facts = forward::Facts {
            node_name: &self.core.name,
            client_ip: asker.ip,
            version: asker.version,
            tls: asker.tls,
            host: &asker.host,
            host_override: site.config.origin.host.as_deref(),
        };
        let mut head = forward::request_head(method, target, client, &facts)
            .map_err(|error| Error::client(Kind::RequestBody, error))?;
        // What a client says it can do as a surrogate is not what becomes of a shared answer.
        head.headers.remove(SURROGATE_CAPABILITY);
        if site.config.policy.targets.contains(&SURROGATE_CONTROL) {
            head.headers.insert(SURROGATE_CAPABILITY, OUR_CAPABILITY);
        }
        Ok(head)
    }
}

/// Who asks, as far as an origin hears of it. Owned, so that a flight outlives the request that started it.
#[derive(Debug, Clone)]
pub struct Asker {
    ip: IpAddr,
    version: Version,
    tls: bool,
    host: String,
}

impl Asker {
    /// The one who sent this exchange. The host is that of the key and not as the client spelt it: an origin that makes
    /// links of it would put one client's spelling into everybody's answer.
    #[must_use]
    pub fn of(exchange: &Exchange) -> Self {
        let host = exchange.authority().to_owned();
        let version = exchange.request.version;
        Self { ip: exchange.client.address.ip(), version, tls: exchange.client.tls, host }
    }
}
