//! The decisions of RFC 9111: on a hit, and when something is stored.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use larder::clock::Timestamp;
use larder::policy::{Config, freshness, serving, storing, vary};

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    pairs.iter().map(field).collect()
}

fn decisions(c: &mut Criterion) {
    let config = Config::default();
    let browser = fields(&[
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ]);
    let mut reload = browser.clone();
    reload.insert("cache-control", HeaderValue::from_static("max-age=0"));
    let answer = fields(&[
        ("cache-control", "public, max-age=3600, stale-while-revalidate=60"),
        ("content-type", "text/html; charset=utf-8"),
        ("date", "Mon, 23 Nov 2026 08:00:00 GMT"),
        ("etag", "\"5f3a\""),
        ("last-modified", "Sun, 22 Nov 2026 08:00:00 GMT"),
        ("vary", "Accept-Encoding, Accept-Language"),
    ]);
    let then = Timestamp(1_795_420_800_000);
    let now = then.plus(Duration::from_secs(100));
    let fresh = freshness::freshness(&config, &browser, StatusCode::OK, &answer, then, then);
    c.bench_function("policy/hit", |b| {
        b.iter(|| serving::serve(&config, black_box(&browser), black_box(&fresh), false, now));
    });
    c.bench_function("policy/hit of a client with directives", |b| {
        b.iter(|| serving::serve(&config, black_box(&reload), black_box(&fresh), false, now));
    });
    c.bench_function("policy/may store", |b| {
        b.iter(|| storing::may_store(&config, &Method::GET, &browser, StatusCode::OK, black_box(&answer)));
    });
    c.bench_function("policy/freshness", |b| {
        b.iter(|| freshness::freshness(&config, &browser, StatusCode::OK, black_box(&answer), then, then));
    });
    let vary::Vary::Names(names) = vary::parse(&answer) else { panic!("it varies") };
    c.bench_function("policy/variant", |b| b.iter(|| vary::variant("", &names, black_box(&browser), true)));
}

criterion_group!(benches, decisions);
criterion_main!(benches);
