//! From a request target to the hash it is looked up by.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use larder::cache::key;
use larder_store::KeyRef;

fn keys(c: &mut Criterion) {
    let mut url = String::with_capacity(256);
    for (name, target) in [("plain", "/assets/app-3f2a.js?v=17"), ("escaped", "/a/../b%7Ec/%e4?x=%20")] {
        c.bench_function(&format!("key/normalise {name}"), |b| {
            let mut normal = String::with_capacity(256);
            b.iter(|| {
                normal.clear();
                url.clear();
                key::target(black_box(target), &mut normal).expect("a target");
                key::url("https", black_box("www.example.com"), 443, &normal, &mut url);
                url.len()
            });
        });
    }
    c.bench_function("key/hash", |b| b.iter(|| KeyRef::new(black_box(&url), "").hash()));
    c.bench_function("key/owned", |b| b.iter(|| KeyRef::new(black_box(&url), "").to_key()));
}

criterion_group!(benches, keys);
criterion_main!(benches);
