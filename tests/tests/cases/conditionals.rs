//! RFC 9110 13: a client's own validators answered from the cache.

use larder_tests::{Ask, Reply};

use crate::stage::{Stage, date};

async fn stage(title: &'static str) -> Stage {
    let s = Stage::new(title).await;
    let modified = date(-1000);
    s.origin.on("/a", move |asked| {
        Reply::validated(asked).cache("max-age=3600").with("last-modified", &modified).with("x-meta", "yes")
    });
    s
}

#[tokio::test]
async fn if_none_match_is_answered_from_the_cache() {
    let s = stage("If-None-Match is answered 304 from the cache").await;
    s.warm("/a").await;
    for value in ["\"v1\"", "W/\"v1\"", "\"other\", \"v1\"", "*"] {
        let answer = s.ask(Ask::get("/a").with("if-none-match", value)).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{value}");
        assert_eq!(answer.get("etag"), Some("\"v1\""));
        assert!(answer.get("content-length").is_none_or(|length| length != "0"));
        assert!(answer.get("cache-control").is_some());
    }
    assert_eq!(s.ask(Ask::get("/a").with("if-none-match", "\"v2\"")).await.version("/a"), 1);
    assert_eq!(s.ask(Ask::head("/a").with("if-none-match", "\"v1\"")).await.status, 304);
    assert_eq!(s.origin.count("/a"), 1);
}

#[tokio::test]
async fn if_modified_since_is_answered_from_the_cache() {
    let s = stage("If-Modified-Since is answered from the cache, and ignored beside If-None-Match").await;
    s.warm("/a").await;
    let ask = |seconds| Ask::get("/a").with("if-modified-since", &date(seconds));
    assert_eq!(s.ask(ask(-10)).await.status, 304);
    assert_eq!(s.ask(ask(-100_000)).await.status, 200);
    assert_eq!(s.ask(ask(-10).with("if-none-match", "\"v2\"")).await.status, 200);
    assert_eq!(s.ask(Ask::get("/a").with("if-modified-since", "nonsense")).await.status, 200);
    assert_eq!(s.origin.count("/a"), 1);
}

#[tokio::test]
async fn a_conditional_request_for_a_cold_url_is_right() {
    let s = stage("a conditional request for a cold URL is right and does not store a 304 as the page").await;
    let cold = s.ask(Ask::get("/a").with("if-none-match", "\"v1\"")).await;
    assert_eq!((cold.status, cold.body.len()), (304, 0));
    assert_eq!(s.get("/a").await.version("/a"), 1);
}

#[tokio::test]
async fn a_conditional_request_for_a_stale_page_is_right() {
    let s = Stage::new("a conditional request meets a stale page: revalidated once, then 304 to the client")
        .await;
    s.origin.on("/a", |asked| Reply::validated(asked).stale(""));
    s.get("/a").await;
    let answer = s.ask(Ask::get("/a").with("if-none-match", "\"v1\"")).await;
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    s.origin.bump("/a");
    let changed = s.ask(Ask::get("/a").with("if-none-match", "\"v1\"")).await;
    assert_eq!(changed.version("/a"), 2);
}

#[tokio::test]
async fn preconditions_of_the_origin_reach_it() {
    let s = Stage::new("If-Match on an unsafe method reaches the origin").await;
    s.origin.on("/a", |asked| Reply::new(if asked.get("if-match").is_some() { 412 } else { 200 }, ""));
    let answer = s.ask(Ask::new("PUT", "/a").with("if-match", "\"v0\"").body("x")).await;
    assert_eq!(answer.status, 412);
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_no_answer() {
    let s = Stage::new("a 304 to a request without a condition is the origin's mistake, never a page").await;
    s.origin.on("/cold", |_| Reply::new(304, "").with("etag", "\"v1\""));
    assert_eq!(s.get("/cold").await.status, 502);
    s.origin.on("/stale", |asked| match asked.version {
        1 => Reply::page(asked).stale(""),
        _ => Reply::new(304, "").cache("max-age=3600"),
    });
    assert_eq!(s.get("/stale").await.version("/stale"), 1);
    s.origin.bump("/stale");
    assert_eq!(s.get("/stale").await.status, 502);
}

#[tokio::test]
async fn a_304_for_another_tag_is_asked_again() {
    let s = Stage::new("a 304 with another strong tag freshens nothing: the whole is fetched").await;
    s.origin.on("/a", |asked| match asked.get("if-none-match") {
        Some(_) => Reply::new(304, "").with("etag", "\"other\"").cache("max-age=3600"),
        None => Reply::page(asked).with("etag", "\"one\"").stale(""),
    });
    s.get("/a").await;
    s.origin.bump("/a");
    assert_eq!(s.get("/a").await.version("/a"), 2);
    assert_eq!(s.origin.count("/a"), 3);
}

#[tokio::test]
async fn tags_of_packed_forms_validate() {
    let s = stage("the weak tag of a packed form is answered 304, and never allows a range").await;
    s.warm("/a").await;
    let ask = || Ask::get("/a").with("accept-encoding", "gzip");
    let tag = s.ask(ask()).await.get("etag").map(str::to_owned).unwrap_or_default();
    assert_eq!(tag, "W/\"v1\"");
    let same = s.ask(ask().with("if-none-match", &tag)).await;
    assert_eq!((same.status, same.get("etag")), (304, Some(tag.as_str())));
    assert_eq!(s.ask(ask().with("range", "bytes=0-9").with("if-range", &tag)).await.status, 200);
    assert_eq!(s.ask(ask().with("range", "bytes=0-9").with("if-range", "\"v1\"")).await.status, 206);
    assert_eq!(s.origin.count("/a"), 1);
}
