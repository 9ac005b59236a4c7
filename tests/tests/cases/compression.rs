//! gzip, brotli and zstd on the way out.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use larder_tests::{Answer, Ask, Gate, Reply};
use tokio::io::AsyncReadExt;

use crate::stage::Stage;

async fn decoded(answer: &Answer) -> Vec<u8> {
    let (body, mut out) = (&answer.body[..], Vec::new());
    match answer.get("content-encoding") {
        Some("gzip") => GzipDecoder::new(body).read_to_end(&mut out).await,
        Some("br") => BrotliDecoder::new(body).read_to_end(&mut out).await,
        Some("zstd") => ZstdDecoder::new(body).read_to_end(&mut out).await,
        None => {
            out.extend_from_slice(body);
            Ok(0)
        }
        Some(other) => panic!("content-encoding {other}"),
    }
    .expect("a whole encoded body");
    out
}

async fn stage(title: &'static str) -> Stage {
    let s = Stage::new(title).await;
    s.origin.on("/a", |asked| Reply::page_of(asked, 20_000).cache("max-age=3600").with("etag", "\"strong\""));
    s
}

fn ask(encoding: &str) -> Ask {
    Ask::get("/a").with("accept-encoding", encoding)
}

#[tokio::test]
async fn the_clients_preference_decides() {
    let s = stage("q-values decide the coding; every coding decodes to the same bytes, cold and warm").await;
    let table: [(&str, &[Option<&str>]); 9] = [
        ("gzip", &[Some("gzip")]),
        ("br", &[Some("br")]),
        ("zstd", &[Some("zstd")]),
        ("identity", &[None]),
        ("gzip;q=0.5, br;q=0.9", &[Some("br")]),
        ("gzip, br;q=0", &[Some("gzip")]),
        ("gzip;q=0", &[None]),
        ("*;q=0", &[None]),
        ("gzip, deflate, br, zstd", &[Some("br"), Some("zstd")]),
    ];
    for round in 0..2 {
        for (accept, expected) in table {
            let answer = s.ask(ask(accept)).await;
            assert_eq!(answer.status, 200, "{accept}");
            assert!(
                expected.contains(&answer.get("content-encoding")),
                "{round} {accept}: {:?}",
                answer.fields
            );
            let page = larder_tests::page::read(&decoded(&answer).await).unwrap();
            assert_eq!(page.target, "/a", "{accept}");
        }
    }
    assert_eq!(s.get("/a").await.version("/a"), 1, "without Accept-Encoding the plain body");
    assert_eq!(s.origin.count("/a"), 1, "one stored body for all");
}

#[tokio::test]
async fn the_head_of_an_encoded_answer_is_right() {
    let s = stage("an encoded answer has Vary and a weak ETag; the plain one keeps its strong one").await;
    let plain = s.warm("/a").await;
    assert_eq!(plain.get("etag"), Some("\"strong\""));
    assert!(plain.get("vary").is_some_and(|v| v.to_ascii_lowercase().contains("accept-encoding")));
    let packed = s.ask(ask("gzip")).await;
    assert!(packed.hit(), "{:?}", packed.get("cache-status"));
    assert_eq!(packed.get("etag"), Some("W/\"strong\""));
    assert!(packed.get("vary").is_some_and(|v| v.to_ascii_lowercase().contains("accept-encoding")));
    assert!(packed.body.len() < plain.body.len());
    if let Some(length) = packed.get("content-length") {
        assert_eq!(length, packed.body.len().to_string());
    }
    let again = s.ask(ask("gzip").with("if-none-match", "W/\"strong\"")).await;
    assert_eq!(again.status, 304);
}

#[tokio::test]
async fn the_encoded_form_is_made_once() {
    let s = stage("the encoded form is kept: later answers have a Content-Length and the same bytes").await;
    s.warm("/a").await;
    let first = s.ask(ask("gzip")).await;
    let mut last = first.clone();
    larder_tests::until_within(std::time::Duration::from_secs(10), "a kept form", async || {
        last = s.ask(ask("gzip")).await;
        last.get("content-length").is_some()
    })
    .await;
    assert_eq!(last.body, first.body);
    assert_eq!(decoded(&last).await, decoded(&first).await);
}

#[tokio::test]
async fn what_must_not_be_encoded_is_not() {
    let s = Stage::new("images, small bodies, no-transform, encoded answers, ranges stay as they are").await;
    let big = "x".repeat(5000);
    let page = |kind: &'static str, body: &str, cache: &'static str| {
        let body = body.to_owned();
        move |_: &larder_tests::Asked| Reply::new(200, body.clone()).with("content-type", kind).cache(cache)
    };
    s.origin.on("/image", page("image/png", &big, "max-age=60"));
    s.origin.on("/small", page("text/html", "tiny", "max-age=60"));
    s.origin.on("/no-transform", page("text/html", &big, "max-age=60, no-transform"));
    let body = big.clone();
    s.origin.on("/encoded", move |_| {
        Reply::new(200, body.clone()).with("content-type", "text/html").with("content-encoding", "x-own")
    });
    for target in ["/image", "/small", "/no-transform"] {
        for _ in 0..2 {
            let answer = s.ask(Ask::get(target).with("accept-encoding", "gzip, br, zstd")).await;
            assert_eq!(answer.get("content-encoding"), None, "{target}");
        }
    }
    let answer = s.ask(Ask::get("/encoded").with("accept-encoding", "gzip")).await;
    assert_eq!((answer.get("content-encoding"), answer.text()), (Some("x-own"), big));
}

#[tokio::test]
async fn a_range_of_a_compressible_page_is_of_the_plain_body() {
    let s = stage("a range is of the plain body, whatever the client accepts").await;
    let whole = s.warm("/a").await.body;
    s.ask(ask("gzip")).await;
    let part = s.ask(ask("gzip").with("range", "bytes=0-99")).await;
    assert_eq!((part.status, part.get("content-encoding")), (206, None));
    assert_eq!(part.body, whole.slice(0..100));
}

#[tokio::test]
async fn a_slow_page_still_streams() {
    let s =
        Stage::new("a compressed page that the origin writes slowly reaches the client as it comes").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin
        .on("/slow", move |asked| Reply::page_of(asked, 200_000).cache("no-store").paused_at(100_000, &held));
    let mut client = s.node.client().await;
    client.send(&Ask::get("/slow").with("accept-encoding", "gzip")).await;
    let head = client.answer_head().await.unwrap();
    assert_eq!(head.get("content-encoding"), Some("gzip"));
    let (mut body, open) = (Vec::new(), gate.clone());
    let take = |piece: bytes::Bytes| {
        body.extend_from_slice(&piece);
        if body.len() > 1000 {
            open.open();
        }
    };
    let end = client.body_after_head(&head, take).await.unwrap();
    let answer = Answer { body: body.into(), end, ..head };
    assert_eq!(larder_tests::page::read(&decoded(&answer).await).unwrap().target, "/slow");
}

#[tokio::test]
async fn head_of_a_compressible_page_agrees_with_get() {
    let s = stage("HEAD says the same coding as GET").await;
    s.warm("/a").await;
    let get = s.ask(ask("gzip")).await;
    let head = s.ask(Ask::head("/a").with("accept-encoding", "gzip")).await;
    assert_eq!(head.get("content-encoding"), get.get("content-encoding"));
    assert_eq!(head.body.len(), 0);
}

#[tokio::test]
async fn a_client_may_want_the_bytes_as_they_are() {
    let s = stage("a request with no-transform gets the form that the origin made").await;
    s.warm("/a").await;
    let plain = s.ask(ask("gzip").with("cache-control", "no-transform")).await;
    assert!(plain.hit() && plain.get("content-encoding").is_none(), "RFC 9111 5.2.1.6");
    assert_eq!(s.ask(ask("gzip")).await.get("content-encoding"), Some("gzip"));
}
