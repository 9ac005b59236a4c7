//! The end: what is under way is finished, what is idle closes, what does not end is cut.

use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn drain_answers_what_is_under_way_and_ends() {
    let node = node();
    let mut idle = TcpStream::connect(node.address).await.unwrap();
    idle.write_all(GET.as_bytes()).await.unwrap();
    read_answer(&mut idle).await;
    let mut busy = TcpStream::connect(node.address).await.unwrap();
    busy.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until("asked", || node.origin.seen().len() == 2).await;

    node.shared.drain();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(!node.running.is_finished());
    node.origin.gate.add_permits(1);
    let answer = read_to_end(&mut busy).await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("open"), "{answer}");
    node.running.await.unwrap();
    assert!(TcpStream::connect(node.address).await.is_err(), "nobody listens any more");
    assert_eq!(node.shared.counters().active(), 0);
}

#[tokio::test]
async fn drain_serves_whom_the_kernel_has_accepted_already() {
    let node = node();
    // Nothing runs between these lines: the connection is in the kernel's queue when the drain begins.
    let stream = std::net::TcpStream::connect(node.address).unwrap();
    std::io::Write::write_all(&mut &stream, GET.as_bytes()).unwrap();
    node.shared.drain();
    stream.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(stream).unwrap();
    assert_eq!(statuses(&read_to_end(&mut stream).await), ["200"]);
    node.running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_the_rest_of_a_head() {
    let mut pipe = pipe(1024, false);
    pipe.client.write_all(format!("{GET}GET / HTTP/1.1\r\nHos").as_bytes()).await.unwrap();
    assert_eq!(statuses(&read_answer(&mut pipe.client).await), ["200"]);
    tokio::task::yield_now().await;
    pipe.shared.drain();
    tokio::task::yield_now().await;
    pipe.client.write_all(b"t: a\r\n\r\n").await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut pipe.client).await), ["200"]);
    pipe.running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn drain_cuts_what_does_not_end() {
    let mut pipe = pipe(1024, false);
    pipe.client.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until("asked", || !pipe.origin.seen().is_empty()).await;
    let start = Instant::now();
    pipe.shared.drain();
    assert_eq!(read_to_end(&mut pipe.client).await, "");
    assert_eq!(start.elapsed().as_secs(), Limits::default().drain_timeout.as_secs());
    assert_eq!(pipe.shared.counters().timeouts(Timeout::Drain), 1);
}

#[tokio::test(start_paused = true)]
async fn drain_gives_a_fresh_connection_a_moment() {
    let mut asks = pipe(1024, false);
    asks.shared.drain();
    tokio::task::yield_now().await;
    asks.client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut asks.client).await), ["200"]);

    let mut silent = pipe(1024, false);
    let start = Instant::now();
    silent.shared.drain();
    assert_eq!(read_to_end(&mut silent.client).await, "");
    assert_eq!(start.elapsed().as_secs(), limits::DRAIN_FRESH_TIMEOUT.as_secs());
}
