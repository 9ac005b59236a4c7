//! What one request is: refused, or exactly one request served.

use super::*;

/// Wire bytes, the statuses of the answers, and what was served.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

/// Each case is one connection whose client closes its side after the last byte.
async fn check(cases: &[Case<'_>]) {
    let node = node();
    for (wire, expected, served) in cases {
        node.origin.seen.lock().clear();
        let answer = talk(&node, wire.as_bytes(), true).await;
        assert_eq!(statuses(&answer), *expected, "{wire:?}: {answer}");
        assert_eq!(node.origin.seen(), *served, "{wire:?}");
    }
}

#[tokio::test]
async fn a_smuggling_payload_is_one_400_or_one_request() {
    let refused = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\u{b}: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 30\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET /\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "LARDER-REFUSED / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}",
    ];
    for payload in refused {
        let alone = format!("{payload}{GET}");
        let behind = format!("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n{payload}{GET}");
        check(&[(&alone, &["400"], &[]), (&behind, &["200", "400"], &["GET /1"])]).await;
    }
}

#[tokio::test]
async fn sound_requests_are_served_each_once() {
    check(&[
        (GET, &["200"], &["GET /"]),
        ("\r\nGET / HTTP/1.1\r\nhost:a\r\n\r\n", &["200"], &["GET /"]),
        ("GET / HTTP/1.0\r\n\r\n", &["200"], &["GET /"]),
        ("GET http://a/x HTTP/1.1\r\nHost: A\r\n\r\n", &["200"], &["GET /x"]),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &["200"], &["OPTIONS *"]),
        (
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
            &["200", "200", "200"],
            &["GET /1", "GET /2", "GET /3"],
        ),
        (
            "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            &["200", "200"],
            &["POST /read", "GET /2"],
        ),
        (
            "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\nX: y\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            &["200", "200"],
            &["POST /read", "GET /2"],
        ),
        ("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", &["200"], &["GET /1"]),
    ])
    .await;
}

#[tokio::test]
async fn a_refusal_says_why_and_is_counted() {
    let node = node();
    let answer = talk(&node, b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", false).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n400 Bad Request: space-before-colon\n"), "{answer}");
    assert_eq!(node.shared.counters().refused(Refusal::SpaceBeforeColon), 1);
}

#[tokio::test]
async fn limits_answer_431_and_414() {
    let node = node();
    let target = "a".repeat(limits::REQUEST_TARGET_BYTES_MAX);
    let field = "x: y\r\n".repeat(limits::REQUEST_FIELDS_MAX);
    let value = "a".repeat(limits::REQUEST_HEAD_BYTES_MAX);
    for (wire, status) in [
        (format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n"), "414"),
        (format!("GET /{}", target.repeat(20)), "414"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", value.repeat(20)), "431"),
    ] {
        let answer = talk(&node, wire.as_bytes(), false).await;
        assert_eq!(statuses(&answer), [status], "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    assert!(node.origin.seen().is_empty());
    // The largest that fits goes through hyper as well.
    let room = limits::REQUEST_HEAD_BYTES_MAX - "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let largest = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", &value[..room]);
    assert_eq!(statuses(&talk(&node, largest.repeat(3).as_bytes(), true).await), ["200"; 3]);
}

#[tokio::test]
async fn a_body_nobody_reads_is_drained_or_ends_the_connection() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let node = node();
    for length in [smuggled.len(), 100_000, 3_000_000] {
        let mut body = smuggled.repeat(length / smuggled.len());
        body.push_str(&"x".repeat(length - body.len()));
        for sent in [length, length / 2] {
            let head = format!("GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            let answer = talk(&node, format!("{head}{}", &body[..sent]).as_bytes(), true).await;
            assert_eq!(statuses(&answer), ["200"], "{sent} of {length}");
        }
        let head = "GET /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = talk(&node, format!("{head}{length:x}\r\n{body}\r\n0\r\n\r\n").as_bytes(), true).await;
        assert_eq!(statuses(&answer), ["200"], "chunked, {length}");
    }
    assert!(node.origin.seen().iter().all(|seen| seen == "GET /1"), "{:?}", node.origin.seen());
}

#[tokio::test]
async fn a_broken_chunk_breaks_the_body_and_the_connection() {
    let node = node();
    for body in ["5\r\nhelloX\r\n", "5\nhello\r\n", "g\r\n", "5;\0\r\nhello\r\n", "0\r\nX y\r\n\r\n"] {
        let wire = format!("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}{GET}");
        let answer = talk(&node, wire.as_bytes(), false).await;
        assert!(answer.contains("cut: the request body broke off"), "{body:?}: {answer}");
        assert_eq!(statuses(&answer), ["200"], "{body:?}");
    }
    assert!(node.origin.seen().iter().all(|seen| seen == "POST /read"), "{:?}", node.origin.seen());
    assert_eq!(node.shared.counters().refused(Refusal::Chunk), 5);
}

#[tokio::test]
async fn expect_continue_is_answered_when_the_body_is_wanted() {
    let node = node();
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    let head = "POST /read HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    assert!(read_answer(&mut stream).await.ends_with("5 bytes"));
}
