//! kill -9 and faults while clients ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use larder_tests::{Answer, Ask, Case, Client, End, Node, Origin, Reply, spawn};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::recipe;

/// URLs that the crowd asks for; their pages differ in size from one to 300 KB.
const URLS: u64 = 200;

/// Clients that ask random pages until told to stop, and prove every whole answer.
struct Crowd {
    stop: Arc<AtomicBool>,
    right: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn start(case: &Arc<Case>, node: &Node, count: usize) -> Self {
        let (stop, right) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let address = node.http();
        let one = |_| {
            let (case, stop, right) = (Arc::clone(case), Arc::clone(&stop), Arc::clone(&right));
            spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let target = format!("/{}", case.draw(URLS));
                    let stopped = || stop.load(Ordering::Relaxed);
                    let Some(mut client) = Client::reach(address, stopped).await else { break };
                    client.send(&Ask::get(&target)).await;
                    if let Ok(answer) = client.try_answer_to("GET").await {
                        right.fetch_add(usize::from(prove(&answer, &target)), Ordering::Relaxed);
                    }
                }
            })
        };
        let clients = (0..count).map(one).collect();
        Self { stop, right, clients }
    }

    /// Waits until `more` further answers were right.
    async fn served(&self, more: usize) {
        let goal = self.right.load(Ordering::Relaxed) + more;
        let enough = async || self.right.load(Ordering::Relaxed) >= goal;
        larder_tests::until_within(Duration::from_secs(30), "the crowd to be served", enough).await;
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("every whole answer was right");
        }
        self.right.load(Ordering::Relaxed)
    }
}

/// A whole 200 must be the page that was asked for; a cut one is what a kill looks like.
fn prove(answer: &Answer, target: &str) -> bool {
    let whole = answer.status == 200 && answer.end == End::Whole;
    if whole {
        assert_eq!(answer.version(target), 1);
    }
    whole
}

fn pages(origin: &Origin) {
    origin.on("/*", |asked| {
        let number: usize = asked.target[1..].parse().unwrap_or(0);
        Reply::page_of(asked, 1000 + number * 1500).cache("max-age=3600")
    });
}

#[tokio::test]
async fn kill_nine_under_load_loses_nothing_that_matters() {
    let case = Case::new("kill -9 under load: ready again within 3 s, every body right, most still there");
    let origin = Origin::start(&case).await;
    pages(&origin);
    let mut node = Node::start(&case, recipe(&origin).tiers("8MiB", "256MiB")).await;
    for round in 0..5 {
        let crowd = Crowd::start(&case, &node, 16);
        crowd.served(150).await;
        node.kill9();
        let took = node.start_again().await;
        println!("  round {round}: ready after {took:?}");
        assert!(took < Duration::from_secs(3));
        crowd.served(50).await;
        crowd.end().await;
        for number in 0..URLS {
            let target = format!("/{number}");
            assert_eq!(node.get(&target).await.version(&target), 1, "round {round}");
        }
    }
    // What was stored in the half second before a kill may be fetched anew; what is older comes back, so that less is
    // missing after each.
    let mut anew = URLS as usize;
    for kill in 0..5 {
        let asked = origin.total();
        node.kill9();
        node.start_again().await;
        for number in 0..URLS {
            let target = format!("/{number}");
            assert_eq!(node.get(&target).await.version(&target), 1);
        }
        anew = origin.total() - asked;
        println!("  after kill {kill} at rest {anew} of {URLS} were fetched anew");
        if anew < URLS as usize / 2 {
            break;
        }
    }
    assert!(anew < URLS as usize / 2, "the cache came back");
}

#[tokio::test]
async fn a_kill_while_it_starts_does_no_harm() {
    let case = Case::new("killed while it starts, again and again, the node starts and is right");
    let origin = Origin::start(&case).await;
    pages(&origin);
    let mut node = Node::start(&case, recipe(&origin)).await;
    for number in 0..50 {
        node.get(&format!("/{number}")).await;
    }
    for _ in 0..15 {
        node.kill9();
        node.launch();
        for _ in 0..case.draw(40) {
            let _ = TcpStream::connect(node.admin()).await;
        }
    }
    node.kill9();
    node.start_again().await;
    for number in 0..50 {
        let target = format!("/{number}");
        assert_eq!(node.get(&target).await.version(&target), 1);
    }
}

#[tokio::test]
async fn clients_that_leave_do_not_pile_up() {
    let case = Case::new(
        "2,000 clients that leave at odd bytes: nothing mixed, descriptors and connections as before",
    );
    let origin = Origin::start(&case).await;
    pages(&origin);
    let node = Node::start(&case, recipe(&origin)).await;
    node.get("/1").await;
    let before = node.descriptors();
    for _ in 0..2000 {
        let target = format!("/{}", case.draw(URLS));
        let mut client = Client::connect(node.http()).await;
        let head = format!("GET {target} HTTP/1.1\r\nhost: www.example.com\r\n\r\n");
        let length = usize::try_from(case.draw(head.len() as u64 + 20)).expect("small").min(head.len());
        client.raw(&head.as_bytes()[..length]).await;
    }
    // Idle origin connections, and the files that the store keeps open: at most 256 of blocks and as many segments.
    larder_tests::until("descriptors to come back", || node.descriptors() < before + 150 + 512).await;
    // Two workers may keep 64 unused ones each.
    larder_tests::until("origin connections to be bounded", || origin.open() <= 2 * 64).await;
    for number in 0..URLS {
        let target = format!("/{number}");
        assert_eq!(node.get(&target).await.version(&target), 1);
    }
}
