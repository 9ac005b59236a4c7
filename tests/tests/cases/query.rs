//! RFC 10008: QUERY, a safe request with content.

use larder_tests::{Ask, Asked, Client, Gate, Reply};

use crate::stage::Stage;

fn query(target: &str, content: &str) -> Ask {
    Ask::new("QUERY", target).with("content-type", "application/sql").body(content.to_owned())
}

/// Answers with what it was asked.
fn echo(asked: &Asked) -> Reply {
    let content = String::from_utf8_lossy(&asked.body).into_owned();
    Reply::new(200, format!("{} {content} v{}", asked.method, asked.version)).cache("max-age=60")
}

#[tokio::test]
async fn the_content_is_part_of_the_key() {
    let s =
        Stage::new("a QUERY is answered from the cache for the same content of the same type, and no other")
            .await;
    s.origin.on("/q", echo);
    assert_eq!(s.warm_by(query("/q", "select 1")).await.text(), "QUERY select 1 v1");
    assert_eq!(s.warm_by(query("/q", "select 2")).await.text(), "QUERY select 2 v1");
    assert_eq!(s.warm_by(query("/q", "")).await.text(), "QUERY  v1");
    let plain = Ask::new("QUERY", "/q").with("content-type", "text/plain").body("select 1");
    assert_eq!(s.warm_by(plain).await.text(), "QUERY select 1 v1");
    let packed = query("/q", "select 1").with("content-encoding", "x");
    assert_eq!(s.warm_by(packed).await.text(), "QUERY select 1 v1");
    assert_eq!(s.origin.count("/q"), 5);
    assert_eq!(s.warm("/q").await.text(), "GET  v1", "a GET has the URL to itself");
    assert!(s.ask(query("/q", "select 1")).await.hit());
    let asked = s.origin.seen().into_iter().find(|asked| asked.method == "QUERY").unwrap();
    assert_eq!(asked.get("content-type"), Some("application/sql"));
}

#[tokio::test]
async fn one_herd_one_fetch() {
    let s = Stage::new("the same QUERY from many clients at once costs the origin one").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/q", move |asked| echo(asked).held_by(&held));
    let address = s.node.http();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            larder_tests::spawn(async move { Client::connect(address).await.ask(query("/q", "x")).await })
        })
        .collect();
    gate.reached(1).await;
    gate.open();
    for task in asking {
        assert_eq!(task.await.unwrap().text(), "QUERY x v1");
    }
    assert_eq!(s.origin.count("/q"), 1);
}

#[tokio::test]
async fn vary_counts_below_the_content() {
    let s = Stage::new("an answer to a QUERY that varies has variants of its own").await;
    s.origin.on("/q", |asked| {
        let language = asked.get("accept-language").unwrap_or("none");
        let content = String::from_utf8_lossy(&asked.body).into_owned();
        Reply::new(200, format!("{content} {language}")).cache("max-age=60").with("vary", "Accept-Language")
    });
    for content in ["a", "b"] {
        for language in ["de", "en"] {
            let answer = s.warm_by(query("/q", content).with("accept-language", language)).await;
            assert_eq!(answer.text(), format!("{content} {language}"));
        }
    }
    assert_eq!(s.origin.count("/q"), 4);
}

#[tokio::test]
async fn a_purge_of_the_url_hits_every_query() {
    let s = Stage::new("a purge of the URL and an unsafe request hit every QUERY for it").await;
    s.origin.on("/q", echo);
    for (round, (kind, selector)) in [("url", "http://www.example.com/q"), ("", "")].into_iter().enumerate() {
        for content in ["a", "b"] {
            assert_eq!(
                s.warm_by(query("/q", content)).await.text(),
                format!("QUERY {content} v{}", round + 1)
            );
        }
        s.origin.bump("/q");
        if kind.is_empty() {
            assert_eq!(s.ask(Ask::new("POST", "/q").body("x")).await.status, 200);
        } else {
            s.node.purge(kind, &[selector], false).await;
        }
        for content in ["a", "b"] {
            assert_eq!(s.ask(query("/q", content)).await.text(), format!("QUERY {content} v{}", round + 2));
        }
        larder_tests::until("both to be stored", || true).await;
    }
}

#[tokio::test]
async fn a_query_invalidates_nothing_and_names_another_resource() {
    let s = Stage::new("a QUERY is safe, and what its Location names is fetched as any other URL").await;
    s.origin.on("/page", |asked| Reply::page(asked).cache("max-age=60"));
    s.origin.on("/q", |asked| {
        let reply = echo(asked).with("location", "/result").with("content-location", "/page");
        reply.with("cache-group-invalidation", "\"g\"")
    });
    s.warm("/page").await;
    s.warm_by(query("/q", "x")).await;
    assert!(s.get("/page").await.hit(), "nothing was invalidated, nothing replaced");
    assert!(!s.get("/result").await.hit());
    assert_eq!(s.origin.last("/result").method, "GET");
}

#[tokio::test]
async fn a_content_too_long_for_a_key_passes() {
    let s = Stage::new("a QUERY with more content than a key is made of goes past the cache, whole").await;
    s.origin.on("/q", |asked| Reply::new(200, asked.body.len().to_string()).cache("max-age=60"));
    let long = "x".repeat(64 * 1024 + 1);
    assert_eq!(s.never_stored(query("/q", &long)).await.text(), long.len().to_string());
    let mut chunked =
        b"QUERY /q HTTP/1.1\r\nhost: www.example.com\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    chunked.extend_from_slice(format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len()).as_bytes());
    let mut client = s.node.client().await;
    client.raw(&chunked).await;
    assert_eq!(client.answer_to("QUERY").await.text(), long.len().to_string());
    let most = "x".repeat(64 * 1024);
    assert_eq!(s.warm_by(query("/q", &most)).await.text(), most.len().to_string());
}

#[tokio::test]
async fn a_stale_answer_to_a_query_is_asked_about() {
    let s = Stage::new("a stale answer to a QUERY is revalidated with the same content").await;
    s.origin.on("/q", |asked| {
        let reply = match asked.get("if-none-match") {
            Some(_) => Reply::new(304, "").cache("max-age=60"),
            None => echo(asked).stale(""),
        };
        reply.with("etag", "\"e\"")
    });
    assert_eq!(s.ask(query("/q", "x")).await.text(), "QUERY x v1");
    assert_eq!(s.ask(query("/q", "x")).await.text(), "QUERY x v1");
    let last = s.origin.last("/q");
    assert_eq!(
        (last.method.as_str(), &last.body[..], last.get("if-none-match")),
        ("QUERY", &b"x"[..], Some("\"e\""))
    );
    assert!(s.ask(query("/q", "x")).await.hit());
}

#[tokio::test]
async fn a_connection_that_carried_content_fetches_no_query() {
    let s = Stage::new("an answer to a QUERY that is stored came over a connection of its own").await;
    s.origin.on("/q", echo);
    assert_eq!(s.ask(Ask::new("POST", "/post").body("left unread")).await.status, 200);
    let before = s.origin.connections();
    s.warm_by(query("/q", "x")).await;
    assert_eq!(s.origin.connections(), before + 1);
}
