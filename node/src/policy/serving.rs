//! The decision on a hit (RFC 9111 4, 4.2.4, 5.2.1; RFC 5861). Costs a clock reading and a compare for a request without
//! `Cache-Control` and `Pragma`; never allocates.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use super::Config;
use super::directives::Directives;
use super::freshness::Freshness;
use super::trouble::is_unreachable;
use crate::clock::Timestamp;
use crate::error::Kind;
use crate::status::Forward;

/// What to do with a stored answer that fits the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serve {
    /// Give it out.
    Fresh,
    /// Give it out and refresh it meanwhile.
    Stale(Leave),
    /// Ask the origin first; the reason is [`Forward::Stale`] or [`Forward::Request`].
    Revalidate(Forward),
}

/// Why a stale answer may be given out before the origin was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// `stale-while-revalidate` of the origin or of the site (RFC 5861 3).
    WhileRevalidate,
    /// `max-stale` of the client (RFC 9111 5.2.1.2).
    MaxStale,
}

impl Leave {
    /// The spelling for header and log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhileRevalidate => "stale-while-revalidate",
            Self::MaxStale => "max-stale",
        }
    }
}

/// Whether a stored answer is still there for this site: `keep` after its lifetime, or as long as it may be served stale.
#[must_use]
pub fn is_kept(config: &Config, freshness: &Freshness, now: Timestamp) -> bool {
    let staleness = freshness.staleness(now);
    staleness <= config.keep
        || config.serve_stored_if_down
        || staleness <= config.stale_if_unreachable
        || staleness <= freshness.stale_if_error
        || staleness <= freshness.stale_while_revalidate
}

/// Decides about a stored answer. `expired`: a soft purge made it stale before its time.
#[must_use]
pub fn serve(
    config: &Config,
    request: &HeaderMap,
    freshness: &Freshness,
    expired: bool,
    now: Timestamp,
) -> Serve {
    let fresh = !expired && !freshness.no_cache && freshness.is_fresh(now);
    let client = client(config, request);
    if let Some(client) = &client
        && refuses(config, client, freshness, fresh, now)
    {
        return Serve::Revalidate(Forward::Request);
    }
    if fresh {
        return Serve::Fresh;
    }
    if freshness.no_cache || freshness.must_revalidate {
        return Serve::Revalidate(Forward::Stale);
    }
    let staleness = freshness.staleness(now);
    let window = freshness.stale_while_revalidate;
    let client_takes_stale = config.client_staleness
        && !expired
        && client.and_then(|client| client.max_stale).is_some_and(|most| staleness <= seconds(most));
    match () {
        () if !window.is_zero() && staleness <= window => Serve::Stale(Leave::WhileRevalidate),
        () if client_takes_stale => Serve::Stale(Leave::MaxStale),
        () => Serve::Revalidate(Forward::Stale),
    }
}

/// Whether a stored answer may be given out instead of an error that counts as one for this site (RFC 5861 4).
#[must_use]
pub fn may_serve_on_error(
    config: &Config,
    request: &HeaderMap,
    freshness: &Freshness,
    expired: bool,
    now: Timestamp,
) -> bool {
    let client =
        if config.client_staleness { client(config, request).and_then(|c| c.stale_if_error) } else { None };
    let window = freshness.stale_if_error.max(client.map_or(Duration::ZERO, seconds));
    may_serve_within(window, freshness, expired, now)
}

/// Whether a stored answer may be given out after a fetch that ended in an error of this kind.
#[must_use]
pub fn may_serve_after(
    kind: Kind,
    config: &Config,
    request: &HeaderMap,
    freshness: &Freshness,
    expired: bool,
    now: Timestamp,
) -> bool {
    if config.stale_if_error_on.counts(kind) && may_serve_on_error(config, request, freshness, expired, now) {
        return true;
    }
    is_unreachable(kind)
        && (may_serve_within(config.stale_if_unreachable, freshness, expired, now)
            || (config.serve_stored_if_down && was_everyones(freshness)))
}

/// Whether the answer was at some time given out without asking the origin first: not with `no-cache`, and not with
/// `max-age=0, must-revalidate`, which says the same. What the origin wants to decide about each time may be one user's.
const fn was_everyones(freshness: &Freshness) -> bool {
    let never_fresh = freshness.must_revalidate && freshness.lifetime.is_zero();
    !(freshness.no_cache || never_fresh)
}

fn may_serve_within(window: Duration, freshness: &Freshness, expired: bool, now: Timestamp) -> bool {
    if freshness.no_cache {
        return false;
    }
    if !expired && freshness.is_fresh(now) {
        return true;
    }
    !freshness.must_revalidate && !window.is_zero() && freshness.staleness(now) <= window
}

/// Whether the client wants an answer from the cache or none (RFC 9111 5.2.1.7): 504 where there is nothing to serve.
#[must_use]
pub fn only_if_cached(config: &Config, request: &HeaderMap) -> bool {
    config.client_directives && client(config, request).is_some_and(|client| client.only_if_cached)
}

/// Whether the client wants the bytes as the origin made them (RFC 9111 5.2.1.6).
#[must_use]
pub fn no_transform(config: &Config, request: &HeaderMap) -> bool {
    config.client_directives && client(config, request).is_some_and(|client| client.no_transform)
}

/// The client's directives where they count and are there at all.
fn client(config: &Config, request: &HeaderMap) -> Option<Directives> {
    let present = request.contains_key(CACHE_CONTROL) || request.contains_key(PRAGMA);
    (present && (config.client_directives || config.client_staleness)).then(|| Directives::request(request))
}

/// Whether the client does not want this stored answer unless the origin confirms it (RFC 9111 5.2.1).
fn refuses(config: &Config, client: &Directives, freshness: &Freshness, fresh: bool, now: Timestamp) -> bool {
    if config.client_directives {
        if client.no_cache {
            return true;
        }
        // RFC 8246 2: a reload is no reason to ask for what is fresh and immutable.
        if let Some(most) = client.max_age
            && !(fresh && freshness.immutable)
            && (most == 0 || freshness.age(now) > seconds(most))
        {
            return true;
        }
    }
    let left = freshness.lifetime.saturating_sub(freshness.age(now));
    config.client_staleness && client.min_fresh.is_some_and(|least| left < seconds(least))
}

fn seconds(value: u32) -> Duration {
    Duration::from_secs(value.into())
}

#[cfg(test)]
mod tests;
