//! How old an answer is and how long it lives (RFC 9111 4.2), computed once when it is stored or refreshed.

use std::time::Duration;

use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::baseline::Exchange;
use super::directives::{DELTA_SECONDS_MAX, delta_seconds, pragma_no_cache, trim};
use super::targeted::{self, Said};
use super::{Config, dates};
use crate::clock::Timestamp;

/// What is kept of an answer to decide about it later without looking at its fields again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// When the answer's head arrived.
    pub response_time: Timestamp,
    /// Age at `response_time`, with apparent age and response delay (RFC 9111 4.2.3).
    pub corrected_age: Duration,
    /// Lifetime (RFC 9111 4.2.1), zero if there is none.
    pub lifetime: Duration,
    /// Whether the lifetime is a guess (RFC 9111 4.2.2).
    pub heuristic: bool,
    /// Unqualified `no-cache`: never used without asking the origin.
    pub no_cache: bool,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: never used stale.
    pub must_revalidate: bool,
    /// Time past the lifetime during which it may be served while it is refreshed (RFC 5861 3).
    pub stale_while_revalidate: Duration,
    /// Time past the lifetime during which it may be served instead of an error (RFC 5861 4).
    pub stale_if_error: Duration,
    /// `immutable` (RFC 8246): a client's `max-age` does not make a fresh answer be asked for again.
    pub immutable: bool,
}

impl Freshness {
    /// The same with up to `percent` of its lifetime taken off, as much as `seed` says: answers that came together are
    /// not asked for again together.
    #[must_use]
    pub fn jittered(self, percent: u32, seed: u64) -> Self {
        if percent == 0 {
            return self;
        }
        // Any two seeds, however near, say something else (splitmix64's last step).
        let mut mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part =
            f64::from((mixed >> 32) as u32) / f64::from(u32::MAX) * f64::from(percent.min(100)) / 100.0;
        Self { lifetime: self.lifetime - self.lifetime.mul_f64(part).min(self.lifetime), ..self }
    }

    /// Age at `now` (RFC 9111 4.2.3: current_age).
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        self.corrected_age.saturating_add(now.since(self.response_time))
    }

    /// When the origin made it, as far as its `Date` and `Age` say: of several answers that fit, the newest is used
    /// (RFC 9111 4).
    #[must_use]
    pub fn made(&self) -> Timestamp {
        let age = u64::try_from(self.corrected_age.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.response_time.0.saturating_sub(age))
    }

    /// Whole seconds of life left, rounded down, negative when stale: the `ttl` of RFC 9211.
    #[must_use]
    pub fn ttl(&self, now: Timestamp) -> i64 {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        millis(self.lifetime).saturating_sub(millis(self.age(now))).div_euclid(1000)
    }

    /// Whether the lifetime exceeds the age (RFC 9111 4.2). `no-cache` is not looked at: [`super::serving::serve`] does.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.lifetime > self.age(now)
    }

    /// Time since the lifetime ended; zero while fresh.
    #[must_use]
    pub fn staleness(&self, now: Timestamp) -> Duration {
        self.age(now).saturating_sub(self.lifetime)
    }
}

/// The freshness of an answer whose request went out at `request_time` and whose head came at `response_time`. After
/// a 304 it is computed from the merged head (RFC 9111 4.3.4).
#[must_use]
pub fn freshness(
    config: &Config,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    request_time: Timestamp,
    response_time: Timestamp,
) -> Freshness {
    let said = targeted::directives(config, response);
    let date = date(response, DATE, response_time).unwrap_or(response_time.seconds());
    let (lifetime, heuristic) = lifetime(config, request, status, response, &said, date, response_time);
    let directives = &said.directives;
    let window =
        |said: Option<u32>, default| said.map_or(default, |seconds| Duration::from_secs(seconds.into()));
    let mut freshness = Freshness {
        response_time,
        corrected_age: corrected_age(response, date, request_time, response_time),
        lifetime,
        heuristic,
        no_cache: directives.no_cache,
        must_revalidate: directives.forbids_stale(),
        stale_while_revalidate: window(directives.stale_while_revalidate, config.stale_while_revalidate),
        stale_if_error: window(directives.stale_if_error, config.stale_if_error),
        immutable: directives.immutable,
    };
    config.overrides.prolong(status, &mut freshness);
    freshness
}

/// RFC 9111 4.2.3: corrected_initial_age.
fn corrected_age(
    response: &HeaderMap,
    date: u64,
    request_time: Timestamp,
    response_time: Timestamp,
) -> Duration {
    let apparent = Duration::from_secs(response_time.seconds().saturating_sub(date));
    let delay = response_time.since(request_time);
    let corrected = Duration::from_secs(u64::from(age_value(response))).saturating_add(delay);
    apparent.max(corrected)
}

/// The first member of `Age`; what is no number is ignored (RFC 9111 5.1).
pub(super) fn age_value(response: &HeaderMap) -> u32 {
    let first = response.get(AGE).map(HeaderValue::as_bytes).unwrap_or_default();
    let first = first.split(|byte| *byte == b',').next().unwrap_or_default();
    delta_seconds(trim(first)).unwrap_or(0)
}

/// A date field, `None` if missing or invalid; of several lines the first (RFC 9111 4.2.1).
fn date(response: &HeaderMap, name: HeaderName, now: Timestamp) -> Option<u64> {
    dates::parse(response.get(name)?.as_bytes(), now.seconds())
}

/// `Expires`; one that is no date is in the past (RFC 9111 5.3), of several the earliest counts (4.2.1).
fn expires(response: &HeaderMap, now: Timestamp) -> Option<u64> {
    let parsed = |value: &HeaderValue| dates::parse(value.as_bytes(), now.seconds()).unwrap_or(0);
    response.get_all(EXPIRES).iter().map(parsed).min()
}

/// Lifetime and whether it is heuristic (RFC 9111 4.2.1 and 4.2.2).
fn lifetime(
    config: &Config,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    said: &Said,
    date_value: u64,
    now: Timestamp,
) -> (Duration, bool) {
    let expires = if said.targeted { None } else { expires(response, now) };
    let explicit = said.directives.has_lifetime() || expires.is_some();
    let guess = !explicit && may_guess(request, status, response, said);
    let exchange = Exchange {
        heuristic_status: true,
        s_maxage: said.directives.s_maxage,
        max_age: said.directives.max_age,
        date: date_value,
        expires,
        last_modified: if guess { date(response, LAST_MODIFIED, now) } else { None },
        ..Exchange::default()
    };
    let lifetime = exchange.lifetime(config.heuristic_percent);
    if explicit {
        (lifetime.min(Duration::from_secs(DELTA_SECONDS_MAX.into())), false)
    } else {
        let lifetime = lifetime.min(config.heuristic_max);
        (lifetime, !lifetime.is_zero())
    }
}

/// Whether a heuristic is allowed: a heuristically cacheable status or `public` (RFC 9111 4.2.2); by our choice not
/// when the answer is marked `Pragma: no-cache` and nothing newer, nor for a request that names its user.
fn may_guess(request: &HeaderMap, status: StatusCode, response: &HeaderMap, said: &Said) -> bool {
    use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE};
    let personal = request.contains_key(COOKIE) || request.contains_key(AUTHORIZATION);
    let old_no_cache = !response.contains_key(CACHE_CONTROL) && pragma_no_cache(response);
    let allowed = is_heuristically_cacheable(status) || said.directives.public;
    allowed && !personal && !old_no_cache
}

/// The statuses of RFC 9110 15.1 (without 206, which is not stored).
#[must_use]
pub fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Whether the answer gives its own lifetime: `max-age`, `s-maxage` or `Expires` as far as they count for us.
#[must_use]
pub(super) fn is_explicit(response: &HeaderMap, said: &Said) -> bool {
    said.directives.has_lifetime() || (!said.targeted && response.contains_key(EXPIRES))
}

/// Adds `Date` with the time of reception where the origin sent none (RFC 9110 6.6.1).
pub fn ensure_date(response: &mut HeaderMap, response_time: Timestamp) {
    if response.contains_key(DATE) {
        return;
    }
    response.insert(DATE, http_date(response_time));
}

/// The value of `Date` at this time.
#[must_use]
pub fn http_date(time: Timestamp) -> HeaderValue {
    let at = std::time::UNIX_EPOCH + Duration::from_secs(time.seconds().min(dates::LATEST));
    HeaderValue::from_str(&httpdate::fmt_http_date(at)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
