//! Every route, asked as a client would; and the whole service once over a socket.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use larder_store::PurgeError;
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::purge::tests::{Fake, purges};
use crate::purge::{Kind, Scope, Token};

pub(super) struct Stage {
    admin: Arc<Admin>,
    pub(super) ledger: Fake,
    reasons: Arc<Mutex<Reasons>>,
    clock: Clock,
}

pub(super) fn stage(ledger: Fake) -> Stage {
    let clock = Clock::manual(Timestamp(1_000_000));
    let reasons: Arc<Mutex<Reasons>> = Arc::default();
    let (alive, ready, reloads) = (Arc::clone(&reasons), Arc::clone(&reasons), Arc::clone(&reasons));
    let admin = Admin {
        gate: Arc::new(Gate::new(tokens("s3cret"), clock.clone())),
        knows: Box::new(|host| host != "unknown"),
        hosts: Box::new(hosts),
        purges: purges(&ledger),
        fleet: None,
        alive: Box::new(move || alive.lock().clone()),
        ready: Box::new(move || ready.lock().clone()),
        metrics: Box::new(|| "larder_up 1\n# EOF\n".to_owned()),
        inspect: Box::new(|url| Box::pin(async move { json!({ "url": url, "variants": [] }) })),
        reload: Box::new(move || {
            let reasons = reloads.lock().clone();
            let reloaded = Reloaded { changed: vec!["site[0]".to_owned()], warnings: Vec::new() };
            Box::pin(async move { if reasons.is_empty() { Ok(reloaded) } else { Err(reasons) } })
        }),
        facts: Box::new(|| Facts { objects: 7, sites: vec!["www".to_owned()], ..Facts::default() }),
    };
    Stage { admin: Arc::new(admin), ledger, reasons, clock }
}

/// The hosts of the sites there are.
fn hosts(site: &str) -> Option<Vec<String>> {
    let hosts: &[&str] = match site {
        "www" => &["a", "b"],
        "any" => &["*"],
        "below" => &["c", "*.c"],
        _ => return None,
    };
    Some(hosts.iter().map(|host| (*host).to_owned()).collect())
}

/// The operator's token and one of a shop.
fn tokens(full: &str) -> Vec<Token> {
    let scope = Scope {
        name: "shop".into(),
        hosts: vec!["a".into(), "*.a".into()],
        kinds: vec![Kind::Url, Kind::Host],
        soft_only: true,
        rate: Some(5),
    };
    vec![
        Token { secret: full.into(), scope: None },
        Token { secret: "narrow".into(), scope: Some(scope) },
        Token { secret: "".into(), scope: None },
    ]
}

pub(super) struct Answer {
    pub(super) status: u16,
    head: http::response::Parts,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn field(&self, name: http::HeaderName) -> &str {
        self.head.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl Stage {
    pub(super) async fn send<B>(&self, request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Display,
    {
        let (head, body) = serve(request, Arc::clone(&self.admin)).await.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: head.status.as_u16(), head, text }
    }

    async fn ask(&self, method: &str, target: &str, body: &'static str) -> Answer {
        self.send(request(method, target, Some("Bearer s3cret"), body)).await
    }
}

fn request(method: &str, target: &str, token: Option<&str>, body: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(target);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token);
    }
    request.body(Full::from(body)).unwrap()
}

const TAG: &str = r#"{"kind":"tag","selectors":["news"],"id":"a","author":"me","reason":"test"}"#;

#[tokio::test]
async fn health_says_why_not() {
    let stage = stage(Fake::open());
    for path in ["/livez", "/readyz"] {
        stage.reasons.lock().clear();
        let good = stage.send(request("GET", path, None, "")).await;
        assert_eq!((good.status, good.json()), (200, json!({ "status": "ok", "reasons": [] })));
        stage.reasons.lock().push("draining".to_owned());
        let bad = stage.send(request("GET", path, None, "")).await;
        assert_eq!(
            (bad.status, bad.json()),
            (503, json!({ "status": "unavailable", "reasons": ["draining"] }))
        );
        assert_eq!(bad.field(CACHE_CONTROL), "no-store");
    }
}

#[tokio::test]
async fn metrics_are_text_in_the_format_asked_for() {
    let stage = stage(Fake::open());
    let plain = stage.send(request("GET", "/metrics", None, "")).await;
    assert_eq!((plain.status, plain.text.as_str()), (200, "larder_up 1\n"));
    assert_eq!(plain.field(CONTENT_TYPE), "text/plain; version=0.0.4; charset=utf-8");
    let mut asked = request("GET", "/metrics", None, "");
    let accept =
        http::HeaderValue::from_static("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    asked.headers_mut().insert("accept", accept);
    assert!(stage.send(asked).await.field(CONTENT_TYPE).starts_with("application/openmetrics-text"));
}

#[tokio::test]
async fn a_purge_gets_its_receipt_and_stands_in_the_history() {
    let stage = stage(Fake::open());
    let first = stage.ask("POST", "/purge", TAG).await;
    let receipt = json!({
        "id": "a", "node": "edge-1", "sequence": 1, "kind": "tag", "selectors": 1, "soft": false, "dry_run": false,
        "objects": null, "bytes": null, "applied_at": "2026-11-23T08:00:00Z", "repeated": false,
    });
    assert_eq!((first.status, first.json()), (200, receipt));
    assert_eq!(stage.ask("POST", "/purge", TAG).await.json()["repeated"], true);
    let listed = stage.ask("GET", "/purges?limit=5", "").await.json();
    let purge = json!({
        "sequence": 1, "id": "a", "time": "2026-11-23T08:00:00Z", "author": "me", "reason": "test",
        "kind": "tag", "soft": false, "selectors": ["news"], "undone_by": null, "undoable_seconds": null,
    });
    let whole = json!({
        "node": "edge-1", "log": "", "sequence": 1, "reaches": 0, "complete": true, "purges": [purge], "more": false,
    });
    assert_eq!(listed, whole);
    assert_eq!(stage.ask("GET", "/purges?after=0", "").await.json(), whole);
    assert_eq!(stage.ask("GET", "/purges?after=1", "").await.json()["purges"], json!([]));
    assert_eq!(stage.ask("GET", "/purges?after=x", "").await.status, 400);
    for bad in ["0", "x", "1001", "-1", ""] {
        let answer = stage.ask("GET", &format!("/purges?limit={bad}"), "").await;
        assert_eq!(answer.status, 400, "{bad}");
        assert!(answer.json()["error"].as_str().unwrap().starts_with("limit: "));
    }
}

#[tokio::test]
async fn a_body_that_is_no_purge_changes_nothing() {
    let stage = stage(Fake::open());
    let answer = stage.ask("POST", "/purge", r#"{"kind":"url","selectors":["http://a/","b"]}"#).await;
    let error = "selectors[1]: not an absolute http or https URL: \"b\"";
    assert_eq!((answer.status, answer.json()["error"].as_str().unwrap()), (400, error));
    assert!(answer.json()["hint"].as_str().unwrap().contains("https://"));
    assert_eq!(stage.ask("POST", "/purge", "").await.status, 400);
    assert!(stage.ledger.written.lock().is_empty());
}

#[tokio::test]
async fn failures_of_the_store_have_their_status() {
    let stage = stage(Fake::open());
    let full = std::io::Error::other("no space");
    let failures: [(PurgeError, u16, &str); 4] = [
        (PurgeError::NotDurable(Arc::new(full)), 503, "1"),
        (PurgeError::TooLarge { what: "bytes", max: 5 }, 413, ""),
        (PurgeError::Busy, 503, "1"),
        (PurgeError::Closed, 503, "1"),
    ];
    for (failure, status, retry) in failures {
        stage.ledger.failures.lock().push_back(failure);
        let answer = stage.ask("POST", "/purge", TAG).await;
        assert_eq!((answer.status, answer.field(RETRY_AFTER)), (status, retry), "{}", answer.text);
    }
    assert_eq!(stage.ask("POST", "/purge", TAG).await.json()["repeated"], false);
    let other = stage.ask("POST", "/purge", r#"{"kind":"all","id":"a"}"#).await;
    assert_eq!(other.status, 409);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_makes_a_503_and_the_purge_goes_on() {
    let stage = stage(Fake::shut());
    let answer = stage.ask("POST", "/purge", TAG).await;
    assert_eq!(answer.status, 503);
    assert!(answer.json()["hint"].as_str().unwrap().contains("same id"));
    stage.ledger.gate.add_permits(9);
    let again = stage.ask("POST", "/purge", TAG).await;
    assert_eq!((again.json()["sequence"].as_u64(), stage.ledger.written.lock().len()), (Some(1), 1));
}

/// A body of pieces that may have no end, with no length known before.
struct Pieces(VecDeque<Bytes>, bool);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.0.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.1 => Poll::Pending,
            None => Poll::Ready(Some(Err(std::io::Error::other("reset")))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn post<B>(body: B) -> Request<B> {
    Request::builder().method("POST").uri("/purge").header(AUTHORIZATION, "bearer s3cret").body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn bodies_are_bounded_in_size_and_time() {
    let stage = stage(Fake::open());
    let large = Bytes::from(vec![b' '; limits::ADMIN_BODY_BYTES_MAX]);
    let known = stage.send(post(Full::new(Bytes::from(vec![b' '; limits::ADMIN_BODY_BYTES_MAX + 1])))).await;
    assert_eq!(known.status, 413);
    let unknown = Pieces([large, Bytes::from_static(b"x")].into(), true);
    assert_eq!(stage.send(post(unknown)).await.status, 413);
    assert_eq!(stage.send(post(Pieces([Bytes::from_static(b"{")].into(), true))).await.status, 408);
    let cut = stage.send(post(Pieces([Bytes::from_static(b"{")].into(), false))).await;
    assert_eq!((cut.status, cut.json()["error"].as_str()), (400, Some("the body broke off: reset")));
}

#[tokio::test]
async fn without_the_token_nothing_happens_ten_thousand_times() {
    let stage = stage(Fake::open());
    let wrong = [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer s3cre"),
        Some("Bearer s3crets"),
        Some("Bearer S3CRET"),
        Some("Basic s3cret"),
        Some("s3cret"),
        Some("Bearer s3cret s3cret"),
    ];
    for _ in 0..1000 {
        for token in wrong {
            let answer = stage.send(request("POST", "/purge", token, r#"{"kind":"all"}"#)).await;
            assert_eq!(answer.status, 401, "{token:?}");
            assert_eq!(answer.field(WWW_AUTHENTICATE), "Bearer realm=\"larder\"");
        }
    }
    assert_eq!(stage.admin.gate.refused(), 10_000);
    assert!(stage.ledger.written.lock().is_empty());
    let mut twice = request("POST", "/purge", Some("Bearer s3cret"), r#"{"kind":"all"}"#);
    twice.headers_mut().append(AUTHORIZATION, http::HeaderValue::from_static("Bearer s3cret"));
    assert_eq!(stage.send(twice).await.status, 401);
    for (method, path) in
        [("GET", "/purges"), ("GET", "/cache?url=http://a/"), ("POST", "/reload"), ("GET", "/status")]
    {
        let answer = stage.send(request(method, path, None, "")).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("token missing or wrong")));
    }
}

#[tokio::test]
async fn a_token_with_a_scope_does_what_lies_within_and_nothing_else() {
    let stage = stage(Fake::open());
    let ask = |body| stage.send(request("POST", "/purge", Some("Bearer narrow"), body));
    let rows = [
        (r#"{"kind":"tag","selectors":["t"],"soft":true}"#, "by kind \"tag\", only by url, host"),
        (r#"{"kind":"url","selectors":["http://a/"]}"#, "hard, only with \"soft\": true"),
        (
            r#"{"kind":"url","selectors":["http://a/","http://b/"],"soft":true}"#,
            "the host \"b\", only a, *.a",
        ),
    ];
    for _ in 0..1000 {
        for (body, what) in rows {
            let answer = ask(body).await;
            let error = format!("the token \"shop\" may not purge {what}");
            assert_eq!((answer.status, answer.json()["error"].as_str()), (403, Some(&*error)));
        }
    }
    assert!(stage.ledger.written.lock().is_empty());
    assert_eq!(stage.admin.gate.forbidden(), [0, 1000, 1000, 1000, 0]);
    for (method, path) in [("GET", "/purges"), ("GET", "/cache?url=http://a/"), ("POST", "/reload")] {
        let answer = stage.send(request(method, path, Some("Bearer narrow"), "")).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(stage.admin.gate.forbidden()[0], 3);
    assert_eq!(stage.send(request("GET", "/status", Some("Bearer narrow"), "")).await.status, 200);
    let good = r#"{"kind":"url","selectors":["http://a/"],"soft":true,"author":"somebody else"}"#;
    for _ in 0..5 {
        assert_eq!(ask(good).await.status, 200);
    }
    let answer = ask(good).await;
    assert_eq!((answer.status, answer.field(RETRY_AFTER)), (429, "1"), "{}", answer.text);
    stage.clock.advance(Duration::from_millis(200));
    assert_eq!((ask(good).await.status, ask(good).await.status), (200, 429));
    let listed = stage.ask("GET", "/purges", "").await.json();
    assert_eq!(
        (listed["sequence"].as_u64(), listed["purges"][0]["author"].as_str()),
        (Some(6), Some("shop"))
    );
}

#[tokio::test]
async fn a_purge_for_a_host_of_no_site_names_it_and_does_nothing() {
    let stage = stage(Fake::open());
    let answer =
        stage.ask("POST", "/purge", r#"{"kind":"url","selectors":["http://a/","https://unknown/x"]}"#).await;
    let error = "selectors: no site of this node answers for \"unknown\": \"https://unknown:443/x\"";
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some(error)));
    assert!(stage.ledger.written.lock().is_empty());
    assert_eq!(
        stage.ask("POST", "/purge", r#"{"kind":"host","selectors":["unknown:81"]}"#).await.status,
        400
    );
}

#[tokio::test]
async fn the_token_can_change_and_an_empty_one_admits_nobody() {
    let stage = stage(Fake::open());
    stage.admin.gate.replace(tokens("other"));
    assert_eq!(stage.ask("GET", "/status", "").await.status, 401);
    let other = stage.send(request("GET", "/status", Some("Bearer other"), "")).await;
    assert_eq!(other.status, 200);
    stage.admin.gate.replace(tokens(""));
    assert_eq!(stage.send(request("GET", "/status", Some("Bearer "), "")).await.status, 401);
}

#[tokio::test]
async fn refusals_are_logged_once_in_a_while() {
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let stage = stage(Fake::open());
    let told = || String::from_utf8(lines.0.lock().clone()).unwrap().matches("admin request refused").count();
    for _ in 0..500 {
        let mut request = request("GET", "/status", Some("Bearer secret-guess"), "");
        request.extensions_mut().insert(CameFrom(([192, 0, 2, 7], 4000).into()));
        stage.send(request).await;
    }
    assert_eq!(told(), 1);
    stage.clock.advance(limits::ADMIN_REFUSED_LOG_PAUSE);
    stage.send(request("GET", "/status", None, "")).await;
    assert_eq!(told(), 2);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    assert!(text.contains("192.0.2.7:4000") && text.contains("refused_total=501"), "{text}");
    assert!(!text.contains("secret-guess"), "guesses may be somebody's real tokens");
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let stage = stage(Fake::open());
    for path in ["/", "/purge/", "/metricsx", "/cache/", "//livez", "/LIVEZ"] {
        let answer = stage.ask("GET", path, "").await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (404, Some("no such path")), "{path}");
    }
    let rows = [("GET", "/purge", "POST"), ("PUT", "/purge", "POST"), ("GET", "/reload", "POST")];
    let reads =
        ["/livez", "/readyz", "/metrics", "/status", "/purges", "/cache"].map(|p| ("POST", p, "GET, HEAD"));
    for (method, path, allowed) in rows.into_iter().chain(reads) {
        let answer = stage.ask(method, path, "").await;
        assert_eq!((answer.status, answer.field(ALLOW)), (405, allowed), "{method} {path}");
        assert!(answer.json()["hint"].as_str().unwrap().contains(allowed));
    }
    assert_eq!(stage.ask("HEAD", "/livez", "").await.status, 200);
}

#[tokio::test]
async fn what_is_stored_is_told_for_the_normalised_url() {
    let stage = stage(Fake::open());
    let rows = [
        ("/cache?url=http://A/x", "http://a:80/x"),
        ("/cache?url=https%3A%2F%2Fa%3A8443%2Fx%3Fq%3D1%26r", "https://a:8443/x?q=1&r"),
        ("/cache?url=http://a/x?q=1&r=2", "http://a:80/x?q=1&r=2"),
        ("/cache?url=http://a/x%2520y", "http://a:80/x%20y"),
    ];
    for (target, url) in rows {
        let answer = stage.ask("GET", target, "").await;
        assert_eq!((answer.status, answer.json()["url"].as_str()), (200, Some(url)), "{target}");
    }
    for target in ["/cache", "/cache?", "/cache?url=", "/cache?url=foo", "/cache?url=%ff", "/cache?x=1"] {
        let answer = stage.ask("GET", target, "").await;
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.json()["error"].as_str().unwrap().starts_with("url: "));
    }
}

#[tokio::test]
async fn reload_says_what_changed_or_why_not() {
    let stage = stage(Fake::open());
    let good = stage.ask("POST", "/reload", "").await;
    assert_eq!(
        (good.status, good.json()),
        (200, json!({ "reloaded": true, "changed": ["site[0]"], "warnings": [] }))
    );
    stage.reasons.lock().push("larder.toml:3: cache.disk: not a size".to_owned());
    let bad = stage.ask("POST", "/reload", "").await;
    assert_eq!(
        (bad.status, bad.json()["reasons"][0].as_str()),
        (422, Some("larder.toml:3: cache.disk: not a size"))
    );
}

#[tokio::test]
async fn status_is_what_the_purge_command_reads() {
    let stage = stage(Fake::open());
    stage.ask("POST", "/purge", TAG).await;
    let expected = json!({
        "node": "edge-1", "version": env!("CARGO_PKG_VERSION"), "sequence": 1, "ready": true, "reasons": [],
        "objects": 7, "bytes_memory": 0, "bytes_disk": 0, "uptime_seconds": 0, "sites": ["www"],
    });
    assert_eq!(stage.ask("GET", "/status", "").await.json(), expected);
}

#[tokio::test]
async fn the_service_works_over_a_socket() {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let stage = stage(Fake::open());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Arc::clone(&stage.admin);
    let server = crate::tasks::spawn("test", async move {
        let (socket, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let admin = Arc::clone(&admin);
            async move { Ok::<_, std::convert::Infallible>(serve(request, admin).await) }
        });
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await
    });
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /purge HTTP/1.1\r\nhost: a\r\nauthorization: Bearer s3cret\r\nconnection: close\r\n";
    let text = format!("{head}content-length: {}\r\n\r\n{TAG}", TAG.len());
    client.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"sequence\":1"), "{answer}");
    server.await.unwrap().unwrap();
}
