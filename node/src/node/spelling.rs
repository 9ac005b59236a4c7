//! The URLs that mean what an operator's URL means: where a site does not let all of a query count, entries lie under
//! what counts of it.

use std::sync::Arc;

use http::Method;
use larder_store::Selector;

use super::Control;
use crate::worker::Site;

/// `url`, which is in the form of a key, as its site keeps it; `None` where it is that already.
pub(super) fn counted(control: &Control, url: &str) -> Option<String> {
    let (origin, target) = split(url)?;
    let site = site(control, origin)?.for_request(&Method::GET, target);
    Some(format!("{origin}{}", site.config.policy.keying.target(target)?))
}

/// What to purge so that `selector` is purged, whatever of a query counts: what was stored while all of it did too.
pub(super) fn selectors(control: &Control, selector: Selector) -> Vec<Selector> {
    let more = match &selector {
        Selector::Url(url) => counted(control, url).into_iter().map(Selector::Url).collect(),
        Selector::Prefix(prefix) => wider(control, prefix),
        Selector::Tag(_) | Selector::Host(_) | Selector::Regex(_) | Selector::All => Vec::new(),
    };
    std::iter::once(selector).chain(more).collect()
}

/// The beginning of a query says nothing where parameters are dropped or sorted: then the whole path is meant.
fn wider(control: &Control, prefix: &str) -> Vec<Selector> {
    let Some((origin, target)) = split(prefix) else { return Vec::new() };
    let (Some(site), Some((path, _))) = (site(control, origin), target.split_once('?')) else {
        return Vec::new();
    };
    if !site.ruled.iter().chain([&site]).any(|site| site.config.policy.keying.changes_queries()) {
        return Vec::new();
    }
    vec![Selector::Prefix(format!("{origin}{path}?")), Selector::Url(format!("{origin}{path}"))]
}

fn site(control: &Control, origin: &str) -> Option<Arc<Site>> {
    let host = origin.split_once("://")?.1;
    control.workers.first()?.sites.load().find(host).map(Arc::clone)
}

/// `http://host:port` and the target.
fn split(url: &str) -> Option<(&str, &str)> {
    let host_at = url.find("://")? + 3;
    let target_at = host_at + url.get(host_at..)?.find('/')?;
    url.split_at_checked(target_at)
}
