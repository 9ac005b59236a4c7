//! `No-Vary-Search`: one stored answer for URLs that differ in what does not matter.

use larder_tests::{Ask, Gate, Reply};

use crate::stage::Stage;

const TRACKED: &str = "params=(\"utm\" \"ref\"), key-order";

async fn stage(title: &'static str) -> Stage {
    let s = Stage::new(title).await;
    s.origin.on("/p", |asked| Reply::page(asked).cache("max-age=60").with("no-vary-search", TRACKED));
    s
}

#[tokio::test]
async fn what_does_not_matter_makes_no_miss() {
    let s = stage("an answer with No-Vary-Search answers URLs that differ in ignored parameters").await;
    s.warm("/p?id=1&x=2&utm=a").await;
    for target in ["/p?x=2&id=1", "/p?utm=b&id=1&x=2&ref=c", "/p?id=%31&&x=2"] {
        let answer = s.get(target).await;
        assert!(answer.hit(), "{target}: {:?}", answer.get("cache-status"));
        assert_eq!(answer.version("/p?id=1&x=2&utm=a"), 1);
        assert_eq!(answer.cache_status().get("detail"), Some("no-vary-search"));
    }
    assert_eq!(s.origin.total(), 1);
    for target in ["/p?id=2&x=2", "/p?id=1", "/p", "/p2?id=1&x=2"] {
        assert!(!s.get(target).await.hit(), "{target}");
    }
    assert!(!s.ask(Ask::get("/p?id=1&x=2").host("other.example")).await.hit());
}

#[tokio::test]
async fn only_a_fresh_answer_stands_for_another_url() {
    let s =
        Stage::new("a stale answer, or one that says nothing any more, does not stand for another URL").await;
    s.origin.on("/p", |asked| match asked.version {
        1 => Reply::validated(asked).stale("stale-while-revalidate=100000").with("no-vary-search", TRACKED),
        _ => Reply::validated(asked).cache("max-age=60"),
    });
    s.get("/p?utm=a").await;
    assert!(!s.get("/p?utm=b").await.hit());
    s.origin.on("/r", |asked| {
        let reply = Reply::page(asked).cache("max-age=60");
        if asked.version == 1 { reply.with("no-vary-search", "params") } else { reply }
    });
    s.warm("/r?1").await;
    assert!(s.get("/r?2").await.hit());
    s.origin.bump("/r?1");
    s.node.purge("url", &["http://www.example.com/r?1"], false).await;
    s.warm("/r?1").await;
    assert!(!s.get("/r?3").await.hit(), "it is stored without the field now");
}

#[tokio::test]
async fn a_purge_of_either_url_counts() {
    let s = stage("a purge of the stored URL or of the one asked for ends the match").await;
    let host = "http://www.example.com";
    s.warm("/p?id=1&utm=a").await;
    assert!(s.get("/p?id=1").await.hit());
    s.node.purge("url", &[&format!("{host}/p?id=1&utm=b")], true).await;
    assert!(!s.get("/p?id=1&utm=b").await.hit(), "no older answer for what was purged, were it softly");
    s.node.purge("url", &[&format!("{host}/p?id=1&utm=b")], false).await;
    assert!(!s.get("/p?id=1&ref=x").await.hit(), "what is gone answers nobody");
    s.warm("/p?id=1&ref=x").await;
    assert!(s.get("/p?id=1").await.hit(), "a newer one does");
    s.node.purge("prefix", &[&format!("{host}/p?id=1&utm=")], false).await;
    assert!(!s.get("/p?id=1&utm=c").await.hit(), "nor for what a prefix names");
    assert!(s.get("/p?id=1&ref=x").await.hit(), "the stored one was not meant");
}

#[tokio::test]
async fn an_unsafe_request_for_the_other_url_counts() {
    let s = stage("after an unsafe request for a URL no older answer of another one is given for it").await;
    s.warm("/p?id=1&utm=a").await;
    assert!(s.get("/p?id=1").await.hit());
    assert_eq!(s.ask(Ask::new("POST", "/p?id=1").body("x")).await.status, 200);
    let fetched = s.get("/p?id=1").await;
    assert!(!fetched.hit());
    assert_eq!(fetched.version("/p?id=1"), 1);
}

#[tokio::test]
async fn an_unsafe_request_during_the_first_fetch_counts() {
    let s = Stage::new("an unsafe request during the fetch of an answer ends its match for that URL").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/p", move |asked| {
        let reply = Reply::page(asked).cache("max-age=60").with("no-vary-search", TRACKED);
        if asked.method == "GET" && asked.target.contains("utm") { reply.held_by(&held) } else { reply }
    });
    let mut client = s.node.client().await;
    client.send(&Ask::get("/p?id=1&utm=a")).await;
    gate.reached(1).await;
    assert_eq!(s.ask(Ask::new("POST", "/p?id=1").body("x")).await.status, 200);
    gate.open();
    assert_eq!(client.answer_to("GET").await.version("/p?id=1&utm=a"), 1);
    s.warm("/p?id=1&utm=a").await;
    let fetched = s.get("/p?id=1").await;
    assert!(!fetched.hit(), "{:?}", fetched.get("cache-status"));
}

#[tokio::test]
async fn variants_count_below_it() {
    let s = Stage::new("an answer that varies stands for another URL only for the same variant").await;
    s.origin.on("/p", |asked| {
        let language = asked.get("accept-language").unwrap_or("none").to_owned();
        let reply = Reply::new(200, language).cache("max-age=60").with("vary", "Accept-Language");
        reply.with("no-vary-search", "params")
    });
    let ask = |target: &str, language: &str| Ask::get(target).with("accept-language", language);
    s.warm_by(ask("/p?1", "de")).await;
    let same = s.ask(ask("/p?2", "de")).await;
    assert!(same.hit() && same.text() == "de");
    let other = s.ask(ask("/p?3", "en")).await;
    assert!(!other.hit() && other.text() == "en");
}
