//! Before the cache is asked: which site, which key, and what is refused.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, Method, Uri, header};
use http_body::Body as _;

use crate::cache::key;
use crate::context::{Client, Exchange, Facts};
use crate::http::Body;
use crate::limits::REQUEST_TARGET_BYTES_MAX;
use crate::origin::forward;
use crate::rescue::Refusal;
use crate::worker::{Site, Worker};

/// Notes what is known of a request before anything is decided.
#[must_use]
pub fn note(worker: &Worker, request: Parts, client: Client) -> Exchange {
    let core = &worker.core;
    Exchange {
        request,
        client,
        started: Instant::now(),
        now: core.clock.now(),
        position: core.cache.store().seq(),
        host: String::new(),
        url: String::new(),
        target: String::new(),
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
    let target = request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if target.len() > REQUEST_TARGET_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    let (host, port) = authority(&request.uri, &request.headers).ok_or(Refusal::BadRequest)?;
    let port = port.unwrap_or(if exchange.client.tls { 443 } else { 80 });
    exchange.host.push_str(host);
    exchange.host.make_ascii_lowercase();
    if exchange.client.sni.as_deref().is_some_and(|sni| !sni.eq_ignore_ascii_case(&exchange.host)) {
        return Err(Refusal::Misdirected);
    }
    let site = worker.core.sites.load().find(&exchange.host).map(Arc::clone).ok_or(Refusal::Misdirected)?;
    if forward::looped(&request.headers, &worker.core.name) {
        return Err(Refusal::Loop);
    }
    key::target(target, &mut exchange.target).map_err(|_| Refusal::BadRequest)?;
    key::url(exchange.client.scheme(), &exchange.host, port, &exchange.target, &mut exchange.url);
    if body.size_hint().lower() > site.config.request_body_max {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(site)
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
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => {
            let port = &text[colon + 1..];
            (&text[..colon], if port.is_empty() { None } else { Some(port.parse().ok()?) })
        }
        _ => (text, None),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"-._~:[]!$&'()*+,;=%".contains(&c);
    (!host.is_empty() && host.bytes().all(fits)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_the_targets_or_hosts() {
        let rows: [(&str, Option<&str>, Option<(&str, Option<u16>)>); 9] = [
            ("/", Some("a.example"), Some(("a.example", None))),
            ("/", Some("a.example:8080"), Some(("a.example", Some(8080)))),
            ("/", Some("a.example:"), Some(("a.example", None))),
            ("/", Some("a.example."), Some(("a.example", None))),
            ("/", Some("[::1]:80"), Some(("[::1]", Some(80)))),
            ("/", Some("a.example:99999"), None),
            ("/", Some("a/b"), None),
            ("/", None, None),
            ("http://b.example:1/x", Some("a.example"), Some(("b.example", Some(1)))),
        ];
        for (uri, host, wanted) in rows {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, host.parse().expect("a field value"));
            }
            let uri: Uri = uri.parse().expect("a target");
            assert_eq!(authority(&uri, &headers), wanted, "{uri} {host:?}");
        }
    }
}
