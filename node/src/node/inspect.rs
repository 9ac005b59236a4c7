//! `GET /cache?url=`: what is stored for a URL, as an operator wants to see it.

use http::HeaderMap;
use larder_store::{Hit, KeyRef, Load, Tier};
use serde_json::{Value, json};

use crate::cache::stored::Stored;
use crate::policy::tags;
use crate::worker::Core;

/// Everything stored for `url`, which is in the form of a key.
pub(super) async fn inspect(core: &Core, url: &str) -> Value {
    let mut variants = Vec::new();
    if let Load::Hit(first) = core.cache.store().load(KeyRef::new(url, "")).await {
        match first.entry.head() {
            Stored::Answer(_) => variants.extend(shown(core, &first)),
            Stored::Block(_) => {}
            Stored::Variants(known) => {
                for variant in &known.known {
                    if let Load::Hit(hit) = core.cache.store().load(KeyRef::new(url, variant)).await {
                        variants.extend(shown(core, &hit));
                    }
                }
            }
        }
    }
    json!({ "url": url, "stored": !variants.is_empty(), "variants": variants })
}

fn shown(core: &Core, hit: &Hit<Stored>) -> Option<Value> {
    let answer = hit.entry.head().answer()?;
    let now = core.clock.now();
    let fresh = answer.freshness.is_fresh(now) && !answer.freshness.no_cache && !hit.expired;
    Some(json!({
        "variant": hit.entry.key().variant(),
        "status": answer.status.as_u16(),
        "bytes": answer.length(hit.entry.len()),
        "block_bytes": answer.blocks.map(|blocks| blocks.size),
        "on_disk": core.cache.store().on_disk(hit.entry.key().as_ref()),
        "pinned": hit.entry.standing().pinned,
        "tier": match hit.tier { Tier::Memory => "memory", Tier::Disk => "disk" },
        "age_seconds": answer.freshness.age(now).as_secs(),
        "lifetime_seconds": answer.freshness.lifetime.as_secs(),
        "ttl_seconds": answer.freshness.ttl(now),
        "stale_while_revalidate_seconds": answer.freshness.stale_while_revalidate.as_secs(),
        "stale_if_error_seconds": answer.freshness.stale_if_error.as_secs(),
        "heuristic": answer.freshness.heuristic,
        "fresh": fresh,
        "soft_purged": hit.expired,
        "position": hit.entry.born().0,
        "tags": tags::of(&answer.headers).unwrap_or_default(),
        "headers": fields(&answer.headers),
    }))
}

fn fields(headers: &HeaderMap) -> Value {
    let shown =
        headers.iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]));
    Value::Array(shown.collect())
}
