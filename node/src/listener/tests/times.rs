//! Patience: the clock stands still and jumps to the next timer whenever everybody waits.

use tokio::time::{Instant, advance};

use super::*;

fn default() -> Limits {
    Limits::default()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_closed_without_a_word() {
    let mut pipe = pipe(1024, false);
    let start = Instant::now();
    assert_eq!(read_to_end(&mut pipe.client).await, "");
    assert_eq!(start.elapsed().as_secs(), default().head_timeout.as_secs());
    assert_eq!(pipe.shared.counters().timeouts(Timeout::Head), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_408_however_often_a_byte_comes() {
    let mut pipe = pipe(1024, false);
    pipe.client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").await.unwrap();
    let start = Instant::now();
    let mut answer = String::new();
    while answer.is_empty() {
        let byte = pipe.client.write_all(b"y").await;
        let read = tokio::time::timeout(Duration::from_secs(1), read_one(&mut pipe.client)).await;
        answer = read.unwrap_or_default();
        assert!(byte.is_ok() && start.elapsed() < 2 * default().head_timeout, "not cut");
    }
    assert_eq!(start.elapsed().as_secs(), default().head_timeout.as_secs());
    assert_eq!(statuses(&answer), ["408"]);
    assert_eq!(pipe.shared.counters().refused(Refusal::HeadTimeout), 1);
    assert!(pipe.origin.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let mut pipe = pipe(1024, false);
    let start = Instant::now();
    for _ in 0..5 {
        pipe.client.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(statuses(&read_answer(&mut pipe.client).await), ["200"]);
        advance(default().idle_timeout - Duration::from_secs(1)).await;
    }
    assert_eq!(read_to_end(&mut pipe.client).await, "");
    let expected = 4 * (default().idle_timeout - Duration::from_secs(1)) + default().idle_timeout;
    assert_eq!(start.elapsed().as_secs(), expected.as_secs());
    assert_eq!(pipe.shared.counters().timeouts(Timeout::Idle), 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_answer_is_not_idle() {
    let mut pipe = pipe(1024, false);
    pipe.client.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until("asked", || !pipe.origin.seen().is_empty()).await;
    advance(10 * default().idle_timeout).await;
    pipe.origin.gate.add_permits(1);
    assert!(read_answer(&mut pipe.client).await.ends_with("open"));
    let start = Instant::now();
    assert_eq!(read_to_end(&mut pipe.client).await, "");
    assert_eq!(start.elapsed().as_secs(), default().idle_timeout.as_secs(), "idle counts from the answer");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut() {
    let mut pipe = pipe(1024, false);
    pipe.client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let start = Instant::now();
    pipe.running.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), default().body_timeout.as_secs());
    assert_eq!(pipe.shared.counters().timeouts(Timeout::Write), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_little_now_and_then_is_served() {
    let mut pipe = pipe(64 * 1024, false);
    pipe.client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut taken = 0;
    let mut space = vec![0; 64 * 1024];
    loop {
        advance(default().body_timeout - Duration::from_secs(1)).await;
        match pipe.client.read(&mut space).await.unwrap() {
            0 => break,
            length => taken += length,
        }
    }
    assert!(taken > 1 << 20, "{taken}");
    assert_eq!(pipe.shared.counters().timeouts(Timeout::Write), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_is_cut() {
    let mut pipe = pipe(1024, false);
    pipe.client.write_all(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n").await.unwrap();
    let start = Instant::now();
    for _ in 0..3 {
        pipe.client.write_all(b"x").await.unwrap();
        tokio::time::timeout(default().body_timeout - Duration::from_secs(1), std::future::pending::<()>())
            .await
            .unwrap_err();
    }
    let answer = read_to_end(&mut pipe.client).await;
    assert!(
        answer.contains("cut: the request body broke off: the client sent nothing for 30000 ms"),
        "{answer}"
    );
    // The third piece came a second before the patience with the second one ended; then a refused client may linger.
    let expected = 2 * (default().body_timeout - Duration::from_secs(1)) + default().body_timeout;
    assert_eq!(start.elapsed().as_secs(), expected.as_secs());
    assert_eq!(pipe.shared.counters().timeouts(Timeout::Body), 1);
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_client_gets_its_answer_or_is_given_up() {
    let mut served = pipe(1024, false);
    served.client.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    served.client.shutdown().await.unwrap();
    until("asked", || !served.origin.seen().is_empty()).await;
    advance(limits::HALF_CLOSED_TIMEOUT - Duration::from_secs(1)).await;
    served.origin.gate.add_permits(1);
    let answered = Instant::now();
    let answer = read_to_end(&mut served.client).await;
    assert!(answer.ends_with("open"), "{answer}");
    assert_eq!(answered.elapsed(), Duration::ZERO, "nobody waits for more");

    let mut given_up = pipe(1024, false);
    given_up.client.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    given_up.client.shutdown().await.unwrap();
    let start = Instant::now();
    assert_eq!(read_to_end(&mut given_up.client).await, "");
    assert_eq!(start.elapsed().as_secs(), limits::HALF_CLOSED_TIMEOUT.as_secs());
    assert_eq!(given_up.shared.counters().timeouts(Timeout::HalfClosed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_that_goes_on_sending_is_drained_for_a_while() {
    let mut pipe = pipe(1024, false);
    pipe.client.write_all(b"GET / HTTP/1.1\nHost: a\n\n").await.unwrap();
    let answer = read_to_end(&mut pipe.client).await;
    assert_eq!(statuses(&answer), ["400"]);
    let start = Instant::now();
    while pipe.client.write_all(&[b'x'; 1000]).await.is_ok() {
        advance(Duration::from_millis(100)).await;
        assert!(start.elapsed() < 2 * limits::LINGER_TIMEOUT);
    }
    assert_eq!(start.elapsed().as_secs(), limits::LINGER_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn without_descriptors_accepting_rests() {
    let shared = Shared::new(default(), Certificates::default());
    let start = Instant::now();
    accept::rest(&shared, &std::io::ErrorKind::ConnectionAborted.into()).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
        accept::rest(&shared, &errno.into()).await;
    }
    assert_eq!(start.elapsed(), 2 * limits::ACCEPT_REST);
    assert_eq!(shared.counters().exhausted(), 2);
}
