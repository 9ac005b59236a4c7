//! The promise of a purge: no answer that started after its acknowledgement is older, whatever is in flight, whatever is
//! killed, whatever breaks in the newest records. `LARDER_PROMISE=full` runs the long forms.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder_tests::{Answer, Ask, Case, Client, End, Reply, spawn};

use crate::stage::Stage;

const COLOURS: [&str; 5] = ["red", "green", "blue", "grey", "pink"];
const LARGE: u64 = 200_000;

/// How many, in the short form and in the full one.
fn count(short: usize, full: usize) -> usize {
    if std::env::var("LARDER_PROMISE").is_ok_and(|form| form == "full") { full } else { short }
}

fn target(number: usize) -> String {
    format!("/{}/{number}", COLOURS[number % COLOURS.len()])
}

fn url(target: &str) -> String {
    format!("http://www.example.com{target}")
}

fn version(answer: &Answer) -> u64 {
    assert_eq!(answer.end, End::Whole, "{answer:?}");
    assert!(matches!(answer.status, 200 | 206 | 304), "{answer:?}");
    let tag = answer.get("etag").unwrap_or_else(|| panic!("{answer:?}"));
    tag.trim_matches('"').trim_start_matches('v').parse().expect("an ETag of ours")
}

/// Pages that are fresh for an hour, that are stale at once but may be served so, and large ones with ranges.
fn pages(s: &Stage) {
    s.origin.on("/*", |asked| {
        let mut parts = asked.target.split('/').skip(1);
        let tag = parts.next().unwrap_or_default().to_owned();
        let number: u64 = parts.next().and_then(|text| text.parse().ok()).unwrap_or_default();
        let reply = if number % 4 == 3 { Reply::ranged(asked, LARGE) } else { Reply::validated(asked) };
        let life = if number % 4 == 1 { "max-age=0, stale-while-revalidate=3600" } else { "max-age=3600" };
        reply.cache(life).with("surrogate-key", &tag)
    });
}

fn request(case: &Case, number: usize, floor: u64) -> Ask {
    let target = target(number);
    match case.draw(8) {
        0 => Ask::head(&target),
        1 | 2 => {
            let from = case.draw(900);
            Ask::get(&target).with("range", &format!("bytes={from}-{}", from + case.draw(5000)))
        }
        3 => Ask::get(&target).with("if-none-match", &format!("\"v{floor}\"")),
        4 => Ask::get(&target).with("cache-control", "no-cache"),
        _ => Ask::get(&target),
    }
}

/// The lowest version of each key that an answer may still have.
type Floors = Arc<Vec<AtomicU64>>;

async fn read(case: Arc<Case>, address: std::net::SocketAddr, floors: Floors, stop: Arc<AtomicBool>) {
    let mut client = Client::connect(address).await;
    while !stop.load(Ordering::Relaxed) {
        let number = usize::try_from(case.draw(floors.len() as u64)).expect("small");
        let floor = floors[number].load(Ordering::SeqCst);
        let answer = client.ask(request(&case, number, floor)).await;
        let got = version(&answer);
        let how = answer.get("cache-status").unwrap_or_default();
        assert!(got >= floor, "{}: version {got} after a purge of all below {floor}: {how}", target(number));
        case.count(if answer.hit() { "hits" } else { "other answers" });
        if answer.closes() {
            client = Client::connect(address).await;
        }
    }
}

/// Whether a purge reaches a key.
type Reach = Box<dyn Fn(usize) -> bool>;

/// One purge of a random kind, around `number`: its kind and selectors, and what it reaches.
fn purge(case: &Case, number: usize) -> (&'static str, Vec<String>, Reach) {
    let (own, colour) = (target(number), COLOURS[number % COLOURS.len()]);
    let same_colour = move |other: usize| other % COLOURS.len() == number % COLOURS.len();
    match case.draw(16) {
        0 | 1 => ("tag", vec![colour.to_owned()], Box::new(same_colour)),
        2 | 3 => ("prefix", vec![url(&format!("/{colour}/"))], Box::new(same_colour)),
        4 | 5 => {
            let pattern = format!(r"^http://www\.example\.com/{colour}/[0-9]+$");
            ("regex", vec![pattern], Box::new(same_colour))
        }
        6 => ("host", vec!["www.example.com".to_owned()], Box::new(|_| true)),
        7 => ("all", vec![], Box::new(|_| true)),
        _ => ("url", vec![url(&own)], Box::new(move |other| other == number)),
    }
}

#[tokio::test]
async fn no_answer_is_older_than_a_purge_acknowledged_before_it() {
    let s = Stage::with(
        "200 keys, 30 readers, purges of all kinds, 304s, stale refreshes, ranges, promotions: nothing older",
        // Memory for a part of them only, so that the others come from disk.
        |recipe| recipe.tiers("2MiB", "256MiB"),
    )
    .await;
    pages(&s);
    let floors: Floors = Arc::new((0..200).map(|_| AtomicU64::new(1)).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let reader = |_| spawn(read(Arc::clone(&s.case), s.node.http(), Arc::clone(&floors), Arc::clone(&stop)));
    let readers: Vec<_> = (0..30).map(reader).collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..count(60, 5000) {
        let number = usize::try_from(s.case.draw(200)).expect("small");
        s.origin.bump(&target(number));
        let reached: Vec<u64> = (0..200).map(|n| s.origin.version(&target(n))).collect();
        let (kind, selectors, reaches) = purge(&s.case, number);
        let selectors: Vec<&str> = selectors.iter().map(String::as_str).collect();
        let soft = s.case.draw(5) == 0;
        let begun = Instant::now();
        s.node.purge(kind, &selectors, soft).await;
        slowest = slowest.max(begun.elapsed());
        s.case.count(kind);
        // What is purged softly may be served stale where its origin allows it.
        for n in (0..200).filter(|n| reaches(*n) && !soft) {
            floors[n].fetch_max(reached[n], Ordering::SeqCst);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("every answer was new enough");
    }
    println!("slowest acknowledgement {slowest:.1?}");
}

#[tokio::test]
async fn no_purge_and_no_undo_is_lost_by_a_kill_after_its_acknowledgement() {
    let rounds = count(20, 100);
    let mut s = Stage::with("kill -9 right after an acknowledgement: none comes back", |recipe| {
        recipe.table("[purge]\nundo_window = \"1h\"")
    })
    .await;
    s.origin.on("/*", |asked| {
        let tag = asked.target.trim_start_matches('/').replace('/', "-");
        Reply::validated(asked).cache("max-age=3600").with("surrogate-key", &tag)
    });
    let targets: Vec<String> = (0..rounds).map(|n| format!("/k/{n}.")).collect();
    for target in &targets {
        s.warm(target).await;
    }
    s.node.stop().await;
    s.node.start_again().await;
    let mut wanted = Vec::new();
    for (round, target) in targets.iter().enumerate() {
        s.origin.bump(target);
        let (kind, selector) = match round % 4 {
            0 => ("url", url(target)),
            1 => ("tag", target.trim_start_matches('/').replace('/', "-")),
            2 => ("regex", format!(r"/k/{round}\.$")),
            _ => ("prefix", url(target)),
        };
        let receipt = s.node.purge(kind, &[&selector], false).await;
        let undone = round % 5 == 4;
        if undone {
            s.node.purge("undo", &[receipt["id"].as_str().expect("an id")], false).await;
        }
        let begun = Instant::now();
        s.node.kill9();
        if begun.elapsed() < Duration::from_millis(10) {
            s.case.count("kills within 10 ms");
        }
        s.node.start_again().await;
        wanted.push(if undone { 1 } else { 2 });
        for (target, wanted) in targets.iter().zip(&wanted) {
            assert_eq!(version(&s.get(target).await), *wanted, "{target} in round {round}");
        }
    }
}

/// What happens to the newest records of `purge.log`, which held `before` bytes before the last purge.
type Harm = fn(log: Vec<u8>, before: usize) -> Option<Vec<u8>>;

fn flipped(mut log: Vec<u8>, from_end: usize) -> Option<Vec<u8>> {
    let at = log.len() - from_end;
    log[at] ^= 16;
    Some(log)
}

#[tokio::test]
async fn no_purge_comes_back_when_the_newest_records_are_damaged() {
    let harms: [(&str, Harm); 9] = [
        ("the last byte is gone", |log, _| Some(log[..log.len() - 1].to_vec())),
        ("the mark at the end is gone", |log, _| Some(log[..log.len() - 24].to_vec())),
        ("the newest record is gone, whole", |log, before| Some(log[..before - 24].to_vec())),
        ("half of it is gone", |log, _| Some(log[..log.len() / 2].to_vec())),
        ("it is empty", |_, _| Some(Vec::new())),
        ("it is deleted", |_, _| None),
        ("a bit of the newest record is another", |log, _| flipped(log, 60)),
        ("a bit of its head is another", |log, before| {
            let from_end = log.len() - before + 24;
            flipped(log, from_end)
        }),
        ("a bit of the mark is another", |log, _| flipped(log, 5)),
    ];
    let mut s = Stage::new("newest records flipped, cut off and deleted: no purged body comes back").await;
    s.origin.on("/*", |asked| Reply::validated(asked).cache("max-age=3600"));
    for (round, (what, harm)) in harms.into_iter().enumerate() {
        let target = format!("/{round}");
        s.warm(&target).await;
        s.warm("/other").await;
        // Old enough to be on disk for certain.
        s.node.stop().await;
        s.node.start_again().await;
        let path = s.node.path("cache/purge.log");
        let before = std::fs::read(&path).expect("a log").len();
        s.origin.bump(&target);
        s.node.purge("url", &[&url(&target)], false).await;
        s.node.kill9();
        let log = std::fs::read(&path).expect("a log");
        match harm(log, before) {
            Some(log) => std::fs::write(&path, log).expect("a file of the case"),
            None => std::fs::remove_file(&path).expect("a file of the case"),
        }
        s.node.start_again().await;
        assert_eq!(version(&s.get(&target).await), 2, "{what}");
        s.case.count("damaged logs");
    }
}
