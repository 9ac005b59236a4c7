//! Lookups in each tier of the store.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use larder_store::{Config, Head, Key, KeyRef, Load, Peek, Store};
use tokio::runtime::Runtime;

/// A head of a few hundred bytes, as an HTTP head is.
#[derive(Clone)]
struct Fields(Vec<u8>);

impl Head for Fields {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.to_vec()))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

fn url(number: usize) -> String {
    format!("http://www.example.com:80/objects/{number}")
}

/// A store with `count` bodies of `size` bytes, different ones.
fn filled(runtime: &Runtime, config: Config, count: usize, size: usize) -> Store<Fields> {
    runtime.block_on(async {
        let store = Store::open(config).expect("a temporary directory");
        for number in 0..count {
            let mut body = vec![b'x'; size];
            body[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let head = Fields(vec![b'h'; 300]);
            let born = store.seq();
            let mut writer = store.writer(Key::new(&url(number), ""), head, vec![], born, Some(size as u64));
            writer.write(Bytes::from(body)).await.expect("room");
            writer.commit().await.expect("room");
        }
        store
    })
}

fn memory(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let store = filled(&runtime, Config::new(folder.path(), 512 << 20, 0), 10_000, 1024);
    let urls: Vec<_> = (0..10_000).map(url).collect();
    let mut next = 0;
    c.bench_function("lookup/memory hit", |b| {
        b.iter(|| {
            next = (next + 7919) % urls.len();
            match store.peek(KeyRef::new(black_box(&urls[next]), "")) {
                Peek::Memory(hit) => hit.entry.bytes().map(|body| body.len()),
                Peek::Disk | Peek::Absent => panic!("it fits into memory"),
            }
        });
    });
    c.bench_function("lookup/absent", |b| {
        b.iter(|| store.peek(KeyRef::new(black_box("http://www.example.com:80/no"), "")));
    });
}

fn disk(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = c.benchmark_group("lookup/disk hit");
    for size in [4 << 10, 32 << 10, 256 << 10] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        // Bodies larger than one may be in memory: every lookup goes to the disk (or the page cache).
        let config = Config { memory_object_max: 1, ..Config::new(folder.path(), 8 << 20, 2 << 30) };
        let store = filled(&runtime, config, 500, size);
        let urls: Vec<_> = (0..500).map(url).collect();
        let mut next = 0;
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{} KiB", size >> 10), |b| {
            b.iter_batched(
                || {
                    next = (next + 7) % urls.len();
                    next
                },
                |number| runtime.block_on(read(&store, &urls[number])),
                BatchSize::SmallInput,
            );
        });
        runtime.block_on(store.close());
    }
    group.finish();
}

async fn read(store: &Store<Fields>, url: &str) -> usize {
    let Load::Hit(hit) = store.load(KeyRef::new(url, "")).await else { return 0 };
    let mut reader = hit.entry.read(0, hit.entry.len());
    let mut total = 0;
    while let Some(piece) = reader.next().await {
        total += piece.expect("an undamaged body").len();
    }
    total
}

criterion_group!(benches, memory, disk);
criterion_main!(benches);
