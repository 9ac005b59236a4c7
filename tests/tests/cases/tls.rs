//! HTTP/2 and HTTP/1.1 over TLS.

use larder_tests::h2::H2;
use larder_tests::tls::Authority;
use larder_tests::{Ask, Case, Client, Node, Origin, Recipe, Reply, spawn};

struct Encrypted {
    case: std::sync::Arc<Case>,
    origin: Origin,
    node: Node,
    authority: Authority,
}

async fn stage(title: &'static str) -> Encrypted {
    let case = Case::new(title);
    let authority = Authority::default();
    let origin = Origin::start(&case).await;
    let recipe = Recipe::new(&origin)
        .tls(&authority.issue(&["www.example.com", "*.example.com"]))
        .tls(&authority.issue(&["other.test"]));
    let node = Node::start(&case, recipe).await;
    Encrypted { case, origin, node, authority }
}

#[tokio::test]
async fn http2_serves_what_http1_stored() {
    let s = stage("HTTP/2 over TLS: misses, hits, HEAD, POST, many streams at once").await;
    let mut h2 = H2::connect(s.node.https(), &s.authority, "www.example.com").await;
    let first = h2.ask(Ask::get("/a")).await.unwrap();
    assert_eq!((first.status, first.version("/a")), (200, 1));
    let asking: Vec<_> = (0..200)
        .map(|number| {
            let mut h2 = h2.clone();
            spawn(async move { (number, h2.ask(Ask::get(&format!("/{}", number % 50))).await.unwrap()) })
        })
        .collect();
    for task in asking {
        let (number, answer) = task.await.unwrap();
        assert_eq!(answer.version(&format!("/{}", number % 50)), 1);
    }
    assert!(h2.ask(Ask::get("/a")).await.unwrap().hit());
    assert_eq!(h2.ask(Ask::head("/a")).await.unwrap().body.len(), 0);
    s.origin.on("/echo", |asked| Reply::new(200, asked.body.clone()));
    let body = larder_tests::page::body("/up", 1, 200_000);
    assert_eq!(h2.ask(Ask::new("POST", "/echo").body(body.clone())).await.unwrap().body, body);
    let asked = s.origin.last("/a");
    assert_eq!((asked.get("host"), asked.get("x-forwarded-proto")), (Some("www.example.com"), Some("https")));
    s.case.count("h2 connections");
}

#[tokio::test]
async fn certificates_are_chosen_by_name() {
    let s = stage("the certificate is chosen by SNI: exact, wildcard, and HTTP/1.1 by ALPN").await;
    for (sni, host) in [
        ("www.example.com", "www.example.com"),
        ("b.example.com", "b.example.com"),
        ("other.test", "other.test"),
    ] {
        let stream = tokio::net::TcpStream::connect(s.node.https()).await.unwrap();
        let stream = s.authority.connect(stream, sni, &["http/1.1"]).await.unwrap();
        let answer = Client::over(stream).ask(Ask::get("/a").host(host)).await;
        assert_eq!(answer.version("/a"), 1, "{sni}");
    }
}

#[tokio::test]
async fn plain_and_tls_do_not_share_entries() {
    let s = stage("http and https are different URLs: neither serves the other's answer").await;
    let mut h2 = H2::connect(s.node.https(), &s.authority, "www.example.com").await;
    h2.ask(Ask::get("/a")).await.unwrap();
    assert!(!s.node.get("/a").await.hit());
}

#[tokio::test]
async fn a_cut_body_resets_its_stream_only() {
    let s = stage("a cut body resets its HTTP/2 stream; the others go on").await;
    s.origin.on("/cut", |asked| Reply::page_of(asked, 100_000).cache("max-age=60").cut_at(50_000));
    let mut h2 = H2::connect(s.node.https(), &s.authority, "www.example.com").await;
    match h2.ask(Ask::get("/cut")).await {
        Ok(answer) => assert!(matches!(answer.end, larder_tests::End::Cut(_)) || answer.status >= 500),
        Err(error) => assert!(!error.is_closed(), "{error}"),
    }
    assert_eq!(h2.ask(Ask::get("/fine")).await.unwrap().version("/fine"), 1);
}

#[tokio::test]
async fn a_name_and_host_that_disagree_are_misdirected() {
    let s = stage("a Host other than the name the connection was made for is 421").await;
    let mut h2 = H2::connect(s.node.https(), &s.authority, "www.example.com").await;
    assert_eq!(h2.ask(Ask::get("/a").host("other.test")).await.unwrap().status, 421);
    assert_eq!(h2.ask(Ask::get("/a").host("www.example.com")).await.unwrap().status, 200);
    assert_eq!(s.origin.total(), 1);
}
