//! Nodes that are each other's peers: a purge on one is a purge on all, whatever happens to one of them.

use std::time::Duration;

use larder_tests::fleet::{Fleet, ids, purge};
use larder_tests::link::Link;
use larder_tests::{Answer, Ask, Case, Client, Node, Origin, Reply, until_within};

const WITHIN: Duration = Duration::from_secs(10);

fn url(target: &str) -> String {
    format!("http://www.example.com{target}")
}

async fn origin(case: &std::sync::Arc<Case>) -> Origin {
    let origin = Origin::start(case).await;
    origin.on("/*", |asked| Reply::validated(asked).cache("max-age=3600"));
    origin
}

async fn warm(node: &Node, target: &str) {
    until_within(WITHIN, "a hit", async || node.get(target).await.hit()).await;
}

async fn warm_all(fleet: &Fleet, targets: &[&str]) {
    for node in &fleet.nodes {
        for target in targets {
            warm(node, target).await;
        }
    }
}

async fn readiness(node: &Node) -> Answer {
    Client::connect(node.admin()).await.ask(Ask::get("/readyz")).await
}

#[tokio::test]
async fn a_purge_on_one_node_is_a_purge_on_all() {
    let case = Case::new("three nodes: a purge on one is confirmed by all and none serves what was before");
    let origin = origin(&case).await;
    let fleet = Fleet::start(&case, &origin, 3, "").await;
    let mut times = Vec::new();
    for round in 1..=10 {
        warm_all(&fleet, &["/a"]).await;
        origin.bump("/a");
        let start = std::time::Instant::now();
        let node = &fleet.nodes[round % 3];
        let (status, told) = purge(node, "?wait=all", &format!("round-{round}"), &url("/a")).await;
        times.push(start.elapsed());
        assert_eq!((status, &told["fleet"]["done"]), (200, &true.into()), "{told}");
        assert_eq!(told["fleet"]["confirmed"].as_array().map(Vec::len), Some(3), "{told}");
        for node in &fleet.nodes {
            assert_eq!(node.get("/a").await.version("/a"), round as u64 + 1);
        }
    }
    times.sort_unstable();
    println!("  confirmed by three nodes within {:?} (median), {:?} (most)", times[5], times[9]);
    assert_eq!(fleet.converged(WITHIN).await.1.len(), 10);
    for node in &fleet.nodes {
        let metrics = node.metrics().await;
        assert_eq!(metrics.sum("larder_fleet_events_total", &["event=\"missing\""]), 0.0);
    }
}

#[tokio::test]
async fn a_killed_node_catches_up_before_it_is_ready() {
    let case = Case::new("a node killed while others are purged applies the purges before /readyz says 200");
    let origin = origin(&case).await;
    let mut fleet = Fleet::start(&case, &origin, 3, "").await;
    warm_all(&fleet, &["/a", "/b"]).await;
    let on_disk =
        async || fleet.nodes[2].metrics().await.sum("larder_store_objects", &["tier=\"disk\""]) >= 2.0;
    until_within(WITHIN, "both to be on disk", on_disk).await;
    fleet.nodes[2].kill9();
    for (number, target) in ["/a", "/b"].into_iter().enumerate() {
        origin.bump(target);
        let id = format!("while-away-{number}");
        let (status, told) = purge(&fleet.nodes[number], "?wait=all&timeout=300", &id, &url(target)).await;
        assert_eq!((status, &told["fleet"]["missing"]), (202, &serde_json::json!(["edge-3"])), "{told}");
        let (status, told) = purge(&fleet.nodes[number], "?wait=quorum", &id, &url(target)).await;
        assert_eq!((status, &told["repeated"]), (200, &true.into()), "{told}");
    }
    fleet.nodes[2].launch();
    let took = fleet.nodes[2].ready().await;
    println!("  ready {took:?} after its start, two purges caught up on");
    for target in ["/a", "/b"] {
        assert_eq!(fleet.nodes[2].get(target).await.version(target), 2);
    }
    let fetched = fleet.nodes[2].metrics().await.sum("larder_fleet_events_total", &["event=\"fetched\""]);
    assert_eq!(fetched, 2.0);
    let (_, all) = fleet.converged(WITHIN).await;
    assert_eq!(all.len(), 2);
    let (status, _) = purge(&fleet.nodes[0], "?wait=all", "while-away-0", &url("/a")).await;
    assert_eq!(status, 200, "now all have it");
}

#[tokio::test]
async fn cut_off_slow_and_repeated_all_end_with_the_same() {
    let case =
        Case::new("cut off, stopped and slow links, two senders at once, sends repeated: all end alike");
    let origin = origin(&case).await;
    let mut fleet = Fleet::start(&case, &origin, 3, "").await;
    for round in 0..4 {
        let (lame, left, right) = (round % 3, (round + 1) % 3, (round + 2) % 3);
        match round {
            0 => fleet.links(lame, Link::stop),
            1 => fleet.links(lame, |link| link.slow(Duration::from_millis(50))),
            _ => fleet.links(lame, Link::cut),
        }
        let send = async |to: usize, id: &str| {
            for _ in 0..2 {
                let (status, told) = purge(&fleet.nodes[to], "?wait=all&timeout=150", id, &url("/x")).await;
                if round != 1 {
                    let name = format!("edge-{}", lame + 1);
                    let own = to == lame;
                    assert_eq!(status, 202, "{told}");
                    let missing = told["fleet"]["missing"].as_array().expect("a list");
                    assert!(own || missing.contains(&name.clone().into()), "never too early: {told}");
                }
            }
        };
        let (one, two, own) = (format!("one-{round}"), format!("two-{round}"), format!("own-{round}"));
        // Two at once, one of them to two nodes; and one that only the lame one hears of.
        tokio::join!(send(left, &one), send(right, &one), send(right, &two), send(lame, &own));
        if round == 3 {
            fleet.nodes[lame].kill9();
            fleet.nodes[lame].launch();
        }
        fleet.links(lame, Link::mend);
        fleet.nodes[lame].ready().await;
        let (took, all) = fleet.converged(Duration::from_secs(20)).await;
        println!("  round {round}: all alike {took:?} after the links were mended");
        assert_eq!(all.len(), 3 * (round + 1), "{all:?}");
    }
}

#[tokio::test]
async fn alone_after_a_start_a_node_serves_what_the_origin_confirms() {
    let case =
        Case::new("no peer at the start: ready in time, what was stored is confirmed first and never stale");
    let origin = origin(&case).await;
    let mut fleet = Fleet::start(&case, &origin, 2, "catch_up_timeout = \"1s\"").await;
    warm_all(&fleet, &["/a", "/b", "/c"]).await;
    let mut one = fleet.nodes.remove(0);
    one.stop().await;
    origin.bump("/b");
    let (status, _) = purge(&fleet.nodes[0], "", "missed", &url("/b")).await;
    assert_eq!(status, 200);
    fleet.links(0, Link::cut);
    one.launch();
    let mut reason = String::new();
    until_within(WITHIN, "a reason", async || {
        if tokio::net::TcpStream::connect(one.admin()).await.is_err() {
            return false;
        }
        let answer = readiness(&one).await;
        reason = answer.text().to_owned();
        answer.status == 503 && reason.contains("catching up on purges") || answer.status == 200
    })
    .await;
    println!("  /readyz: {}", reason.trim());
    one.ready().await;
    assert_eq!(one.metrics().await.sum("larder_fleet_alone", &[]), 1.0);
    let before = origin.total();
    let confirmed = one.get("/a").await;
    assert_eq!((confirmed.status, origin.total()), (200, before + 1), "the origin was asked");
    assert_eq!(one.get("/b").await.version("/b"), 2, "not the one that was purged meanwhile");
    assert!(one.get("/a").await.hit(), "what was confirmed is as good as new");
    fleet.links(0, Link::mend);
    let alone = async || one.metrics().await.sum("larder_fleet_alone", &[]) > 0.0;
    until_within(WITHIN, "a peer", async || !alone().await).await;
    assert!(one.get("/c").await.hit(), "nothing but /b was purged: the rest is believed again");
    assert_eq!(ids(&one).await, ids(&fleet.nodes[0]).await);
}
