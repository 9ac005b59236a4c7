//! From start to end: warm restarts, drain, kill -9.

use std::time::Duration;

use larder_tests::h2::H2;
use larder_tests::tls::Authority;
use larder_tests::{Ask, Case, Client, Gate, Node, Origin, Reply, spawn, until_within};

use crate::recipe;

#[tokio::test]
async fn a_restart_keeps_the_cache() {
    let case = Case::new("after a restart the cache is warm from disk, heads and bodies as before");
    let origin = Origin::start(&case).await;
    origin.on("/*", |asked| {
        let size = 500 * asked.target.len();
        Reply::page_of(asked, size).cache("max-age=3600").with("etag", "\"e\"").with("x-kept", "yes")
    });
    let mut node = Node::start(&case, recipe(&origin)).await;
    let targets: Vec<_> = (0..50).map(|n| format!("/{}", "x".repeat(n + 1))).collect();
    for target in &targets {
        assert_eq!(node.get(target).await.version(target), 1);
    }
    for round in 0..3 {
        node.stop().await;
        node.start_again().await;
        for target in &targets {
            let answer = node.get(target).await;
            assert_eq!((answer.version(target), answer.hit()), (1, true), "round {round} {target}");
            assert_eq!((answer.get("etag"), answer.get("x-kept")), (Some("\"e\""), Some("yes")));
        }
    }
    assert_eq!(origin.total(), targets.len());
}

#[tokio::test]
async fn drain_finishes_what_is_in_flight() {
    let case =
        Case::new("SIGTERM: a request in flight is finished, new connections are refused, the end is 0");
    let origin = Origin::start(&case).await;
    let gate = Gate::shut();
    let held = gate.clone();
    origin
        .on("/slow", move |asked| Reply::page_of(asked, 200_000).cache("max-age=60").paused_at(1000, &held));
    let mut node = Node::start(&case, recipe(&origin)).await;
    let mut idle = node.client().await;
    idle.ask(Ask::get("/a")).await;
    let address = node.http();
    let asking = spawn(async move { Client::connect(address).await.ask(Ask::get("/slow")).await });
    gate.reached(1).await;
    node.term();
    until_within(Duration::from_secs(10), "new connections to be refused", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    assert!(idle.closed().await, "an idle connection is closed");
    gate.open();
    let answer = asking.await.unwrap();
    assert_eq!(answer.version("/slow"), 1);
    assert_eq!(node.ended(Duration::from_secs(10)).await, Some(0));
}

#[tokio::test]
async fn drain_says_goodbye_over_http2() {
    let case = Case::new("SIGTERM over HTTP/2: the stream in flight is finished, then the connection goes");
    let origin = Origin::start(&case).await;
    let authority = Authority::default();
    let gate = Gate::shut();
    let held = gate.clone();
    origin.on("/slow", move |asked| Reply::page(asked).held_by(&held));
    let mut node = Node::start(&case, recipe(&origin).tls(&authority.issue(&["www.example.com"]))).await;
    let h2 = H2::connect(node.https(), &authority, "www.example.com").await;
    let mut stream = h2.clone();
    let asking = spawn(async move { stream.ask(Ask::get("/slow")).await });
    gate.reached(1).await;
    node.term();
    until_within(Duration::from_secs(10), "new connections to be refused", async || {
        tokio::net::TcpStream::connect(node.http()).await.is_err()
    })
    .await;
    gate.open();
    assert_eq!(asking.await.unwrap().unwrap().version("/slow"), 1);
    assert_eq!(node.ended(Duration::from_secs(10)).await, Some(0));
}

#[tokio::test]
async fn drain_has_a_hard_end() {
    let case = Case::new("a drain ends at its deadline whatever is in flight");
    let origin = Origin::start(&case).await;
    let never = Gate::shut();
    let held = never.clone();
    origin.on("/never", move |asked| Reply::page(asked).held_by(&held));
    let limits = "[limits]\ndrain_timeout = \"500ms\"\n";
    let mut node = Node::start(&case, recipe(&origin).table(limits)).await;
    let mut stuck = node.client().await;
    stuck.send(&Ask::get("/never")).await;
    never.reached(1).await;
    node.term();
    node.ended(Duration::from_secs(8)).await;
}

#[tokio::test]
async fn readiness_ends_before_the_listeners_do() {
    let case = Case::new("while draining, readyz says 503 or the admin listener is gone");
    let origin = Origin::start(&case).await;
    let gate = Gate::shut();
    let held = gate.clone();
    origin.on("/slow", move |asked| Reply::page(asked).held_by(&held));
    let mut node = Node::start(&case, recipe(&origin)).await;
    let mut busy = node.client().await;
    busy.send(&Ask::get("/slow")).await;
    gate.reached(1).await;
    node.term();
    until_within(Duration::from_secs(10), "readyz to say no", async || {
        let Ok(stream) = tokio::net::TcpStream::connect(node.admin()).await else { return true };
        let mut client = Client::over(stream);
        client.send(&Ask::get("/readyz")).await;
        client.try_answer_to("GET").await.is_ok_and(|answer| answer.status == 503)
    })
    .await;
    gate.open();
    assert_eq!(busy.answer_to("GET").await.version("/slow"), 1);
    node.ended(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let case = Case::new("an admin port that another process has is told, and the node ends with an error");
    let origin = Origin::start(&case).await;
    let mut node = Node::prepare(&case, recipe(&origin));
    let _taken = std::net::TcpListener::bind(node.admin()).unwrap();
    node.launch();
    let code = node.ended(Duration::from_secs(10)).await;
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    assert!(node.read("stderr").contains(&node.admin().port().to_string()), "{}", node.read("stderr"));
}
