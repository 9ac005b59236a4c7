//! May an answer be stored, and which of its fields (RFC 9111 3).
//!
//! The list of section 3 itself is the crate's verdict (`baseline.rs`); this file prepares its question, names the
//! reason of a "no", and refuses what the RFC would allow but we do not dare.

use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LOCATION, COOKIE, DATE, ETAG, EXPIRES, LAST_MODIFIED, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::baseline::Exchange;
use super::directives::{Directives, list};
use super::freshness::{age_value, is_explicit, is_heuristically_cacheable};
use super::targeted::{self, Said};
use super::{Config, SetCookie, dates, reference, vary};
use crate::status::NotStored;

/// Whether the answer to this request may be stored under its URL; the first rule that forbids it otherwise.
///
/// # Errors
/// The reason, as header, log and metric spell it.
pub fn may_store(
    config: &Config,
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
) -> Result<(), NotStored> {
    if method != Method::GET {
        return Err(NotStored::Method);
    }
    judge(config, request, status, response)
}

/// Whether the answer to a POST may be stored as what a later GET of `target` would bring (RFC 9110 9.3.3): explicit
/// freshness and a `Content-Location` that is the URL of the POST. `target` is the absolute URL requested.
///
/// # Errors
/// As [`may_store`].
pub fn may_store_post(
    config: &Config,
    target: &str,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
) -> Result<(), NotStored> {
    let said = targeted::directives(config, response);
    let location = response.get(CONTENT_LOCATION).and_then(|value| value.to_str().ok());
    let itself = location.and_then(|location| reference::resolve(target, location));
    if status != StatusCode::OK || !is_explicit(response, &said) || itself.as_deref() != Some(target) {
        return Err(NotStored::Method);
    }
    judge(config, request, status, response)
}

fn judge(
    config: &Config,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
) -> Result<(), NotStored> {
    let said = targeted::directives(config, response);
    let directives = &said.directives;
    if !is_storable(status) || (directives.must_understand && !is_understood(status)) {
        return Err(NotStored::Status);
    }
    let overrides = &config.overrides;
    if overrides.forbids(status) {
        return Err(NotStored::Configured);
    }
    let (ruled, own) = (overrides.gives(status), is_explicit(response, &said));
    let explicit = ruled || own;
    let exchange = Exchange {
        heuristic_status: ruled || is_heuristically_cacheable(status),
        authorization: request.contains_key(AUTHORIZATION) && !overrides.despite_authorization,
        request_no_store: config.client_directives && Directives::request(request).no_store,
        // RFC 9111 5.2.2.3: a cache that understands the status ignores no-store.
        no_store: directives.no_store && !directives.must_understand,
        private: directives.private,
        public: directives.public,
        must_revalidate: directives.must_revalidate,
        s_maxage: directives.s_maxage,
        max_age: directives.max_age,
        expires: (!said.targeted && response.contains_key(EXPIRES)).then_some(0),
        ..Exchange::default()
    };
    if !exchange.is_storable() {
        return Err(why_not(&exchange));
    }
    if matches!(vary::parse(response), vary::Vary::Star) {
        return Err(NotStored::VaryStar);
    }
    if response.contains_key(SET_COOKIE) && !may_drop_cookie(config, directives) {
        return Err(NotStored::SetCookie);
    }
    let everyones = own && outlives_its_fetch(response, &said);
    match () {
        () if !(ruled || everyones) && exchange.authorization => Err(NotStored::Authorization),
        () if !everyones && request.contains_key(COOKIE) && !config.keying.counts_cookies() => {
            Err(NotStored::Cookie)
        }
        () if ruled || is_reusable(config, response, &said) => Ok(()),
        () if explicit => Err(NotStored::Expired),
        () => Err(NotStored::NoFreshness),
    }
}

/// Whether the answer may be given to anybody without asking, at least for a moment, by its origin's own word. What must
/// be asked about each time may be different for each who asks, and a waiting crowd or a failing origin would show one
/// user's to another.
fn outlives_its_fetch(response: &HeaderMap, said: &Said) -> bool {
    let lifetime = said.directives.s_maxage.or(said.directives.max_age);
    let lives = match lifetime {
        Some(lifetime) => lifetime > 0,
        None => !said.targeted && response.contains_key(DATE) && expires_later(response),
    };
    lives && !said.directives.no_cache
}

/// Names the rule of section 3 that the exchange fails.
fn why_not(exchange: &Exchange) -> NotStored {
    let for_all = exchange.public || exchange.must_revalidate || exchange.s_maxage.is_some();
    match () {
        () if exchange.request_no_store => NotStored::RequestNoStore,
        () if exchange.no_store => NotStored::NoStore,
        () if exchange.private => NotStored::Private,
        () if exchange.authorization && !for_all => NotStored::Authorization,
        () => NotStored::NoFreshness,
    }
}

/// Final and whole, and about the resource: not 206 and 304, whose body is not the representation, and none of the
/// statuses that answer this one request's credentials, preconditions, range, size, pace or connection. RFC 6585
/// forbids storing 428, 429, 431 and 511 outright.
fn is_storable(status: StatusCode) -> bool {
    !status.is_informational() && !is_about_one_request(status.as_u16())
}

/// Whether answers with this status say something of one request and nothing of the resource.
#[must_use]
pub const fn is_about_one_request(code: u16) -> bool {
    matches!(
        code,
        206 | 304 | 401 | 407 | 408 | 411 | 412 | 413 | 416 | 417 | 421 | 425 | 426 | 428 | 429 | 431 | 511
    )
}

/// The statuses whose caching rules we follow (RFC 9110 15), for `must-understand` (RFC 9111 5.2.2.3).
fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

fn may_drop_cookie(config: &Config, directives: &Directives) -> bool {
    match config.set_cookie {
        SetCookie::Strip | SetCookie::Keep => true,
        SetCookie::Refuse => {
            directives.public || directives.s_maxage.is_some() || directives.withholds(&SET_COOKIE)
        }
    }
}

/// Whether the stored answer could ever be used: it has a validator, some life left by its own words, or leave to be
/// served stale.
fn is_reusable(config: &Config, response: &HeaderMap, said: &Said) -> bool {
    let directives = &said.directives;
    if response.contains_key(ETAG) || response.contains_key(LAST_MODIFIED) {
        return true;
    }
    if directives.no_cache {
        return false;
    }
    let stale = |said: Option<u32>, site: Duration| said.map_or(!site.is_zero(), |seconds| seconds > 0);
    let served_stale = !directives.forbids_stale()
        && (stale(directives.stale_while_revalidate, config.stale_while_revalidate)
            || stale(directives.stale_if_error, config.stale_if_error));
    let lives = match directives.s_maxage.or(directives.max_age) {
        Some(lifetime) => lifetime > age_value(response),
        None => !said.targeted && expires_later(response),
    };
    lives || served_stale
}

/// Whether every `Expires` is a date, and after `Date` where there is one.
fn expires_later(response: &HeaderMap) -> bool {
    let date = response.get(DATE).and_then(|value| dates::parse(value.as_bytes(), dates::REFERENCE));
    let later = |value: &HeaderValue| {
        dates::parse(value.as_bytes(), date.unwrap_or(dates::REFERENCE))
            .is_some_and(|at| at > date.unwrap_or(0))
    };
    response.contains_key(EXPIRES) && response.get_all(EXPIRES).iter().all(later)
}

/// The fields of an answer as they may be stored (RFC 9111 3.1): without those of one connection or one proxy, without
/// those a qualified `no-cache` or `private` names, and without cookies unless the site keeps them.
#[must_use]
pub fn stored_fields(config: &Config, response: &HeaderMap) -> HeaderMap {
    let said = targeted::directives(config, response);
    let mut kept = HeaderMap::with_capacity(response.keys_len());
    for (name, value) in response {
        if !is_withheld(config, response, &said.directives, name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Whether a field of `response` may not be stored.
pub(super) fn is_withheld(
    config: &Config,
    response: &HeaderMap,
    directives: &Directives,
    name: &HeaderName,
) -> bool {
    is_hop_by_hop(name)
        || directives.withholds(name)
        || (*name == SET_COOKIE && config.set_cookie != SetCookie::Keep)
        || named_by_connection(response, name)
}

/// RFC 9110 7.6.1 and RFC 9111 3.1.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    const OTHERS: [&str; 5] = [
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
    ];
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name) || OTHERS.contains(&name.as_str())
}

fn named_by_connection(response: &HeaderMap, name: &HeaderName) -> bool {
    let names_it = |line: &HeaderValue| {
        list(line.as_bytes()).any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    response.get_all(CONNECTION).iter().any(names_it)
}

#[cfg(test)]
mod tests;
