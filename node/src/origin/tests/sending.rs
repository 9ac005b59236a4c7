//! What an origin hears.

use super::*;

async fn heard(method: Method, body: Body) -> String {
    let origin = Origin::play(vec![polite()]).await;
    send(&pool(&origin), method, body).await.expect("an answer");
    origin.requests().remove(0)
}

#[tokio::test]
async fn the_body_alone_decides_the_framing() {
    let full = || Body::Full(Bytes::from("body"));
    let known = || {
        let body = http_body_util::Full::new(Bytes::from("body")).map_err(|never| match never {});
        Body::stream(body)
    };
    let unknown = || pieces(vec![Ok("bo"), Ok(""), Ok("dy")]);
    const NONE: (&str, &str) = ("", "");
    const EMPTY: (&str, &str) = ("content-length: 0\r\n", "");
    const KNOWN: (&str, &str) = ("content-length: 4\r\n", "body");
    const CHUNKS: (&str, &str) = ("transfer-encoding: chunked\r\n", "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n");
    let rows: Vec<(Method, Body, (&str, &str))> = vec![
        (Method::GET, Body::Empty, NONE),
        (Method::HEAD, Body::Empty, NONE),
        (Method::DELETE, Body::Empty, NONE),
        (Method::POST, Body::Empty, EMPTY),
        (Method::PUT, Body::Empty, EMPTY),
        (Method::POST, full(), KNOWN),
        (Method::POST, known(), KNOWN),
        (Method::GET, full(), KNOWN),
        (Method::POST, unknown(), CHUNKS),
        (Method::GET, unknown(), CHUNKS),
    ];
    for (method, body, (field, bytes)) in rows {
        let what = format!("{method} {body:?}");
        let request = heard(method.clone(), body).await;
        assert!(
            request.starts_with(&format!("{method} /path?query HTTP/1.1\r\nhost: www.example.com\r\n")),
            "{request}"
        );
        let (head, sent) = request.split_once("\r\n\r\n").expect("a head");
        assert_eq!(sent, bytes, "{what}");
        let framing: String = head
            .split_inclusive("\r\n")
            .chain(["\r\n"])
            .filter(|line| line.starts_with("content-length") || line.starts_with("transfer-encoding"))
            .map(|line| format!("{}\r\n", line.trim_end()))
            .collect();
        assert_eq!(framing, field, "{what}");
    }
}

#[tokio::test]
async fn framing_fields_of_the_head_are_not_believed() {
    let origin = Origin::play(vec![polite()]).await;
    let mut request = http::Request::post("/").header("host", "x");
    for (name, value) in [("content-length", "99"), ("transfer-encoding", "gzip"), ("content-length", "1")] {
        request = request.header(name, value);
    }
    let head = request.body(()).expect("a request").into_parts().0;
    pool(&origin).send(head, Body::Full(Bytes::from("body"))).await.expect("an answer");
    assert_eq!(origin.requests(), ["POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody"]);
}

#[tokio::test]
async fn trailers_of_a_client_stay_here() {
    let frames = [
        Ok::<_, Cut>(http_body::Frame::data(Bytes::from("body"))),
        Ok(http_body::Frame::trailers(HeaderMap::from_iter([(
            http::header::ETAG,
            "x".parse().expect("a value"),
        )]))),
    ];
    let body = Body::stream(http_body_util::StreamBody::new(futures_util::stream::iter(frames)));
    let request = heard(Method::POST, body).await;
    assert!(request.ends_with("4\r\nbody\r\n0\r\n\r\n"), "{request}");
}

#[tokio::test]
async fn names_are_resolved() {
    let origin = Origin::play(vec![polite()]).await;
    let endpoint = Endpoint { tls: false, host: "localhost".to_owned(), port: origin.address.port() };
    let pool = pool_of(Config { endpoints: vec![endpoint], ..Config::default() });
    assert_eq!(fetch(&pool).await, "ok");
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let origin = Origin::play(vec![polite()]).await;
    let endpoint = Endpoint { tls: false, host: "origin.invalid".to_owned(), port: 80 };
    let pool = pool_of(Config { endpoints: vec![endpoint], ..Config::default() });
    let addresses = [nobody().await, nobody().await, origin.address];
    pool.balance.endpoints()[0].common.resolver.remember(Some(Arc::new(addresses)));
    assert_eq!(fetch(&pool).await, "ok");
    assert_eq!(pool.counters().retries.get(), 0, "that is one attempt");
}

#[tokio::test]
async fn a_name_without_address_is_a_failure_of_the_origin() {
    let endpoint = Endpoint { tls: false, host: "name.invalid".to_owned(), port: 80 };
    let pool = pool_of(Config { endpoints: vec![endpoint], ..Config::default() });
    let error = get(&pool).await.expect_err("no such name");
    assert_eq!(error.side, Side::Origin);
    assert!(matches!(error.kind, Kind::Dns | Kind::ConnectTimeout), "{error}");
}
