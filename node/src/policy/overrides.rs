//! What an operator says of an answer against its origin's word. RFC 9111 leaves that to no cache by itself, so nothing
//! here happens unless a rule of the site says just that (`proxy_ignore_headers` of nginx, `beresp.ttl` of Varnish).

use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::directives::Directives;
use super::freshness::Freshness;
use super::targeted::Said;

const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// The lifetime, from the moment the answer comes.
    pub ttl: Option<Duration>,
    /// The least that is left of the lifetime then.
    pub ttl_min: Option<Duration>,
    /// The most.
    pub ttl_max: Option<Duration>,
    /// Lifetimes by status; they outrank `ttl`.
    pub status_ttl: Vec<(Statuses, Duration)>,
    /// What clients are told instead of the origin's lifetime.
    pub browser_ttl: Option<Duration>,
    /// The origin's lifetimes, `no-cache` and `must-revalidate` do not count; `no-store` and `private` do.
    pub ignore_cache_control: bool,
    /// `no-store` of an answer does not keep it from being stored.
    pub despite_no_store: bool,
    /// Nor does `private`.
    pub despite_private: bool,
    /// Nor `Authorization` in the request.
    pub despite_authorization: bool,
    /// Tags in addition to the origin's.
    pub tags: Vec<Box<str>>,
}

/// One status, or all of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// 404.
    One(u16),
    /// `5xx` is 5.
    Class(u16),
}

impl Overrides {
    /// The lifetime that answers with this status have, whatever the origin says.
    #[must_use]
    pub fn lifetime(&self, status: StatusCode) -> Option<Duration> {
        let code = status.as_u16();
        let by = |wanted: Statuses| self.status_ttl.iter().find(|(of, _)| *of == wanted).map(|(_, ttl)| *ttl);
        by(Statuses::One(code))
            .or_else(|| by(Statuses::Class(code / 100)))
            .or(self.ttl.filter(|_| code < 400))
    }

    /// Whether answers with this status have a lifetime by the rule.
    #[must_use]
    pub fn gives(&self, status: StatusCode) -> bool {
        let at_least = self.ttl_min.filter(|_| status.as_u16() < 400);
        self.lifetime(status).or(at_least).is_some_and(|ttl| !ttl.is_zero())
    }

    /// Whether answers with this status are not to be stored.
    #[must_use]
    pub fn forbids(&self, status: StatusCode) -> bool {
        self.lifetime(status).is_some_and(|ttl| ttl.is_zero())
    }

    /// Takes out of what the origin says what the rule does not let count.
    pub(super) fn silence(&self, said: &mut Said) {
        if self.ignore_cache_control {
            let told = std::mem::take(&mut said.directives);
            said.directives = Directives {
                no_store: told.no_store,
                private: told.private,
                private_fields: told.private_fields,
                no_cache_fields: told.no_cache_fields,
                must_understand: told.must_understand,
                no_transform: told.no_transform,
                ..Directives::default()
            };
            // `Expires` counts no more than `Cache-Control`.
            said.targeted = true;
        }
        said.directives.no_store &= !self.despite_no_store;
        said.directives.private &= !self.despite_private;
    }

    /// Sets or clamps the lifetime.
    pub(super) fn prolong(&self, status: StatusCode, freshness: &mut Freshness) {
        let age = freshness.corrected_age;
        if let Some(ttl) = self.lifetime(status) {
            freshness.lifetime = age.saturating_add(ttl);
            freshness.heuristic = false;
        }
        if status.as_u16() >= 400 {
            return;
        }
        let left = freshness.lifetime.saturating_sub(age);
        if let Some(least) = self.ttl_min.filter(|least| left < *least) {
            freshness.lifetime = age.saturating_add(least);
            freshness.heuristic = false;
        }
        if let Some(most) = self.ttl_max.filter(|most| left > *most) {
            freshness.lifetime = age.saturating_add(most);
        }
    }

    /// Writes the rule's tags beside the origin's, so that a purge finds them wherever it finds those.
    pub(crate) fn tag(&self, headers: &mut HeaderMap) {
        for tag in &self.tags {
            let there = headers.get_all(&SURROGATE_KEY).iter().any(|line| line.as_bytes() == tag.as_bytes());
            if let Ok(value) = HeaderValue::from_str(tag)
                && !there
            {
                headers.append(SURROGATE_KEY, value);
            }
        }
    }

    /// Tells a client the lifetime that the rule gives it, from `date` on; neither the origin's lifetime nor the time
    /// spent here counts for it.
    pub fn tell_client(&self, headers: &mut HeaderMap, date: HeaderValue) {
        let Some(ttl) = self.browser_ttl else { return };
        for name in [AGE, EXPIRES, PRAGMA] {
            headers.remove(name);
        }
        headers.insert(DATE, date);
        let value = match ttl.as_secs() {
            0 => HeaderValue::from_static("no-cache"),
            seconds => HeaderValue::from_str(&format!("max-age={seconds}"))
                .unwrap_or(HeaderValue::from_static("no-cache")),
        };
        headers.insert(CACHE_CONTROL, value);
    }
}

#[cfg(test)]
mod tests;
