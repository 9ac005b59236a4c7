//! RFC 9111 as pure functions: fields and a time in, a verdict and its reason out. No I/O, no clock, no async.
//!
//! ```text
//! directives  Cache-Control as a request or an answer carries it (RFC 9111 5.2)
//! targeted    CDN-Cache-Control and Surrogate-Control, which replace it for us (RFC 9213)
//! storing     may this answer be kept, and which of its fields (RFC 9111 3)
//! freshness   how old it is and how long it lives (RFC 9111 4.2)
//! serving     fresh, stale while it is refreshed, or to the origin first (RFC 9111 4.2.4, RFC 5861)
//! trouble     which failures count as errors for stale-if-error (RFC 5861 4)
//! validation  conditions of clients, our own conditions, what a 304 or a HEAD updates (RFC 9111 4.3)
//! partial     parts of an answer: what to ask for, and what a 206 is (RFC 9111 3.3, 3.4)
//! vary        which variant a request selects (RFC 9111 4.1)
//! keying      what tells answers apart as a site declares it: query, cookies, device
//! overrides   what a site's rule says against its origin's word
//! negotiate   fields of preference reduced to what a site declares (RFC 9110 12.5)
//! query       the key of a QUERY (RFC 10008)
//! search      which differences in a query do not matter (No-Vary-Search)
//! ordinary    request fields and values that every client sends
//! stray       those that nothing puts into a key, and what becomes of answers to them
//! deception   paths that look like files and answers that are none
//! upstream    which fields of a request an origin does not get as they were sent
//! invalidation  what an unsafe method makes wrong (RFC 9111 4.4)
//! keeping     which answers stay when the disk runs out of room
//! baseline    the second opinion of the crate `http-cache-semantics`
//! ```
//!
//! Everything but [`serving`], [`vary`] and the conditions of a client runs on a miss or a refresh only.

pub mod deception;
pub mod device;
pub mod directives;
pub mod freshness;
pub mod invalidation;
pub mod keeping;
pub mod keying;
pub mod negotiate;
pub mod ordinary;
pub mod overrides;
pub mod partial;
pub mod pattern;
pub mod query;
pub mod search;
pub mod serving;
pub mod storing;
pub mod stray;
pub mod targeted;
pub mod trouble;
pub mod upstream;
pub mod validation;
pub mod vary;

mod baseline;
mod dates;
#[cfg(test)]
mod differential;
mod etag;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod model;
mod reference;
mod structured;
pub mod tags;

use std::time::Duration;

use http::HeaderName;

/// What becomes of `Set-Cookie` in an answer that could be stored otherwise (RFC 9111 7.3 leaves it to the origin).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetCookie {
    /// Not stored, unless the origin says `public` or `s-maxage` or names the field in a qualified `no-cache` or
    /// `private`; then it is stored without the field.
    #[default]
    Refuse,
    /// Stored as if the field were not there, and without it.
    Strip,
    /// Stored and given to everyone, as RFC 9111 3.1 and 7.3 read to the letter.
    Keep,
}

/// What a site says about caching, as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Share of the time since `Last-Modified` that is taken for a lifetime, in percent (RFC 9111 4.2.2).
    pub heuristic_percent: u32,
    /// Longest heuristic lifetime.
    pub heuristic_max: Duration,
    /// `stale-while-revalidate` where the origin says nothing.
    pub stale_while_revalidate: Duration,
    /// `stale-if-error` where the origin says nothing.
    pub stale_if_error: Duration,
    /// Time past its lifetime that an answer is served while no endpoint of the origin can be reached at all and the
    /// origin did not forbid it (RFC 9111 4.2.4: a disconnected cache).
    pub stale_if_unreachable: Duration,
    /// What counts as an error for `stale-if-error`.
    pub stale_if_error_on: trouble::Trouble,
    /// Whether, while no endpoint can be reached at all, whatever is stored is served, however stale: this overrides
    /// `must-revalidate`, `proxy-revalidate` and `s-maxage` (RFC 9111 4.2.4 forbids it) and ends `keep`.
    pub serve_stored_if_down: bool,
    /// Whether `no-cache`, `no-store`, `max-age` and `only-if-cached` of a client count.
    pub client_directives: bool,
    /// Whether `max-stale`, `min-fresh` and `stale-if-error` of a client count.
    pub client_staleness: bool,
    /// How long a stale answer is kept for revalidation after its lifetime, and for the longest of the windows above.
    pub keep: Duration,
    /// Answers with `Set-Cookie`.
    pub set_cookie: SetCookie,
    /// Fields that replace `Cache-Control` and `Expires` for this cache, the first valid one wins (RFC 9213 2.2).
    /// `surrogate-control` is read by its own, older grammar.
    pub targets: Vec<HeaderName>,
    /// Up to this part of a lifetime is taken off, percent.
    pub ttl_jitter_percent: u32,
    /// What stays on disk.
    pub keeping: keeping::Keeping,
    /// What tells answers apart besides their URL.
    pub keying: keying::Keying,
    /// What a rule says against the origin's word.
    pub overrides: overrides::Overrides,
}

impl Config {
    /// Whether both say the same but for what tells answers apart.
    #[must_use]
    pub fn caches_like(&self, other: &Self) -> bool {
        let keying = &other.keying;
        *self == *other || Self { keying: keying.clone(), ..self.clone() } == *other
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heuristic_percent: 10,
            heuristic_max: Duration::from_secs(24 * 3600),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            stale_if_unreachable: Duration::from_secs(24 * 3600),
            stale_if_error_on: trouble::Trouble::default(),
            serve_stored_if_down: false,
            client_directives: true,
            client_staleness: false,
            keep: Duration::from_secs(7 * 24 * 3600),
            set_cookie: SetCookie::Refuse,
            targets: vec![targeted::CDN_CACHE_CONTROL, targeted::SURROGATE_CONTROL],
            keying: keying::Keying::default(),
            overrides: overrides::Overrides::default(),
            ttl_jitter_percent: 0,
            keeping: keeping::Keeping::default(),
        }
    }
}

/// Header maps for the tables of the tests: `"Cache-Control: max-age=1|Age: 3"`.
#[cfg(test)]
fn fields(lines: &str) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for line in lines.split('|').filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a test's field line has a colon");
        let name = HeaderName::from_bytes(name.trim().as_bytes()).expect("a test's field name is a token");
        let value =
            http::HeaderValue::from_bytes(value.trim().as_bytes()).expect("a test's value is one line");
        map.append(name, value);
    }
    map
}
