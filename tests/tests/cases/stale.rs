//! RFC 5861 and RFC 9111 4.2.4: when a stale answer may be given.

use std::time::Duration;

use larder_tests::{Gate, Reply, until, until_within};

use crate::stage::Stage;

#[tokio::test]
async fn stale_while_revalidate_answers_at_once() {
    let s = Stage::new("stale-while-revalidate answers at once and refreshes behind the client").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/a", move |asked| match asked.version {
        1 => Reply::page(asked).stale("stale-while-revalidate=100000"),
        _ => Reply::page(asked).cache("max-age=3600").held_by(&held),
    });
    assert_eq!(s.get("/a").await.version("/a"), 1);
    s.origin.bump("/a");
    for _ in 0..20 {
        assert_eq!(s.get("/a").await.version("/a"), 1, "the origin is silent, the client is not");
    }
    gate.reached(1).await;
    assert_eq!(s.origin.count("/a"), 2, "one refresh for all");
    gate.open();
    until_within(Duration::from_secs(10), "the new version", async || s.get("/a").await.version("/a") == 2)
        .await;
    assert_eq!(s.origin.count("/a"), 2);
}

#[tokio::test]
async fn stale_while_revalidate_has_an_end() {
    let s = Stage::new("beyond its window, stale-while-revalidate does not count").await;
    s.origin.on("/a", |asked| Reply::validated(asked).stale("stale-while-revalidate=10"));
    s.get("/a").await;
    s.origin.bump("/a");
    assert_eq!(s.get("/a").await.version("/a"), 2);
}

#[tokio::test]
async fn stale_if_error_covers_an_origin_that_fails() {
    let s = Stage::new("stale-if-error covers 5xx and an origin that is gone, for as long as it says").await;
    s.origin.on("/a", |asked| match asked.version {
        1 => Reply::validated(asked).stale("stale-if-error=100000"),
        _ => Reply::new(503, "broken"),
    });
    s.origin.on("/short", |asked| match asked.version {
        1 => Reply::validated(asked).stale("stale-if-error=10"),
        _ => Reply::new(503, "broken"),
    });
    for target in ["/a", "/short"] {
        s.get(target).await;
        s.origin.bump(target);
    }
    let stale = s.get("/a").await;
    assert_eq!((stale.status, stale.version("/a")), (200, 1));
    assert_eq!(s.get("/short").await.status, 503, "beyond its window the error is told");
}

#[tokio::test]
async fn stale_if_error_covers_a_refused_connection() {
    let mut s = Stage::new("stale-if-error covers an origin that is gone").await;
    s.origin.on("/a", |asked| Reply::validated(asked).stale("stale-if-error=100000").closing());
    s.origin.on("/must", |asked| {
        Reply::validated(asked).stale("must-revalidate, stale-if-error=100000").closing()
    });
    for target in ["/a", "/must"] {
        assert_eq!(s.get(target).await.version(target), 1);
    }
    s.origin.stop().await;
    let stale = s.get("/a").await;
    assert_eq!((stale.status, stale.version("/a")), (200, 1));
    let must = s.get("/must").await;
    assert!((500..600).contains(&must.status), "must-revalidate is never stale: {}", must.status);
    s.origin.start_again().await;
    until_within(Duration::from_secs(30), "the origin to be used again", async || {
        s.get("/must").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn without_permission_nothing_stale_is_given() {
    let mut s = Stage::new("without permission an origin that is gone is told as 502 or 504").await;
    s.origin.on("/a", |asked| Reply::validated(asked).stale("").closing());
    assert_eq!(s.get("/a").await.version("/a"), 1);
    s.origin.stop().await;
    until("the old connection to end", || s.origin.open() == 0).await;
    let answer = s.get("/a").await;
    assert!(matches!(answer.status, 502..=504), "{}", answer.status);
}

#[tokio::test]
async fn the_site_may_set_stale_windows() {
    let mut s = Stage::with("the site's own stale_if_error covers an origin that says nothing", |recipe| {
        recipe.in_site("[site.cache]\nstale_if_error = \"1d\"")
    })
    .await;
    s.origin.on("/a", |asked| Reply::validated(asked).stale("").closing());
    assert_eq!(s.get("/a").await.version("/a"), 1);
    s.origin.stop().await;
    assert_eq!(s.get("/a").await.version("/a"), 1);
}
