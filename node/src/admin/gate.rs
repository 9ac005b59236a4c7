//! Who may use the admin listener: whoever has the token.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::Request;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::clock::Clock;
use crate::limits;

/// Where a request comes from, for the log: an extension of the request.
#[derive(Debug, Clone, Copy)]
pub struct CameFrom(pub SocketAddr);

/// Compares tokens in constant time, counts and logs refusals.
pub struct Gate {
    token: ArcSwap<String>,
    clock: Clock,
    refused: AtomicU64,
    /// Milliseconds since 1970 before which no refusal is logged.
    quiet_until: AtomicU64,
}

impl Gate {
    /// A gate for whoever sends `Authorization: Bearer <token>`. An empty token admits nobody.
    #[must_use]
    pub fn new(token: &str, clock: Clock) -> Self {
        let token = ArcSwap::from_pointee(token.to_owned());
        Self { token, clock, refused: AtomicU64::new(0), quiet_until: AtomicU64::new(0) }
    }

    /// Another token from now on.
    pub fn replace(&self, token: &str) {
        self.token.store(Arc::new(token.to_owned()));
    }

    /// Requests refused so far, for the metrics.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether the request carries the token; a refusal is counted, and logged now and then.
    pub fn admits<B>(&self, request: &Request<B>) -> bool {
        let mut fields = request.headers().get_all(AUTHORIZATION).iter();
        let sent = match (fields.next(), fields.next()) {
            (Some(field), None) => bearer(field.as_bytes()),
            _ => None,
        };
        let token = self.token.load();
        let good = sent.is_some_and(|sent| bool::from(sent.ct_eq(token.as_bytes()))) && !token.is_empty();
        if !good {
            self.refuse(request);
        }
        good
    }

    fn refuse<B>(&self, request: &Request<B>) {
        let total = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let now = self.clock.now();
        let quiet_until = self.quiet_until.load(Ordering::Relaxed);
        let next = now.plus(limits::ADMIN_REFUSED_LOG_PAUSE).0;
        let mine = now.0 >= quiet_until
            && self
                .quiet_until
                .compare_exchange(quiet_until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            let from = request.extensions().get::<CameFrom>().map(|from| from.0.to_string());
            let sent = request.headers().contains_key(AUTHORIZATION);
            tracing::warn!(
                from = from.as_deref().unwrap_or("-"),
                method = request.method().as_str(),
                path = request.uri().path(),
                why = if sent { "wrong token" } else { "no token" },
                refused_total = total,
                "admin request refused"
            );
        }
    }
}

/// The token of `Bearer <token>` (RFC 6750 2.1); the scheme's case does not matter (RFC 9110 11.1).
fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
