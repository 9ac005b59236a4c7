//! The life of a request, top to bottom.
//! ```text
//! request -> site -+- refused --------------------------+
//!                  +- key -> lookup -+- fresh ----------+
//!                                    +- stale - refresh +-> deliver -> log
//!                                    +- miss - collapse +
//!                                    +- pass -----------+
//! ```

use std::sync::Arc;

use http::Method;
use http_body::Body as _;
use larder_store::Hit;

use crate::blocks::Lost;
use crate::boarding::{self, Settled};
use crate::cache::stored::{Answer, Stored};
use crate::cache::{Entry, Wanted};
use crate::context::{Client, Exchange};
use crate::error::Error;
use crate::http::{Body, Response};
use crate::limits::RESTARTS_MAX;
use crate::policy::serving::{self, Serve};
use crate::policy::validation;
use crate::rescue::{self, Refusal};
use crate::status::{Forward, Served};
use crate::worker::{Site, Worker};
use crate::{admit, deliver, depart, pass, purging, query};

/// One request on its way through a site.
struct Journey<'a> {
    worker: &'a Arc<Worker>,
    site: &'a Arc<Site>,
    exchange: &'a mut Exchange,
    /// How often the origin had another version than the stored blocks.
    restarts: u32,
}

/// Answers one request.
pub async fn serve(worker: Arc<Worker>, request: http::Request<Body>, client: Client) -> Response {
    let (head, body) = request.into_parts();
    let mut exchange = admit::note(&worker, head, client);
    match admit::admit(&worker, &mut exchange, &body) {
        Err(refusal) => {
            let response = rescue::refused(refusal, &mut exchange.facts);
            depart::finish(&worker, None, exchange, response)
        }
        Ok(site) => {
            let mut journey = Journey { worker: &worker, site: &site, exchange: &mut exchange, restarts: 0 };
            // In a box, so that the way of a hit does not carry the weight of all the others.
            let response = match journey.at_once() {
                Some(response) => response,
                None => Box::pin(journey.begin(body)).await,
            };
            depart::finish(&worker, Some(site), exchange, response)
        }
    }
}

impl Journey<'_> {
    /// A fresh answer in memory: nothing to wait for.
    fn at_once(&mut self) -> Option<Response> {
        if self.exchange.passes.is_some() || self.exchange.request.method == Method::QUERY {
            return None;
        }
        let wanted = Wanted::of(self.exchange, self.site.config.selecting());
        let hit = self.worker.core.cache.lookup_now(&wanted)?;
        match self.verdict(&hit)? {
            Serve::Fresh => deliver::at_once(self.worker, self.site, self.exchange, &hit.entry),
            Serve::Stale(_) | Serve::Revalidate(_) => None,
        }
    }

    /// Whether a stored answer may be given out; `None` where what lies there is none, or is past its `keep`.
    fn verdict(&self, hit: &Hit<Stored>) -> Option<Serve> {
        self.worker.verdict(self.site, self.exchange, hit, answer(hit)?)
    }

    async fn begin(mut self, body: Body) -> Response {
        if purging::is_asked(self.exchange) {
            return purging::answer(self.worker, self.site, self.exchange).await;
        }
        let body = query::take_in(self.exchange, body, self.site.config.request_body_max).await;
        if let Some(why) = self.exchange.passes {
            return self.pass(why, None, body).await;
        }
        let wanted = Wanted::of(self.exchange, self.site.config.selecting());
        let found = self.worker.core.cache.lookup(&wanted).await;
        match found.hit.as_ref().and_then(|hit| Some((hit, self.verdict(hit)?))) {
            Some((hit, Serve::Fresh)) => self.stored(Served::Hit, &hit.entry, &found.variant).await,
            Some((hit, Serve::Stale(leave))) => {
                self.exchange.facts.detail = Some(leave.as_str());
                boarding::refresh(self.worker, self.site, self.exchange, &found.variant, hit);
                self.stored(Served::Stale, &hit.entry, &found.variant).await
            }
            // A body on a GET has no meaning that the key could hold (RFC 9110 9.3.1).
            _ if !body.is_end_stream() => self.pass(Forward::Bypass, None, body).await,
            Some((hit, Serve::Revalidate(why))) => self.miss(why, found.variant.clone(), Some(hit)).await,
            None => match boarding::alike(self.worker, self.site, self.exchange, &found).await {
                Some(hit) => self.stored(Served::Hit, &hit.entry, hit.entry.key().variant()).await,
                None => self.miss(found.why, found.variant, None).await,
            },
        }
    }

    /// Nothing that may be served as it is: fetch it, together with whoever else asks for the same.
    async fn miss(&mut self, why: Forward, mut variant: String, stale: Option<&Hit<Stored>>) -> Response {
        if serving::only_if_cached(&self.site.config.policy, &self.exchange.request.headers) {
            return rescue::refused(Refusal::OnlyIfCached, &mut self.exchange.facts);
        }
        // A HEAD joins in asking about what is stored; for the whole it does not.
        let asks = stale.and_then(answer).is_some_and(|old| validation::has_validator(&old.headers));
        if self.exchange.request.method == Method::HEAD && !asks {
            return self.pass(why, stale, Body::Empty).await;
        }
        let mut alone = boarding::asks_alone(&self.site.config.policy, &self.exchange.request.headers)
            || self.restarts > RESTARTS_MAX;
        loop {
            let boarded = boarding::board(self.worker, self.site, self.exchange, &variant, stale, alone);
            let Some(seat) = boarded else { return self.pass(Forward::Bypass, None, Body::Empty).await };
            self.exchange.facts.collapsed = seat.collapsed;
            self.exchange.facts.forward = Some(if seat.bypassed { Forward::Bypass } else { why });
            match boarding::settle(self.worker, self.site, self.exchange, &seat, &variant).await {
                Settled::Shared(shared, _held) => {
                    return deliver::shared(self.worker, self.site, self.exchange, &shared).await;
                }
                Settled::InBlocks(found) => {
                    let told = deliver::in_blocks(self.worker, self.site, self.exchange, &found).await;
                    return self.or_anew(told, &found.variant).await;
                }
                Settled::Freshened(entry) => {
                    return self.stored(Served::Revalidated, &entry, &variant).await;
                }
                Settled::Own(why, answer) => {
                    return deliver::relayed(self.site, self.exchange, Served::Miss, Some(why), answer);
                }
                Settled::Again(again, mine) => {
                    if !again && let Some(response) = self.at_once() {
                        return response; // The next flight has come and gone meanwhile.
                    }
                    (alone, variant) = (again, mine);
                }
                Settled::Failed(error) => return self.rescue(error, stale, &variant).await,
            }
        }
    }

    async fn stored(&mut self, served: Served, entry: &Arc<Entry>, variant: &str) -> Response {
        let told = deliver::entry(self.worker, self.site, self.exchange, served, entry, variant).await;
        self.or_anew(told, variant).await
    }

    /// The answer, or another try where the stored blocks turned out to be of a version that is over.
    async fn or_anew(&mut self, told: Result<Response, Lost>, variant: &str) -> Response {
        match told {
            Ok(response) => response,
            Err(Lost::Failed(error)) => depart::failed(self.worker, self.site, self.exchange, &error),
            Err(Lost::Changed) => {
                self.restarts += 1;
                Box::pin(self.miss(Forward::Stale, variant.to_owned(), None)).await
            }
        }
    }

    async fn pass(&mut self, why: Forward, stale: Option<&Hit<Stored>>, body: Body) -> Response {
        self.exchange.facts.forward = Some(why);
        match pass::pass(self.worker, self.site, self.exchange, stale, body).await {
            Ok(answer) => deliver::relayed(self.site, self.exchange, Served::Pass, None, answer),
            Err(error) => self.rescue(error, stale, "").await,
        }
    }

    /// The fetch failed: something stale where that is allowed (RFC 9111 4.2.4, RFC 5861 4), an error otherwise.
    async fn rescue(&mut self, error: Error, stale: Option<&Hit<Stored>>, variant: &str) -> Response {
        if let Some(hit) = stale
            && boarding::may_stand_in(self.worker, self.site, self.exchange, error.kind, hit).await
        {
            let facts = &mut self.exchange.facts;
            (facts.detail, facts.forward_status) = (Some(error.kind.as_str()), error.status);
            return self.stored(Served::Stale, &hit.entry, variant).await;
        }
        depart::failed(self.worker, self.site, self.exchange, &error)
    }
}

fn answer(hit: &Hit<Stored>) -> Option<&Answer> {
    hit.entry.head().answer()
}
