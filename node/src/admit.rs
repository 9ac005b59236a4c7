//! Before the cache is asked: which site, which key, and what is refused.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, Method, Uri, header};
use http_body::Body as _;

use crate::cache::key;
use crate::content::Content;
use crate::context::{Client, Exchange, Facts};
use crate::http::Body;
use crate::limits::REQUEST_TARGET_BYTES_MAX;
use crate::origin::forward;
use crate::rescue::Refusal;
use crate::status::Forward;
use crate::worker::{Site, Worker};

/// Notes what is known of a request before anything is decided.
#[must_use]
pub fn note(worker: &Worker, request: Parts, client: Client) -> Exchange {
    let (core, started) = (&worker.core, Instant::now());
    Exchange {
        request,
        client,
        started,
        now: core.clock.at(started),
        position: core.cache.store().seq(),
        url: String::new(),
        target_at: 0,
        whole_target: None,
        passes: None,
        base: String::new(),
        content: Content::default(),
        facts: Facts::default(),
    }
}

/// Finds the site and the key of a request.
///
/// # Errors
/// Why the node answers it itself.
pub fn admit(worker: &Worker, exchange: &mut Exchange, body: &Body) -> Result<Arc<Site>, Refusal> {
    let request = &exchange.request;
    if matches!(request.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::Method);
    }
    if expects_more(request) {
        return Err(Refusal::Expectation);
    }
    let target = request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if target.len() > REQUEST_TARGET_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    let (host, port) = authority(&request.uri, &request.headers).ok_or(Refusal::BadRequest)?;
    let port = port.unwrap_or(if exchange.client.tls { 443 } else { 80 });
    if exchange.client.sni.as_deref().is_some_and(|sni| !sni.eq_ignore_ascii_case(host)) {
        return Err(Refusal::Misdirected);
    }
    let site = worker.sites.load().find(host).map(Arc::clone).ok_or(Refusal::Misdirected)?;
    if forward::looped(&request.headers, &worker.core.name) {
        return Err(Refusal::Loop);
    }
    key::origin_of(exchange.client.scheme(), host, port, target.len(), &mut exchange.url);
    exchange.target_at = exchange.url.len();
    key::target(target, &mut exchange.url).map_err(|_| Refusal::BadRequest)?;
    if body.size_hint().lower() > site.config.request_body_max {
        return Err(Refusal::BodyTooLarge);
    }
    if forward::names_fields(&exchange.request.headers) {
        forward::clean_request(&mut exchange.request.headers);
    }
    let site = site.for_request(&exchange.request.method, exchange.target());
    reduce(&site, exchange);
    Ok(site)
}

/// Whether the request goes past the cache, and if not, brings it into the form in which it counts.
fn reduce(site: &Site, exchange: &mut Exchange) {
    let (keying, request) = (&site.config.policy.keying, &mut exchange.request);
    exchange.passes = match &site.config.rule {
        _ if !matches!(request.method, Method::GET | Method::HEAD | Method::QUERY) => Some(Forward::Method),
        Some(rule) if rule.pass.takes(&request.headers) => Some(Forward::Bypass),
        _ => None,
    };
    if exchange.passes.is_some() {
        keying.tell_device(&mut request.headers);
    } else if !keying.leaves_fields() {
        keying.reduce(&mut request.headers);
    }
    if exchange.passes.is_none() {
        site.config.vary.reduce(&mut exchange.request.headers, site.config.compress.enabled);
    }
    // Also the key of an unsafe request, so that it invalidates what a GET of the same URL is kept under.
    let target = exchange.url.get(exchange.target_at..).unwrap_or_default();
    if let Some(counted) = keying.target(target) {
        exchange.whole_target = Some(target.into());
        exchange.url.truncate(exchange.target_at);
        exchange.url.push_str(&counted);
    }
}

/// Whether a request expects anything but one `100-continue` (RFC 9110 10.1.1): nobody here could meet that. HTTP/1.0
/// knows no expectations.
fn expects_more(request: &Parts) -> bool {
    let mut lines = request.headers.get_all(header::EXPECT).iter();
    let Some(first) = lines.next() else { return false };
    let met = first.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue") && lines.next().is_none();
    !met && request.version != http::Version::HTTP_10
}

/// Host and port a request is for: of its target where it is absolute (HTTP/2 always), of `Host` otherwise
/// (RFC 9110 7.2).
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<(&'a str, Option<u16>)> {
    let text = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => {
            let mut hosts = headers.get_all(header::HOST).iter();
            let (first, None) = (hosts.next()?, hosts.next()) else { return None };
            first.to_str().ok()?
        }
    };
    let (host, port) = key::authority(text).ok()?;
    Some((host.strip_suffix('.').unwrap_or(host), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_the_targets_or_hosts() {
        type Row<'a> = (&'a str, &'a [&'a str], Option<(&'a str, Option<u16>)>);
        let rows: [Row<'_>; 6] = [
            ("/", &["a.example"], Some(("a.example", None))),
            ("/", &["a.example.:8080"], Some(("a.example", Some(8080)))),
            ("/", &["a.example."], Some(("a.example", None))),
            ("/", &["a.example", "a.example"], None),
            ("/", &[], None),
            ("http://b.example:1/x", &["a.example"], Some(("b.example", Some(1)))),
        ];
        for (uri, hosts, wanted) in rows {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().expect("a field value"));
            }
            let uri: Uri = uri.parse().expect("a target");
            assert_eq!(authority(&uri, &headers), wanted, "{uri} {hosts:?}");
        }
    }
}
