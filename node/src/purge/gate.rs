//! Who may purge, and ask what is for the operator: whoever has a token, as far as the token reaches.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use larder_store::Purge;
use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use super::scope::{Denied, Narrow, Scope};
use crate::clock::{Clock, Timestamp};
use crate::limits;

/// Where a request comes from, for the log: an extension of the request.
#[derive(Debug, Clone, Copy)]
pub struct CameFrom(pub SocketAddr);

/// A token with what it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What `Authorization: Bearer` must carry.
    pub secret: Arc<str>,
    /// How far it reaches; without one it is the operator's and may do everything.
    pub scope: Option<Scope>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("secret", &"(secret)").field("scope", &self.scope).finish()
    }
}

/// A token in force.
pub struct Pass {
    token: Token,
    bucket: Mutex<Bucket>,
}

impl Pass {
    /// Whether it is the operator's.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.token.scope.is_none()
    }

    /// The name that stands as author of its purges.
    #[must_use]
    pub fn author(&self) -> Option<&str> {
        self.token.scope.as_ref().map(|scope| scope.name.as_str())
    }
}

/// Purges that a token may still do: refilled with its rate, never fuller than one second's.
struct Bucket {
    /// In thousandths of a purge.
    left: u64,
    at: Timestamp,
}

impl Bucket {
    fn take(&mut self, rate: u32, now: Timestamp) -> bool {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let full = u64::from(rate) * 1000;
        self.left = self.left.saturating_add(passed.saturating_mul(u64::from(rate))).min(full);
        self.at = now;
        let enough = self.left >= 1000;
        if enough {
            self.left -= 1000;
        }
        enough
    }
}

/// Lets one line out of many through, so that a flood of tries is no flood of lines.
#[derive(Default)]
pub(super) struct Quiet {
    /// Milliseconds since 1970.
    until: AtomicU64,
}

impl Quiet {
    /// Whether this is the one.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        let next = now.plus(limits::ADMIN_REFUSED_LOG_PAUSE).0;
        now.0 >= until
            && self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Compares tokens in constant time, counts and logs refusals.
pub struct Gate {
    passes: ArcSwap<Vec<Arc<Pass>>>,
    clock: Clock,
    refused: AtomicU64,
    forbidden: [AtomicU64; Narrow::ALL.len()],
    quiet: Quiet,
}

impl Gate {
    /// A gate for whoever sends `Authorization: Bearer` and one of `tokens`. An empty token admits nobody.
    #[must_use]
    pub fn new(tokens: Vec<Token>, clock: Clock) -> Self {
        let gate = Self {
            passes: ArcSwap::default(),
            clock,
            refused: AtomicU64::new(0),
            forbidden: std::array::from_fn(|_| AtomicU64::new(0)),
            quiet: Quiet::default(),
        };
        gate.replace(tokens);
        gate
    }

    /// Other tokens from now on. One that stays as it is keeps what it has used up.
    pub fn replace(&self, tokens: Vec<Token>) {
        let before = self.passes.load_full();
        let now = self.clock.now();
        let pass = |token: Token| match before.iter().find(|pass| pass.token == token) {
            Some(pass) => Arc::clone(pass),
            None => {
                let rate = token.scope.as_ref().and_then(|scope| scope.rate).unwrap_or(0);
                let bucket = Bucket { left: u64::from(rate) * 1000, at: now };
                Arc::new(Pass { token, bucket: Mutex::new(bucket) })
            }
        };
        self.passes.store(Arc::new(tokens.into_iter().map(pass).collect()));
    }

    /// Requests without a token so far, for the metrics.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests so far whose token was too narrow, by [`Narrow::ALL`].
    #[must_use]
    pub fn forbidden(&self) -> [u64; Narrow::ALL.len()] {
        self.forbidden.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// The token that the request carries; none is counted, and logged now and then.
    pub fn admits(&self, request: &Parts) -> Option<Arc<Pass>> {
        let pass = self.pass(&request.headers);
        if pass.is_none() {
            let total = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
            let sent = sent(&request.headers).next().is_some();
            self.tell(request, if sent { "wrong token" } else { "no token" }, total);
        }
        pass
    }

    /// Every token is compared whole, so that the time tells nothing of which one was nearly right.
    fn pass(&self, headers: &HeaderMap) -> Option<Arc<Pass>> {
        let mut sent = sent(headers);
        let (Some(first), None) = (sent.next(), sent.next()) else { return None };
        let mut found = None;
        for pass in self.passes.load().iter() {
            let secret = pass.token.secret.as_bytes();
            if bool::from(first.ct_eq(secret)) && !secret.is_empty() {
                found = Some(Arc::clone(pass));
            }
        }
        found
    }

    /// Whether `pass` reaches `purge`, and its rate allows one more now; a no is counted, and logged now and then.
    ///
    /// # Errors
    /// What the token is too narrow for.
    pub fn permits(&self, pass: &Pass, purge: &Purge, request: &Parts) -> Result<(), Denied> {
        let Some(scope) = &pass.token.scope else { return Ok(()) };
        let within = scope.allows(purge).and_then(|()| match scope.rate {
            Some(rate) if !pass.bucket.lock().take(rate, self.clock.now()) => {
                let error = format!("the token {:?} has used up its {rate} purges a second", scope.name);
                Err(Denied { why: Narrow::Rate, error })
            }
            _ => Ok(()),
        });
        within.inspect_err(|denied| self.forbid(request, denied))
    }

    /// Counts and logs what a token is too narrow for.
    pub fn forbid(&self, request: &Parts, denied: &Denied) {
        self.forbidden[denied.why as usize].fetch_add(1, Ordering::Relaxed);
        let total = self.forbidden().iter().sum();
        self.tell(request, &denied.error, total);
    }

    fn tell(&self, request: &Parts, why: &str, total: u64) {
        if self.quiet.is_over(self.clock.now()) {
            let from = request.extensions.get::<CameFrom>().map(|from| from.0.to_string());
            tracing::warn!(
                from = from.as_deref().unwrap_or("-"),
                method = request.method.as_str(),
                path = request.uri.path(),
                why,
                refused_total = total,
                "admin request refused"
            );
        }
    }
}

/// What stands in the fields that carry a token; a request has one of them, once.
fn sent(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let bearers = headers.get_all(AUTHORIZATION).iter().map(|field| bearer(field.as_bytes()).unwrap_or(b""));
    let keys = headers.get_all("fastly-key").iter().map(http::HeaderValue::as_bytes);
    bearers.chain(keys)
}

/// The token of `Bearer <token>` (RFC 6750 2.1); the scheme's case does not matter (RFC 9110 11.1).
fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whether the request carries `secret`; in constant time, and never where it is empty.
#[must_use]
pub fn carries(headers: &HeaderMap, secret: &str) -> bool {
    let mut sent = sent(headers);
    let (Some(first), None) = (sent.next(), sent.next()) else { return false };
    !secret.is_empty() && bool::from(first.ct_eq(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_bucket_that_refills() {
        let mut bucket = Bucket { left: 2000, at: Timestamp(0) };
        let mut take = |now| bucket.take(2, Timestamp(now));
        assert_eq!([take(0), take(0), take(0)], [true, true, false]);
        assert_eq!([take(499), take(500), take(500)], [false, true, false]);
        assert_eq!(
            [take(100_000), take(100_000), take(100_000)],
            [true, true, false],
            "one second's at most"
        );
        assert!(!take(5), "a clock that goes back gives nothing");
    }
}
