//! The actors against each other, without a node: what proves the others must be proved first.

use larder_tests::page::{Page, Pattern};
use larder_tests::tls::Authority;
use larder_tests::{Ask, Case, Client, End, Gate, Origin, Reply, spawn, until};

#[tokio::test]
async fn an_origin_names_url_and_version_and_counts() {
    let case = Case::new("an origin names URL and version and counts");
    let origin = Origin::start(&case).await;
    let mut client = Client::connect(origin.address()).await.counting(&case);
    assert_eq!(client.ask(Ask::get("/a?b")).await.page(), Page { target: "/a?b".into(), version: 1 });
    origin.bump("/a?b");
    assert_eq!(client.ask(Ask::get("/a?b")).await.version("/a?b"), 2);
    assert_eq!(client.ask(Ask::head("/a?b")).await.body.len(), 0);
    assert_eq!((origin.count("/a?b"), origin.total(), origin.connections()), (3, 3, 1));
}

#[tokio::test]
async fn a_gate_holds_an_answer_and_a_pause_its_body() {
    let case = Case::new("a gate holds an answer and a pause its body");
    let origin = Origin::start(&case).await;
    let (head, body) = (Gate::shut(), Gate::shut());
    let gates = (head.clone(), body.clone());
    origin.on("/slow", move |asked| Reply::page(asked).held_by(&gates.0).paused_at(100, &gates.1).chunked());
    let address = origin.address();
    let asking = spawn(async move { Client::connect(address).await.ask(Ask::get("/slow")).await });
    head.reached(1).await;
    assert!(!asking.is_finished());
    head.open();
    body.reached(1).await;
    assert!(!asking.is_finished());
    body.open();
    assert_eq!(asking.await.unwrap().version("/slow"), 1);
}

#[tokio::test]
async fn a_cut_is_seen_in_every_framing() {
    let case = Case::new("a cut is seen in every framing");
    let origin = Origin::start(&case).await;
    origin.on("/length", |asked| Reply::page(asked).cut_at(200));
    origin.on("/chunked", |asked| Reply::page(asked).chunked().cut_at(200));
    origin.on("/reset", |asked| Reply::page(asked).reset_at(200));
    origin.on("/none", |asked| Reply::page(asked).cut_at(0));
    for target in ["/length", "/chunked", "/reset", "/none"] {
        let answer = Client::connect(origin.address()).await.counting(&case).ask(Ask::get(target)).await;
        assert!(matches!(answer.end, End::Cut(_)), "{target}: {:?}", answer.end);
    }
    until("all connections to end", || origin.open() == 0).await;
}

#[tokio::test]
async fn a_pattern_streams_and_is_checked() {
    let case = Case::new("a pattern streams and is checked");
    let origin = Origin::start(&case).await;
    origin.on("/big", |_| Reply::pattern(20_000_000).chunked());
    let mut client = Client::connect(origin.address()).await;
    client.send(&Ask::get("/big")).await;
    let (pattern, mut at) = (Pattern::default(), 0);
    let take = |piece: bytes::Bytes| {
        assert!(pattern.matches(at, &piece));
        at += piece.len() as u64;
    };
    let answer = client.stream_answer("GET", take).await.unwrap();
    assert_eq!((answer.end, at), (End::Whole, 20_000_000));
}

#[tokio::test]
async fn a_tls_origin_shows_a_certificate_of_its_authority() {
    let case = Case::new("a TLS origin shows a certificate of its authority");
    let authority = Authority::default();
    let origin = Origin::start_tls(&case, &authority).await;
    let connect = || tokio::net::TcpStream::connect(origin.address());
    let stream = authority.connect(connect().await.unwrap(), "localhost", &["http/1.1"]).await.unwrap();
    assert_eq!(Client::over(stream).ask(Ask::get("/")).await.version("/"), 1);
    assert!(authority.connect(connect().await.unwrap(), "elsewhere.example", &[]).await.is_err());
    assert!(Authority::default().connect(connect().await.unwrap(), "localhost", &[]).await.is_err());
}

#[tokio::test]
async fn a_conditional_request_is_answered_304() {
    let case = Case::new("a conditional request is answered 304");
    let origin = Origin::start(&case).await;
    origin.on("/a", Reply::validated);
    let mut client = Client::connect(origin.address()).await.counting(&case);
    assert_eq!(client.ask(Ask::get("/a").with("if-none-match", "\"v1\"")).await.status, 304);
    origin.bump("/a");
    assert_eq!(client.ask(Ask::get("/a").with("if-none-match", "\"v1\"")).await.version("/a"), 2);
}
