//! 20,000 random ranges, single, several, overlapping and malformed, byte by byte against a model of RFC 9110 14.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use larder_tests::page::{Pattern, SHIFT};
use larder_tests::{Answer, Ask, Case, Client, End, Gate, Reply, spawn};

use crate::stage::Stage;

const BLOCK: u64 = 64 * 1024;
const LENGTH: u64 = 4 * BLOCK + 777;
/// Ranges of each kind of object; `RANGES=200000` asks for more.
const RANGES: u64 = 7_000;
const CLIENTS: usize = 6;
/// The most ranges that are answered one by one.
const SEVERAL_MAX: usize = 16;

/// What a `Range` field asks for, by the book.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// It is ignored.
    Whole,
    /// 416.
    Nothing,
    /// These bytes, in order, none twice, none touching.
    Bytes(Vec<Range<u64>>),
}

/// One random field: its text, what it asks for, and how many ranges it names. With `within`, only bytes before that.
fn draw(case: &Case, within: Option<u64>) -> (String, Asked, u64) {
    let end = within.unwrap_or(LENGTH);
    let count = match case.draw(10) {
        0..=4 => 1,
        5..=8 => 2 + case.draw(6) as usize,
        _ if within.is_none() && case.draw(8) == 0 => SEVERAL_MAX + 1,
        _ => 2 + case.draw(SEVERAL_MAX as u64 - 1) as usize,
    };
    let (mut specs, mut wanted, mut sound) = (Vec::new(), Vec::new(), count <= SEVERAL_MAX);
    for _ in 0..count {
        let from = case.draw(end);
        let size = 1 + case.draw(if case.draw(6) == 0 { 2 * BLOCK } else { 300 });
        let (spec, range) = match case.draw(if within.is_some() { 14 } else { 20 }) {
            // Near the end of the one before: they overlap or touch.
            0..=3 => {
                let near =
                    wanted.last().map_or(from, |last: &Range<u64>| last.end.saturating_sub(case.draw(3)));
                let near = near.min(end - 1);
                (format!("{near}-{}", near + size - 1), near..(near + size))
            }
            4..=13 => (format!("{from}-{}", from + size - 1), from..from + size),
            14 | 15 => (format!("-{size}"), LENGTH.saturating_sub(size)..LENGTH),
            16 => (format!("{from}-"), from..LENGTH),
            17 => (format!("{}-{}", LENGTH + from, LENGTH + from + size), LENGTH..LENGTH),
            18 => ("-0".to_owned(), LENGTH..LENGTH),
            _ if case.draw(8) == 0 => {
                sound = false;
                let bad = ["5-4", "x-1", "1-x", "--1", "1", "-", "+1-2", "1-2-3", "0x1-2"];
                (bad[case.draw(bad.len() as u64) as usize].to_owned(), 0..0)
            }
            _ => (format!(" {from}-{from} "), from..from + 1),
        };
        let most = if within.is_some() { end } else { LENGTH };
        let range = range.start.min(most)..range.end.min(most);
        specs.push(match within {
            Some(_) => format!("{}-{}", range.start, range.end - 1),
            None => spec,
        });
        wanted.extend(Some(range).filter(|range| !range.is_empty()));
    }
    let asked = match (sound, merged(wanted)) {
        (false, _) => Asked::Whole,
        (true, bytes) if bytes.is_empty() => Asked::Nothing,
        (true, bytes) => Asked::Bytes(bytes),
    };
    (format!("bytes={}", specs.join(",")), asked, count as u64)
}

/// The same bytes in order, as few pieces as there can be.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Proves an answer, byte by byte.
fn prove(pattern: &Pattern, field: &str, asked: &Asked, answer: &Answer) {
    assert_eq!(answer.end, End::Whole, "{field}");
    let right = |range: &Range<u64>, bytes: &[u8]| {
        assert_eq!(bytes.len() as u64, range.end - range.start, "{field}: {range:?}");
        assert!(pattern.matches(SHIFT + range.start, bytes), "{field}: wrong bytes in {range:?}");
    };
    match asked {
        Asked::Whole => {
            assert_eq!(answer.status, 200, "{field}");
            right(&(0..LENGTH), &answer.body);
        }
        Asked::Nothing => {
            let says = format!("bytes */{LENGTH}");
            assert_eq!((answer.status, answer.get("content-range")), (416, Some(&*says)), "{field}");
        }
        Asked::Bytes(ranges) => {
            assert_eq!(answer.status, 206, "{field}");
            let parts = match ranges.len() {
                1 => vec![(content_range(answer.get("content-range").expect(field)), answer.body.to_vec())],
                _ => parts(field, answer),
            };
            for (range, bytes) in &parts {
                right(range, bytes);
            }
            let told: Vec<_> = parts.into_iter().map(|(range, _)| range).collect();
            assert_eq!(told.len(), ranges.len(), "{field}: pieces that touch are one");
            assert_eq!(&merged(told), ranges, "{field}");
        }
    }
}

fn content_range(value: &str) -> Range<u64> {
    let whole = format!("/{LENGTH}");
    let range = value.strip_prefix("bytes ").and_then(|rest| rest.strip_suffix(&whole)).expect(value);
    let (first, last) = range.split_once('-').expect(value);
    first.parse().expect(value)..last.parse::<u64>().expect(value) + 1
}

/// The parts of a multipart/byteranges body (RFC 9110 14.6).
fn parts(field: &str, answer: &Answer) -> Vec<(Range<u64>, Vec<u8>)> {
    let kind = answer.get("content-type").expect(field);
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect(kind);
    let (mut rest, mut parts) = (&answer.body[..], Vec::new());
    loop {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        rest = rest.strip_prefix(format!("--{boundary}").as_bytes()).expect(field);
        if rest == b"--\r\n" {
            return parts;
        }
        let head_end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect(field) + 4;
        let head = std::str::from_utf8(&rest[..head_end]).expect(field);
        let says = head.lines().find_map(|line| line.strip_prefix("Content-Range: ")).expect(field);
        let range = content_range(says);
        let size = usize::try_from(range.end - range.start).expect(field);
        let (bytes, after) = rest[head_end..].split_at(size);
        parts.push((range, bytes.to_vec()));
        rest = after;
    }
}

/// Asks for `ranges` random ranges of `target` over a few connections.
async fn ask_many(
    case: &Arc<Case>,
    address: SocketAddr,
    target: &'static str,
    ranges: u64,
    within: Option<u64>,
) {
    let asked = Arc::new(AtomicU64::new(0));
    let mut asking = Vec::new();
    for _ in 0..CLIENTS {
        let (case, asked) = (Arc::clone(case), Arc::clone(&asked));
        asking.push(spawn(async move {
            let (mut client, pattern) = (Client::connect(address).await, Pattern::default());
            while asked.load(Ordering::Relaxed) < ranges {
                let (field, wanted, count) = draw(&case, within);
                asked.fetch_add(count, Ordering::Relaxed);
                let answer = client.ask(Ask::get(target).with("range", &field)).await;
                prove(&pattern, &field, &wanted, &answer);
            }
        }));
    }
    for one in asking {
        one.await.expect("all of them right");
    }
}

#[tokio::test]
async fn twenty_thousand_ranges_are_right() {
    let s = Stage::with(
        "20,000 random ranges of something stored, filling and in blocks are byte-exact",
        |recipe| recipe.own("range_block = \"64KiB\""),
    )
    .await;
    let ranges = std::env::var("RANGES").ok().and_then(|text| text.parse().ok()).unwrap_or(RANGES);
    let start = Instant::now();
    let whole = |asked: &larder_tests::Asked| {
        let plain = larder_tests::Asked { fields: Vec::new(), ..asked.clone() };
        Reply::ranged(&plain, LENGTH).cache("max-age=3600")
    };
    s.origin.on("/stored", move |asked| whole(asked));
    s.warm("/stored").await;
    ask_many(&s.case, s.node.http(), "/stored", ranges, None).await;
    println!("  stored: {:?}", start.elapsed());

    // Two thirds are there, the rest waits at the gate.
    let gate = Gate::shut();
    let held = gate.clone();
    let there = 3 * BLOCK;
    s.origin.on("/filling", move |asked| whole(asked).paused_at(there, &held));
    let mut first = s.node.client().await;
    first.send(&Ask::get("/filling")).await;
    let head = first.answer_head().await.expect("a head");
    gate.reached(1).await;
    ask_many(&s.case, s.node.http(), "/filling", ranges, Some(there)).await;
    gate.open();
    let mut bytes = 0;
    first.body_after_head(&head, |piece| bytes += piece.len() as u64).await.expect("a body");
    assert_eq!((bytes, s.origin.count("/filling")), (LENGTH, 1));
    println!("  filling: {:?}", start.elapsed());

    s.origin.on("/blocks", |asked| Reply::ranged(asked, LENGTH).cache("max-age=3600"));
    ask_many(&s.case, s.node.http(), "/blocks", ranges, None).await;
    println!("  in blocks: {:?}, {} requests to the origin", start.elapsed(), s.origin.count("/blocks"));
    assert!(s.origin.count("/blocks") <= 6, "{}", s.origin.count("/blocks"));
}
