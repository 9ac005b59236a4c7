//! `PURGE` on a site's own listener: from the networks, or with the token, that `[site.purge]` names.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode, header};
use larder_store::{Purge, Selector};
use serde_json::json;

use crate::context::Exchange;
use crate::http::{Body, Response};
use crate::purge::{Failed, Invalid, Kind, Order, carries};
use crate::status::Served;
use crate::worker::{Site, Worker};

/// Fields that name tags instead of the URL, each its values separated by spaces or commas.
const TAGS: [HeaderName; 3] = [
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("xkey"),
];

/// Whether the request is a `PURGE`: it is never sent on.
#[must_use]
pub fn is_asked(exchange: &Exchange) -> bool {
    exchange.request.method.as_str() == "PURGE"
}

/// Purges the URL of the request, or the tags it names, if the site lets the one who asks.
pub async fn answer(worker: &Arc<Worker>, site: &Site, exchange: &mut Exchange) -> Response {
    exchange.facts.served = Served::Purge;
    let (status, detail, body) = match carry(worker, site, exchange).await {
        Ok(told) => (StatusCode::OK, None, told),
        Err(no) => {
            let (status, error) = no.told();
            (status, Some(no.word()), json!({ "status": "error", "msg": error }))
        }
    };
    exchange.facts.detail = detail;
    let mut response = Response::new(Body::from(bytes::Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let more = match status {
        StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, "GET, HEAD")),
        StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"larder\"")),
        StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "1")),
        _ => None,
    };
    if let Some((name, value)) = more {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why nothing was purged.
enum No {
    /// The site has no `[site.purge]`.
    Off,
    /// Neither network nor token, and a token would do.
    Unknown,
    /// Not from one of the networks.
    Stranger,
    /// Tags reach every site.
    Tags,
    /// Not a tag.
    Invalid(Invalid),
    /// The log did not take it.
    Failed(Failed),
}

impl No {
    const fn word(&self) -> &'static str {
        match self {
            Self::Off => "purge-off",
            Self::Unknown | Self::Stranger | Self::Tags => "purge-refused",
            Self::Invalid(_) => "purge-invalid",
            Self::Failed(_) => "purge-failed",
        }
    }

    fn told(&self) -> (StatusCode, String) {
        match self {
            Self::Off => (StatusCode::METHOD_NOT_ALLOWED, "PURGE is off for this site".into()),
            Self::Unknown => (StatusCode::UNAUTHORIZED, "token missing or wrong".into()),
            Self::Stranger => (StatusCode::FORBIDDEN, "PURGE is not for your address".into()),
            Self::Tags => {
                let error = "tags reach every site of the node: set tags = true in [site.purge]";
                (StatusCode::FORBIDDEN, error.into())
            }
            Self::Invalid(invalid) => (StatusCode::BAD_REQUEST, invalid.error.clone()),
            Self::Failed(failed) => (StatusCode::SERVICE_UNAVAILABLE, failed.to_string()),
        }
    }
}

async fn carry(worker: &Arc<Worker>, site: &Site, exchange: &Exchange) -> Result<serde_json::Value, No> {
    let purges = &worker.core.purges;
    let purge = may(site, exchange).and_then(|tags_too| purge(exchange, tags_too)).inspect_err(|no| {
        if !matches!(no, No::Off) {
            let from = exchange.client.address;
            purges.refuse(&site.config.name, from, &no.told().1);
        }
    })?;
    let order = Order {
        id: None,
        purge,
        undo: None,
        dry_run: false,
        author: Some(format!("PURGE at {}", site.config.name)),
        reason: None,
    };
    let receipt = purges.carry_out(order).await.map_err(No::Failed)?;
    Ok(json!({ "status": "ok", "id": receipt.id, "node": receipt.node, "sequence": receipt.sequence }))
}

/// Whether the one who asks may purge, and if so, whether by tag.
fn may(site: &Site, exchange: &Exchange) -> Result<bool, No> {
    let access = site.config.purge.as_ref().ok_or(No::Off)?;
    let address = exchange.client.address.ip().to_canonical();
    let near = access.networks.iter().any(|network| network.contains(&address));
    match &access.token {
        _ if near => Ok(access.tags),
        Some(token) if carries(&exchange.request.headers, token) => Ok(access.tags),
        Some(_) => Err(No::Unknown),
        None => Err(No::Stranger),
    }
}

fn purge(exchange: &Exchange, tags_too: bool) -> Result<Purge, No> {
    let headers = &exchange.request.headers;
    let soft = headers.get("fastly-soft-purge").is_some_and(|value| value.as_bytes() != b"0");
    let mut tags = Vec::new();
    for field in TAGS.iter().flat_map(|name| headers.get_all(name)) {
        let text = String::from_utf8_lossy(field.as_bytes());
        tags.extend(text.split([' ', ',', '\t']).filter(|tag| !tag.is_empty()).map(str::to_owned));
    }
    if tags.is_empty() {
        return Ok(Purge { selectors: urls(exchange), soft });
    }
    if !tags_too {
        return Err(No::Tags);
    }
    // The same checks and bounds as those of the admin listener.
    let body = json!({ "kind": Kind::Tag, "selectors": tags, "soft": soft }).to_string();
    Order::parse(body.as_bytes()).map(|order| order.purge).map_err(No::Invalid)
}

/// The URL asked for, and the same on the usual ports of both schemes: who purges from inside speaks HTTP where clients
/// speak HTTPS. A target that ends with `*` is the beginning of those that are meant, as nginx has it.
fn urls(exchange: &Exchange) -> Vec<Selector> {
    let (authority, target) = (exchange.authority(), exchange.target());
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    let port = authority[after_brackets..].find(':').map(|at| after_brackets + at);
    let host = &authority[..port.unwrap_or(authority.len())];
    let mut urls = vec![exchange.url.clone()];
    for (scheme, port) in [("http", 80), ("https", 443)] {
        let url = format!("{scheme}://{host}:{port}{target}");
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    let selector = |url: String| match url.strip_suffix('*') {
        Some(beginning) => Selector::Prefix(beginning.to_owned()),
        None => Selector::Url(url),
    };
    urls.into_iter().map(selector).collect()
}
