//! Several endpoints: turns, failures, rests.

use super::*;

async fn two() -> (Origin, Origin) {
    (Origin::play(vec![polite()]).await, Origin::play(vec![polite()]).await)
}

#[tokio::test]
async fn endpoints_take_turns() {
    let (a, b) = two().await;
    let pool = pool_of(config(&[a.address, b.address]));
    let mut turns = Vec::new();
    for _ in 0..4 {
        let answer = get(&pool).await.expect("an answer");
        turns.push(answer.endpoint.ends_with(&a.address.port().to_string()));
        read(answer).await.expect("whole");
    }
    assert_eq!(turns, [true, false, true, false]);
    assert_eq!((a.accepted(), b.accepted()), (1, 1));
}

#[tokio::test]
async fn a_second_try_takes_nobodys_turn() {
    let (a, b) = two().await;
    let pool = pool_of(Config { eject_after: 0, ..config(&[nobody().await, a.address, b.address]) });
    let mut first_tries = 0;
    for _ in 0..3 {
        let retries = pool.counters().retries.get();
        assert_eq!(fetch(&pool).await, "ok");
        first_tries += u32::from(pool.counters().retries.get() == retries);
    }
    assert_eq!(first_tries, 2, "each endpoint was asked first once");
}

#[tokio::test]
async fn where_nobody_listens_the_next_is_asked_whatever_the_method() {
    let live = Origin::play(vec![polite()]).await;
    let pool = pool_of(config(&[nobody().await, live.address]));
    let answer = send(&pool, Method::POST, pieces(vec![Ok("bo"), Ok("dy")])).await.expect("the other one");
    assert_eq!(read(answer).await.expect("whole"), "ok");
    assert!(live.requests()[0].ends_with("2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"));
    assert_eq!(pool.counters().retries.get(), 1);
}

#[tokio::test]
async fn an_only_endpoint_is_not_asked_twice() {
    let pool = pool_of(config(&[nobody().await]));
    let error = get(&pool).await.expect_err("nobody there");
    assert_eq!((error.kind, error.side), (Kind::ConnectRefused, Side::Origin));
    let counters = pool.counters();
    assert_eq!((counters.retries.get(), counters.failures(Kind::ConnectRefused)), (0, 1));
}

#[tokio::test]
async fn at_most_two_endpoints_are_asked() {
    let live = Origin::play(vec![polite()]).await;
    let pool = pool_of(config(&[nobody().await, nobody().await, live.address]));
    assert_eq!(get(&pool).await.expect_err("twice nobody").kind, Kind::ConnectRefused);
    assert_eq!((pool.counters().retries.get(), live.accepted()), (1, 0));
}

#[tokio::test]
async fn every_attempt_that_failed_is_counted_once() {
    let closing = || vec![Step::Hear];
    let live = Origin::play(vec![polite()]).await;
    let pool = pool_of(config(&[nobody().await, live.address]));
    assert_eq!(fetch(&pool).await, "ok");
    let counters = pool.counters();
    assert_eq!((counters.retries.get(), counters.failures(Kind::ConnectRefused)), (1, 1), "made up for");

    let rows = [(vec![closing(), polite()], 1), (vec![closing(), closing()], 2), (vec![polite()], 0)];
    for (scripts, failed) in rows {
        let origin = Origin::play(scripts).await;
        let pool = pool_of(config(&[origin.address]));
        assert_eq!(get(&pool).await.is_ok(), failed < 2);
        assert_eq!(pool.counters().failures(Kind::ClosedEarly), failed);
        assert_eq!(Kind::ALL.map(|kind| pool.counters().failures(kind)).iter().sum::<u64>(), failed);
    }

    let origin = Origin::play(vec![vec![Step::Hear, say(OK), Step::Hear], polite()]).await;
    let pool = pool_of(Config { eject_after: 1, ..config(&[origin.address]) });
    assert_eq!((fetch(&pool).await, fetch(&pool).await), ("ok".into(), "ok".into()));
    assert_eq!(pool.counters().failures(Kind::ClosedEarly), 1, "an unused connection that closed just then");
    assert!(state(&pool).healthy, "which is no fault of the endpoint");
}

#[tokio::test]
async fn a_failing_endpoint_rests_and_returns() {
    let live = Origin::play(vec![vec![Step::Hear, say(OK)]]).await;
    let clock = Clock::manual(Timestamp(1_000_000));
    let pool = Pool::new(config(&[nobody().await, live.address]), clock.clone()).expect("a pool");
    let worker = pool.fork();
    for _ in 0..6 {
        assert_eq!(fetch(&pool).await, "ok", "nobody notices");
    }
    let healthy = |pool: &Pool| pool.endpoints().iter().map(|state| state.healthy).collect::<Vec<_>>();
    assert_eq!(healthy(&pool), [false, true]);
    assert_eq!(healthy(&worker), [false, true], "the other workers know");
    assert_eq!((pool.counters().ejections.get(), pool.counters().retries.get()), (1, 3));
    for _ in 0..4 {
        assert_eq!(fetch(&pool).await, "ok");
    }
    assert_eq!(pool.counters().retries.get(), 3, "it is left alone");
    clock.advance(limits::ORIGIN_EJECT_TIME);
    assert_eq!(healthy(&pool), [true, true]);
    for _ in 0..4 {
        assert_eq!(fetch(&pool).await, "ok");
    }
    assert_eq!((pool.counters().ejections.get(), pool.counters().retries.get()), (2, 4), "tried once");
}

#[tokio::test]
async fn a_recovered_endpoint_is_as_good_as_new() {
    let broken = vec![Step::Hear, say("nonsense\r\n\r\n")];
    let flaky = Origin::play(vec![broken.clone(), broken, vec![Step::Hear, say(OK)]]).await;
    let clock = Clock::manual(Timestamp(1_000_000));
    let config = Config { eject_after: 2, ..config(&[flaky.address]) };
    let pool = Pool::new(config, clock.clone()).expect("a pool");
    for _ in 0..2 {
        assert_eq!(get(&pool).await.expect_err("nonsense").kind, Kind::BadAnswer);
    }
    assert!(state(&pool).ejected);
    assert_eq!(fetch(&pool).await, "ok", "one is always tried");
    assert!(state(&pool).healthy, "and back at its first whole answer");
}

#[tokio::test]
async fn an_answer_without_a_body_is_whole_too() {
    let (broken, empty) = (say("nonsense\r\n\r\n"), say("HTTP/1.1 204 No Content\r\n\r\n"));
    let origin = Origin::play(vec![vec![Step::Hear, broken], vec![Step::Hear, empty, Step::Hang]]).await;
    let pool = pool_of(Config { eject_after: 1, ..config(&[origin.address]) });
    get(&pool).await.expect_err("nonsense");
    assert!(state(&pool).ejected);
    get(&pool).await.expect("nothing, but well said");
    assert!(state(&pool).healthy);
}

#[tokio::test]
async fn when_all_rest_the_one_that_rested_longest_is_tried() {
    let clock = Clock::manual(Timestamp(1_000_000));
    let config = Config { eject_after: 1, ..config(&[nobody().await, nobody().await, nobody().await]) };
    let pool = Pool::new(config, clock.clone()).expect("a pool");
    for index in [1, 2, 0] {
        pool.balance.endpoints()[index].fails();
        clock.advance(Duration::from_secs(1));
    }
    assert!(pool.endpoints().iter().all(|state| state.ejected));
    for _ in 0..3 {
        let first = pool.balance.pick(None).expect("one is always tried");
        assert_eq!(first.common.name, pool.endpoints()[1].name);
        let second = pool.balance.again(first, true).expect("another one");
        assert_eq!(second.common.name, pool.endpoints()[2].name);
        let same = pool.balance.again(first, false).expect("the same");
        assert_eq!(same.common.name, first.common.name, "better than one that rests");
    }
}

#[tokio::test]
async fn bodies_that_break_off_eject_too() {
    let cut = vec![Step::Hear, say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok")];
    let origin = Origin::play(vec![cut]).await;
    let pool = pool(&origin);
    for _ in 0..3 {
        read(get(&pool).await.expect("a head")).await.expect_err("cut");
    }
    assert!(state(&pool).ejected);
}

#[tokio::test]
async fn what_a_client_spoils_is_not_the_endpoints_fault() {
    let origin = Origin::play(vec![vec![Step::HearHead, Step::Hang]]).await;
    let pool = pool_of(Config { eject_after: 1, ..config(&[origin.address]) });
    let body = pieces(vec![Ok("bo"), Err(Cut::Client("gone".to_owned()))]);
    let error = send(&pool, Method::POST, body).await.expect_err("the client left");
    assert_eq!((error.kind, error.side), (Kind::RequestBody, Side::Client));
    assert!(error.detail.contains("gone"), "{error}");
    assert!(state(&pool).healthy);
    until(|| origin.ended() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_limited_and_waiting_for_one_is_bounded() {
    let origin = Origin::play(vec![polite()]).await;
    let pool = pool_of(Config { connections_max: 1, eject_after: 1, ..config(&[origin.address]) });
    let first = get(&pool).await.expect("an answer");
    let error = get(&pool).await.expect_err("all in use");
    assert_eq!((error.kind, error.side), (Kind::NoEndpoint, Side::Node));
    assert!(state(&pool).healthy, "being busy is no failure");
    let (second, first) = tokio::join!(get(&pool), async {
        tokio::time::sleep(limits::ORIGIN_CONNECT_TIMEOUT / 2).await;
        read(first).await
    });
    assert_eq!(first.expect("whole"), "ok");
    let second = second.expect("its turn came");
    assert!(second.reused && origin.accepted() == 1);
}

#[tokio::test]
async fn a_second_try_on_a_fresh_connection_keeps_to_the_limit() {
    let stale = vec![Step::Hear, say(OK), Step::Hear];
    let (a, b) = (Origin::play(vec![stale]).await, Origin::play(vec![polite()]).await);
    let pool = pool_of(Config { connections_max: 1, ..config(&[a.address, b.address]) });
    assert_eq!((fetch(&pool).await, fetch(&pool).await), ("ok".into(), "ok".into()));
    assert_eq!(fetch(&pool).await, "ok", "from b, on a connection of its own");
    assert_eq!(pool.counters().retries.get(), 1);
    until(|| b.ended() == 1).await;
    assert_eq!((b.accepted(), pool.endpoints()[1].idle), (2, 1));
}

#[tokio::test]
async fn a_busy_endpoint_is_passed_over() {
    let (a, b) = two().await;
    let pool = pool_of(Config { connections_max: 1, ..config(&[a.address, b.address]) });
    let held = get(&pool).await.expect("an answer");
    for _ in 0..3 {
        let answer = get(&pool).await.expect("an answer");
        assert_ne!(answer.endpoint, held.endpoint);
        read(answer).await.expect("whole");
    }
    assert_eq!(pool.counters().retries.get(), 0, "nobody waited");
}
