//! Access log, metrics, health, and what is stored.

use larder_tests::{Ask, Client, until, until_within};
use serde_json::Value;

use crate::stage::Stage;

#[tokio::test]
async fn access_lines_are_json_whatever_a_client_sends() {
    let s =
        Stage::with("every exchange is one line of valid JSON, whatever bytes a client sends", |recipe| {
            recipe.access_log("access.log", "json")
        })
        .await;
    s.get("/plain").await;
    s.warm("/plain").await;
    let mut client = s.node.client().await;
    client.raw(b"GET /q HTTP/1.1\r\nhost: www.example.com\r\nuser-agent: \"q\\ \xff\xe4 </script>\r\n").await;
    client.raw(b"referer: \"}\\u0000\xc3\x28\r\n\r\n").await;
    assert_eq!(client.answer_to("GET").await.status, 200);
    s.ask(Ask::new("POST", "/form").body("x")).await;
    until("all lines", || s.node.read("access.log").contains("\"/form\"")).await;
    let log = s.node.read("access.log");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let hit = lines.iter().find(|line| line.to_string().contains("\"hit\"")).expect("a hit");
    for wanted in ["/plain", "GET", "200", "127.0.0.1", "www.example.com"] {
        assert!(hit.to_string().contains(wanted), "{wanted}: {hit}");
    }
    assert!(log.contains("/form") && log.contains("/q"), "{log}");
}

#[tokio::test]
async fn combined_lines_are_what_tools_expect() {
    let s = Stage::with("combined lines have the fields Apache's tools expect", |recipe| {
        recipe.access_log("access.log", "combined")
    })
    .await;
    s.ask(Ask::get("/a?b").with("user-agent", "one \"two\"").with("referer", "http://r/")).await;
    until("a line", || s.node.read("access.log").lines().count() >= 1).await;
    let log = s.node.read("access.log");
    let line = log.lines().next().unwrap();
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("\"GET /a?b HTTP/1.1\" 200 "), "{line}");
    assert!(line.contains("\"http://r/\""), "{line}");
    assert_eq!(line.matches('"').count() - line.matches("\\\"").count(), 6, "{line}");
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let s = Stage::new("metrics are Prometheus text and count requests by outcome").await;
    s.warm("/a").await;
    s.get("/a").await;
    s.ask(Ask::new("POST", "/form").body("x")).await;
    let metrics = s.node.metrics().await;
    assert!(metrics.broken().is_empty(), "{:?}", metrics.broken());
    for name in
        ["larder_requests_total", "larder_origin_", "larder_store_", "larder_connections", "larder_purge"]
    {
        assert!(metrics.text().contains(name), "{name} is missing:\n{}", metrics.text());
    }
    assert!(metrics.text().contains("_bucket{"), "a latency histogram");
    assert!(metrics.sum("larder_requests_total", &["hit"]) >= 2.0, "{}", metrics.text());
    assert!(metrics.sum("larder_requests_total", &["miss"]) >= 1.0);
    assert!(metrics.sum("larder_requests_total", &["pass"]) >= 1.0);
    let before = metrics.sum("larder_requests_total", &["hit"]);
    s.get("/a").await;
    let mut more = 0.0;
    until_within(std::time::Duration::from_secs(10), "the hit to be counted", async || {
        more = s.node.metrics().await.sum("larder_requests_total", &["hit"]);
        more > before
    })
    .await;
    assert!((more - before - 1.0).abs() < 0.1, "{before} and then {more}");
}

#[tokio::test]
async fn every_metric_is_in_the_documentation() {
    let s = Stage::new("docs/metrics.md names every metric there is and none that is not").await;
    let metrics = s.node.metrics().await;
    let doc = std::fs::read_to_string(larder_tests::workspace().join("docs/metrics.md")).unwrap();
    let typed = metrics.text().lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let there: std::collections::BTreeSet<_> = typed
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{}_total", name.trim_end_matches("_total")),
            _ => name.to_owned(),
        })
        .collect();
    let named = doc.lines().filter_map(|line| line.strip_prefix("| `larder_")?.split(['`', '{']).next());
    let named: std::collections::BTreeSet<_> = named.map(|name| format!("larder_{name}")).collect();
    assert_eq!(there, named);
}

#[tokio::test]
async fn metrics_are_what_their_content_type_says() {
    let s = Stage::new("the metrics' format is the one that their Content-Type names").await;
    let answer = Client::connect(s.node.admin()).await.ask(Ask::get("/metrics")).await;
    let text = answer.text();
    let kind = answer.get("content-type").unwrap().to_owned();
    if text.trim_end().ends_with("# EOF") {
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    } else {
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        assert!(text.contains("# TYPE larder_requests_total counter"), "samples and TYPE have the same name");
    }
}

#[tokio::test]
async fn health_is_told_without_a_token() {
    let s = Stage::new("livez and readyz answer 200 with JSON, without a token; unknown paths are 404").await;
    for target in ["/livez", "/readyz"] {
        let answer = Client::connect(s.node.admin()).await.ask(Ask::get(target)).await;
        assert_eq!(answer.status, 200, "{target}");
        let _: Value =
            serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{target}: {}", answer.text()));
    }
    assert_eq!(s.node.ask_admin(Ask::get("/nothing")).await.status, 404);
}

#[tokio::test]
async fn the_cache_can_be_inspected() {
    let s = Stage::new("GET /cache tells what is stored for a URL").await;
    s.origin.page("/a", &[("cache-control", "max-age=3600"), ("surrogate-key", "red blue")]);
    s.warm("/a").await;
    let mut text = String::new();
    until_within(std::time::Duration::from_secs(10), "the entry", async || {
        let answer = s.node.ask_admin(Ask::get("/cache?url=http://www.example.com/a")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let _: Value = serde_json::from_slice(&answer.body).expect("JSON");
        text = answer.text();
        text.contains("red")
    })
    .await;
    for wanted in ["red", "blue", "memory"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let status = s.node.ask_admin(Ask::get("/status")).await;
    let status: Value = serde_json::from_slice(&status.body).expect("JSON");
    assert_eq!((&status["node"], &status["ready"]), (&Value::from("edge-1"), &Value::from(true)), "{status}");
}
