//! The listener from outside: raw bytes over loopback, or over a pipe where a test moves the clock.

mod abort;
mod drain;
mod framing;
mod h2;
mod h2_raw;
mod sockets;
mod times;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::activity::Activity;
use super::connection::{self, Link};
use super::stall::{Reset, Stall};
use super::*;
use crate::http::{Body, Response};
use crate::tasks;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// What the node was asked, and a gate for those who ask for `/gate`.
#[derive(Clone)]
struct Origin {
    seen: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl Origin {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { seen: Arc::default(), gate: Arc::new(Semaphore::new(0)), shared: Arc::clone(shared) }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }

    async fn serve(self, request: Request<Incoming>, peer: Arc<Peer>) -> Response {
        let path = request.uri().path().to_owned();
        self.seen.lock().push(format!("{} {path}", request.method()));
        let text = match path.as_str() {
            "/gate" => {
                self.gate.acquire().await.expect("never closed").forget();
                "open".to_owned()
            }
            "/large" => "x".repeat(1 << 20),
            "/read" => match self.shared.request_body(request.into_body()).collect().await {
                Ok(body) => format!("{} bytes", body.to_bytes().len()),
                Err(cut) => format!("cut: {cut}"),
            },
            "/sni" => format!("{:?}", peer.tls.as_ref().and_then(|tls| tls.sni.clone())),
            "/host" => format!("{:?}", request.headers()),
            "/pieces" => return Response::new(abort::pieces(b"hello", 1, true)),
            "/cut" => return Response::new(abort::pieces(b"hello", 1, false)),
            "/pieces/large" => return Response::new(abort::pieces(&[b'x'; 1 << 16], 1 << 10, true)),
            _ => "hello".to_owned(),
        };
        Response::new(Body::from(Bytes::from(text)))
    }
}

/// Everything on one thread: sockets, workers, clients.
struct Node {
    origin: Origin,
    shared: Arc<Shared>,
    address: SocketAddr,
    running: JoinHandle<()>,
}

fn node_with(limits: Limits, certificates: Option<Certificates>) -> Node {
    let tls = certificates.is_some();
    let shared = Shared::new(limits, certificates.unwrap_or_default());
    let config = Config { address: "127.0.0.1:0".parse().unwrap(), tls };
    let mut listeners = Listeners::bind(&[config], 1).unwrap();
    let address = listeners.addresses()[0].1;
    let origin = Origin::new(&shared);
    let serve = {
        let origin = origin.clone();
        move |request, peer| origin.clone().serve(request, peer)
    };
    let running = tasks::spawn("worker", run(listeners.take(0), Arc::clone(&shared), serve));
    Node { origin, shared, address, running }
}

fn node() -> Node {
    node_with(Limits::default(), None)
}

/// A pipe has no other end than a clean one.
impl Reset for DuplexStream {
    fn reset(&self) {}
}

/// A connection over a pipe of `room` bytes, so that a paused clock moves on by itself while both sides wait.
struct Pipe {
    client: DuplexStream,
    origin: Origin,
    shared: Arc<Shared>,
    running: JoinHandle<()>,
}

fn pipe(room: usize, http2: bool) -> Pipe {
    let shared = Shared::new(Limits::default(), Certificates::default());
    let (client, server) = tokio::io::duplex(room);
    let address = "127.0.0.1:1".parse().unwrap();
    let limits = shared.limits.load_full();
    let activity = Arc::new(Activity::default());
    let stream = Stall::new(server, limits.body_timeout, Arc::clone(&activity), Arc::clone(&shared.counters));
    let peer = Arc::new(Peer { address, local: address, tls: None });
    let link = Link { shared: Arc::clone(&shared), limits, activity, peer };
    let origin = Origin::new(&shared);
    let serve = {
        let origin = origin.clone();
        move |request, peer| origin.clone().serve(request, peer)
    };
    let running = tasks::spawn("connection", async move {
        if http2 {
            connection::http2(stream, link, serve).await;
        } else {
            connection::http1(stream, link, serve).await;
        }
    });
    Pipe { client, origin, shared, running }
}

/// Waits for something that other tasks bring about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Sends `wire` and reads until the node closes; half-closes first when `finish` is set.
async fn talk(node: &Node, wire: &[u8], finish: bool) -> String {
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(wire).await.unwrap();
    if finish {
        stream.shutdown().await.unwrap();
    }
    read_to_end(&mut stream).await
}

async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(300), stream.read_to_end(&mut answer));
    read.await.expect("closed in time").expect("closed, not reset");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with `Content-Length`.
async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    tokio::time::timeout(Duration::from_secs(10), read_one(stream)).await.expect("answered in time")
}

async fn read_one(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "ended within {}", answer.escape_ascii());
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.expect("a length").parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// The statuses of all answers in `text`.
fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).collect()
}
