//! The pool against origins that play bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;

use super::forward::Facts;
use super::*;
use crate::clock::Timestamp;
use crate::error::Side;
use crate::http::Cut;

mod bodies;
mod ejection;
mod hostile;
mod reuse;
mod script;
mod secure;
mod sending;
mod timeouts;

use script::{Gate, Origin, Step, say};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One well-behaved exchange on a connection that stays open.
fn polite() -> Vec<Step> {
    vec![Step::Hear, say(OK), Step::Hear, say(OK), Step::Hear, say(OK), Step::Hang]
}

fn config(endpoints: &[SocketAddr]) -> Config {
    let endpoints = endpoints
        .iter()
        .map(|address| Endpoint { tls: false, host: address.ip().to_string(), port: address.port() })
        .collect();
    Config { endpoints, ..Config::default() }
}

fn pool_of(config: Config) -> Pool {
    Pool::new(config, Clock::manual(Timestamp(1_000_000))).expect("a good configuration")
}

fn pool(origin: &Origin) -> Pool {
    pool_of(config(&[origin.address]))
}

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound")
}

async fn send(pool: &Pool, method: Method, body: Body) -> Result<Answer, Error> {
    let facts = Facts {
        node_name: "edge-1",
        client_ip: [192, 0, 2, 7].into(),
        version: http::Version::HTTP_11,
        tls: false,
        host: "www.example.com",
        host_override: None,
    };
    let head = forward::request_head(method, "/path?query", &HeaderMap::new(), &facts).expect("a good head");
    pool.send(head, body).await
}

async fn get(pool: &Pool) -> Result<Answer, Error> {
    send(pool, Method::GET, Body::Empty).await
}

async fn read(answer: Answer) -> Result<Bytes, Cut> {
    Ok(answer.body.collect().await?.to_bytes())
}

/// A whole exchange that must go well.
async fn fetch(pool: &Pool) -> Bytes {
    let answer = get(pool).await.expect("an answer");
    assert_eq!(answer.head.status, StatusCode::OK);
    read(answer).await.expect("a whole body")
}

/// Lets everything else run until the condition holds.
async fn until(condition: impl Fn() -> bool) {
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < patience, "it never came");
        tokio::task::yield_now().await;
    }
}

/// A body of these pieces, whose length nobody knows.
fn pieces(pieces: Vec<Result<&'static str, Cut>>) -> Body {
    let frames = pieces.into_iter().map(|piece| piece.map(|text| http_body::Frame::data(Bytes::from(text))));
    Body::stream(http_body_util::StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>())))
}

/// A body of which one piece comes and then nothing.
fn unending() -> Body {
    use futures_util::StreamExt;
    let first = futures_util::stream::iter([Ok(http_body::Frame::data(Bytes::from("begun")))]);
    Body::stream(http_body_util::StreamBody::new(first.chain(futures_util::stream::pending())))
}

#[test]
fn sending_can_be_done_from_any_task() {
    fn is_send<T: Send>(_: impl FnOnce(&'static Pool) -> T) {}
    fn is_shared<T: Send + Sync + 'static>() {}
    is_send(|pool| pool.send(http::Request::new(()).into_parts().0, Body::Empty));
    is_shared::<Pool>();
}

#[test]
fn endpoints_are_named_as_they_are_written() {
    for (tls, host, port, expected) in [
        (false, "example.com", 80, "http://example.com:80"),
        (true, "192.0.2.1", 8443, "https://192.0.2.1:8443"),
        (true, "2001:db8::1", 443, "https://[2001:db8::1]:443"),
    ] {
        assert_eq!(Endpoint { tls, host: host.to_owned(), port }.to_string(), expected);
    }
}

#[test]
fn a_pool_without_endpoints_is_refused() {
    let made = Pool::new(Config::default(), Clock::system());
    assert!(matches!(made, Err(PoolError::NoEndpoint)));
}

/// The state of an only endpoint.
fn state(pool: &Pool) -> EndpointState {
    pool.endpoints().remove(0)
}
