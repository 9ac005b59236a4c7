//! Bodies: whole, or visibly broken off.

use super::*;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const BY_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\n";

#[tokio::test]
async fn whole_ones() {
    let rows: Vec<(&str, String, &str, bool)> = vec![
        ("with a length", OK.to_owned(), "ok", false),
        ("of nothing", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), "", false),
        ("one length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok".to_owned(), "ok", false),
        ("in chunks", format!("{CHUNKED}2\r\nok\r\n1;ext=1\r\n!\r\n0\r\n\r\n"), "ok!", false),
        ("with trailers", format!("{CHUNKED}2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"), "ok", false),
        ("until the end", format!("{BY_CLOSE}ok"), "ok", true),
        ("until the end, in HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nok".to_owned(), "ok", true),
        ("nothing until the end", BY_CLOSE.to_owned(), "", true),
    ];
    for (what, bytes, expected, close_delimited) in rows {
        let last = if close_delimited { Step::Farewell } else { Step::Hang };
        let origin = Origin::play(vec![vec![Step::Hear, say(bytes), last]]).await;
        let pool = pool(&origin);
        let answer = get(&pool).await.expect(what);
        assert_eq!(answer.close_delimited, close_delimited, "{what}");
        let mut body = answer.body;
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            whole.extend(frame.expect(what).into_data().expect("no trailers are passed on"));
        }
        assert_eq!(whole, expected.as_bytes(), "{what}");
        assert_eq!((state(&pool).idle, state(&pool).active), (usize::from(!close_delimited), 0), "{what}");
    }
}

#[tokio::test]
async fn broken_ones() {
    let rows: Vec<(&str, String, Step)> = vec![
        ("a byte too few", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok".to_owned(), Step::Farewell),
        ("no byte", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".to_owned(), Step::Farewell),
        ("a byte too few, reset", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok".to_owned(), Step::Reset),
        ("no last chunk", format!("{CHUNKED}2\r\nok\r\n"), Step::Farewell),
        ("half a last chunk", format!("{CHUNKED}2\r\nok\r\n0\r\n"), Step::Farewell),
        ("half a last line", format!("{CHUNKED}2\r\nok\r\n0\r\n\r"), Step::Farewell),
        ("half a chunk", format!("{CHUNKED}3\r\nok"), Step::Farewell),
        ("half a trailer", format!("{CHUNKED}2\r\nok\r\n0\r\nX-Sum: "), Step::Farewell),
        ("a chunk of what size", format!("{CHUNKED}2\r\nok\r\nzz\r\n"), Step::Hang),
        ("a chunk of too large a size", format!("{CHUNKED}2\r\nok\r\nfffffffffffffffff\r\n"), Step::Hang),
        ("a chunk longer than its size", format!("{CHUNKED}2\r\nok!!\r\n0\r\n\r\n"), Step::Hang),
        ("a bare LF in a chunk's extension", format!("{CHUNKED}2\r\nok\r\n2;a\nok\r\n0\r\n\r\n"), Step::Hang),
        ("until a reset", format!("{BY_CLOSE}ok"), Step::Reset),
    ];
    for (what, bytes, last) in rows {
        // The gate keeps a reset from overtaking the bytes before it.
        let gate = Gate::new();
        let origin = Origin::play(vec![vec![Step::Hear, say(bytes), Step::Gate(gate.clone()), last]]).await;
        let pool = pool(&origin);
        let answer = get(&pool).await.expect(what);
        gate.open();
        let cut = read(answer).await.expect_err(what);
        assert!(matches!(cut, Cut::Origin(_)), "{what}: {cut}");
        until(|| origin.ended() == 1).await;
        assert_eq!((state(&pool).idle, state(&pool).active), (0, 0), "{what}");
        assert_eq!(pool.counters().failures(Kind::BodyCut), 1, "{what}");
    }
}

#[tokio::test]
async fn nothing_comes_after_a_cut() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok";
    let origin = Origin::play(vec![vec![Step::Hear, say(short)]]).await;
    let mut body = get(&pool(&origin)).await.expect("an answer").body;
    assert_eq!(body.frame().await.expect("a frame").expect("data").into_data().expect("data"), "ok");
    assert!(body.frame().await.expect("a frame").is_err());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn the_length_is_known_where_it_is_announced() {
    use http_body::Body as _;
    let origin = Origin::play(vec![polite(), vec![Step::Hear, say(CHUNKED), Step::Hang]]).await;
    let pool = pool(&origin);
    let known = get(&pool).await.expect("an answer");
    let unknown = get(&pool).await.expect("an answer");
    assert_eq!(known.body.size_hint().exact(), Some(2));
    assert_eq!(unknown.body.size_hint().exact(), None);
}

#[tokio::test]
async fn a_large_one_passes_whole() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761) as u8).collect();
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(&body);
    let origin = Origin::play(vec![vec![Step::Hear, Step::Say(bytes), Step::Hear, say(OK)]]).await;
    let pool = pool(&origin);
    assert!(fetch(&pool).await == body);
    assert_eq!(fetch(&pool).await, "ok");
    assert_eq!(origin.accepted(), 1);
}
