//! One block: from the origin into the store, once for all who want it.

use std::ops::Range;
use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use http::{HeaderMap, Method, StatusCode};

use super::Object;
use crate::cache::blocks::Found;
use crate::cache::lay::Told;
use crate::cache::pieces::{exactly, pour_into};
use crate::clock::Timestamp;
use crate::coalesce::Pilot;
use crate::error::{Error, Kind, Retry};
use crate::http::Body;
use crate::origin;
use crate::outcome::{Filling, Outcome, Source};
use crate::policy::{partial, validation};
use crate::telemetry::event;

/// Fetches what is missing of the block `number` and stores it with what is there; `pilot` lands as soon as its bytes can
/// be followed.
pub(super) async fn fetch(object: Arc<Object>, number: u64, stored: Option<Found>, pilot: Pilot<Outcome>) {
    let block = object.blocks.range(number);
    let missing = missing(&block, stored.as_ref());
    let asked = object.worker.core.clock.now();
    let answer = match ask(&object, &missing).await {
        Ok(answer) => answer,
        Err(error) => return pilot.land(Outcome::Failed(error)),
    };
    match judge(&object, &missing, &answer) {
        Verdict::Belongs => {}
        Verdict::Error(error) => return pilot.land(Outcome::Failed(error)),
        Verdict::Changed => {
            // All its blocks are of a version that is over.
            let cache = &object.worker.core.cache;
            if cache.is_alive(&object.entry).await {
                cache.store().remove(object.entry.key().as_ref());
            }
            return pilot.land(Outcome::Changed);
        }
    }
    let keeps = confirm(&object, &answer.head.headers, asked).await;
    let before = stored.as_ref().filter(|found| found.range.end == missing.start);
    let after = stored.as_ref().filter(|found| found.range.start == missing.end);
    let range = before.map_or(missing.start, |found| found.range.start)
        ..after.map_or(missing.end, |found| found.range.end);
    let (core, place) = (&object.worker.core, object.place(number));
    let writer = core.cache.begin_block(&place, &object.answer, &range, object.born);
    pilot.land(Outcome::Filling(Filling { tap: writer.tap(), range: range.clone() }));
    let whole = |found: &Found| Source::Entry(Arc::clone(&found.entry)).read(0, None);
    let bodies =
        [before.map(whole), Some(exactly(answer.body, missing.end - missing.start)), after.map(whole)];
    let poured = pour_into(bodies.into_iter().flatten().collect(), vec![(writer, range.end - range.start)]);
    if let Err(why) = poured.await {
        event::NotStored { reason: why.as_str(), url: &object.url }.emit(&core.metrics);
    }
    if !keeps {
        core.cache.forget_block(&place);
    }
}

/// What of a block has to be fetched: all of it, but for what is there at one of its ends.
fn missing(block: &Range<u64>, stored: Option<&Found>) -> Range<u64> {
    match stored.map(|found| &found.range) {
        Some(range) if range.start == block.start && range.end < block.end => range.end..block.end,
        Some(range) if range.end == block.end && range.start > block.start => block.start..range.start,
        _ => block.clone(),
    }
}

async fn ask(object: &Object, missing: &Range<u64>) -> Result<origin::Answer, Error> {
    let Object { worker, site, asker, target, request, answer, blocks, .. } = object;
    let mut head = worker.request_head(site, asker, Method::GET, target, request)?;
    validation::remove_conditions(&mut head.headers);
    if site.config.compress.enabled {
        head.headers.remove(ACCEPT_ENCODING);
    }
    head.headers.insert(RANGE, partial::range_field(missing, blocks.complete));
    let Some(tag) = partial::strong(&answer.headers) else {
        return Err(Error::node(Kind::FlightFailed, "blocks without a strong validator are not completed"));
    };
    head.headers.insert(IF_RANGE, tag.clone());
    site.pool.send(head, Body::Empty).await
}

enum Verdict {
    /// It is what was asked for, of the same version.
    Belongs,
    /// There is another version, or none.
    Changed,
    /// The origin is in trouble: that says nothing of the version.
    Error(Error),
}

/// RFC 9111 3.4: only what shares the strong validator, and the length, is combined.
fn judge(object: &Object, missing: &Range<u64>, answer: &origin::Answer) -> Verdict {
    let status = answer.head.status;
    let trouble =
        status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 407 | 408 | 421 | 425 | 429);
    if trouble {
        let what = format_args!("{} answered {status} for a block", answer.endpoint);
        let error = Error::origin(Kind::ErrorStatus, Retry::Never, what);
        return Verdict::Error(Error { status: Some(status.as_u16()), ..error });
    }
    let length = http_body::Body::size_hint(&answer.body).exact();
    let part = partial::part(&answer.head.headers, length);
    let same = status == StatusCode::PARTIAL_CONTENT
        && part.is_some_and(|part| part.range == *missing && part.complete == object.blocks.complete)
        && partial::belongs(&object.answer.headers, &answer.head.headers)
        && !answer.close_delimited;
    if same { Verdict::Belongs } else { Verdict::Changed }
}

/// RFC 9111 3.4: the fields of the new part replace those of the stored answer, which it confirms. False where that is
/// over: purged, or not to be stored from now on. Whoever reads it may read on, but nothing more is kept.
async fn confirm(object: &Object, answer: &HeaderMap, asked: Timestamp) -> bool {
    let (cache, config) = (&object.worker.core.cache, &object.site.config);
    let told = Told {
        url: &object.url,
        base: &object.base,
        request: &object.request,
        own_encoding: config.compress.enabled,
        asked,
        came: object.worker.core.clock.now(),
        born: object.born,
    };
    // The fetch of another block may have confirmed it meanwhile.
    cache.freshen(&config.policy, &told, &object.entry, answer).await.is_some()
        || cache.is_alive(&object.entry).await
}
