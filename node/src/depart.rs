//! The last step: what every answer is signed with, and what is noted at its last byte.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderName, StatusCode};

use crate::access_log::{End, Line, Logged, Sent};
use crate::context::{Exchange, Facts};
use crate::error::{Error, Kind, Side};
use crate::http::{Body, Response};
use crate::policy::freshness;
use crate::rescue;
use crate::status::{NotStored, Served};
use crate::telemetry::event;
use crate::transform::headers::{self, CacheStatus, Handled};
use crate::worker::{Site, Worker};

/// Signs `response` and sees to it that its end is noted. `site`: none where the request was refused before one was
/// found.
pub fn finish(
    worker: &Arc<Worker>,
    site: Option<Arc<Site>>,
    exchange: Exchange,
    mut response: Response,
) -> Response {
    let facts = &exchange.facts;
    tell_client(worker, site.as_deref(), facts, &mut response);
    let status = CacheStatus {
        handled: handled(facts),
        ttl: facts.ttl,
        stored: facts.stored,
        collapsed: facts.collapsed,
        key: None,
        detail: detail(site.as_deref(), facts),
    };
    let show_tags = site.as_ref().is_some_and(|site| site.config.show_tags);
    headers::finish(response.headers_mut(), &worker.signature, None, facts.received, show_tags, &status);
    if let Some(error) = facts.proxy_error {
        let told = response.status();
        headers::set_proxy_status(response.headers_mut(), &worker.signature, error, told, facts.detail);
    }
    if facts.collapsed {
        event::Collapsed { url: &exchange.url }.emit(&worker.core.metrics);
    }
    if let Some(why) = facts.not_stored {
        event::NotStored { reason: why.as_str(), url: &exchange.url }.emit(&worker.core.metrics);
    }
    let (status, first_byte) = (response.status(), exchange.started.elapsed());
    let whole = match response.body() {
        Body::Empty => Some(0),
        Body::Full(bytes) => Some(bytes.len() as u64),
        Body::Stream(_) => None,
    };
    if let Some(bytes) = whole {
        // One buffer is taken in one piece: noted here, without a box that would carry the exchange along.
        let sent = Sent { bytes, end: End::Whole };
        note(worker, site.as_deref(), &exchange, status, (first_byte, first_byte), &sent);
        return response;
    }
    let worker = Arc::clone(worker);
    response.map(|body| {
        let note = move |sent| {
            let times = (first_byte, exchange.started.elapsed());
            note(&worker, site.as_deref(), &exchange, status, times, &sent);
        };
        Logged::wrap(body, note)
    })
}

/// The answer to a failure, which is told to the operator.
pub fn failed(worker: &Worker, site: &Site, exchange: &mut Exchange, error: &Error) -> Response {
    let (kind, by_client) = (error.kind.as_str(), error.side == Side::Client);
    let (site, url) = (site.config.name.as_str(), exchange.url.as_str());
    event::Failed { kind, by_client, site, url, detail: error }.emit(&worker.core.metrics);
    rescue::failed(error, &mut exchange.facts)
}

/// What is kept for everyone may have another lifetime at a client than here.
fn tell_client(worker: &Worker, site: Option<&Site>, facts: &Facts, response: &mut Response) {
    let Some(overrides) = site.map(|site| &site.config.policy.overrides) else { return };
    let kept = matches!(facts.served, Served::Hit | Served::Stale | Served::Revalidated) || facts.stored;
    if overrides.browser_ttl.is_some() && kept && response.status().as_u16() < 400 {
        let date = freshness::http_date(worker.core.clock.now());
        overrides.tell_client(response.headers_mut(), date);
    }
}

/// Why: what went wrong, why the answer was not stored, or which rule of the site said what was done.
fn detail<'a>(site: Option<&'a Site>, facts: &Facts) -> Option<&'a str> {
    let not_stored = facts.not_stored.filter(|why| *why != NotStored::Configured).map(NotStored::as_str);
    let rule = || site?.config.detail();
    facts.detail.or(not_stored).or_else(rule).or(facts.not_stored.map(NotStored::as_str))
}

fn handled(facts: &Facts) -> Handled {
    match (facts.served, facts.forward) {
        (Served::Hit, _) | (Served::Stale, None) => Handled::Hit,
        (_, Some(forward)) => Handled::Forwarded(forward, facts.forward_status),
        (_, None) => Handled::ByNode,
    }
}

/// The last byte is out, or there will be none.
fn note(
    worker: &Worker,
    site: Option<&Site>,
    exchange: &Exchange,
    status: StatusCode,
    (first_byte, duration): (Duration, Duration),
    sent: &Sent,
) {
    let facts = &exchange.facts;
    if let Some(site) = site {
        event::Exchange { site: &site.metrics, served: facts.served as usize, bytes: sent.bytes, duration }
            .emit();
    }
    if let End::Cut(cut) = &sent.end {
        let (kind, by_client) = (Kind::BodyCut.as_str(), false);
        let name = site.map_or("", |site| site.config.name.as_str());
        event::Failed { kind, by_client, site: name, url: &exchange.url, detail: cut }
            .emit(&worker.core.metrics);
    }
    let log = worker.core.log.load();
    if !log.is_on() {
        return;
    }
    let request = &exchange.request;
    let field = |name: HeaderName| request.headers.get(name).map(http::HeaderValue::as_bytes);
    let asked = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    log.write(&Line {
        time: exchange.now,
        site: site.map_or("", |site| site.config.name.as_str()),
        client: exchange.client.address.ip(),
        method: &request.method,
        host: asked.or_else(|| field(HOST)).unwrap_or_default(),
        target: request.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str).as_bytes(),
        protocol: request.version,
        tls: exchange.client.tls,
        status,
        bytes: sent.bytes,
        complete: sent.is_complete(),
        duration,
        first_byte: Some(first_byte),
        served: facts.served,
        forward: facts.forward,
        not_stored: facts.not_stored,
        collapsed: facts.collapsed,
        detail: facts.detail.or_else(|| site?.config.detail()),
        endpoint: facts.endpoint.as_deref(),
        origin: facts.origin_time,
        referer: field(REFERER),
        user_agent: field(USER_AGENT),
    });
}
