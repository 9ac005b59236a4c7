//! A purge acknowledged is a purge done.

use larder_tests::{Ask, Gate, Reply, spawn};

use crate::stage::Stage;

fn url(target: &str) -> String {
    format!("http://www.example.com{target}")
}

async fn stage(title: &'static str) -> Stage {
    let s = Stage::new(title).await;
    s.origin.on("/*", |asked| {
        let tags = if asked.target.contains("red") { "all red" } else { "all blue" };
        Reply::validated(asked).cache("max-age=3600").with("surrogate-key", tags)
    });
    s
}

/// Warms, changes the origin, and gives back which targets a purge made fetch anew.
async fn renewed(s: &Stage, targets: &[&str], purge: impl AsyncFnOnce()) -> Vec<String> {
    for target in targets {
        s.warm(target).await;
        s.origin.bump(target);
    }
    purge().await;
    let mut renewed = Vec::new();
    for target in targets {
        if s.get(target).await.version(target) > 1 {
            renewed.push((*target).to_owned());
        }
    }
    renewed
}

#[tokio::test]
async fn each_kind_purges_what_it_names() {
    let table: [(&str, &[&str], &[&str]); 5] = [
        ("url", &["http://www.example.com/red/1"], &["/red/1"]),
        ("tag", &["red"], &["/red/1", "/red/2"]),
        ("prefix", &["http://www.example.com/blue/"], &["/blue/1", "/blue/2"]),
        ("host", &["www.example.com"], &["/red/1", "/red/2", "/blue/1", "/blue/2"]),
        ("all", &[], &["/red/1", "/red/2", "/blue/1", "/blue/2"]),
    ];
    for (kind, selectors, expected) in table {
        let s = stage("a purge by url, tag, prefix, host or all renews exactly what it names").await;
        let purge = async || {
            let receipt = s.node.purge(kind, selectors, false).await;
            assert_eq!(receipt["kind"], kind);
            assert_eq!(receipt["node"], "edge-1");
        };
        let renewed = renewed(&s, &["/red/1", "/red/2", "/blue/1", "/blue/2"], purge).await;
        assert_eq!(renewed, expected, "{kind}");
    }
}

#[tokio::test]
async fn a_url_purge_takes_all_variants() {
    let s = Stage::new("a purge by URL takes all its variants").await;
    s.origin.on("/a", |asked| Reply::page(asked).cache("max-age=3600").with("vary", "accept-language"));
    let ask = |language: &str| Ask::get("/a").with("accept-language", language);
    for language in ["de", "en"] {
        s.warm_by(ask(language)).await;
    }
    s.origin.bump("/a");
    s.node.purge("url", &[&url("/a")], false).await;
    for language in ["de", "en"] {
        assert_eq!(s.ask(ask(language)).await.version("/a"), 2, "{language}");
    }
}

#[tokio::test]
async fn a_soft_purge_makes_stale() {
    let s = Stage::new("a soft purge makes stale: revalidated, or served while revalidating").await;
    s.origin.on("/a", |asked| Reply::validated(asked).cache("max-age=3600"));
    s.origin.on("/swr", |asked| Reply::validated(asked).cache("max-age=3600, stale-while-revalidate=3600"));
    s.warm("/a").await;
    s.warm("/swr").await;
    s.node.purge("url", &[&url("/a"), &url("/swr")], true).await;
    assert_eq!(s.get("/a").await.version("/a"), 1);
    assert_eq!(s.origin.last("/a").get("if-none-match"), Some("\"v1\""), "the body is kept");
    let stale = s.get("/swr").await;
    assert_eq!(stale.version("/swr"), 1);
    larder_tests::until("a refresh behind the client", || s.origin.count("/swr") == 2).await;
    s.warm("/a").await;
    assert_eq!(s.origin.count("/a"), 2, "fresh again after the 304");
}

#[tokio::test]
async fn a_fetch_in_flight_does_not_bring_the_old_body_back() {
    let s = Stage::new("a fetch in flight when the purge arrives does not bring the old body back").await;
    for (target, kind, selectors) in [
        ("/a", "url", vec![url("/a")]),
        ("/b", "tag", vec!["t".to_owned()]),
        ("/c", "prefix", vec![url("/")]),
        ("/d", "all", vec![]),
    ] {
        let gate = Gate::shut();
        let held = gate.clone();
        s.origin.on(target, move |asked| {
            let reply = Reply::page_of(asked, 100_000).cache("max-age=3600").with("cache-tag", "t");
            if asked.version == 1 { reply.paused_at(50_000, &held) } else { reply }
        });
        let address = s.node.http();
        let asked = target.to_owned();
        let asking =
            spawn(async move { larder_tests::Client::connect(address).await.ask(Ask::get(&asked)).await });
        gate.reached(1).await;
        s.origin.bump(target);
        let selectors: Vec<_> = selectors.iter().map(String::as_str).collect();
        s.node.purge(kind, &selectors, false).await;
        gate.open();
        let _ = asking.await.unwrap();
        for _ in 0..3 {
            assert_eq!(s.get(target).await.version(target), 2, "{kind}: older than the purge");
        }
    }
}

#[tokio::test]
async fn a_purge_survives_kill_nine_right_after_its_acknowledgement() {
    let mut s = stage("a purge survives kill -9 right after its acknowledgement").await;
    let (reds, blues): (Vec<_>, Vec<_>) = (0..6).map(|n| (format!("/red/{n}"), format!("/blue/{n}"))).unzip();
    for target in reds.iter().chain(&blues) {
        s.warm(target).await;
    }
    s.node.stop().await;
    s.node.start_again().await;
    for (round, red) in reds.iter().enumerate() {
        let answer = s.get(red).await;
        // A purge by tag or prefix takes the later ones too; until then they come from disk.
        assert!(answer.hit() || round > 1, "{red} survived the restart");
        let older = answer.version(red);
        s.origin.bump(red);
        match round % 3 {
            0 => s.node.purge("url", &[&url(red)], false).await,
            1 => s.node.purge("tag", &["red"], false).await,
            _ => s.node.purge("prefix", &[&url("/red/")], false).await,
        };
        s.node.kill9();
        s.node.start_again().await;
        assert!(s.get(red).await.version(red) > older, "round {round}: the purged body came back");
    }
    for blue in &blues {
        assert!(s.get(blue).await.hit(), "{blue} was never purged");
    }
}

#[tokio::test]
async fn equal_bodies_under_other_urls_are_untouched() {
    let s = Stage::new("purging one of two URLs with equal bodies leaves the other whole").await;
    s.origin.on("/*", |_| Reply::new(200, "the same body ".repeat(5000)).cache("max-age=3600"));
    let one = s.warm("/one").await;
    let two = s.warm("/two").await;
    assert_eq!(one.body, two.body);
    s.node.purge("url", &[&url("/one")], false).await;
    let again = s.get("/two").await;
    assert!(again.hit() && again.body == two.body);
    assert!(!s.get("/one").await.hit());
}

#[tokio::test]
async fn the_admin_listener_refuses_who_has_no_token() {
    let s = stage("purge, status, cache and reload need the token; nothing is purged without").await;
    s.warm("/red/1").await;
    let admin = s.node.admin();
    let body = r#"{"kind":"all","selectors":[]}"#;
    for token in [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic c2VjcmV0")] {
        for (method, target) in
            [("POST", "/purge"), ("GET", "/status"), ("GET", "/cache?url=x"), ("POST", "/reload")]
        {
            let mut ask = Ask::new(method, target);
            if method == "POST" {
                ask = ask.body(body);
            }
            if let Some(token) = token {
                ask = ask.with("authorization", token);
            }
            let answer = larder_tests::Client::connect(admin).await.ask(ask).await;
            assert_eq!(answer.status, 401, "{method} {target} {token:?}");
        }
    }
    assert!(s.get("/red/1").await.hit());
}

#[tokio::test]
async fn a_broken_purge_is_refused_whole() {
    let s = stage("a purge with one bad selector is refused with its place and applies nothing").await;
    s.warm("/red/1").await;
    let table = [
        r#"{"kind":"url","selectors":["http://www.example.com/red/1","nonsense"]}"#,
        r#"{"kind":"weird","selectors":["x"]}"#,
        r#"{"kind":"url","selectors":[]}"#,
        r#"{"kind":"tag"}"#,
        "not json",
        "",
    ];
    for body in table {
        let ask = Ask::new("POST", "/purge").with("content-type", "application/json").body(body);
        let answer = s.node.ask_admin(ask).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(told["error"].is_string(), "{told}");
    }
    assert!(s.get("/red/1").await.hit());
    let answer = s.node.ask_admin(Ask::get("/purge")).await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let s = stage("a dry run says how much it would purge and purges nothing").await;
    s.warm("/red/1").await;
    s.warm("/red/2").await;
    let body = r#"{"kind":"tag","selectors":["red"],"dry_run":true}"#;
    let answer = s.node.ask_admin(Ask::new("POST", "/purge").body(body)).await;
    let receipt: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &receipt["dry_run"]), (200, &serde_json::json!(true)), "{receipt}");
    assert_eq!(receipt["objects"], 2, "{receipt}");
    assert!(s.get("/red/1").await.hit() && s.get("/red/2").await.hit());
}

#[tokio::test]
async fn tags_are_not_sent_to_clients() {
    let s = Stage::new("tag fields are read and not sent on").await;
    s.origin.page(
        "/a",
        &[
            ("cache-control", "max-age=60"),
            ("surrogate-key", "one two"),
            ("cache-tag", "three,four"),
            ("cache-groups", "\"five\""),
        ],
    );
    for answer in [s.get("/a").await, s.warm("/a").await] {
        for name in ["surrogate-key", "cache-tag", "cache-groups"] {
            assert_eq!(answer.get(name), None);
        }
    }
    for tag in ["one", "four", "five"] {
        s.warm("/a").await;
        s.node.purge("tag", &[tag], false).await;
        assert!(!s.get("/a").await.hit(), "{tag}");
    }
}
