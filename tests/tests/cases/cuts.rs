//! 300 cut points, every framing, both protocols: a cut body is an aborted message and is not stored.

use std::sync::Arc;

use larder_tests::h2::H2;
use larder_tests::tls::Authority;
use larder_tests::{Answer, Ask, Case, Client, End, Gate, Node, Origin, Recipe, Reply, spawn};
use tokio::sync::Semaphore;

use crate::stage::Stage;

/// Bytes of a whole page: several reads and several HTTP/2 frames.
const SIZE: usize = 18_000;
const POINTS: u64 = 300;
/// Questions under way at once.
const AT_ONCE: usize = 24;
const FRAMINGS: [(&str, &str); 4] = [
    ("plain.example", "length"),
    ("plain.example", "chunked"),
    // TLS without close_notify: what has a length, and what only the end of the connection ends.
    ("secure.example", "length"),
    ("secure.example", "close"),
];

/// The first version breaks off where its URL says, the second is whole.
fn script(origin: &Origin, secure: bool) {
    origin.on("/*", move |asked| {
        let reply = Reply::page_of(asked, SIZE).cache("max-age=600");
        let mut path = asked.path().trim_start_matches('/').split('/');
        let reply = match path.next() {
            Some("chunked") => reply.chunked(),
            Some("close") => reply.until_close(),
            _ => reply,
        };
        let at = path.next().and_then(|at| at.parse().ok()).unwrap_or(0);
        match (asked.version, secure) {
            (1, true) => reply.dropped_at(at),
            (1, false) => reply.cut_at(at),
            _ => reply,
        }
    });
}

/// One client of either protocol.
#[derive(Clone)]
enum Asking {
    One(std::net::SocketAddr),
    Two(H2),
}

impl Asking {
    fn name(&self) -> &'static str {
        match self {
            Self::One(_) => "h1",
            Self::Two(_) => "h2",
        }
    }

    /// The answer; `None` where the message broke off before its head was whole.
    async fn ask(&mut self, ask: Ask) -> Option<Answer> {
        match self {
            Self::One(address) => {
                let mut client = Client::connect(*address).await;
                client.send(&ask).await;
                client.try_answer_to("GET").await.ok()
            }
            Self::Two(h2) => h2.ask(ask).await.ok(),
        }
    }
}

#[tokio::test]
async fn three_hundred_cut_points() {
    let case =
        Case::new("300 cut points x {length, chunked, TLS without close_notify} x {h1, h2}: an abort each");
    let (inside, outside) = (Authority::default(), Authority::default());
    let plain = Arc::new(Origin::start(&case).await);
    let secure = Arc::new(Origin::start_tls(&case, &inside).await);
    script(&plain, false);
    script(&secure, true);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let ca_file = format!("ca_file = {:?}", inside.write_root(folder.path()));
    // An endpoint of which all answers break off would rest, and then answer nothing.
    let patient = "eject_after = 1000000";
    let recipe = Recipe::new(&plain)
        .without_sites()
        .site(&["plain.example"], &[&plain.url()])
        .origin(patient)
        .site(&["secure.example"], &[&secure.url()])
        .origin(patient)
        .origin(&ca_file)
        .tls(&outside.issue(&["plain.example", "secure.example"]));
    let node = Node::start(&case, recipe).await;
    let points: Arc<[u64]> = (0..POINTS)
        .map(|number| match number {
            0 => 0,
            1 => 1,
            2 => SIZE as u64 - 1,
            // Where a page ends without its last byte or its last chunk (its first line is longer than this).
            3 => SIZE as u64,
            _ => case.draw(SIZE as u64),
        })
        .collect();
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    for (host, framing) in FRAMINGS {
        let origin = if host == "plain.example" { &plain } else { &secure };
        for over_h2 in [false, true] {
            let client = match over_h2 {
                false => Asking::One(node.http()),
                true => Asking::Two(H2::connect(node.https(), &outside, host).await),
            };
            let mut asking = Vec::new();
            for (number, point) in points.iter().enumerate() {
                let target = format!("/{framing}/{point}/{number}?{}", client.name());
                let (client, origin) = (client.clone(), Arc::clone(origin));
                let permits = Arc::clone(&permits);
                asking.push(spawn(async move {
                    let _one = permits.acquire_owned().await.expect("never closed");
                    cut_then_whole(client, &origin, host, &target).await;
                }));
            }
            for one in asking {
                one.await.expect("an abort and a whole page");
            }
        }
    }
    let asked = plain.total() + secure.total();
    println!("  {asked} requests at the origins for {} cut answers", POINTS * 8);
    assert_eq!(asked as u64, POINTS * 16, "each cut answer was fetched once, and so was each whole one");
}

/// The cut answer is an abort; the next request goes to the origin, not to a store that kept the piece.
async fn cut_then_whole(mut client: Asking, origin: &Origin, host: &'static str, target: &str) {
    match client.ask(Ask::get(target).host(host)).await {
        // It broke off before the node had sent anything: then it says so.
        Some(answer) if answer.status == 502 => {
            let why = answer.get("proxy-status").unwrap_or_default();
            assert!(why.contains("error=http_response_incomplete"), "{host}{target}: {why}");
        }
        Some(answer) => {
            assert_eq!(answer.status, 200, "{host}{target}: {:?}", answer.fields);
            assert!(matches!(answer.end, End::Cut(_)), "{host}{target} looked whole");
        }
        None => {}
    }
    assert_eq!(origin.count(target), 1, "{host}{target}: not asked twice for one request");
    origin.bump(target);
    // Over HTTP/2 on the same connection: a stream was reset, not the connection.
    let whole = client.ask(Ask::get(target).host(host)).await.expect("an answer");
    assert_eq!(whole.version(target), 2, "{host}{target}: {:?}", whole.get("cache-status"));
}

#[tokio::test]
async fn whoever_reads_along_is_cut_too() {
    let s = Stage::new("a fill that breaks off is an abort for everyone who reads along").await;
    for (framing, cut_at) in [("length", 200_000), ("chunked", 200_000), ("chunked", 300_000)] {
        let target = format!("/{framing}/{cut_at}");
        let gate = Gate::shut();
        let held = gate.clone();
        s.origin.on(&target, move |asked| {
            let reply = Reply::page_of(asked, 300_000).cache("max-age=60").paused_at(100_000, &held);
            let reply = if asked.target.contains("chunked") { reply.chunked() } else { reply };
            reply.cut_at(cut_at)
        });
        let mut clients = Vec::new();
        for number in 0..12 {
            let mut client = s.node.client().await;
            let ask = Ask::get(&target);
            // Some want a part that lies before the cut, some one that does not.
            let ask = if number % 3 == 2 { ask.with("range", "bytes=150000-250000") } else { ask };
            client.send(&ask).await;
            let head = client.answer_head().await.expect("a head while the body is on its way");
            assert!(matches!(head.status, 200 | 206), "{target}: {}", head.status);
            clients.push((client, head));
        }
        gate.open();
        for (mut client, head) in clients {
            let end = client.body_after_head(&head, |_| {}).await.expect("a body");
            assert!(matches!(end, End::Cut(_)), "{target}: {} {end:?}", head.status);
        }
        assert_eq!(s.origin.count(&target), 1, "{target}: one fetch for all");
        assert!(!s.get(&target).await.hit(), "{target} was stored");
    }
}
