//! `PURGE` at a site: who may, and what it does.

use larder_tests::{Answer, Ask, Reply};

use crate::stage::Stage;

async fn stage(title: &'static str, lines: &str) -> Stage {
    let s = Stage::with(title, |recipe| recipe.in_site(lines)).await;
    s.origin.on("/*", |asked| {
        let tag = if asked.target.contains("red") { "red" } else { "blue" };
        Reply::validated(asked).cache("max-age=3600, stale-while-revalidate=60").with("surrogate-key", tag)
    });
    s
}

type Fields<'a> = &'a [(&'a str, &'a str)];

async fn purge(s: &Stage, target: &str, fields: Fields<'_>) -> Answer {
    let ask = fields.iter().fold(Ask::new("PURGE", target), |ask, (name, value)| ask.with(name, value));
    s.ask(ask).await
}

#[tokio::test]
async fn nobody_purges_where_the_site_does_not_say_who_may() {
    let s = stage("without [site.purge] PURGE is 405, purges nothing and is not sent on", "").await;
    s.warm("/a").await;
    let before = s.origin.total();
    let answer = purge(&s, "/a", &[]).await;
    assert_eq!((answer.status, answer.get("allow")), (405, Some("GET, HEAD")));
    assert!(s.get("/a").await.hit());
    assert_eq!(s.origin.total(), before);
}

#[tokio::test]
async fn a_network_that_may_purges_urls_beginnings_and_tags() {
    let s = stage(
        "PURGE from a network that may: URL, beginning, tags; soft",
        "[site.purge]\nnetworks = [\"127.0.0.0/8\"]",
    )
    .await;
    let all = ["/red/1", "/red/2", "/blue/1"];
    let rows: [(&str, Fields<'_>, &[&str]); 4] = [
        ("/red/1", &[], &["/red/1"]),
        ("/red/*", &[], &["/red/1", "/red/2"]),
        ("/", &[("surrogate-key", "red blue")], &all),
        ("/", &[("cache-tag", "blue,other")], &["/blue/1"]),
    ];
    for (target, fields, expected) in rows {
        for target in all {
            s.warm(target).await;
            s.origin.bump(target);
        }
        let before = s.origin.total();
        let answer = purge(&s, target, fields).await;
        let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((answer.status, told["status"].as_str()), (200, Some("ok")), "{told}");
        assert_eq!(s.origin.total(), before, "not sent on");
        for target in all {
            assert_eq!(!s.get(target).await.hit(), expected.contains(&target), "{target} after {fields:?}");
        }
    }
    s.warm("/soft").await;
    s.origin.bump("/soft");
    assert_eq!(purge(&s, "/soft", &[("fastly-soft-purge", "1")]).await.status, 200);
    assert_eq!(s.get("/soft").await.version("/soft"), 1, "stale while it is refreshed");
    let metrics = s.node.metrics().await;
    assert_eq!(metrics.sum("larder_requests_total", &["served=\"purge\""]), 5.0);
}

#[tokio::test]
async fn strangers_and_wrong_tokens_purge_nothing() {
    let lines = "[site.purge]\nnetworks = [\"192.0.2.0/24\"]\ntoken_file = \"admin.token\"\ntags = false";
    let s =
        stage("PURGE from elsewhere or with a wrong token does nothing; with the token it does", lines).await;
    s.warm("/a").await;
    let right = format!("Bearer {}", larder_tests::TOKEN);
    for fields in [
        &[][..],
        &[("authorization", "Bearer guess")],
        &[("x-forwarded-for", "192.0.2.1")],
        &[("authorization", right.as_str()), ("fastly-key", "guess")],
    ] {
        let answer = purge(&s, "/a", fields).await;
        assert_eq!((answer.status, answer.get("www-authenticate").is_some()), (401, true), "{fields:?}");
    }
    assert_eq!(purge(&s, "/a", &[("authorization", &right), ("surrogate-key", "blue")]).await.status, 403);
    assert!(s.get("/a").await.hit());
    let metrics = s.node.metrics().await;
    assert_eq!(metrics.sum("larder_purge_orders_total", &["outcome=\"refused\""]), 5.0);
    assert_eq!(purge(&s, "/a", &[("authorization", &right)]).await.status, 200);
    assert!(!s.get("/a").await.hit());
    assert_eq!(purge(&s, "/a", &[("fastly-key", larder_tests::TOKEN)]).await.status, 200);
}
