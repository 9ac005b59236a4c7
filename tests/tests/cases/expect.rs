//! Expect in all its forms: 100 before the body and not before somebody wants it, 417 for what nobody can meet.

use larder_tests::h2::H2;
use larder_tests::tls::Authority;
use larder_tests::{Ask, Case, Node, Origin, Recipe, Reply, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::Stage;

/// Sends a head, gives back what comes before the body is sent, then the body, then the rest.
async fn by_hand(s: &Stage, head: &str, body: &str, waits: bool) -> (String, String) {
    let mut stream = TcpStream::connect(s.node.http()).await.expect("the node listens");
    stream.write_all(head.as_bytes()).await.expect("the node reads");
    let mut before = String::new();
    if waits {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).await.unwrap_or(0);
        before = String::from_utf8_lossy(&bytes[..count]).into_owned();
    }
    if before.is_empty() || before.starts_with("HTTP/1.1 100") {
        let _ = stream.write_all(body.as_bytes()).await;
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    (before, String::from_utf8_lossy(&rest).into_owned())
}

#[tokio::test]
async fn twenty_forms_of_expect() {
    let s = Stage::new("Expect: 100-continue in every spelling gets its 100, anything else 417").await;
    s.origin.on("/*", |asked| Reply::new(200, asked.body.clone()));
    let expects = |value: &str| format!("expect: {value}\r\n");
    // (fields, body, what comes before the body, the final status)
    let close = "connection: close\r\n";
    let post = "POST /a HTTP/1.1\r\nhost: www.example.com\r\n";
    let rows: Vec<(String, &str, &str, &str)> = vec![
        (format!("{post}{}content-length: 5\r\n", expects("100-continue")), "hello", "100", "200"),
        (format!("{post}{}content-length: 5\r\n", expects("100-Continue")), "hello", "100", "200"),
        (format!("{post}{}content-length: 5\r\n", expects("100-CONTINUE")), "hello", "100", "200"),
        (format!("{post}{}content-length: 5\r\n", expects("  100-continue \t")), "hello", "100", "200"),
        (
            format!("{post}{}transfer-encoding: chunked\r\n", expects("100-continue")),
            "5\r\nhello\r\n0\r\n\r\n",
            "100",
            "200",
        ),
        (
            format!("{}{}content-length: 5\r\n", post.replace("POST", "PUT"), expects("100-continue")),
            "hello",
            "100",
            "200",
        ),
        // No body to wait for: no 100 either.
        (format!("{post}{}content-length: 0\r\n", expects("100-continue")), "", "200", ""),
        (format!("{post}{}", expects("100-continue")), "", "200", ""),
        (format!("{}{}", post.replace("POST", "GET"), expects("100-continue")), "", "200", ""),
        (format!("{}{}", post.replace("POST", "HEAD"), expects("100-continue")), "", "200", ""),
        // What nobody can meet (RFC 9110 10.1.1).
        (format!("{post}{}content-length: 5\r\n", expects("200-ok")), "hello", "417", ""),
        (format!("{post}{}content-length: 5\r\n", expects("100")), "hello", "417", ""),
        (format!("{post}{}content-length: 5\r\n", expects("continue")), "hello", "417", ""),
        (format!("{post}{}content-length: 5\r\n", expects("100-continue, 100-continue")), "hello", "417", ""),
        (format!("{post}{}content-length: 5\r\n", expects("100-continue, x")), "hello", "417", ""),
        (format!("{post}{}content-length: 5\r\n", expects("100-continue;q=1")), "hello", "417", ""),
        (format!("{post}{}content-length: 5\r\n", expects("")), "hello", "417", ""),
        (
            format!("{post}{}{}content-length: 5\r\n", expects("100-continue"), expects("x")),
            "hello",
            "417",
            "",
        ),
        (format!("{}{}", post.replace("POST", "GET"), expects("x")), "", "417", ""),
    ];
    for (head, body, before, last) in &rows {
        let asked = s.origin.total();
        let (first, rest) = by_hand(&s, &format!("{head}{close}\r\n"), body, true).await;
        assert!(first.starts_with(&format!("HTTP/1.1 {before}")), "{head:?}: {first:?}");
        assert!(last.is_empty() || rest.starts_with(&format!("HTTP/1.1 {last}")), "{head:?}: {rest:?}");
        assert_eq!(s.origin.total(), asked + usize::from(*before != "417"), "{head:?}");
        if s.origin.total() > asked {
            assert_eq!(s.origin.seen().last().and_then(|asked| asked.get("expect")), None, "{head:?}");
        }
    }
    // HTTP/1.0 knows no 100 (RFC 9110 10.1.1): the field is ignored.
    let old =
        "POST /a HTTP/1.0\r\nhost: www.example.com\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let (_, answer) = by_hand(&s, old, "hello", false).await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("hello"), "{answer:?}");
}

#[tokio::test]
async fn over_http2() {
    let case = Case::new("Expect over HTTP/2: met, or 417, and never sent on");
    let (origin, authority) = (Origin::start(&case).await, Authority::default());
    origin.on("/*", |asked| Reply::new(200, asked.body.clone()));
    let node = Node::start(&case, Recipe::new(&origin).tls(&authority.issue(&["www.example.com"]))).await;
    let mut h2 = H2::connect(node.https(), &authority, "www.example.com").await;
    let ask = |value: &str| Ask::new("POST", "/a").with("expect", value).body("hello");
    let met = h2.ask(ask("100-continue")).await.expect("an answer");
    assert_eq!((met.status, met.text().as_str()), (200, "hello"));
    assert_eq!(origin.last("/a").get("expect"), None);
    assert_eq!(h2.ask(ask("miracle")).await.expect("an answer").status, 417);
    assert_eq!(origin.total(), 1);
    until("the connection is still good", || !h2.is_closed()).await;
}
