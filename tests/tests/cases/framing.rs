//! Nothing of one request is ever read as another.

use larder_tests::{Ask, Client, Reply};

use crate::stage::Stage;

/// Requests that two parsers could read in two ways.
const AMBIGUOUS: &[(&str, &str)] = &[
    (
        "both lengths",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    ),
    (
        "both, other order",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
    ),
    ("two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    ("length list", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 6\r\n\r\nhello!"),
    ("plus sign", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello"),
    ("minus sign", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"),
    ("hex length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello"),
    ("empty length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n"),
    ("huge length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
    ("unknown coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked not last", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    (
        "two codings lines",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    ("obs-fold", "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n"),
    ("folded coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("space before colon", "GET / HTTP/1.1\r\nHost: h\r\nX-A : b\r\n\r\n"),
    ("space before the first field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
    ("bare LF", "GET / HTTP/1.1\nHost: h\n\n"),
    ("bare LF in fields", "GET / HTTP/1.1\r\nHost: h\nX-A: b\r\n\r\n"),
    ("bare CR in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\rX-B: c\r\n\r\n"),
    ("NUL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\0c\r\n\r\n"),
    ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ("two hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n"),
    ("host list", "GET / HTTP/1.1\r\nHost: h, i\r\n\r\n"),
    ("host with a path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"),
    ("host with user info", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"),
    ("space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("no version", "GET /\r\nHost: h\r\n\r\n"),
    ("odd version", "GET / HTTP/1.2x\r\nHost: h\r\n\r\n"),
    ("field without a name", "GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n"),
    ("field without a colon", "GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n"),
];

#[tokio::test]
async fn ambiguous_requests_are_refused_and_closed() {
    let s = Stage::new("requests that two parsers could read in two ways: 400 and closed, nothing upstream")
        .await;
    for (name, bytes) in AMBIGUOUS {
        let mut client = Client::connect(s.node.http()).await;
        client.raw(bytes.as_bytes()).await;
        client.raw(b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let all = client.rest().await;
        let text = String::from_utf8_lossy(&all);
        assert!(text.starts_with("HTTP/1.1 4") || text.is_empty(), "{name}: {text}");
        assert_eq!(
            text.matches("HTTP/1.1 ").count(),
            text.len().min(1),
            "{name}: one answer at most: {text}"
        );
    }
    assert_eq!(s.origin.total(), 0, "{:?}", s.origin.seen());
}

#[tokio::test]
async fn a_bad_chunk_ends_the_connection() {
    let s = Stage::new("broken chunked framing of a request ends it; the rest is never a request").await;
    for chunks in [
        "5\r\nhelloX\r\n0\r\n\r\n",
        "zz\r\n",
        "5 \nhello\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
        "5;\nx\r\nhello",
    ] {
        let mut client = Client::connect(s.node.http()).await;
        client.raw(b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.raw(chunks.as_bytes()).await;
        client.raw(b"\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.finish().await;
        let all = client.rest().await;
        let text = String::from_utf8_lossy(&all);
        assert!(text.matches("HTTP/1.1 ").count() <= 1, "{chunks:?}: {text}");
    }
    assert_eq!(s.origin.count("/smuggled"), 0);
}

#[tokio::test]
async fn a_body_on_a_hit_is_not_the_next_request() {
    let s = Stage::new("a body on a GET that hits is refused or drained, never read as a request").await;
    s.warm("/a").await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    let mut client = s.node.client().await;
    let length = smuggled.len();
    let head = format!("GET /a HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: {length}\r\n\r\n");
    client.raw(format!("{head}{smuggled}").as_bytes()).await;
    let first = client.answer_to("GET").await;
    assert!(matches!(first.status, 200 | 400 | 413), "{}", first.status);
    if first.closes() {
        assert!(client.closed().await);
    } else {
        assert_eq!(client.ask(Ask::get("/next")).await.version("/next"), 1);
    }
    assert_eq!(s.origin.count("/smuggled"), 0);
}

#[tokio::test]
async fn an_early_refusal_never_desynchronises() {
    let s = Stage::new("an early 4xx while a body is still coming closes or drains").await;
    s.origin.on("/no", |_| Reply::new(403, "no"));
    let mut client = s.node.client().await;
    let inner = b"GET /smuggled HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    client.raw(b"GET /a HTTP/1.1\r\nHost: unknown host\r\nContent-Length: 49\r\n\r\n").await;
    client.raw(inner).await;
    let rest = client.rest().await;
    assert!(String::from_utf8_lossy(&rest).matches("HTTP/1.1 ").count() <= 1);
    assert_eq!(s.origin.count("/smuggled"), 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let s = Stage::new("pipelined requests are answered in their order").await;
    let mut client = s.node.client().await;
    for number in 0..10 {
        client.send(&Ask::get(&format!("/{number}"))).await;
    }
    for number in 0..10 {
        let target = format!("/{number}");
        assert_eq!(client.answer_to("GET").await.version(&target), 1);
    }
}

#[tokio::test]
async fn keep_alive_and_close_are_obeyed() {
    let s = Stage::new("a connection stays open unless either side says close; HTTP/1.0 closes").await;
    let mut client = s.node.client().await;
    for _ in 0..3 {
        assert!(!client.ask(Ask::get("/a")).await.closes());
    }
    assert!(client.ask(Ask::get("/a").with("connection", "close")).await.closes());
    assert!(client.closed().await);
    let mut old = s.node.client().await;
    old.raw(b"GET /a HTTP/1.0\r\nHost: www.example.com\r\n\r\n").await;
    let all = old.rest().await;
    assert!(String::from_utf8_lossy(&all).starts_with("HTTP/1."), "{all:?}");
}

#[tokio::test]
async fn request_bodies_reach_the_origin_whole() {
    let s = Stage::new("a body reaches the origin whole, with a length or chunked").await;
    s.origin.on("/echo", |asked| Reply::new(200, asked.body.clone()));
    let body = larder_tests::page::body("/up", 1, 300_000);
    let answer = s.ask(Ask::new("POST", "/echo").body(body.clone())).await;
    assert_eq!(answer.body, body);
    let mut client = s.node.client().await;
    client.raw(b"POST /echo HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for piece in body.chunks(7777) {
        client.raw(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        client.raw(piece).await;
        client.raw(b"\r\n").await;
    }
    client.raw(b"0\r\n\r\n").await;
    assert_eq!(client.answer_to("POST").await.body, body);
    assert_eq!(client.ask(Ask::get("/next")).await.version("/next"), 1);
}

#[tokio::test]
async fn expect_continue_is_answered() {
    let s = Stage::new("Expect: 100-continue gets its 100 before the body").await;
    s.origin.on("/echo", |asked| Reply::new(200, asked.body.clone()));
    let mut client = s.node.client().await;
    let ask = Ask::new("POST", "/echo").with("expect", "100-continue").with("content-length", "5");
    client.send(&ask).await;
    client.raw(b"hello").await;
    assert_eq!(client.answer_to("POST").await.text(), "hello");
}

#[tokio::test]
async fn upgrade_and_connect_do_not_tunnel() {
    let s = Stage::new("Upgrade and CONNECT never carry client bytes upstream").await;
    let table = [
        "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ];
    for bytes in table {
        let mut client = Client::connect(s.node.http()).await;
        client.raw(bytes.as_bytes()).await;
        client.raw(b"GET /inner HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        let rest = client.rest().await;
        assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1 101"));
    }
    assert!(s.origin.seen().iter().all(|asked| asked.get("upgrade").is_none()), "{:?}", s.origin.seen());
}
