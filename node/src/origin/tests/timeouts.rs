//! Time limits, with a clock that jumps.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn hurried(origin: &Origin) -> Pool {
    pool_of(Config { first_byte_timeout: SECOND, between_bytes_timeout: SECOND, ..config(&[origin.address]) })
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_says_nothing() {
    let origin = Origin::play(vec![vec![Step::Hear, Step::Hang]]).await;
    let pool = hurried(&origin);
    let error = get(&pool).await.expect_err("silence");
    assert_eq!((error.kind, error.side), (Kind::FirstByteTimeout, Side::Origin));
    until(|| origin.ended() == 1).await;
    assert_eq!((origin.accepted(), pool.counters().retries.get()), (1, 0), "not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips() {
    let (gate, mut script) = (Gate::new(), vec![Step::Hear]);
    for byte in OK.bytes() {
        script.extend([Step::Say(vec![byte]), Step::Gate(gate.clone())]);
    }
    let origin = Origin::play(vec![script]).await;
    let pool = hurried(&origin);
    let dripping = async {
        loop {
            tokio::time::sleep(SECOND / 10).await;
            gate.open();
        }
    };
    tokio::select! {
        sent = get(&pool) => assert_eq!(sent.expect_err("too slow").kind, Kind::FirstByteTimeout),
        () = dripping => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_not_a_slow_origin() {
    use futures_util::StreamExt;
    let origin = Origin::play(vec![vec![Step::Hear, say(OK), Step::Hang]]).await;
    let slowly = futures_util::stream::iter(["a", "b", "c"]).then(|text| async move {
        tokio::time::sleep(SECOND * 5).await;
        Ok(http_body::Frame::data(Bytes::from(text)))
    });
    let body = Body::stream(http_body_util::StreamBody::new(slowly));
    let answer =
        send(&hurried(&origin), Method::POST, body).await.expect("an answer, late as the request was");
    assert_eq!(answer.head.status, 200);
    assert!(origin.requests()[0].ends_with("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"));
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_takes_nothing_of_a_body() {
    let origin = Origin::play(vec![vec![Step::HearHead, Step::Gate(Gate::new())]]).await;
    let endless =
        futures_util::stream::repeat_with(|| Ok(http_body::Frame::data(Bytes::from(vec![0_u8; 65_536]))));
    let body = Body::stream(http_body_util::StreamBody::new(endless));
    let error = send(&hurried(&origin), Method::POST, body).await.expect_err("stuck");
    assert_eq!(error.kind, Kind::FirstByteTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls() {
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun";
    let origin = Origin::play(vec![vec![Step::Hear, say(part), Step::Hang]]).await;
    let pool = hurried(&origin);
    let cut = read(get(&pool).await.expect("a head")).await.expect_err("a stall");
    assert!(matches!(cut, Cut::Silent(1000)), "{cut}");
    until(|| origin.ended() == 1).await;
    assert_eq!(pool.counters().failures(Kind::BodyCut), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_as_good_as_any() {
    let (gate, mut script) = (Gate::new(), vec![Step::Hear]);
    script.push(say("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"));
    for _ in 0..20 {
        script.extend([Step::Gate(gate.clone()), say("x")]);
    }
    let origin = Origin::play(vec![script]).await;
    let answer = get(&hurried(&origin)).await.expect("a head");
    let dripping = async {
        loop {
            tokio::time::sleep(SECOND / 2).await;
            gate.open();
        }
    };
    tokio::select! {
        body = read(answer) => assert_eq!(body.expect("whole, after ten seconds").len(), 20),
        () = dripping => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_a_silent_origin() {
    let gate = Gate::new();
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab";
    let origin = Origin::play(vec![vec![Step::Hear, say(part), Step::Gate(gate.clone()), say("cd")]]).await;
    let mut body = get(&hurried(&origin)).await.expect("a head").body;
    assert_eq!(body.frame().await.expect("a frame").expect("data").into_data().expect("data"), "ab");
    tokio::time::sleep(SECOND * 10).await;
    gate.open();
    assert_eq!(body.frame().await.expect("a frame").expect("not silent").into_data().expect("data"), "cd");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_ends_is_a_connection_that_never_came() {
    let origin = Origin::play(vec![vec![Step::Hang]]).await;
    let authority = secure::Authority::new();
    let mut config = config(&[origin.address]);
    config.endpoints[0].tls = true;
    config.ca_file = Some(authority.file().to_owned());
    let error = get(&pool_of(config)).await.expect_err("no handshake");
    assert_eq!((error.kind, error.side), (Kind::ConnectTimeout, Side::Origin));
    until(|| origin.ended() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_hangs_leaves_time_for_the_next() {
    let authority = secure::Authority::new();
    let mute = Origin::play(vec![vec![Step::Hang]]).await;
    let origin = Origin::play_tls(vec![polite()], authority.serves("127.0.0.1")).await;
    let pool = pool_of(authority.trusts(&origin, None));
    let addresses = [mute.address, origin.address];
    pool.balance.endpoints()[0].common.resolver.remember(Some(Arc::new(addresses)));
    let answer = get(&pool).await.expect("the second address");
    assert!(answer.connect < limits::ORIGIN_CONNECT_TIMEOUT, "{:?}", answer.connect);
    until(|| mute.ended() == 1).await;
}
