//! Which connections serve again, and what happens when one is gone just then.

use super::*;

#[tokio::test]
async fn a_connection_serves_request_after_request() {
    let origin = Origin::play(vec![polite()]).await;
    let pool = pool(&origin);
    for n in 0..3 {
        let answer = get(&pool).await.expect("an answer");
        assert_eq!(answer.reused, n > 0);
        assert_eq!(&*answer.endpoint, format!("http://{}", origin.address));
        assert_eq!(state(&pool).active, 1);
        assert_eq!(read(answer).await.expect("whole"), "ok");
        assert_eq!((state(&pool).active, state(&pool).idle), (0, 1));
    }
    assert_eq!(origin.accepted(), 1);
    let counters = pool.counters();
    assert_eq!((counters.requests.get(), counters.connects.get(), counters.reuses.get()), (3, 1, 2));
    assert_eq!(counters.retries.get(), 0);
}

#[tokio::test]
async fn after_head_304_and_204_too() {
    let script = vec![
        Step::Hear,
        say("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        Step::Hear,
        say("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"e\"\r\n\r\n"),
        Step::Hear,
        say("HTTP/1.1 204 No Content\r\n\r\n"),
        Step::Hang,
    ];
    let origin = Origin::play(vec![script]).await;
    let pool = pool(&origin);
    for (method, status, length) in
        [(Method::HEAD, 200, Some("99")), (Method::GET, 304, Some("99")), (Method::GET, 204, None)]
    {
        let answer = send(&pool, method, Body::Empty).await.expect("an answer");
        assert_eq!(answer.head.status, status);
        assert_eq!(
            answer.head.headers.get("content-length").map(|value| value.as_bytes()),
            length.map(str::as_bytes)
        );
        assert!(matches!(answer.body, Body::Empty) && !answer.close_delimited);
        assert_eq!(state(&pool).idle, 1, "{status}");
    }
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn not_when_the_origin_says_close() {
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::play(vec![vec![Step::Hear, say(close), Step::Hang], polite()]).await;
    let pool = pool(&origin);
    assert_eq!((fetch(&pool).await, fetch(&pool).await), ("ok".into(), "ok".into()));
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn not_when_the_origin_is_about_to_close() {
    for (keep, accepted) in [("timeout=1", 2), ("timeout=5, max=99", 1)] {
        let promise = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {keep}\r\nContent-Length: 2\r\n\r\nok");
        let origin =
            Origin::play(vec![vec![Step::Hear, say(&promise), Step::Hear, say(OK), Step::Hang], polite()])
                .await;
        let pool = pool(&origin);
        assert_eq!((fetch(&pool).await, fetch(&pool).await), ("ok".into(), "ok".into()));
        assert_eq!(origin.accepted(), accepted, "{keep}");
    }
}

#[tokio::test]
async fn not_when_the_body_was_left_unread() {
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun";
    for read_some in [false, true] {
        let origin = Origin::play(vec![vec![Step::Hear, say(long), Step::Hang], polite()]).await;
        let pool = pool(&origin);
        let mut answer = get(&pool).await.expect("an answer");
        if read_some {
            answer.body.frame().await.expect("a frame").expect("data");
        }
        drop(answer);
        until(|| origin.ended() == 1).await;
        assert_eq!((state(&pool).active, state(&pool).idle), (0, 0));
        assert_eq!(fetch(&pool).await, "ok");
        assert_eq!(pool.counters().failures(Kind::BodyCut), 0, "our reader's choice is nobody's failure");
    }
}

#[tokio::test]
async fn not_when_nobody_waited_for_the_answer() {
    let origin = Origin::play(vec![vec![Step::Hear, Step::Hang], polite()]).await;
    let pool = pool(&origin);
    tokio::select! {
        _ = get(&pool) => panic!("there is no answer"),
        () = until(|| origin.requests().len() == 1) => {}
    }
    until(|| origin.ended() == 1).await;
    assert_eq!(state(&pool).active, 0);
    assert_eq!(fetch(&pool).await, "ok");
}

#[tokio::test]
async fn not_while_the_request_is_still_being_sent() {
    let early = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    let origin = Origin::play(vec![vec![Step::HearHead, say(early), Step::Hang], polite()]).await;
    let pool = pool(&origin);
    let answer = send(&pool, Method::POST, unending()).await.expect("an early answer");
    assert_eq!(answer.head.status, 413);
    assert_eq!(read(answer).await.expect("whole"), "no");
    until(|| origin.ended() == 1).await;
    assert_eq!((state(&pool).active, state(&pool).idle), (0, 0));
    assert_eq!(fetch(&pool).await, "ok");
}

/// Serves once, hears a second request and closes without a word.
fn stale() -> Vec<Step> {
    vec![Step::Hear, say(OK), Step::Hear]
}

#[tokio::test]
async fn a_stale_connection_is_made_up_for_once_if_that_is_safe() {
    let full = || Body::Full(Bytes::from("body"));
    let rows: Vec<(Method, Body, bool)> = vec![
        (Method::GET, Body::Empty, true),
        (Method::HEAD, Body::Empty, true),
        (Method::DELETE, Body::Empty, true),
        (Method::PUT, full(), true),
        (Method::PUT, pieces(vec![Ok("body")]), false),
        (Method::POST, Body::Empty, false),
        (Method::POST, full(), false),
        (Method::PATCH, full(), false),
        (Method::POST, pieces(vec![Ok("body")]), false),
    ];
    for (method, body, again) in rows {
        let what = format!("{method} {body:?}");
        let bare = matches!(body, Body::Empty);
        let origin = Origin::play(vec![stale(), polite()]).await;
        let pool = pool(&origin);
        let before =
            send(&pool, Method::POST, if bare { Body::Empty } else { full() }).await.expect("an answer");
        assert_eq!(read(before).await.expect("whole"), "ok");
        let sent = send(&pool, method, body).await;
        let requests = origin.requests();
        if again {
            assert!(!sent.expect(&what).reused);
            assert_eq!(requests[1], requests[2], "{what}: the same bytes again");
        } else {
            let error = sent.expect_err(&what);
            assert_eq!((error.kind, error.retry), (Kind::ClosedEarly, Retry::Never), "{what}");
        }
        assert_eq!(requests.len(), 2 + usize::from(again), "{what}");
        assert_eq!(pool.counters().retries.get(), u64::from(again), "{what}");
    }
}

#[tokio::test]
async fn it_is_made_up_for_once_only() {
    let origin = Origin::play(vec![stale(), vec![Step::Hear], polite()]).await;
    let pool = pool(&origin);
    assert_eq!(fetch(&pool).await, "ok");
    let error = get(&pool).await.expect_err("both closed");
    assert_eq!(error.kind, Kind::ClosedEarly);
    assert_eq!((origin.requests().len(), pool.counters().retries.get()), (3, 1));
}

/// RFC 9110 9.2.2: what is idempotent may be sent again, whether the connection was fresh or not.
#[tokio::test]
async fn nor_is_a_fresh_connection_that_closes_an_answer() {
    let full = || Body::Full(Bytes::from("body"));
    let rows: Vec<(Method, Body, bool)> = vec![
        (Method::GET, Body::Empty, true),
        (Method::HEAD, Body::Empty, true),
        (Method::PUT, full(), true),
        (Method::PUT, pieces(vec![Ok("body")]), false),
        (Method::POST, Body::Empty, false),
        (Method::POST, full(), false),
    ];
    for (method, body, again) in rows {
        let what = format!("{method} {body:?}");
        let origin = Origin::play(vec![vec![Step::Hear], polite()]).await;
        let pool = pool_of(Config { eject_after: 1, ..config(&[origin.address]) });
        let sent = send(&pool, method, body).await;
        assert_eq!(
            sent.map(drop).map_err(|error| error.kind),
            if again { Ok(()) } else { Err(Kind::ClosedEarly) }
        );
        let requests = origin.requests();
        assert_eq!(requests.len(), 1 + usize::from(again), "{what}");
        assert_eq!(requests.first(), requests.last(), "{what}: the same bytes again");
        assert_eq!(pool.counters().retries.get(), u64::from(again), "{what}");
        assert_eq!(pool.counters().ejections.get(), 1, "{what}: a failure all the same");
    }
}

#[tokio::test]
async fn a_fresh_connection_too_is_made_up_for_once_only() {
    let origin = Origin::play(vec![vec![Step::Hear], vec![Step::Hear], polite()]).await;
    let pool = pool(&origin);
    assert_eq!(get(&pool).await.expect_err("both closed").kind, Kind::ClosedEarly);
    assert_eq!((origin.requests().len(), pool.counters().retries.get()), (2, 1));
}

#[tokio::test]
async fn another_endpoint_makes_up_for_it_if_there_is_one() {
    let closing = Origin::play(vec![vec![Step::Hear]]).await;
    let live = Origin::play(vec![polite()]).await;
    let pool = pool_of(config(&[closing.address, live.address]));
    assert_eq!(fetch(&pool).await, "ok");
    assert_eq!((closing.accepted(), live.accepted(), pool.counters().retries.get()), (1, 1, 1));
}

#[tokio::test]
async fn nothing_is_sent_again_after_the_first_byte_on_a_fresh_connection() {
    let origin = Origin::play(vec![vec![Step::Hear, say("H")], polite()]).await;
    let pool = pool(&origin);
    assert_eq!(get(&pool).await.expect_err("broke off").kind, Kind::BadAnswer);
    assert_eq!((origin.requests().len(), pool.counters().retries.get()), (1, 0));
}

#[tokio::test]
async fn nothing_is_sent_again_after_the_first_byte_of_an_answer() {
    let script = vec![Step::Hear, say(OK), Step::Hear, say("H")];
    let origin = Origin::play(vec![script, polite()]).await;
    let pool = pool(&origin);
    assert_eq!(fetch(&pool).await, "ok");
    assert_eq!(get(&pool).await.expect_err("broke off").kind, Kind::BadAnswer);
    assert_eq!((origin.requests().len(), pool.counters().retries.get()), (2, 0));
}

/// The start of a request, put where an origin that leaves bodies unread takes it for one.
fn smuggled() -> Body {
    Body::Full(Bytes::from("GET /evil HTTP/1.1\r\nX: "))
}

#[tokio::test]
async fn a_body_that_the_origin_left_unread_is_nobodys_request() {
    for status in ["200 OK", "304 Not Modified"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n");
        let answer = if status.starts_with("304") { head } else { head + "ok" };
        let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
        let deaf = vec![Step::HearHead, say(answer), Step::HearHead, say(poison), Step::Hang];
        let origin = Origin::play(vec![deaf, polite()]).await;
        let pool = pool(&origin);
        let answer = send(&pool, Method::POST, smuggled()).await.expect("an answer");
        read(answer).await.expect("whole");
        assert_eq!(fetch(&pool).await, "ok", "{status}");
        assert_eq!(origin.accepted(), 2, "{status}");
    }
}

#[tokio::test]
async fn requests_with_a_body_share_no_connection_with_those_without() {
    let origin = Origin::play(vec![polite()]).await;
    let pool = pool(&origin);
    let rows: Vec<(Method, Body, bool)> = vec![
        (Method::POST, Body::Full(Bytes::from("body")), false),
        (Method::GET, Body::Empty, false),
        (Method::POST, pieces(vec![Ok("body")]), true),
        (Method::POST, Body::Empty, true),
        (Method::GET, Body::Full(Bytes::from("body")), true),
    ];
    for (method, body, reused) in rows {
        let what = format!("{method} {body:?}");
        let answer = send(&pool, method, body).await.expect(&what);
        assert_eq!(answer.reused, reused, "{what}");
        read(answer).await.expect(&what);
    }
    assert_eq!((origin.accepted(), state(&pool).idle), (2, 2));
}

#[tokio::test]
async fn a_body_of_nothing_in_chunks_is_one() {
    let origin = Origin::play(vec![polite()]).await;
    let pool = pool(&origin);
    let answer = send(&pool, Method::POST, pieces(vec![])).await.expect("an answer");
    read(answer).await.expect("whole");
    assert!(origin.requests()[0].ends_with("\r\n\r\n0\r\n\r\n"), "its last chunk is bytes, too");
    assert!(!get(&pool).await.expect("an answer").reused);
}

#[tokio::test]
async fn a_connection_that_closed_while_unused_costs_nobody_anything() {
    for last in [Step::Farewell, Step::Reset] {
        let origin = Origin::play(vec![vec![Step::Hear, say(OK), last], polite()]).await;
        let pool = pool(&origin);
        let first = send(&pool, Method::POST, pieces(vec![Ok("body")])).await.expect("an answer");
        assert_eq!(read(first).await.expect("whole"), "ok");
        until(|| origin.ended() == 1).await;
        let answer = send(&pool, Method::POST, pieces(vec![Ok("body")])).await.expect("a new connection");
        assert!(!answer.reused);
        assert_eq!((pool.counters().retries.get(), pool.counters().failures(Kind::ClosedEarly)), (0, 0));
    }
}

#[tokio::test]
async fn nor_if_nobody_has_noticed_yet_that_it_closed() {
    let origin = Origin::play(vec![polite()]).await;
    let pool = pool(&origin);
    let first = send(&pool, Method::POST, pieces(vec![Ok("body")])).await.expect("an answer");
    assert_eq!(read(first).await.expect("whole"), "ok");
    origin.socket(0).shutdown(std::net::Shutdown::Both).expect("connected");
    send(&pool, Method::POST, pieces(vec![Ok("body")])).await.expect("a new connection");
    assert_eq!((origin.accepted(), pool.counters().retries.get()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn unused_connections_are_closed_after_a_while() {
    let origin = Origin::play(vec![polite()]).await;
    let pool = pool(&origin);
    assert_eq!(fetch(&pool).await, "ok");
    tokio::time::advance(limits::ORIGIN_IDLE_TIMEOUT - Duration::from_secs(1)).await;
    assert_eq!(fetch(&pool).await, "ok");
    assert_eq!(origin.accepted(), 1, "not before");
    tokio::time::sleep(limits::ORIGIN_IDLE_TIMEOUT * 2).await;
    until(|| origin.ended() == 1).await;
    assert_eq!(state(&pool).idle, 0);
    assert_eq!(fetch(&pool).await, "ok");
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn nor_are_they_used_after_it() {
    let origin = Origin::play(vec![polite()]).await;
    let pool = pool_of(Config { idle_timeout: Duration::ZERO, ..config(&[origin.address]) });
    assert_eq!((fetch(&pool).await, fetch(&pool).await), ("ok".into(), "ok".into()));
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn so_many_are_kept_and_no_more() {
    let origin = Origin::play(vec![polite()]).await;
    let pool = pool(&origin);
    let mut answers = Vec::new();
    for _ in 0..limits::ORIGIN_IDLE_MAX + 3 {
        answers.push(get(&pool).await.expect("an answer"));
    }
    for answer in answers {
        assert_eq!(read(answer).await.expect("whole"), "ok");
    }
    assert_eq!(state(&pool).idle, limits::ORIGIN_IDLE_MAX);
    until(|| origin.ended() == 3).await;
}

#[tokio::test]
async fn dropping_the_pool_closes_unused_connections_but_not_a_body_under_way() {
    let gate = Gate::new();
    let slow = vec![
        Step::Hear,
        say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"),
        Step::Gate(gate.clone()),
        say("k"),
        Step::Hang,
    ];
    let origin = Origin::play(vec![polite(), slow]).await;
    let pool = pool(&origin);
    let (first, second) = (get(&pool).await.expect("an answer"), get(&pool).await.expect("an answer"));
    assert_eq!(read(first).await.expect("whole"), "ok");
    drop(pool);
    until(|| origin.ended() == 1).await;
    gate.open();
    assert_eq!(read(second).await.expect("whole"), "ok");
    until(|| origin.ended() == 2).await;
}
