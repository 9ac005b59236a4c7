//! Several endpoints, connections that are kept, retries, and origins over TLS.

use std::time::Duration;

use larder_tests::tls::Authority;
use larder_tests::{Ask, Case, Node, Origin, Recipe, Reply, until_within};

use crate::stage::Stage;

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let s =
        Stage::with("requests one after the other share an origin connection", |recipe| recipe.one_worker())
            .await;
    for number in 0..20 {
        s.get(&format!("/{number}")).await;
    }
    assert!(s.origin.connections() <= 2, "{}", s.origin.connections());
}

#[tokio::test]
async fn a_connection_the_origin_closed_costs_no_error() {
    let s =
        Stage::new("a kept connection that the origin closed meanwhile costs a retry, not an error").await;
    s.origin.on("/*", |asked| Reply::page(asked).cache("no-store").until_close());
    for number in 0..20 {
        let target = format!("/{number}");
        assert_eq!(s.get(&target).await.version(&target), 1);
    }
}

#[tokio::test]
async fn a_request_on_a_dead_connection_is_tried_once_more() {
    let s =
        Stage::with("a reused connection that dies before a byte: GET again, POST never twice", |recipe| {
            recipe.one_worker()
        })
        .await;
    let first = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    s.origin.on("/dies", move |asked| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            Reply::raw("")
        } else {
            Reply::page(asked)
        }
    });
    s.get("/warm").await;
    assert_eq!(s.get("/dies").await.version("/dies"), 1);
    assert_eq!(s.origin.count("/dies"), 2);
    s.origin.on("/post", |_| Reply::raw(""));
    s.get("/warm-2").await;
    let post = s.ask(Ask::new("POST", "/post").body("x")).await;
    assert_eq!((post.status, s.origin.count("/post")), (502, 1));
}

#[tokio::test]
async fn endpoints_share_the_work_and_a_dead_one_is_left_out() {
    let case = Case::new("two endpoints share the work; when one dies no client sees it, and it comes back");
    let mut one = Origin::start(&case).await;
    let two = Origin::start(&case).await;
    let recipe = Recipe::in_front_of(&[&one.url(), &two.url()]).origin("eject_time = \"500ms\"");
    let node = Node::start(&case, recipe).await;
    for number in 0..20 {
        node.get(&format!("/{number}")).await;
    }
    assert!(one.total() >= 5 && two.total() >= 5, "{} and {}", one.total(), two.total());
    one.on("/*", |asked| Reply::page(asked).closing());
    for number in 0..4 {
        node.get(&format!("/closing/{number}")).await;
    }
    one.stop().await;
    for number in 100..130 {
        assert_eq!(node.get(&format!("/{number}")).await.status, 200, "request {number}");
    }
    let before = one.total();
    one.start_again().await;
    let mut number = 1000;
    until_within(Duration::from_secs(20), "the endpoint to be used again", async || {
        number += 1;
        assert_eq!(node.get(&format!("/{number}")).await.status, 200);
        one.total() > before
    })
    .await;
}

#[tokio::test]
async fn nobody_there_is_a_502() {
    let case =
        Case::new("an origin that refuses connections is 502 or 503, at once, and the node stays ready");
    let mut origin = Origin::start(&case).await;
    let node = Node::start(&case, Recipe::new(&origin)).await;
    origin.stop().await;
    for number in 0..10 {
        let answer = node.get(&format!("/{number}")).await;
        assert!(matches!(answer.status, 502..=504), "{}", answer.status);
        assert!(!answer.cache_status().stored());
    }
    origin.start_again().await;
    until_within(Duration::from_secs(20), "the origin to be used again", async || {
        node.get("/again").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn an_https_origin_is_verified() {
    let case =
        Case::new("an https origin is verified against the CA given; a wrong certificate is never used");
    let authority = Authority::default();
    let origin = Origin::start_tls(&case, &authority).await;
    let folder = tempfile::tempdir().unwrap();
    let root = authority.write_root(folder.path());
    let good = Node::start(&case, Recipe::new(&origin).origin(&format!("ca_file = {root:?}"))).await;
    assert_eq!(good.get("/a").await.version("/a"), 1);
    let stranger = Node::start(&case, Recipe::new(&origin)).await;
    let answer = stranger.get("/b").await;
    assert!(matches!(answer.status, 502 | 503), "{}", answer.status);
    let recipe =
        Recipe::new(&origin).origin(&format!("ca_file = {root:?}\nserver_name = \"elsewhere.example\""));
    let misnamed = Node::start(&case, recipe).await;
    assert!(matches!(misnamed.get("/c").await.status, 502 | 503));
    assert_eq!((origin.count("/b"), origin.count("/c")), (0, 0));
}
