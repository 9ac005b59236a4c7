//! RFC 9875: groups of answers that an unsafe request invalidates together.

use larder_tests::{Ask, Reply};

use crate::stage::Stage;

#[tokio::test]
async fn an_unsafe_request_invalidates_groups() {
    let s = Stage::new("Cache-Group-Invalidation of an unsafe request hits the groups of that origin alone")
        .await;
    s.origin.on("/scripts/*", |asked| {
        Reply::page(asked).cache("max-age=60").with("cache-groups", "\"scripts\";revalidate, \"all of it\"")
    });
    s.origin.on("/other", |asked| Reply::page(asked).cache("max-age=60").with("cache-groups", "\"other\""));
    s.origin.on("/post", |asked| {
        let status = if asked.get("x-fail").is_some() { 500 } else { 200 };
        Reply::new(status, "done").with("cache-group-invalidation", "\"nobody\", \"all of it\";x")
    });
    let elsewhere = |target: &str| Ask::get(target).host("other.example");
    for target in ["/scripts/a", "/scripts/b", "/other"] {
        s.warm(target).await;
    }
    s.warm_by(elsewhere("/scripts/a")).await;
    s.get("/post").await;
    assert!(s.get("/scripts/a").await.hit(), "9875 3: ignored where the method is safe");
    s.ask(Ask::new("POST", "/post").body("x")).await;
    for target in ["/scripts/a", "/scripts/b"] {
        assert!(!s.get(target).await.hit(), "{target}");
    }
    assert!(s.get("/other").await.hit(), "another group");
    assert!(s.ask(elsewhere("/scripts/a")).await.hit(), "9875 2.1: another origin");
    s.warm("/scripts/a").await;
    s.ask(Ask::new("POST", "/post").with("x-fail", "1").body("x")).await;
    assert!(!s.get("/scripts/a").await.hit(), "9875 3: whatever the status, the origin says so");
}

#[tokio::test]
async fn many_long_groups() {
    let s = Stage::new("32 groups with names of 32 characters are all honoured, each").await;
    let names: Vec<String> = (0..32).map(|number| format!("\"{number:032}\"")).collect();
    let all = names.join(", ");
    s.origin.on("/a", move |asked| Reply::page(asked).cache("max-age=60").with("cache-groups", &all));
    s.origin.on("/post", |asked| {
        Reply::new(200, "done").with("cache-group-invalidation", asked.get("x-group").unwrap_or_default())
    });
    for name in [&names[0], &names[31]] {
        s.warm("/a").await;
        s.ask(Ask::new("DELETE", "/post").with("x-group", name)).await;
        assert!(!s.get("/a").await.hit(), "{name}");
    }
}

#[tokio::test]
async fn what_is_no_list_of_strings_is_ignored() {
    let s =
        Stage::new("a Cache-Groups or Cache-Group-Invalidation that is no list of strings is ignored").await;
    s.origin
        .on("/strings", |asked| Reply::page(asked).cache("max-age=60").with("cache-groups", "\"a\", \"b\""));
    s.origin.on("/tokens", |asked| Reply::page(asked).cache("max-age=60").with("cache-groups", "a, \"b\""));
    s.origin.on("/post", |asked| {
        Reply::new(200, "done").with("cache-group-invalidation", asked.get("x-groups").unwrap_or_default())
    });
    for target in ["/strings", "/tokens"] {
        s.warm(target).await;
    }
    for groups in ["a", "\"a\" \"b\"", "\"a\", 1", "A=\"a\""] {
        s.ask(Ask::new("POST", "/post").with("x-groups", groups).body("x")).await;
        assert!(s.get("/strings").await.hit(), "{groups}");
    }
    s.ask(Ask::new("POST", "/post").with("x-groups", "\"a\", \"b\"").body("x")).await;
    assert!(!s.get("/strings").await.hit());
    assert!(s.get("/tokens").await.hit(), "it is in no group");
}

#[tokio::test]
async fn an_operator_purges_a_group_by_its_name() {
    let s = Stage::new("a group's name is a tag for the operator, on every host").await;
    s.origin.on("/a", |asked| Reply::page(asked).cache("max-age=60").with("cache-groups", "\"scripts\""));
    s.warm("/a").await;
    s.node.purge("tag", &["scripts"], false).await;
    assert!(!s.get("/a").await.hit());
}
