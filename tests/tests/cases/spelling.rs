//! A purge hits whatever its words mean, however they are spelled, and in whatever order answers come.

use larder_tests::{Answer, Ask, Client, Gate, Reply, spawn};

use crate::stage::Stage;

fn url(target: &str) -> String {
    format!("http://www.example.com{target}")
}

/// Asks in the background.
fn asking(s: &Stage, target: &'static str) -> tokio::task::JoinHandle<Answer> {
    let address = s.node.http();
    spawn(async move { Client::connect(address).await.ask(Ask::get(target)).await })
}

#[tokio::test]
async fn a_purge_finds_its_urls_however_they_are_spelled() {
    let s =
        Stage::new("a URL, prefix or host in any spelling purges what the node stored under its own").await;
    s.origin.on("/*", |asked| Reply::page(asked).cache("max-age=3600"));
    let table = [
        ("url", "/caf%C3%A9", url("/caf%c3%a9")),
        ("url", "/caf%C3%A9", url("/café")),
        ("url", "/caf%C3%A9", "HTTP://WWW.Example.com.:80/caf%C3%A9#x".to_owned()),
        ("url", "/~u", url("/%7Eu")),
        ("url", "/b", url("/a/../b")),
        ("url", "/b?q=%C3%A9", url("/./b?q=é")),
        ("prefix", "/caf%C3%A9", url("/caf%c3")),
        ("prefix", "/a/~u", "http://www.example.com./x/../a/%7e".to_owned()),
        ("prefix", "/a/..b", url("/a/..")),
        ("prefix", "/b?q=~1", url("/b?q=%7E")),
        // A query with a broken escape is kept as it came.
        ("prefix", "/b?q=%7e1&r=100%", url("/b?q=%7e")),
        ("host", "/b", "WWW.example.com.".to_owned()),
    ];
    for (kind, target, selector) in table {
        let before = s.warm(target).await.version(target);
        s.origin.bump(target);
        s.node.purge(kind, &[&selector], false).await;
        assert_eq!(s.get(target).await.version(target), before + 1, "{kind} {selector} for {target}");
    }
    for (kind, selector) in [("prefix", url("/caf%c3%a")), ("prefix", url("/caf%")), ("url", url("/%zz"))] {
        let body = serde_json::json!({ "kind": kind, "selectors": [selector] }).to_string();
        let answer = s.node.ask_admin(Ask::new("POST", "/purge").body(body)).await;
        assert_eq!(answer.status, 400, "{selector}: {}", answer.text());
        assert!(answer.text().contains("escape"), "{}", answer.text());
    }
    s.warm("/caf%C3%A9").await;
    let shown = s.node.ask_admin(Ask::get(&format!("/cache?url={}", url("/caf%25c3%25a9")))).await;
    assert!(shown.text().contains("\"stored\":true"), "{}", shown.text());
}

#[tokio::test]
async fn tags_beyond_ascii_are_tags() {
    let s = Stage::new("a tag beyond ASCII is a tag, and its neighbours are purged as well").await;
    s.origin.on("/a", |asked| Reply::page(asked).cache("max-age=3600").with("cache-tag", "news, café"));
    for (tag, version) in [("news", 2), ("café", 3)] {
        s.warm("/a").await;
        s.origin.bump("/a");
        s.node.purge("tag", &[tag], false).await;
        assert_eq!(s.get("/a").await.version("/a"), version, "{tag}");
    }
}

#[tokio::test]
async fn an_answer_with_too_many_tags_is_not_stored() {
    let s = Stage::new("an answer with more tags than the store keeps is not stored, and says why").await;
    let tags = |count: usize| (0..count).map(|n| format!("t{n}")).collect::<Vec<_>>().join(" ");
    s.origin.on("/most", move |asked| {
        Reply::page(asked).cache("max-age=3600").with("surrogate-key", &tags(1000))
    });
    s.origin.on("/more", move |asked| {
        Reply::page(asked).cache("max-age=3600").with("surrogate-key", &tags(1001))
    });
    s.warm("/most").await;
    let answer = s.never_stored(Ask::get("/more")).await;
    let status = answer.get("cache-status").unwrap_or_default();
    assert!(status.contains("too-many-tags"), "{status}");
}

#[tokio::test]
async fn a_location_invalidates_however_it_is_spelled() {
    let s = Stage::new("a Location in another spelling invalidates what the node stored under its own").await;
    s.origin.on("/*", |asked| match asked.method.as_str() {
        "POST" => Reply::new(201, "").with("location", "/x/../caf%c3%a9").with("content-location", "/%7eu"),
        _ => Reply::page(asked).cache("max-age=3600"),
    });
    for target in ["/caf%C3%A9", "/~u"] {
        s.warm(target).await;
        s.origin.bump(target);
    }
    s.ask(Ask::new("POST", "/a").body("x")).await;
    for target in ["/caf%C3%A9", "/~u"] {
        assert_eq!(s.get(target).await.version(target), 2, "{target}");
    }
}

#[tokio::test]
async fn a_304_does_not_carry_a_body_past_the_purge_of_its_old_tag() {
    let s = Stage::new("a 304 under way when the old tag is purged does not bring the old body back").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/a", move |asked| match asked.get("if-none-match") {
        Some(_) => Reply::new(304, "")
            .cache("max-age=600")
            .with("etag", "\"x\"")
            .with("cache-tag", "b")
            .held_by(&held),
        None => Reply::page(asked).cache("max-age=600").with("etag", "\"x\"").with("cache-tag", "a"),
    });
    s.warm("/a").await;
    s.node.purge("tag", &["a"], true).await;
    let asking = asking(&s, "/a");
    gate.reached(1).await;
    s.origin.bump("/a");
    s.node.purge("tag", &["a"], false).await;
    gate.open();
    asking.await.unwrap();
    for _ in 0..3 {
        assert_eq!(s.get("/a").await.version("/a"), 2, "older than the purge");
    }
}

#[tokio::test]
async fn a_late_answer_does_not_replace_a_newer_one() {
    let s = Stage::new("an answer that comes late does not replace one that was asked for after it").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/a", move |asked| {
        let reply = Reply::page_of(asked, 100_000).cache("max-age=3600");
        if asked.version == 1 { reply.paused_at(50_000, &held) } else { reply }
    });
    let early = asking(&s, "/a");
    gate.reached(1).await;
    s.origin.bump("/a");
    s.node.purge("tag", &["something-else"], false).await;
    assert_eq!(s.warm("/a").await.version("/a"), 2);
    gate.open();
    assert_eq!(early.await.unwrap().version("/a"), 1);
    for _ in 0..10 {
        assert_eq!(s.get("/a").await.version("/a"), 2);
    }
}
