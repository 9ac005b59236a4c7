//! SIGHUP and `POST /reload`: swapped whole, or refused with reasons.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use larder_tests::{Ask, Case, Client, Node, Origin, until, until_within};
use rustix::process::Signal;

use crate::recipe;

#[tokio::test]
async fn a_good_reload_is_swapped_in_and_a_bad_one_refused() {
    let case =
        Case::new("POST /reload swaps a good file in, refuses a bad one with reasons and keeps the old");
    let (one, two) = (Origin::start(&case).await, Origin::start(&case).await);
    let mut node = Node::start(&case, recipe(&one)).await;
    node.get("/a").await;
    node.rewrite(recipe(&two));
    let answer = node.ask_admin(Ask::new("POST", "/reload")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    node.get("/b").await;
    assert_eq!((one.count("/b"), two.count("/b")), (0, 1));
    assert!(node.get("/a").await.hit(), "the cache is kept");
    node.rewrite(recipe(&one).own("frobnicate = 1"));
    let answer = node.ask_admin(Ask::new("POST", "/reload")).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert!(answer.text().contains("frobnicate"), "{}", answer.text());
    node.get("/c").await;
    assert_eq!((one.count("/c"), two.count("/c")), (0, 1), "the old one goes on");
}

#[tokio::test]
async fn sighup_reloads() {
    let case = Case::new("SIGHUP reloads; a bad file is told on stderr and the old one kept");
    let (one, two) = (Origin::start(&case).await, Origin::start(&case).await);
    let mut node = Node::start(&case, recipe(&one)).await;
    node.rewrite(recipe(&two));
    node.signal(Signal::HUP);
    let mut number = 0;
    until_within(std::time::Duration::from_secs(10), "the second origin to be asked", async || {
        number += 1;
        assert_eq!(node.get(&format!("/{number}")).await.status, 200);
        two.total() > 0
    })
    .await;
    node.rewrite(recipe(&one).own("frobnicate = 1"));
    node.signal(Signal::HUP);
    until("the mistake to be told", || node.read("stderr").contains("frobnicate")).await;
    let before = two.total();
    node.get("/after").await;
    assert_eq!(two.total(), before + 1);
}

#[tokio::test]
async fn reloads_under_load_fail_no_request() {
    let case = Case::new("60 reloads, a third of them bad, under load: no failed request");
    let (one, two) = (Origin::start(&case).await, Origin::start(&case).await);
    let mut node = Node::start(&case, recipe(&one)).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = node.http();
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            larder_tests::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let target = format!("/{number}/{}", round % 50);
                    let answer = client.ask(Ask::get(&target)).await;
                    assert_eq!((answer.status, answer.version(&target)), (200, 1));
                    served.fetch_add(1, Ordering::Relaxed);
                    if answer.closes() {
                        client = Client::connect(address).await;
                    }
                }
            })
        })
        .collect();
    for round in 0..60 {
        let bad = round % 3 == 2;
        let origin = if round % 2 == 0 { &two } else { &one };
        node.rewrite(if bad { recipe(origin).own("frobnicate = 1") } else { recipe(origin) });
        let answer = node.ask_admin(Ask::new("POST", "/reload")).await;
        assert_eq!(answer.status == 200, !bad, "round {round}: {}", answer.text());
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no failed request");
    }
    println!("  {} requests served meanwhile", served.load(Ordering::Relaxed));
}
