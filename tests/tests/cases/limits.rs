//! What a client may send: 413, 414, 421, 431, and time.

use larder_tests::{Ask, Client, Recipe, Reply, until};

use crate::stage::Stage;

#[tokio::test]
async fn too_much_is_refused_with_its_status() {
    let s = Stage::with("a long target is 414, many or large fields 431, a large body 413", |recipe| {
        recipe.own("request_body_max = \"64KiB\"")
    })
    .await;
    let long = format!("/{}", "a".repeat(20_000));
    assert_eq!(s.ask(Ask::get(&long)).await.status, 414);
    assert_eq!(s.ask(Ask::get("/a").with("x-large", &"b".repeat(60_000))).await.status, 431);
    let many = (0..500).fold(Ask::get("/a"), |ask, n| ask.with(&format!("x-{n}"), "1"));
    assert_eq!(s.ask(many).await.status, 431);
    let mut client = s.node.client().await;
    client.send(&Ask::new("POST", "/a").with("content-length", "1000000")).await;
    let refused = client.answer_to("POST").await;
    assert_eq!(refused.status, 413, "refused before the body is sent");
    assert_eq!(s.origin.total(), 0);
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_refused() {
    let s = Stage::with("a chunked body over the limit is refused and never ends whole upstream", |recipe| {
        recipe.own("request_body_max = \"64KiB\"")
    })
    .await;
    let mut client = s.node.client().await;
    client.raw(b"POST /a HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..20 {
        client.raw(b"2000\r\n").await;
        client.raw(&[b'x'; 0x2000]).await;
        client.raw(b"\r\n").await;
    }
    client.raw(b"0\r\n\r\n").await;
    if let Ok(answer) = client.try_answer_to("POST").await {
        assert_eq!(answer.status, 413);
    }
    assert_eq!(s.origin.total(), 0, "the origin never saw a whole body");
}

#[tokio::test]
async fn an_unknown_host_is_misdirected() {
    let s = Stage::with("a host of no site is 421; wildcards and exact names find theirs", |recipe| {
        let url = endpoint(&recipe);
        recipe.without_sites().site(&["www.example.com", "*.wild.example"], &[&url])
    })
    .await;
    for (host, status) in [
        ("www.example.com", 200),
        ("WWW.EXAMPLE.COM:8080", 200),
        ("a.wild.example", 200),
        ("a.b.wild.example", 200),
        ("wild.example", 421),
        ("other.example", 421),
        ("example.com", 421),
    ] {
        assert_eq!(s.ask(Ask::get("/a").host(host)).await.status, status, "{host}");
    }
}

/// The endpoint that the recipe's own site has.
fn endpoint(recipe: &Recipe) -> String {
    recipe.endpoint().to_owned()
}

#[tokio::test]
async fn a_slow_head_times_out() {
    let s = Stage::with("a client that does not finish its head is let go, an idle one too", |recipe| {
        recipe
            .table("[limits]\nhead_timeout = \"300ms\"\nidle_timeout = \"300ms\"\nbody_timeout = \"300ms\"\n")
    })
    .await;
    let mut half = Client::connect(s.node.http()).await;
    half.raw(b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ").await;
    let rest = half.rest().await;
    let text = String::from_utf8_lossy(&rest);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    let mut idle = s.node.client().await;
    idle.ask(Ask::get("/a")).await;
    assert!(idle.closed().await, "an idle connection is closed");
    let mut body = s.node.client().await;
    body.send(&Ask::new("POST", "/a").with("content-length", "100")).await;
    body.raw(b"only this").await;
    let rest = body.rest().await;
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1 200"), "a body that stops is no request");
    assert_eq!(s.origin.count("/a"), 1);
}

#[tokio::test]
async fn a_silent_origin_times_out() {
    let s =
        Stage::with("an origin that says nothing is 504; one that stops inside a body is cut", |recipe| {
            recipe.origin("first_byte_timeout = \"300ms\"\nbetween_bytes_timeout = \"300ms\"")
        })
        .await;
    let never = larder_tests::Gate::shut();
    let (head, body) = (never.clone(), never.clone());
    s.origin.on("/head", move |asked| Reply::page(asked).held_by(&head));
    s.origin.on("/body", move |asked| Reply::page(asked).cache("max-age=60").paused_at(100, &body));
    assert_eq!(s.get("/head").await.status, 504);
    let mut client = s.node.client().await;
    client.send(&Ask::get("/body")).await;
    if let Ok(answer) = client.try_answer_to("GET").await {
        assert!(matches!(answer.end, larder_tests::End::Cut(_)) || answer.status == 504);
    }
    s.origin.page("/body", &[("cache-control", "max-age=60")]);
    assert_eq!(s.warm("/body").await.version("/body"), 1);
}

#[tokio::test]
async fn connections_over_the_limit_wait_or_go_and_come_back() {
    let s = Stage::with("connections over the limit do no harm and the node recovers", |recipe| {
        recipe.table("[limits]\nconnections_max = 20\n")
    })
    .await;
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(Client::connect(s.node.http()).await);
    }
    until("the limit to hold", || s.node.descriptors() < 90).await;
    drop(crowd);
    larder_tests::until_within(std::time::Duration::from_secs(10), "an answer again", async || {
        let Ok(stream) = tokio::net::TcpStream::connect(s.node.http()).await else { return false };
        let mut client = Client::over(stream);
        client.send(&Ask::get("/a")).await;
        client.try_answer_to("GET").await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
}
