//! Answers that are not HTTP as it should be: 502, nothing believed, the connection closed.

use super::*;

fn rows() -> Vec<(&'static str, Vec<u8>)> {
    let interim = |number: usize| "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(number);
    let fields = |number: usize| (0..number).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    let text: Vec<(&str, String)> = vec![
        (
            "both lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        (
            "both, other order",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok".into(),
        ),
        ("differing lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!".into()),
        ("differing lengths in one line", "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!".into()),
        ("signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok".into()),
        ("negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".into()),
        ("length beyond 64 bits", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok".into()),
        ("length of all ones", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nok".into()),
        ("hidden coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".into()),
        ("unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok".into()),
        ("coding twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n".into()),
        ("coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into()),
        (
            "an upgrade nobody wanted",
            "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".into(),
        ),
        ("17 interim answers", interim(17) + OK),
        ("10000 interim answers", interim(10_000) + OK),
        ("a reason of 64 KiB", format!("HTTP/1.1 200 {}\r\nContent-Length: 2\r\n\r\nok", "x".repeat(65_536))),
        ("a field of 64 KiB", format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(65_536))),
        ("201 fields", format!("HTTP/1.1 200 OK\r\n{}\r\n", fields(201))),
        ("a folded field", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok".into()),
        ("a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok".into()),
        ("a zero byte", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok".into()),
        ("a bare CR", "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 2\r\n\r\nok".into()),
        ("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok".into()),
        ("a status of 0xx", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok".into()),
        ("another version", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok".into()),
        ("no head at all", "just bytes\r\n\r\n".into()),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-Le".into()),
        ("an interim answer and no other", interim(1)),
        ("blank lines for ever", "\r\n".repeat(65_536)),
    ];
    text.into_iter().map(|(what, bytes)| (what, bytes.into_bytes())).collect()
}

#[tokio::test]
async fn are_bad_answers_and_end_the_connection() {
    for (what, bytes) in rows() {
        let closes = matches!(what, "half a head" | "an interim answer and no other");
        let last = if closes { Step::Farewell } else { Step::Hang };
        let origin = Origin::play(vec![vec![Step::Hear, Step::Say(bytes), last]]).await;
        let pool = pool(&origin);
        let error = get(&pool).await.map(|answer| answer.head).expect_err(what);
        assert_eq!(
            (error.kind, error.side, error.retry),
            (Kind::BadAnswer, Side::Origin, Retry::Never),
            "{what}"
        );
        until(|| origin.ended() == 1).await;
        assert_eq!((state(&pool).idle, state(&pool).active), (0, 0), "{what}");
        assert_eq!(pool.counters().failures(Kind::BadAnswer), 1, "{what}");
        assert_eq!(origin.accepted(), 1, "{what}: not asked again");
    }
}

#[tokio::test]
async fn interim_answers_up_to_the_limit_are_skipped() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(limits::ORIGIN_INTERIM_MAX);
    let origin = Origin::play(vec![vec![Step::Hear, say(interim + OK), Step::Hear, say(OK)]]).await;
    let pool = pool(&origin);
    assert_eq!(fetch(&pool).await, "ok");
    assert_eq!(fetch(&pool).await, "ok", "and counted for each request anew");
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn interim_answers_for_ever_are_not_listened_to() {
    let babble = Step::Babble(b"HTTP/1.1 100 Continue\r\n\r\n");
    let origin = Origin::play(vec![vec![Step::Hear, babble]]).await;
    let error = get(&pool(&origin)).await.expect_err("no end of it");
    assert_eq!(error.kind, Kind::BadAnswer);
    until(|| origin.ended() == 1).await;
}

#[tokio::test]
async fn a_head_within_the_limits_is_accepted() {
    let fields: String = (0..198).map(|n| format!("X-{n}: {}\r\n", "x".repeat(250))).collect();
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let origin = Origin::play(vec![vec![Step::Hear, say(head), Step::Hang]]).await;
    assert_eq!(fetch(&pool(&origin)).await, "ok");
}

#[tokio::test]
async fn a_banner_before_the_request_is_not_its_answer() {
    let banner = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbanner";
    let origin = Origin::play(vec![vec![say(banner), Step::Hang]]).await;
    let pool = pool(&origin);
    // Either the bytes come before the request leaves, or they cannot be told from an answer.
    if let Ok(answer) = get(&pool).await {
        drop(answer);
    }
    until(|| state(&pool).active == 0).await;
}

#[tokio::test]
async fn what_an_origin_says_between_requests_is_nobodys_answer() {
    let gate = Gate::new();
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let first = vec![Step::Hear, say(OK), Step::Gate(gate.clone()), say(poison), Step::Hang];
    let origin = Origin::play(vec![first, polite()]).await;
    let pool = pool(&origin);
    assert_eq!(fetch(&pool).await, "ok");
    gate.open();
    // The bytes are in the kernel before anything of ours has run again.
    until(|| origin.ended() == 1 || state(&pool).idle == 0).await;
    assert_eq!(fetch(&pool).await, "ok");
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn nor_if_nobody_has_noticed_it_yet() {
    let origin = Origin::play(vec![polite()]).await;
    let pool = pool(&origin);
    assert_eq!(fetch(&pool).await, "ok");
    let poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    assert_eq!(origin.socket(0).send(poison).expect("sent"), poison.len());
    assert_eq!(fetch(&pool).await, "ok", "the kernel has the bytes, no task has");
    assert_eq!((origin.accepted(), pool.counters().retries.get()), (2, 0));
}

#[tokio::test]
async fn an_answers_surplus_is_nobodys_answer() {
    for surplus in ["x", OK, "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"] {
        let first = vec![Step::Hear, say(format!("{OK}{surplus}")), Step::Hang];
        let origin = Origin::play(vec![first, polite()]).await;
        let pool = pool(&origin);
        assert_eq!(fetch(&pool).await, "ok", "the body ends where it says");
        assert_eq!(fetch(&pool).await, "ok", "{surplus:?}");
        assert_eq!(origin.accepted(), 2, "{surplus:?}");
    }
}

#[tokio::test]
async fn a_body_where_none_can_be_is_nobodys_answer() {
    for head in [
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let gate = Gate::new();
        let first = vec![Step::Hear, say(head), Step::Gate(gate.clone()), say("ghost"), Step::Hang];
        let origin = Origin::play(vec![first, polite()]).await;
        let pool = pool(&origin);
        let answer = get(&pool).await.expect("an answer");
        assert!(matches!(answer.body, Body::Empty), "{head:?}");
        assert!(!answer.head.headers.contains_key("transfer-encoding"));
        assert_eq!(fetch(&pool).await, "ok", "{head:?}");
        assert_eq!(origin.accepted(), 2, "{head:?}");
        gate.open();
    }
}

#[tokio::test]
async fn the_reason_phrase_stays_with_us() {
    let answer = "HTTP/1.0 200 Very Good Indeed\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok";
    let origin = Origin::play(vec![vec![Step::Hear, say(answer), Step::Hang], polite()]).await;
    let pool = pool(&origin);
    let answer = get(&pool).await.expect("an answer");
    assert_eq!(answer.head.version, http::Version::HTTP_10, "for Via");
    assert!(answer.head.extensions.is_empty());
    assert!(!answer.head.headers.contains_key("connection"));
    assert_eq!(read(answer).await.expect("whole"), "ok");
    assert_eq!(fetch(&pool).await, "ok");
    assert_eq!(origin.accepted(), 2, "HTTP/1.0 connections are not kept");
}
