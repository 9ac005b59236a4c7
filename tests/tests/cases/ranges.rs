//! RFC 9110 14: ranges of a stored body.

use larder_tests::{Ask, Reply};

use crate::stage::Stage;

async fn stage(title: &'static str) -> Stage {
    let s = Stage::new(title).await;
    s.origin.on("/a", |asked| Reply::validated(asked).cache("max-age=3600").with("accept-ranges", "bytes"));
    s
}

fn ask(range: &str) -> Ask {
    Ask::get("/a").with("range", range)
}

#[tokio::test]
async fn single_ranges_are_cut_from_a_stored_body() {
    let s = stage("single ranges are cut from a stored body").await;
    let whole = s.warm("/a").await.body;
    let length = whole.len();
    let table = [
        ("bytes=0-0", 0..1),
        ("bytes=10-19", 10..20),
        ("bytes=100-", 100..length),
        ("bytes=-5", length - 5..length),
        ("bytes=-99999", 0..length),
        ("bytes=5-99999", 5..length),
    ];
    for (range, expected) in table {
        let part = s.ask(ask(range)).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.body, whole.slice(expected.clone()), "{range}");
        let content_range = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
        assert_eq!(part.get("content-range"), Some(content_range.as_str()));
        assert!(part.hit());
    }
    assert_eq!(s.origin.count("/a"), 1);
}

#[tokio::test]
async fn several_ranges_come_as_multipart() {
    let s = stage("several ranges come as multipart/byteranges").await;
    let whole = s.warm("/a").await.body;
    let answer = s.ask(ask("bytes=0-9, 20-29")).await;
    assert_eq!(answer.status, 206);
    let kind = answer.get("content-type").unwrap();
    let boundary = kind.split("boundary=").nth(1).unwrap().trim_matches('"').to_owned();
    assert!(kind.starts_with("multipart/byteranges"), "{kind}");
    let text = answer.text();
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4, "{text}");
    assert_eq!(parts[3].trim(), "--");
    for (part, expected, range) in [(parts[1], 0..10, "0-9"), (parts[2], 20..30, "20-29")] {
        let (head, body) = part.split_once("\r\n\r\n").unwrap();
        assert!(head.to_ascii_lowercase().contains(&format!("content-range: bytes {range}/{}", whole.len())));
        assert!(head.to_ascii_lowercase().contains("content-type: text/plain"));
        assert_eq!(body.trim_end_matches("\r\n").as_bytes(), &whole[expected]);
    }
}

#[tokio::test]
async fn what_is_no_range_is_ignored_or_refused() {
    let s = stage("an unsatisfiable range is 416; nonsense and too many ranges give the whole body").await;
    let whole = s.warm("/a").await.body;
    let out = s.ask(ask("bytes=999999-")).await;
    assert_eq!(out.status, 416);
    assert_eq!(out.get("content-range"), Some(format!("bytes */{}", whole.len()).as_str()));
    let many = (0..200).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(",");
    for range in ["lines=1-2", "bytes=x-y", "bytes=5-4", "bytes=", &format!("bytes={many}")] {
        let answer = s.ask(ask(range)).await;
        assert_eq!((answer.status, answer.body.len()), (200, whole.len()), "{range}");
    }
}

#[tokio::test]
async fn if_range_decides() {
    let s = stage("If-Range gives the part only for the same strong ETag").await;
    s.warm("/a").await;
    assert_eq!(s.ask(ask("bytes=0-9").with("if-range", "\"v1\"")).await.status, 206);
    assert_eq!(s.ask(ask("bytes=0-9").with("if-range", "\"v2\"")).await.status, 200);
    assert_eq!(s.ask(ask("bytes=0-9").with("if-range", "W/\"v1\"")).await.status, 200);
}

#[tokio::test]
async fn a_range_of_a_cold_url_is_right() {
    let s = stage("a range of a cold URL is right, and costs the origin at most one object").await;
    let part = s.ask(ask("bytes=10-19")).await;
    let whole = s.warm("/a").await.body;
    match part.status {
        206 => assert_eq!(part.body, whole.slice(10..20)),
        200 => assert_eq!(part.body, whole),
        status => panic!("{status}"),
    }
    assert!(s.origin.count("/a") <= 2, "{}", s.origin.count("/a"));
}

#[tokio::test]
async fn head_ignores_a_range() {
    let s = stage("Range on HEAD is ignored (RFC 9110 14.2)").await;
    let whole = s.warm("/a").await;
    let head = s.ask(Ask::head("/a").with("range", "bytes=0-9")).await;
    assert_eq!((head.status, head.get("content-length")), (200, whole.get("content-length")));
}

#[tokio::test]
async fn a_range_from_disk_is_right() {
    let s = Stage::with("ranges of a large object come from disk byte-exact", |recipe| {
        recipe.tiers("4MiB", "128MiB").cache("memory_object_max = \"64KiB\"")
    })
    .await;
    s.origin.on("/big", |_| Reply::pattern(5_000_000).cache("max-age=3600"));
    s.warm("/big").await;
    let pattern = larder_tests::page::Pattern::default();
    for _ in 0..50 {
        let from = s.case.draw(4_999_000);
        let to = from + 1 + s.case.draw(900_000.min(5_000_000 - from - 1));
        let part = s.ask(Ask::get("/big").with("range", &format!("bytes={from}-{}", to - 1))).await;
        assert_eq!((part.status, part.body.len() as u64), (206, to - from));
        assert!(pattern.matches(from, &part.body), "{from}-{to}");
    }
    assert_eq!(s.origin.count("/big"), 1);
}
