//! A cut body is never stored and never looks complete.

use std::io::ErrorKind;

use larder_tests::{Ask, End, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::Stage;

/// Asks for a cut answer: the client sees an abort, the next one a whole page.
async fn cut_then_whole(s: &Stage, target: &str) {
    let mut client = s.node.client().await;
    client.send(&Ask::get(target)).await;
    match client.try_answer_to("GET").await {
        Ok(answer) if answer.status == 200 => {
            assert!(matches!(answer.end, End::Cut(_)), "{target}: a cut body looked whole");
        }
        Ok(answer) => assert!(matches!(answer.status, 502 | 504), "{target}: {}", answer.status),
        Err(_) => {}
    }
    s.origin.bump(target);
    let whole = s.warm(target).await;
    assert_eq!(whole.version(target), 2, "{target}");
}

#[tokio::test]
async fn every_way_to_cut_is_seen_and_not_stored() {
    let s =
        Stage::new("cut by close or reset, with length or chunked: an abort for the client, nothing stored")
            .await;
    s.origin.on("/*", |asked| {
        let size = 300_000;
        let reply = Reply::page_of(asked, size).cache("max-age=60");
        let reply = if asked.target.contains("chunked") { reply.chunked() } else { reply };
        let at = asked.target.rsplit('/').next().and_then(|at| at.parse().ok()).unwrap_or(0);
        match asked.version {
            1 if asked.target.contains("reset") => reply.reset_at(at),
            1 => reply.cut_at(at),
            _ => reply,
        }
    });
    for framing in ["length", "chunked"] {
        for way in ["close", "reset"] {
            for at in [0, 1, 1000, 65_536, 262_144, 300_000] {
                cut_then_whole(&s, &format!("/{framing}/{way}/{at}")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_last_byte_missing_is_a_cut() {
    let s = Stage::new("a body that lacks its last byte, or its last chunk, is cut").await;
    s.origin.on("/length", |asked| match asked.version {
        1 => Reply::raw("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 6\r\n\r\nhello"),
        _ => Reply::page(asked).cache("max-age=60"),
    });
    s.origin.on("/chunked", |asked| match asked.version {
        1 => Reply::raw(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ),
        _ => Reply::page(asked).cache("max-age=60"),
    });
    for target in ["/length", "/chunked"] {
        cut_then_whole(&s, target).await;
    }
}

#[tokio::test]
async fn a_cut_compressed_answer_is_no_whole_gzip() {
    let s = Stage::new("an answer cut while it is compressed does not end like a whole one").await;
    s.origin.on("/a", |asked| Reply::page_of(asked, 300_000).cache("max-age=60").cut_at(200_000));
    let mut client = s.node.client().await;
    client.send(&Ask::get("/a").with("accept-encoding", "gzip")).await;
    if let Ok(answer) = client.try_answer_to("GET").await {
        assert!(matches!(answer.end, End::Cut(_)) || answer.status >= 500, "{:?}", answer.end);
    }
}

/// What HTTP/1.0 gets, to whom only the end of the connection says that a body is over, and how that end came.
async fn by_http10(s: &Stage, target: &str, fields: &str) -> (String, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(s.node.http()).await.expect("the node listens");
    let head = format!("GET {target} HTTP/1.0\r\nHost: www.example.com\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await.expect("the node reads");
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.err().map(|error| error.kind());
    (String::from_utf8_lossy(&bytes).to_ascii_lowercase(), end)
}

#[tokio::test]
async fn a_cut_answer_to_http10_ends_in_a_reset() {
    let s =
        Stage::new("HTTP/1.0 without Content-Length: a cut body ends in a reset, a whole one does not").await;
    s.origin.on("/*", |asked| {
        let reply = Reply::page_of(asked, 300_000).cache("max-age=60").with("content-type", "text/plain");
        let reply = if asked.target.contains("chunked") { reply.chunked() } else { reply };
        if asked.target.contains("cut") { reply.cut_at(200_000) } else { reply }
    });
    // The origin's own framing has no length; with gzip ours has none either.
    for (name, fields) in [("chunked/identity", ""), ("chunked/gzip", "Accept-Encoding: gzip\r\n")]
        .into_iter()
        .chain([("length/gzip", "Accept-Encoding: gzip\r\n")])
    {
        let (whole, end) = by_http10(&s, &format!("/{name}/whole"), fields).await;
        assert!(
            whole.starts_with("http/1.0 200") && !whole.contains("content-length:"),
            "{name}: {whole:.300}"
        );
        assert_eq!(whole.contains("content-encoding: gzip"), name.contains("gzip"), "{name}: {whole:.300}");
        assert_eq!(end, None, "{name}: a whole body");
        let (_, end) = by_http10(&s, &format!("/{name}/cut"), fields).await;
        assert_eq!(end, Some(ErrorKind::ConnectionReset), "{name}: a cut body");
    }
}

#[tokio::test]
async fn bytes_after_the_end_never_become_an_answer() {
    let s = Stage::new("bytes after an answer's end are dropped with their connection").await;
    s.origin.on("/extra", |_| {
        Reply::raw(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 5\r\n\r\nhello\
             HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\nevil",
        )
    });
    let answer = s.get("/extra").await;
    assert!(answer.text() == "hello" || answer.status == 502, "{}", answer.text());
    for number in 0..5 {
        let target = format!("/next/{number}");
        assert_eq!(s.get(&target).await.version(&target), 1);
    }
}

#[tokio::test]
async fn endless_heads_are_refused() {
    let s = Stage::new(
        "10,000 interim answers, a head without end, fields without end: 502, and nothing is stored",
    )
    .await;
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(10_000);
    let fields = (0..5000).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let end = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\nhello";
    let table = [
        ("/interim", format!("{interim}{end}")),
        ("/fields", format!("HTTP/1.1 200 OK\r\n{fields}content-length: 5\r\n\r\nhello")),
        (
            "/field",
            format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 5\r\n\r\nhello", "y".repeat(1_000_000)),
        ),
        ("/reason", format!("HTTP/1.1 200 {}\r\ncontent-length: 5\r\n\r\nhello", "y".repeat(200_000))),
    ];
    for (target, bytes) in table {
        s.origin.on(target, move |_| Reply::raw(bytes.clone()));
        assert_eq!(s.get(target).await.status, 502, "{target}");
        assert_eq!(s.get("/fine").await.version("/fine"), 1);
    }
}

#[tokio::test]
async fn hostile_answers_are_refused() {
    let s = Stage::new("an origin that breaks the framing is told as 502, stored never, reused never").await;
    let table: [(&str, &'static str); 8] = [
        (
            "/both",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        ("/two-lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!"),
        ("/bad-length", "HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\nhello"),
        ("/minus", "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello"),
        ("/garbage", "\u{1}\u{2}\u{3}\r\n\r\n"),
        ("/chunk-size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"),
        ("/http9", "hello\r\n\r\n"),
        ("/empty", ""),
    ];
    for (target, bytes) in table {
        s.origin.on(target, move |_| Reply::raw(bytes));
        let mut client = s.node.client().await;
        client.send(&Ask::get(target)).await;
        if let Ok(answer) = client.try_answer_to("GET").await {
            let cut = matches!(answer.end, End::Cut(_));
            assert!(cut || answer.status == 502, "{target}: {} {:?}", answer.status, answer.text());
        }
        assert_eq!(s.get("/fine").await.version("/fine"), 1);
    }
}
