//! What the node says of itself in every path: Cache-Status, Proxy-Status, Age, Via.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder_tests::h2::H2;
use larder_tests::tls::Authority;
use larder_tests::{Answer, Ask, Case, Gate, Node, Origin, Recipe, Reply, spawn, until_within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::Stage;

/// The last member of Cache-Status with the number of its `ttl` reduced to its sign.
fn said(answer: &Answer) -> String {
    let value = answer.all("cache-status").last().copied().unwrap_or_default();
    let part = |part: &str| match part.strip_prefix("ttl=") {
        Some(ttl) if ttl.starts_with('-') => "ttl=-".to_owned(),
        Some(_) => "ttl=+".to_owned(),
        None => part.to_owned(),
    };
    value.split("; ").map(part).collect::<Vec<_>>().join("; ")
}

/// One path: what the origin answers to the first and to later requests, how the second client asks, what it is told.
type Row = (&'static str, fn(bool) -> Reply, fn(&str) -> Ask, u16, &'static str);

/// Fresh for an hour, ten minutes old, with a validator.
fn fresh() -> Reply {
    Reply::new(200, "x").cache("max-age=3600").with("age", "600").with("etag", "\"v\"")
}

fn stale(more: &str) -> Reply {
    Reply::new(200, "x").stale(more).with("etag", "\"v\"")
}

const ROWS: [Row; 19] = [
    ("/hit", |_| fresh(), Ask::get, 200, "edge-1; hit; ttl=+"),
    ("/head", |_| fresh(), Ask::head, 200, "edge-1; hit; ttl=+"),
    ("/304", |_| fresh(), |t| Ask::get(t).with("if-none-match", "\"v\""), 304, "edge-1; hit; ttl=+"),
    ("/206", |_| fresh(), |t| Ask::get(t).with("range", "bytes=0-0"), 206, "edge-1; hit; ttl=+"),
    ("/416", |_| fresh(), |t| Ask::get(t).with("range", "bytes=9-"), 416, "edge-1; hit; ttl=+"),
    (
        "/reload",
        |_| fresh(),
        |t| Ask::get(t).with("cache-control", "no-cache"),
        200,
        "edge-1; fwd=request; fwd-status=200; ttl=+; stored",
    ),
    (
        "/confirmed",
        |first| {
            if first { stale("") } else { Reply::new(304, "").cache("max-age=60").with("etag", "\"v\"") }
        },
        Ask::get,
        200,
        "edge-1; fwd=stale; fwd-status=304; ttl=+",
    ),
    (
        "/changed",
        |first| if first { stale("") } else { fresh() },
        Ask::get,
        200,
        "edge-1; fwd=stale; fwd-status=200; ttl=+; stored",
    ),
    (
        "/while",
        |_| stale("stale-while-revalidate=9999"),
        Ask::get,
        200,
        "edge-1; hit; ttl=-; detail=stale-while-revalidate",
    ),
    (
        "/if-error",
        |first| if first { stale("stale-if-error=9999") } else { Reply::new(503, "") },
        Ask::get,
        200,
        "edge-1; fwd=stale; fwd-status=503; ttl=-; detail=error-status",
    ),
    (
        "/if-broken",
        |first| if first { stale("stale-if-error=9999") } else { Reply::raw("HTTP/9.9 what\r\n\r\n") },
        Ask::get,
        200,
        "edge-1; fwd=stale; ttl=-; detail=bad-answer",
    ),
    (
        "/variant",
        |_| fresh().with("vary", "x-a"),
        |t| Ask::get(t).with("x-a", "1"),
        200,
        "edge-1; fwd=vary-miss; fwd-status=200; ttl=+; stored",
    ),
    (
        "/no-store",
        |_| Reply::new(200, "x").cache("no-store"),
        Ask::get,
        200,
        "edge-1; fwd=bypass; fwd-status=200; detail=no-store",
    ),
    (
        "/range-of-no-store",
        |_| Reply::new(200, "x").cache("no-store"),
        |t| Ask::get(t).with("range", "bytes=0-0"),
        200,
        "edge-1; fwd=bypass; fwd-status=200",
    ),
    (
        "/post",
        |_| Reply::new(200, "x").cache("max-age=60"),
        |t| Ask::new("POST", t).body("x"),
        200,
        "edge-1; fwd=method; fwd-status=200",
    ),
    (
        "/kept-post",
        |_| Reply::new(200, "x").cache("max-age=60").with("content-location", "/kept-post"),
        |t| Ask::new("POST", t).body("x"),
        200,
        "edge-1; fwd=method; fwd-status=200; stored",
    ),
    ("/negative", |_| Reply::new(404, "x").cache("max-age=60"), Ask::get, 404, "edge-1; hit; ttl=+"),
    (
        "/none",
        |_| Reply::new(200, "x").cache("no-store"),
        |t| Ask::get(t).with("cache-control", "only-if-cached"),
        504,
        "edge-1; detail=only-if-cached",
    ),
    ("/again", |_| fresh(), |t| Ask::get(t).with("cdn-loop", "other, edge-1"), 508, "edge-1; detail=loop"),
];

#[tokio::test]
async fn every_path_says_what_it_did() {
    let s = Stage::new("Cache-Status and Age say exactly what became of each request").await;
    for (target, script, asks, status, expected) in ROWS {
        let (origin, name) = (&s.origin, target.to_owned());
        let first = AtomicBool::new(true);
        origin.on(target, move |_| script(first.swap(false, Ordering::SeqCst)));
        let cold = s.get(&name).await;
        assert!(said(&cold).starts_with("edge-1; fwd=uri-miss; fwd-status="), "{target}: {}", said(&cold));
        if cold.cache_status().stored() {
            // Its last byte may be on its way into the store.
            until_within(Duration::from_secs(10), "it is stored", async || {
                let inspect = format!("/cache?url=http://www.example.com{target}");
                s.node.ask_admin(Ask::get(&inspect)).await.text().contains("\"stored\":true")
            })
            .await;
        }
        let answer = s.ask(asks(target)).await;
        assert_eq!((answer.status, said(&answer).as_str()), (status, expected), "{target}");
        aged(target, &answer);
    }
}

/// Age is there exactly where the answer, or the confirmation of it, is not new from the origin.
fn aged(target: &str, answer: &Answer) {
    let age = answer.get("age").map(|age| age.parse::<u64>().expect("seconds"));
    let least = match target {
        "/while" | "/if-error" | "/if-broken" => Some(3600),
        "/hit" | "/head" | "/304" | "/206" | "/416" | "/reload" | "/changed" | "/variant" => Some(600),
        "/confirmed" | "/negative" => Some(0),
        _ => None,
    };
    match (age, least) {
        (Some(age), Some(least)) => assert!((least..least + 60).contains(&age), "{target}: {age}"),
        (age, least) => assert_eq!(age, least, "{target}"),
    }
    assert_eq!(answer.all("via"), ["1.1 edge-1"], "{target}");
    assert_eq!(answer.get("proxy-status").is_some(), answer.status > 500, "{target}");
}

#[tokio::test]
async fn who_waits_for_another_is_told_so() {
    let s = Stage::new("a request that is answered by another one's fetch says collapsed").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin
        .on("/a", move |asked| Reply::page_of(asked, 200_000).cache("max-age=60").paused_at(100_000, &held));
    let (mut first, mut second) = (s.node.client().await, s.node.client().await);
    let mut heads = Vec::new();
    for client in [&mut first, &mut second] {
        client.send(&Ask::get("/a")).await;
        heads.push(client.answer_head().await.unwrap());
    }
    assert_eq!(said(&heads[0]), "edge-1; fwd=uri-miss; fwd-status=200; ttl=+; stored");
    assert_eq!(said(&heads[1]), "edge-1; fwd=uri-miss; fwd-status=200; ttl=+; stored; collapsed");
    gate.open();
    assert_eq!(s.origin.count("/a"), 1);
}

/// A server that answers every connection in words that are no TLS.
async fn speaks_no_tls() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    address
}

#[tokio::test]
async fn its_own_errors_have_a_proxy_status() {
    let case = Case::new("each way an origin can fail has its error type of RFC 9209");
    let strange = Authority::default();
    let (origin, foreign) = (Origin::start(&case).await, Origin::start_tls(&case, &strange).await);
    let gate = Gate::shut();
    let held = gate.clone();
    origin.on("/silent", move |asked| Reply::page(asked).held_by(&held));
    origin.on("/closes", |_| Reply::raw(""));
    origin.on("/garbage", |_| Reply::raw("hello\r\n\r\n"));
    // A port that nobody listens on any more.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let trusted = tempfile::tempdir().unwrap();
    let ca_file = format!("ca_file = {:?}", Authority::default().write_root(trusted.path()));
    let refuses = format!("http://{nobody}");
    let no_tls = format!("https://{}", speaks_no_tls().await);
    let recipe = Recipe::new(&origin)
        .origin("first_byte_timeout = \"300ms\"\neject_after = 1000")
        .own("request_body_max = \"1KiB\"")
        .site(&["refuses.example"], &[&refuses])
        .site(&["nowhere.example"], &["http://no-such-host.invalid:1"])
        .site(&["foreign.example"], &[&foreign.url()])
        .origin(&ca_file)
        .site(&["no-tls.example"], &[&no_tls])
        .origin(&ca_file);
    let node = Node::start(&case, recipe).await;
    let rows = [
        (Ask::get("/a").host("refuses.example"), 502, "connection_refused", "connect-refused"),
        (Ask::get("/a").host("nowhere.example"), 502, "dns_error", "dns"),
        (Ask::get("/a").host("foreign.example"), 502, "tls_certificate_error", "tls-certificate"),
        (Ask::get("/a").host("no-tls.example"), 502, "tls_protocol_error", "tls"),
        (Ask::get("/silent"), 504, "http_response_timeout", "first-byte-timeout"),
        (Ask::get("/closes"), 502, "connection_terminated", "closed-early"),
        (Ask::get("/garbage"), 502, "http_protocol_error", "bad-answer"),
        (Ask::get("/a").with("cdn-loop", "edge-1"), 508, "proxy_loop_detected", "loop"),
        (Ask::get("/%zz"), 400, "http_request_error; status-code=400", "bad-request"),
        (
            Ask::new("POST", "/a").body(vec![b'x'; 2000]),
            413,
            "http_request_error; status-code=413",
            "body-too-large",
        ),
        (Ask::new("TRACE", "/a"), 501, "proxy_internal_response", "method"),
        (
            Ask::get("/cold").with("cache-control", "only-if-cached"),
            504,
            "proxy_internal_response",
            "only-if-cached",
        ),
    ];
    for (ask, status, error, word) in rows {
        let what = format!("{ask:?}");
        let answer = node.ask(ask).await;
        let expected = format!("edge-1; error={error}; details=\"{word}\"");
        assert_eq!((answer.status, answer.get("proxy-status")), (status, Some(expected.as_str())), "{what}");
        assert!(said(&answer).ends_with(&format!("detail={word}")), "{what}: {}", said(&answer));
        assert!(!said(&answer).contains("stored") && answer.get("age").is_none(), "{what}");
    }
    gate.open();
}

#[tokio::test]
async fn via_names_the_version_that_was_received() {
    let case = Case::new(
        "Via: 1.0, 1.1 and 2.0 as the client spoke, for the origin; as the origin spoke, for the client",
    );
    let (origin, authority) = (Origin::start(&case).await, Authority::default());
    origin.on("/old", |_| {
        Reply::raw("HTTP/1.0 200 OK\r\ncache-control: max-age=60\r\nvia: 1.1 inner\r\ncontent-length: 5\r\n\r\nhello")
    });
    origin.on("/old-private", |_| Reply::raw("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"));
    let recipe = Recipe::new(&origin).tls(&authority.issue(&["www.example.com"]));
    let node = Node::start(&case, recipe).await;

    node.ask(Ask::get("/by11").with("via", "1.0 fred")).await;
    assert_eq!(origin.last("/by11").all("via"), ["1.0 fred, 1.1 edge-1"]);
    let mut h2 = H2::connect(node.https(), &authority, "www.example.com").await;
    h2.ask(Ask::get("/by20")).await.expect("an answer");
    assert_eq!(origin.last("/by20").all("via"), ["2.0 edge-1"]);
    let mut stream = TcpStream::connect(node.http()).await.unwrap();
    stream.write_all(b"GET /by10 HTTP/1.0\r\nHost: www.example.com\r\n\r\n").await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(origin.last("/by10").all("via"), ["1.0 edge-1"]);

    // Fetched, from the store, and past it.
    until_within(Duration::from_secs(10), "a hit", async || {
        let answer = node.get("/old").await;
        assert_eq!(answer.all("via").join(", "), "1.1 inner, 1.0 edge-1");
        answer.hit()
    })
    .await;
    assert_eq!(node.get("/old-private").await.all("via"), ["1.0 edge-1"]);
    assert_eq!(node.get("/by11").await.all("via"), ["1.1 edge-1"]);
}
