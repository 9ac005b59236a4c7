//! Ranges of large answers: fetched block by block, of one version, and at most once each.

use std::time::Duration;

use larder_tests::page::{Pattern, SHIFT};
use larder_tests::{Answer, Ask, Client, End, Gate, Reply, spawn, until_within};

use crate::stage::Stage;

const KIB: u64 = 1024;
const BLOCK: u64 = 64 * KIB;
/// Ten blocks and a bit.
const LENGTH: u64 = 10 * BLOCK + 1234;

/// Small blocks, and a memory tier that does not hold all of them.
async fn stage(title: &'static str) -> Stage {
    Stage::with(title, |recipe| recipe.own("range_block = \"64KiB\"").tiers("4MiB", "128MiB")).await
}

async fn ranged(title: &'static str) -> Stage {
    let s = stage(title).await;
    s.origin.on("/*", |asked| Reply::ranged(asked, LENGTH).cache("max-age=3600"));
    s
}

fn ask(target: &str, range: &str) -> Ask {
    Ask::get(target).with("range", range)
}

/// Proves that `answer` has the bytes `from..to` of the pattern in this version, and nothing else.
fn proves(answer: &Answer, version: u64, from: u64, to: u64) {
    let says = format!("bytes {from}-{}/{LENGTH}", to - 1);
    assert_eq!(
        (answer.status, answer.get("content-range")),
        (206, Some(says.as_str())),
        "{:?}",
        answer.fields
    );
    assert_eq!((&answer.end, answer.body.len() as u64), (&End::Whole, to - from));
    assert!(Pattern::default().matches(version * SHIFT + from, &answer.body), "wrong bytes in {from}..{to}");
}

/// Bytes that the origin was asked for of `target`, and whether a byte was asked for twice.
fn asked(s: &Stage, target: &str) -> u64 {
    let ranges = s.origin.seen().into_iter().filter(|asked| asked.target == target).map(|asked| {
        let range =
            asked.get("range").and_then(|range| range.strip_prefix("bytes=")).unwrap_or("0-").to_owned();
        let (from, last) = range.split_once('-').expect("one range");
        match (from.parse::<u64>(), last.parse::<u64>()) {
            (Err(_), Ok(count)) => count,
            (Ok(from), Ok(last)) => (last + 1).min(LENGTH).saturating_sub(from),
            (Ok(from), Err(_)) => LENGTH.saturating_sub(from),
            (Err(_), Err(_)) => panic!("{range}"),
        }
    });
    ranges.sum()
}

#[tokio::test]
async fn a_range_deep_in_something_cold_costs_its_blocks() {
    let s =
        ranged("a range of a cold large answer costs the blocks it lies in, and its bytes are right").await;
    let (from, to) = (7 * BLOCK + 10, 7 * BLOCK + 20);
    let cold = s.ask(ask("/a", &format!("bytes={from}-{}", to - 1))).await;
    proves(&cold, 1, from, to);
    let status = cold.cache_status();
    assert_eq!(
        (status.fwd(), status.get("fwd-status"), status.stored()),
        (Some("uri-miss"), Some("206"), true)
    );
    assert_eq!(s.origin.last("/a").get("range"), Some(&*format!("bytes={}-{}", 7 * BLOCK, 8 * BLOCK - 1)));
    // The same block once more, from the store; another one, from the origin.
    until_within(Duration::from_secs(10), "the block to be stored", async || {
        let again = s.ask(ask("/a", &format!("bytes={}-{}", 7 * BLOCK, 8 * BLOCK - 1))).await;
        proves(&again, 1, 7 * BLOCK, 8 * BLOCK);
        again.hit()
    })
    .await;
    assert_eq!(s.origin.count("/a"), 1);
    let more = s.ask(ask("/a", &format!("bytes={}-{}", 7 * BLOCK, 9 * BLOCK))).await;
    proves(&more, 1, 7 * BLOCK, 9 * BLOCK + 1);
    assert_eq!(more.cache_status().fwd(), Some("partial"), "{:?}", more.get("cache-status"));
    let last = s.origin.last("/a");
    assert_eq!((last.get("if-range"), s.origin.count("/a")), (Some("\"v1\""), 3), "two more blocks");
    // HEAD, a condition and a range behind the end need no bytes.
    let head = s.ask(Ask::head("/a")).await;
    assert_eq!((head.status, head.get("content-length")), (200, Some(&*LENGTH.to_string())));
    assert!(head.hit());
    assert_eq!(s.ask(Ask::get("/a").with("if-none-match", "\"v1\"")).await.status, 304);
    let behind = s.ask(ask("/a", &format!("bytes={LENGTH}-"))).await;
    assert_eq!((behind.status, behind.get("content-range")), (416, Some(&*format!("bytes */{LENGTH}"))));
    assert_eq!(s.origin.count("/a"), 3);
    // All of it: what is missing is fetched, what is there is not.
    let whole = s.get("/a").await;
    assert_eq!((whole.status, whole.end, whole.body.len() as u64), (200, End::Whole, LENGTH));
    assert!(Pattern::default().matches(SHIFT, &whole.body));
    assert_eq!(asked(&s, "/a"), LENGTH, "every byte once");
}

#[tokio::test]
async fn the_first_block_of_something_small_is_all_of_it() {
    let s = stage("a range of something no longer than a block stores it whole").await;
    s.origin.on("/a", |asked| Reply::ranged(asked, 1000).cache("max-age=3600"));
    let part = s.ask(ask("/a", "bytes=10-19")).await;
    assert_eq!((part.status, part.get("content-range")), (206, Some("bytes 10-19/1000")));
    assert_eq!(part.cache_status().get("fwd-status"), Some("206"));
    let whole = s.warm("/a").await;
    assert_eq!((whole.status, whole.body.len(), whole.get("content-range")), (200, 1000, None));
    // A place behind its end is asked for once; after that the length is known.
    s.origin.on("/b", |asked| Reply::ranged(asked, 1000).cache("max-age=3600"));
    assert_eq!(s.ask(ask("/b", "bytes=99999999-")).await.status, 416);
    s.warm("/b").await;
    assert_eq!(s.ask(ask("/b", "bytes=88888888-")).await.status, 416);
    assert_eq!(s.origin.count("/b"), 2);
}

#[tokio::test]
async fn the_end_of_something_unknown_is_asked_for_as_it_is() {
    let s = ranged("a suffix is forwarded, stored, and completed where more is wanted").await;
    let last = s.ask(ask("/a", "bytes=-2000")).await;
    proves(&last, 1, LENGTH - 2000, LENGTH);
    assert_eq!(s.origin.last("/a").get("range"), Some("bytes=-2000"));
    // It lies in two blocks, of which the last is whole.
    for (range, from, to) in [
        ("bytes=-1000", LENGTH - 1000, LENGTH),
        (&*format!("bytes={}-", LENGTH - 2000), LENGTH - 2000, LENGTH),
        (&*format!("bytes={}-{}", LENGTH - 1500, LENGTH - 1400), LENGTH - 1500, LENGTH - 1399),
    ] {
        proves(&s.ask(ask("/a", range)).await, 1, from, to);
    }
    assert_eq!(s.origin.count("/a"), 1);
    proves(&s.ask(ask("/a", "bytes=-3000")).await, 1, LENGTH - 3000, LENGTH);
    let missing = format!("bytes={}-{}", 9 * BLOCK, LENGTH - 2001);
    assert_eq!(s.origin.last("/a").get("range"), Some(&*missing), "only what is not there yet");
}

#[tokio::test]
async fn a_part_without_validator_is_good_for_what_it_has() {
    let s = stage("a 206 without a strong validator is reused inside itself and never added to").await;
    s.origin.on("/a", |asked| match asked.get("range") {
        Some("bytes=-5") => {
            Reply::new(206, "56789").with("content-range", "bytes 5-9/10").cache("max-age=3600")
        }
        _ => Reply::new(200, "ABCDEFGHIJ").cache("max-age=3600"),
    });
    s.warm_by(ask("/a", "bytes=-5")).await;
    for (range, says, text) in [
        ("bytes=-5", "bytes 5-9/10", "56789"),
        ("bytes=6-8", "bytes 6-8/10", "678"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-1", "bytes 9-9/10", "9"),
    ] {
        let answer = s.ask(ask("/a", range)).await;
        assert_eq!((answer.status, answer.get("content-range"), &*answer.text()), (206, Some(says), text));
    }
    assert_eq!(s.origin.count("/a"), 1);
    let other = s.ask(ask("/a", "bytes=0-1")).await;
    assert_eq!((other.status, &*other.text()), (206, "AB"), "fetched whole, nothing combined");
    assert_eq!((s.warm("/a").await.text(), s.origin.count("/a")), ("ABCDEFGHIJ".into(), 2));
}

#[tokio::test]
async fn a_206_that_cannot_be_believed_is_not_stored() {
    let s = stage("a 206 whose Content-Range disagrees with its body: the whole is fetched instead").await;
    s.origin.on("/*", |asked| {
        let bad = |says: &str| Reply::new(206, "01234").with("content-range", says).with("etag", "\"v\"");
        match (asked.get("range"), asked.path()) {
            (None, _) => Reply::new(200, "ABCDEFGHIJ").cache("max-age=60"),
            (_, "/six") => bad("bytes 4-9/10").cache("max-age=60"),
            (_, "/unknown") => bad("bytes 5-9/*").cache("max-age=60"),
            (_, "/several") => bad("bytes 0-4/10").with("content-type", "multipart/byteranges; boundary=x"),
            (_, "/chunked") => bad("bytes 0-8/10").chunked().cache("max-age=60"),
            _ => Reply::new(206, "01234").with("etag", "\"v\"").cache("max-age=60"),
        }
    });
    for target in ["/six", "/unknown", "/several", "/none"] {
        let answer = s.ask(ask(target, "bytes=2-3")).await;
        assert_eq!((answer.status, &*answer.text()), (206, "CD"), "{target}");
        assert_eq!(s.warm(target).await.text(), "ABCDEFGHIJ", "{target}");
    }
    // Only at its end can it be seen that this one has not what it says.
    let mut client = s.node.client().await;
    client.send(&ask("/chunked", "bytes=0-8")).await;
    if let Ok(answer) = client.try_answer_to("GET").await {
        assert!(matches!(answer.end, End::Cut(_)), "{} {:?}", answer.status, answer.text());
    }
}

#[tokio::test]
async fn what_may_not_be_stored_is_passed_as_it_was_asked_for() {
    let s = stage("a range of something private is the client's own, and never another one's").await;
    for (target, cache) in [("/private", "private"), ("/no-store", "no-store")] {
        s.origin.on(target, move |asked| Reply::ranged(asked, LENGTH).cache(cache));
        for round in 0..3 {
            proves(&s.ask(ask(target, "bytes=100000-100009")).await, 1, 100_000, 100_010);
            assert_eq!(s.origin.last(target).get("range"), Some("bytes=100000-100009"), "{target} {round}");
        }
        let first = s.ask(ask(target, "bytes=0-9")).await;
        let why = first.cache_status();
        assert_eq!((why.stored(), why.fwd()), (false, Some("bypass")), "{target}");
        // One block in vain, then what each one wants.
        assert_eq!(s.origin.count(target), 5, "{target}");
    }
    let s = Stage::with("an answer larger than one object may be: only its ranges pass", |recipe| {
        recipe.own("range_block = \"64KiB\"").cache("object_max = \"256KiB\"")
    })
    .await;
    s.origin.on("/big", |asked| Reply::ranged(asked, LENGTH).cache("max-age=60"));
    for _ in 0..2 {
        proves(&s.ask(ask("/big", "bytes=100000-100009")).await, 1, 100_000, 100_010);
    }
    assert_eq!(s.origin.last("/big").get("range"), Some("bytes=100000-100009"));
}

#[tokio::test]
async fn one_fetch_for_a_block_however_many_want_it() {
    let s = ranged("200 clients, ranges of ten blocks, all at once: each byte is fetched once").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/a", move |asked| Reply::ranged(asked, LENGTH).cache("max-age=3600").held_by(&held));
    let mut asking = Vec::new();
    for number in 0..200_u64 {
        let (address, from) = (s.node.http(), (number * 7919 + s.case.draw(1000)) % (LENGTH - 5000));
        asking.push(spawn(async move {
            let range = format!("bytes={from}-{}", from + 4999);
            (from, Client::connect(address).await.ask(ask("/a", &range)).await)
        }));
    }
    gate.reached(1).await;
    gate.open();
    for one in asking {
        let (from, answer) = one.await.unwrap();
        proves(&answer, 1, from, from + 5000);
    }
    println!("  {} requests for {} of {LENGTH} bytes", s.origin.count("/a"), asked(&s, "/a"));
    assert!(asked(&s, "/a") <= LENGTH, "{} bytes", asked(&s, "/a"));
}

#[tokio::test]
async fn another_version_starts_the_request_anew() {
    let s =
        ranged("the origin has another version: nothing of the old one is given out beside the new").await;
    proves(&s.ask(ask("/a", "bytes=0-9")).await, 1, 0, 10);
    s.origin.bump("/a");
    // The first block is still fresh; the fourth is of the new version: so is the whole answer.
    let across = s.ask(ask("/a", &format!("bytes={}-{}", 4 * BLOCK, 4 * BLOCK + 9))).await;
    proves(&across, 2, 4 * BLOCK, 4 * BLOCK + 10);
    proves(&s.ask(ask("/a", "bytes=0-9")).await, 2, 0, 10);
    // In the middle of an answer it is too late to begin anew: it is cut.
    s.origin.bump("/a");
    let mut client = s.node.client().await;
    client.send(&ask("/a", "bytes=0-")).await;
    let mut body = Vec::new();
    let answer = client.stream_answer("GET", |piece| body.extend_from_slice(&piece)).await.expect("a head");
    assert!(matches!(answer.end, End::Cut(_)), "{:?}", answer.end);
    assert_eq!(body.len() as u64 % BLOCK, 0, "it ends with the last block of its version");
    assert!(Pattern::default().matches(2 * SHIFT, &body), "of one version");
    let all = s.ask(ask("/a", "bytes=0-")).await;
    proves(&all, 3, 0, LENGTH);
}

#[tokio::test]
async fn an_origin_that_ignores_if_range_is_not_believed() {
    let s = stage("a block with another ETag, or of another length, is of another version").await;
    for (target, part) in [("/tag", 0), ("/length", 1)] {
        s.origin.on(target, move |asked| {
            // It answers every range with 206, whatever If-Range says, and changes for the second question.
            let honest = larder_tests::Asked {
                fields: asked.fields.iter().filter(|(name, _)| name != "if-range").cloned().collect(),
                ..asked.clone()
            };
            let length = if part == 1 { LENGTH + asked.version } else { LENGTH };
            let reply = Reply::ranged(&honest, length).cache("max-age=3600");
            if part == 1 { reply.replacing("etag", "\"same\"") } else { reply }
        });
        let first = s.ask(ask(target, "bytes=0-9")).await;
        assert!(Pattern::default().matches(SHIFT, &first.body));
        s.origin.bump(target);
        let far = s.ask(ask(target, &format!("bytes={}-{}", 3 * BLOCK, 3 * BLOCK + 9))).await;
        assert_eq!((far.status, &far.end, far.body.len()), (206, &End::Whole, 10), "{target}");
        assert!(Pattern::default().matches(2 * SHIFT + 3 * BLOCK, &far.body), "{target}");
        let near = s.ask(ask(target, "bytes=0-9")).await;
        assert!(
            Pattern::default().matches(2 * SHIFT, &near.body),
            "{target}: the first block is of the new one"
        );
    }
}

#[tokio::test]
async fn blocks_are_revalidated_together() {
    let s = stage("stale blocks are confirmed by one question, and all of them go when it fails").await;
    s.origin.on("/a", |asked| Reply::ranged(asked, LENGTH).stale(""));
    for number in [0, 3, 5] {
        let from = number * BLOCK;
        proves(&s.ask(ask("/a", &format!("bytes={from}-{}", from + 9))).await, 1, from, from + 10);
    }
    let before = s.origin.count("/a");
    for number in [0, 3, 5] {
        let from = number * BLOCK;
        let answer = s.ask(ask("/a", &format!("bytes={from}-{}", from + 9))).await;
        proves(&answer, 1, from, from + 10);
        assert_eq!(answer.cache_status().get("fwd-status"), Some("304"), "{:?}", answer.get("cache-status"));
    }
    assert_eq!(s.origin.count("/a"), before + 3);
    s.origin.bump("/a");
    let changed = s.ask(ask("/a", &format!("bytes={}-{}", 3 * BLOCK, 3 * BLOCK + 9))).await;
    proves(&changed, 2, 3 * BLOCK, 3 * BLOCK + 10);
    proves(&s.ask(ask("/a", "bytes=0-9")).await, 2, 0, 10);
}

#[tokio::test]
async fn every_purge_takes_all_blocks() {
    let s = stage("a purge by URL, prefix, tag, host or of all takes every block at once").await;
    s.origin.on("/*", |asked| Reply::ranged(asked, LENGTH).cache("max-age=3600").with("surrogate-key", "t"));
    for (number, (kind, selector)) in [
        ("url", "http://www.example.com/p/0"),
        ("prefix", "http://www.example.com/p/"),
        ("tag", "t"),
        ("host", "www.example.com"),
        ("all", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let target = if number == 0 { "/p/0".to_owned() } else { format!("/p/{number}") };
        for block in [0, 4] {
            let from = block * BLOCK;
            proves(&s.ask(ask(&target, &format!("bytes={from}-{}", from + 9))).await, 1, from, from + 10);
        }
        s.origin.bump(&target);
        let selectors: &[&str] = if kind == "all" { &[] } else { &[selector] };
        s.node.purge(kind, selectors, false).await;
        for block in [4, 0] {
            let from = block * BLOCK;
            proves(&s.ask(ask(&target, &format!("bytes={from}-{}", from + 9))).await, 2, from, from + 10);
        }
    }
}

#[tokio::test]
async fn blocks_survive_a_restart() {
    let mut s = ranged("what was stored in blocks is there after a restart, and only that").await;
    for block in [1, 6] {
        let from = block * BLOCK;
        proves(&s.ask(ask("/a", &format!("bytes={from}-{}", from + 9))).await, 1, from, from + 10);
    }
    s.node.stop().await;
    s.node.start_again().await;
    let before = s.origin.count("/a");
    for block in [1, 6] {
        let from = block * BLOCK;
        let answer = s.ask(ask("/a", &format!("bytes={from}-{}", from + 9))).await;
        proves(&answer, 1, from, from + 10);
        assert!(answer.hit(), "{:?}", answer.get("cache-status"));
    }
    assert_eq!(s.origin.count("/a"), before);
    proves(&s.ask(ask("/a", "bytes=0-9")).await, 1, 0, 10);
    assert_eq!(s.origin.count("/a"), before + 1);
}

#[tokio::test]
async fn a_block_that_breaks_off_is_cut_and_not_stored() {
    let s = stage("a block that breaks off is an abort for who reads it, and is fetched again").await;
    s.origin.on("/a", |asked| {
        let reply = Reply::ranged(asked, LENGTH).cache("max-age=3600");
        let second = asked.get("range") == Some(&*format!("bytes={BLOCK}-{}", 2 * BLOCK - 1));
        if second && asked.version == 1 { reply.cut_at(1000) } else { reply }
    });
    proves(&s.ask(ask("/a", "bytes=0-9")).await, 1, 0, 10);
    for _ in 0..3 {
        let mut client = s.node.client().await;
        client.send(&ask("/a", &format!("bytes={}-{}", BLOCK - 10, BLOCK + 2000))).await;
        let mut body = Vec::new();
        match client.stream_answer("GET", |piece| body.extend_from_slice(&piece)).await {
            Ok(answer) => assert!(matches!(answer.end, End::Cut(_)) || answer.status == 502),
            Err(_) => body.clear(),
        }
        assert!(body.len() <= 1010 || body.starts_with(b"502"), "{} bytes", body.len());
    }
}
