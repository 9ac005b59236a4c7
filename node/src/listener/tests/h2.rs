//! HTTP/2 with a polite client: limits, drain, and clients that take nothing.

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, advance};

use super::*;

#[derive(Clone)]
struct Spawn;

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        tasks::spawn("client", task);
    }
}

async fn client(stream: DuplexStream) -> SendRequest<Body> {
    // The smallest windows that are usual, so that a client that does not read takes nothing.
    let mut builder = http2::Builder::new(Spawn);
    let (sender, connection) =
        builder.initial_stream_window_size(65_535).handshake(TokioIo::new(stream)).await.unwrap();
    tasks::spawn("client", connection);
    sender
}

fn get(path: &str) -> http::request::Builder {
    Request::get(format!("https://a{path}"))
}

fn request(builder: http::request::Builder) -> Request<Body> {
    builder.body(Body::Empty).unwrap()
}

async fn text(response: http::Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_are_checked_before_anyone_sees_them() {
    let pipe = pipe(1 << 16, true);
    let mut sender = client(pipe.client).await;
    let long = "a".repeat(limits::REQUEST_TARGET_BYTES_MAX);
    let mut many = get("/");
    for _ in 0..limits::REQUEST_FIELDS_MAX + 1 {
        many = many.header("x", "y");
    }
    let cases = [
        (get("/"), 200),
        (get("/").header("host", "A"), 200),
        (get("/").header("host", "b"), 400),
        (get("/").header("host", "a").header("host", "a"), 400),
        (get(&format!("/{long}")), 414),
        (many, 431),
        (Request::get("https://a,b/"), 400),
        (Request::get("http://a/"), 400),
        (Request::get("https://a/\u{e9}"), 400),
        (Request::options("https://a/*"), 200),
    ];
    let served = cases.iter().filter(|case| case.1 == 200).count();
    for (builder, status) in cases {
        let request = request(builder);
        let asked = format!("{request:?}");
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{asked:.200}");
    }
    assert_eq!(pipe.origin.seen().len(), served);
    assert_eq!(pipe.shared.counters().refused(Refusal::HostDiffers), 1);
}

#[tokio::test(start_paused = true)]
async fn there_is_one_host_and_one_cookie() {
    let pipe = pipe(1 << 16, true);
    let mut sender = client(pipe.client).await;
    let crumbs = get("/host").header("cookie", "a=1").header("cookie", "b=2");
    let text = text(sender.send_request(request(crumbs)).await.unwrap()).await;
    assert!(text.contains("\"cookie\": \"a=1; b=2\"") && text.contains("\"host\": \"a\""), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_arrives_whole() {
    let pipe = pipe(1 << 16, true);
    let mut sender = client(pipe.client).await;
    let response = sender.send_request(request(get("/large"))).await.unwrap();
    assert_eq!(response.headers()["content-length"], "1048576");
    assert_eq!(text(response).await.len(), 1 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_takes_nothing_is_reset_alone() {
    let pipe = pipe(1 << 16, true);
    let mut sender = client(pipe.client).await;
    let stalled = sender.send_request(request(get("/large"))).await.unwrap();
    let start = Instant::now();
    // The other stream makes its own pace and lives.
    for _ in 0..40 {
        advance(Duration::from_secs(1)).await;
        let other = sender.send_request(request(get("/"))).await.unwrap();
        assert_eq!(text(other).await, "hello");
    }
    assert!(start.elapsed() > Limits::default().body_timeout);
    assert_eq!(pipe.shared.counters().timeouts(Timeout::Write), 1);
    assert!(stalled.into_body().collect().await.is_err(), "cut, never short");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let pipe = pipe(1 << 16, true);
    let mut sender = client(pipe.client).await;
    text(sender.send_request(request(get("/"))).await.unwrap()).await;
    let start = Instant::now();
    pipe.running.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), Limits::default().idle_timeout.as_secs());
    assert_eq!(pipe.shared.counters().timeouts(Timeout::Idle), 1);
    assert!(sender.send_request(request(get("/"))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_says_hello_is_closed() {
    let pipe = pipe(1 << 16, true);
    let start = Instant::now();
    pipe.running.await.unwrap();
    let limits = Limits::default();
    assert_eq!(start.elapsed().as_secs(), (limits.head_timeout + limits.body_timeout).as_secs());
    assert_eq!(pipe.shared.counters().timeouts(Timeout::Head), 1);
}

#[tokio::test(start_paused = true)]
async fn drain_cuts_streams_that_do_not_end() {
    let pipe = pipe(1 << 16, true);
    let mut sender = client(pipe.client).await;
    let waiting = tasks::spawn("client", sender.send_request(request(get("/gate"))));
    until("asked", || !pipe.origin.seen().is_empty()).await;
    let start = Instant::now();
    pipe.shared.drain();
    pipe.running.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), Limits::default().drain_timeout.as_secs());
    assert!(waiting.await.unwrap().is_err());
}
