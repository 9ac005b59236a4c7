//! What the rules of both tiers are worth, on small traces made from a seed. The whole table: `benches/replay`.

#[path = "../../examples/replay/lru.rs"]
mod lru;
#[path = "../../examples/replay/trace.rs"]
mod trace;

use larder_store::replay::Rules;
use larder_store::{Config, Load, Tier};

use crate::support::*;
use lru::Lru;
use trace::{Request, Shape};

const SEED: u64 = 7;

fn shape(zipf: f64) -> Shape {
    Shape { zipf, objects: 3000, requests: 60_000, once: 20, scan: 15, size_max: 128 * KIB, seed: SEED }
}

/// Hits in memory and on disk, and those of an LRU of as many bytes, of 1000 requests.
fn hits(trace: &[Request], config: &Config) -> (u64, u64, u64) {
    let mut rules = Rules::new(config.clone());
    let mut lru = Lru::new(config.memory + config.disk);
    let (mut memory, mut disk, mut plain) = (0, 0, 0);
    for request in trace {
        plain += u64::from(lru.ask(&request.key, request.size));
        match rules.ask(&request.key, request.size) {
            Some(Tier::Memory) => memory += 1,
            Some(Tier::Disk) => disk += 1,
            None => {}
        }
    }
    assert!(rules.written() < lru.written() / 3, "{} of {} bytes", rules.written(), lru.written());
    let per_mille = |hits: u64| hits * 1000 / trace.len() as u64;
    (per_mille(memory), per_mille(disk), per_mille(plain))
}

#[test]
fn both_tiers_hit_three_points_more_than_a_plain_lru() {
    println!("seed {SEED}");
    for zipf in [0.7, 0.9, 1.1] {
        let trace = trace::make(shape(zipf));
        let config = Config::new("", MIB, 12 * MIB);
        let (memory, disk, plain) = hits(&trace, &config);
        assert!(memory + disk >= plain + 30, "Zipf {zipf}: {memory} + {disk} against {plain}");
        assert_eq!(hits(&trace, &config), (memory, disk, plain), "the same again");
    }
}

#[tokio::test]
async fn the_store_does_what_its_rules_say() {
    println!("seed {SEED}");
    let trace = trace::make(Shape { objects: 400, requests: 4000, size_max: 32 * KIB, ..shape(1.0) });
    let directory = tempfile::tempdir().unwrap();
    let settings = config(directory.path(), 512 * KIB, 3 * MIB);
    let mut rules = Rules::new(settings.clone());
    let store = Shop::open(settings).unwrap();
    let (mut wanted, mut got) = (0_u64, 0_u64);
    for request in &trace {
        wanted += u64::from(rules.ask(&request.key, request.size).is_some());
        let key = larder_store::Key::new(&request.key, "");
        if let Load::Hit(hit) = store.load(key.as_ref()).await {
            got += 1;
            assert_eq!(hit.entry.len(), request.size);
        } else {
            let length = Some(request.size);
            let mut writer = store.writer(key, Label(String::new()), vec![], store.seq(), length);
            writer.write(body(&request.key, request.size)).await.unwrap();
            writer.commit().await.unwrap();
        }
        settled(&store);
    }
    store.close().await;
    let apart = wanted.abs_diff(got) * 100 / trace.len() as u64;
    assert!(apart <= 4, "{got} hits, {wanted} by the rules, of {}", trace.len());
}

#[test]
fn a_trace_is_read_and_its_mistakes_are_named() {
    let read = |text: &str| trace::read(text.as_bytes());
    let requests = read("time,key,size\n0.5,http://a/?x=1,2,300\n\n1,b,0\n").unwrap();
    assert_eq!(requests[0], Request { time: 0.5, key: "http://a/?x=1,2".into(), size: 300 });
    assert_eq!(requests.len(), 2);
    for (text, words) in [
        ("1,a,2\nnonsense\n", "line 2: no comma"),
        ("1,2\n", "line 1: one comma only"),
        ("1,a,2\nx,b,3\n", "line 2: \"x\" is no time"),
        ("1,a,many\n", "line 1: \"many\" is no size"),
    ] {
        assert!(read(text).unwrap_err().contains(words), "{text}");
    }
}
