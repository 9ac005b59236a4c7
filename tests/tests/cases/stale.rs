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
    let mut s = Stage::with("without permission an origin that is gone is told as 502 or 504", |recipe| {
        recipe.in_site("[site.cache]\nstale_if_unreachable = \"0s\"")
    })
    .await;
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

#[tokio::test]
async fn an_origin_that_is_gone_is_stood_in_for() {
    let mut s =
        Stage::new("while the origin gives no answer at all, what it did not forbid is given stale").await;
    s.origin.on("/a", |asked| Reply::page(asked).stale("").with("etag", "\"v1\"").closing());
    s.origin.on("/s", |asked| Reply::page(asked).cache("s-maxage=60").with("age", "90").closing());
    s.origin.on("/503", |asked| match asked.version {
        1 => Reply::validated(asked).stale("").closing(),
        _ => Reply::new(503, "broken").closing(),
    });
    for target in ["/a", "/s", "/503"] {
        assert_eq!(s.get(target).await.status, 200);
    }
    s.origin.bump("/503");
    assert_eq!(s.get("/503").await.status, 503, "an error is an answer");
    s.origin.stop().await;
    let stale = s.get("/a").await;
    assert_eq!((stale.status, stale.version("/a")), (200, 1));
    let status = stale.cache_status();
    assert_eq!(status.fwd(), Some("stale"), "{:?}", stale.get("cache-status"));
    assert!(status.get("detail").is_some(), "{:?}", stale.get("cache-status"));
    assert!(status.get("ttl").is_some_and(|ttl| ttl.starts_with('-')), "{:?}", stale.get("cache-status"));
    assert!((502..=504).contains(&s.get("/s").await.status), "s-maxage is never stale");
}

#[tokio::test]
async fn what_is_gone_is_not_stood_in_for() {
    let mut s = Stage::new("after 404, 410, no-store or private the old answer is never given again").await;
    let gone: [(&str, u16, &str); 4] = [
        ("/404", 404, "max-age=0"),
        ("/410", 410, "max-age=0"),
        ("/private", 200, "private"),
        ("/no-store", 200, "no-store"),
    ];
    for (target, status, value) in gone {
        s.origin.on(target, move |asked| match asked.version {
            1 => Reply::page(asked).stale("").with("etag", "\"v1\"").closing(),
            _ => Reply::new(status, "gone").cache(value).closing(),
        });
        assert_eq!(s.get(target).await.version(target), 1);
        s.origin.bump(target);
        assert_eq!(s.get(target).await.status, status);
    }
    s.origin.stop().await;
    for (target, ..) in gone {
        assert!((502..=504).contains(&s.get(target).await.status), "{target}");
    }
}

#[tokio::test]
async fn grace_is_one_key_for_both_windows() {
    let mut s = Stage::with("grace serves stale while one refresh runs, and instead of an error", |recipe| {
        recipe.in_site("[site.cache]\ngrace = \"1d\"")
    })
    .await;
    s.origin.on("/a", |asked| Reply::validated(asked).stale("").closing());
    assert_eq!(s.get("/a").await.version("/a"), 1);
    let meanwhile = s.get("/a").await;
    assert!(meanwhile.hit(), "{:?}", meanwhile.get("cache-status"));
    assert_eq!(meanwhile.cache_status().get("detail"), Some("stale-while-revalidate"));
    s.origin.stop().await;
    assert_eq!(s.get("/a").await.version("/a"), 1);
}

#[tokio::test]
async fn the_site_says_what_an_error_is() {
    let s = Stage::with(
        "stale-if-error counts for what the site calls an error, and for nothing else",
        |recipe| recipe.in_site("[site.cache]\nstale_if_error = \"1d\"\nstale_if_error_on = [\"429\"]"),
    )
    .await;
    for (target, status) in [("/429", 429), ("/503", 503)] {
        s.origin.on(target, move |asked| match asked.version {
            1 => Reply::validated(asked).stale(""),
            _ => Reply::new(status, "slow down"),
        });
        s.get(target).await;
        s.origin.bump(target);
    }
    let stale = s.get("/429").await;
    assert_eq!((stale.status, stale.version("/429")), (200, 1));
    assert_eq!(stale.cache_status().get("detail"), Some("error-status"));
    assert_eq!(s.get("/503").await.status, 503);
}

#[tokio::test]
async fn with_the_origin_down_anything_stored_will_do() {
    let mut s = Stage::with(
        "serve_stored_if_down serves what must be revalidated, and nothing that is private or purged",
        |recipe| {
            recipe.in_site(
                "[site.cache]\nserve_stored_if_down = true\nkeep = \"0s\"\nstale_if_unreachable = \"0s\"",
            )
        },
    )
    .await;
    for (target, value) in [
        ("/must", "max-age=60, must-revalidate"),
        ("/shared", "s-maxage=60"),
        ("/asked", "max-age=60, no-cache"),
        ("/never", "max-age=0, must-revalidate"),
        ("/private", "private, max-age=60"),
        ("/purged", "max-age=60"),
    ] {
        s.origin.on(target, move |asked| {
            Reply::page(asked).cache(value).with("age", "3600").with("etag", "\"e\"").closing()
        });
        assert_eq!(s.get(target).await.version(target), 1);
    }
    s.node.purge("url", &["http://www.example.com/purged"], false).await;
    s.origin.stop().await;
    until("the old connections to end", || s.origin.open() == 0).await;
    for target in ["/must", "/shared"] {
        let stale = s.get(target).await;
        assert_eq!((stale.status, stale.version(target)), (200, 1), "{target}");
        assert!(stale.cache_status().get("detail").is_some(), "{:?}", stale.get("cache-status"));
    }
    for target in ["/asked", "/never", "/private", "/purged"] {
        assert!((502..=504).contains(&s.get(target).await.status), "{target}");
    }
}

#[tokio::test]
async fn past_its_keep_an_answer_is_not_there() {
    let s = Stage::with("an answer past its keep is neither served nor asked about", |recipe| {
        recipe.in_site("[site.cache]\nkeep = \"10m\"\nstale_if_unreachable = \"0s\"")
    })
    .await;
    s.origin.on("/kept", |asked| Reply::validated(asked).cache("max-age=3500").with("age", "3600"));
    s.origin.on("/gone", |asked| Reply::validated(asked).stale(""));
    for (target, condition) in [("/kept", Some("\"v1\"")), ("/gone", None)] {
        s.get(target).await;
        s.get(target).await;
        assert_eq!(s.origin.last(target).get("if-none-match"), condition, "{target}");
    }
}
