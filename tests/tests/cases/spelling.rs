//! A purge hits whatever its words mean, however they are spelled, and in whatever order answers come.

use larder_tests::{Answer, Ask, Client, Gate, Reply, spawn};

use crate::stage::Stage;

/// Asks in the background.
fn asking(s: &Stage, target: &'static str) -> tokio::task::JoinHandle<Answer> {
    let address = s.node.http();
    spawn(async move { Client::connect(address).await.ask(Ask::get(target)).await })
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
