//! Large bodies in little memory.

use std::time::{Duration, Instant};

use larder_tests::page::Pattern;
use larder_tests::{Ask, End, Gate, Node, Reply, spawn};

use crate::stage::Stage;

const GIB: u64 = 1024 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

/// Downloads and proves every byte; gives back the highest resident size seen.
async fn download(node: &Node, target: &str, length: u64) -> u64 {
    let mut client = node.client().await;
    client.send(&Ask::get(target)).await;
    let (pattern, mut at, mut highest, mut next) = (Pattern::default(), 0, 0, 0);
    let take = |piece: bytes::Bytes| {
        assert!(pattern.matches(at, &piece), "wrong bytes at {at}");
        at += piece.len() as u64;
        if at >= next {
            next = at + 16 * MIB;
            highest = node.memory("VmRSS:").max(highest);
        }
    };
    let answer = client.stream_answer("GET", take).await.expect("an answer");
    assert_eq!((answer.status, answer.end, at), (200, End::Whole, length));
    highest
}

#[tokio::test]
async fn two_gibibytes_pass_in_little_memory() {
    let s = Stage::with("2 GiB through a node with 64 MiB of memory: below 200 MiB resident", |recipe| {
        recipe.tiers("64MiB", "6GiB").cache("object_max = \"4GiB\"")
    })
    .await;
    s.origin.on("/large", |_| Reply::pattern(2 * GIB).cache("max-age=3600"));
    let highest = download(&s.node, "/large", 2 * GIB).await;
    println!("  resident at the most: {} MiB through a miss", highest / MIB);
    assert!(highest < 200 * MIB);
    let highest = download(&s.node, "/large", 2 * GIB).await;
    println!("  resident at the most: {} MiB through a hit", highest / MIB);
    assert!(highest < 200 * MIB);
    assert_eq!(s.origin.count("/large"), 1, "2 GiB are stored");
}

#[tokio::test]
async fn the_first_byte_does_not_wait_for_the_rest() {
    let s = Stage::new("the first byte of a large body leaves within 50 ms of the origin's").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/*", move |_| Reply::pattern(50 * MIB).cache("max-age=3600").paused_at(256 * 1024, &held));
    let mut best = Duration::MAX;
    for number in 0..5 {
        let mut client = s.node.client().await;
        let start = Instant::now();
        client.send(&Ask::get(&format!("/{number}"))).await;
        let head = client.answer_head().await.unwrap();
        assert_eq!(head.status, 200);
        best = best.min(start.elapsed());
    }
    println!("  head after {best:?} at best");
    assert!(best < Duration::from_millis(50));
    gate.open();
}

#[tokio::test]
async fn slow_readers_do_not_fill_memory() {
    let s = Stage::with("clients that take nothing of a large body hold no memory worth telling", |recipe| {
        recipe.tiers("32MiB", "512MiB")
    })
    .await;
    s.origin.on("/*", |_| Reply::pattern(60 * MIB).cache("max-age=3600"));
    let mut idle = Vec::new();
    for number in 0..20 {
        let mut client = s.node.client().await;
        client.send(&Ask::get(&format!("/{number}"))).await;
        assert_eq!(client.answer_head().await.unwrap().status, 200);
        idle.push(client);
    }
    download(&s.node, "/other", 60 * MIB).await;
    let resident = s.node.memory("VmRSS:");
    println!("  resident with 20 readers that wait: {} MiB", resident / MIB);
    assert!(resident < 200 * MIB);
}

#[tokio::test]
async fn many_downloads_at_once_are_right() {
    let s = Stage::with("many downloads of one large body at once: one fetch, every byte right", |recipe| {
        recipe.tiers("32MiB", "512MiB")
    })
    .await;
    s.origin.on("/big", |_| Reply::pattern(30 * MIB).cache("max-age=3600").chunked());
    let address = s.node.http();
    let asking: Vec<_> = (0..10)
        .map(|_| {
            spawn(async move {
                let mut client = larder_tests::Client::connect(address).await;
                client.send(&Ask::get("/big")).await;
                let (pattern, mut at) = (Pattern::default(), 0);
                let take = |piece: bytes::Bytes| {
                    assert!(pattern.matches(at, &piece));
                    at += piece.len() as u64;
                };
                let answer = client.stream_answer("GET", take).await.unwrap();
                (answer.end, at)
            })
        })
        .collect();
    for task in asking {
        assert_eq!(task.await.unwrap(), (End::Whole, 30 * MIB));
    }
    assert!(s.origin.count("/big") <= 2, "{}", s.origin.count("/big"));
}
