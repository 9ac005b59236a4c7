//! RFC 9111 4.4: unsafe methods invalidate.

use larder_tests::{Ask, Reply};

use crate::stage::Stage;

async fn stage(title: &'static str) -> Stage {
    let s = Stage::new(title).await;
    s.origin.on("/*", |asked| match asked.method.as_str() {
        "GET" => Reply::page(asked).cache("max-age=3600"),
        "POST" => Reply::new(201, "").with("location", "/made").with("content-location", "/also"),
        "PUT" => Reply::new(500, ""),
        _ => Reply::new(204, ""),
    });
    s
}

#[tokio::test]
async fn a_successful_unsafe_request_invalidates() {
    let s = stage("a successful POST invalidates its URL, Location and Content-Location of the same origin")
        .await;
    for target in ["/a", "/made", "/also", "/other"] {
        s.warm(target).await;
        s.origin.bump(target);
    }
    assert_eq!(s.ask(Ask::new("POST", "/a").body("x")).await.status, 201);
    for target in ["/a", "/made", "/also"] {
        assert_eq!(s.get(target).await.version(target), 2, "{target}");
    }
    assert_eq!(s.get("/other").await.version("/other"), 1);
}

#[tokio::test]
async fn delete_and_unknown_methods_invalidate_but_failures_do_not() {
    let s = stage("DELETE and unknown methods invalidate; a failed PUT and a GET do not").await;
    for (method, version) in [("DELETE", 2), ("FROBNICATE", 2), ("PUT", 1), ("OPTIONS", 1)] {
        let target = format!("/{method}");
        s.warm(&target).await;
        s.origin.bump(&target);
        s.ask(Ask::new(method, &target)).await;
        assert_eq!(s.get(&target).await.version(&target), version, "{method}");
    }
}

#[tokio::test]
async fn another_origins_location_is_left_alone() {
    let s = Stage::new("a Location on another host invalidates nothing there").await;
    s.origin.on("/*", |asked| match asked.method.as_str() {
        "POST" => Reply::new(201, "").with("location", "http://other.example.com/made"),
        _ => Reply::page(asked).cache("max-age=3600"),
    });
    let other = || Ask::get("/made").host("other.example.com");
    s.warm_by(other()).await;
    s.ask(Ask::new("POST", "/a").body("x")).await;
    assert!(s.ask(other()).await.hit());
}

#[tokio::test]
async fn an_answer_to_a_post_about_its_own_url_is_kept() {
    let s = Stage::new("an answer to a POST that says it is what a GET would bring is kept as that").await;
    s.origin.on("/*", |asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", "/elsewhere") => Reply::page(asked).cache("max-age=60").with("content-location", "/x"),
        ("POST", "/silent") => Reply::page(asked).with("content-location", &asked.target),
        ("POST", _) => Reply::page(asked).cache("max-age=60").with("content-location", &asked.target),
        _ => Reply::page(asked).cache("max-age=3600"),
    });
    s.warm("/a").await;
    s.origin.bump("/a");
    let post = s.ask(Ask::new("POST", "/a").body("x")).await;
    assert_eq!(post.version("/a"), 2);
    assert!(post.cache_status().stored());
    assert_eq!(s.warm("/a").await.version("/a"), 2, "the POST's own answer, not the older GET's");
    assert_eq!(s.origin.count("/a"), 2, "one GET, one POST");
    for target in ["/elsewhere", "/silent"] {
        assert!(!s.ask(Ask::new("POST", target).body("x")).await.cache_status().stored());
        assert!(!s.get(target).await.hit(), "{target}");
    }
}
