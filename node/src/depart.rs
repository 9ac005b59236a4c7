//! The last step: what every answer is signed with, and what is noted at its last byte.

use std::sync::Arc;

use crate::context::{Exchange, Facts};
use crate::http::Response;
use crate::status::Served;
use crate::transform::headers::{self, CacheStatus, Handled};
use crate::worker::{Site, Worker};

/// Signs `response` and sees to it that its end is noted. `site`: none where the request was refused before one was found.
pub fn finish(worker: &Arc<Worker>, site: Option<Arc<Site>>, exchange: Exchange, mut response: Response) -> Response {
    let facts = &exchange.facts;
    let status = CacheStatus {
        handled: handled(facts),
        ttl: facts.ttl,
        stored: facts.stored,
        collapsed: facts.collapsed,
        key: None,
        detail: facts.detail.or_else(|| facts.not_stored.map(|why| why.as_str())),
    };
    let show_tags = site.as_ref().is_some_and(|site| site.config.show_tags);
    headers::finish(response.headers_mut(), &worker.signature, None, show_tags, &status);
    response
}

fn handled(facts: &Facts) -> Handled {
    match (facts.served, facts.forward) {
        (Served::Hit, _) | (Served::Stale, None) => Handled::Hit,
        (_, Some(forward)) => Handled::Forwarded(forward, facts.forward_status),
        (_, None) => Handled::ByNode,
    }
}
