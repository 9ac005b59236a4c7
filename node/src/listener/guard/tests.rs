//! The guard without hyper: what passes, what is refused, and that the way the bytes were split never matters.

use std::collections::VecDeque;

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::Refusal as R;
use super::*;

/// A client that sends these pieces and then waits.
struct Script(VecDeque<Vec<u8>>);

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.0.pop_front() else { return Poll::Pending };
        let length = piece.len().min(buf.remaining());
        buf.put_slice(&piece[..length]);
        if length < piece.len() {
            self.0.push_front(piece.split_off(length));
        }
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The guard waits for more.
    Waits,
    /// It refused a head.
    Refused(Refusal),
    /// It ended the stream within a body.
    Broken,
}

/// Everything hyper would be given for `pieces` when it reads `room` bytes at a time, without the refusal.
fn pass(pieces: Vec<Vec<u8>>, room: usize) -> (Vec<u8>, Outcome) {
    let activity = Arc::new(Activity::default());
    let script = Script(pieces.into_iter().filter(|piece| !piece.is_empty()).collect());
    let limits = Arc::new(Limits::default());
    let mut guard = Guard::new(script, false, limits, Arc::clone(&activity), Arc::default());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut passed = Vec::new();
    let mut space = vec![0; room];
    loop {
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut guard).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) if buf.filled().is_empty() => return (passed, Outcome::Broken),
            Poll::Ready(Ok(())) => passed.extend_from_slice(buf.filled()),
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => break,
        }
    }
    if guard.phase != Phase::Refused {
        return (passed, Outcome::Waits);
    }
    let kept = passed.len() - REFUSAL.len();
    assert_eq!(&passed[kept..], REFUSAL);
    passed.truncate(kept);
    (passed, Outcome::Refused(activity.refused()))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// First lines (and what may precede them), followed by a sound `Host`.
const LINES: &[(&str, Option<R>)] = &[
    ("GET / HTTP/1.1", None),
    ("GET / HTTP/1.0", None),
    ("GET /a?b=c%20d HTTP/1.1", None),
    ("GET //a HTTP/1.1", None),
    ("OPTIONS * HTTP/1.1", None),
    ("get / HTTP/1.1", None),
    ("M-SEARCH / HTTP/1.1", None),
    ("GET http://a/x HTTP/1.1", None),
    ("GET HTTP://A?x HTTP/1.1", None),
    ("GET http://b/x HTTP/1.1", Some(R::HostDiffers)),
    ("GET http://a:80/x HTTP/1.1", Some(R::HostDiffers)),
    ("GET http://u@a/x HTTP/1.1", Some(R::Target)),
    ("GET https://a/x HTTP/1.1", Some(R::Target)),
    ("GET ftp://a/x HTTP/1.1", Some(R::Target)),
    ("GET http:///x HTTP/1.1", Some(R::Target)),
    ("GET * HTTP/1.1", Some(R::Target)),
    ("GET a HTTP/1.1", Some(R::Target)),
    ("GET /a#b HTTP/1.1", Some(R::Target)),
    ("GET /\u{e9} HTTP/1.1", Some(R::Target)),
    ("GET /\u{1} HTTP/1.1", Some(R::Target)),
    ("GET /\u{7f} HTTP/1.1", Some(R::Target)),
    ("GET /\t HTTP/1.1", Some(R::Target)),
    ("GET /a b HTTP/1.1", Some(R::Target)),
    ("GET  / HTTP/1.1", Some(R::Target)),
    ("GET /  HTTP/1.1", Some(R::Target)),
    ("GET  HTTP/1.1", Some(R::Target)),
    ("GET HTTP/1.1", Some(R::RequestLine)),
    ("GET", Some(R::RequestLine)),
    ("GET /", Some(R::RequestLine)),
    ("GET\t/\tHTTP/1.1", Some(R::RequestLine)),
    ("GET / HTTP/1.1 ", Some(R::Version)),
    ("GET / http/1.1", Some(R::Version)),
    ("GET / HTTP/1.2", Some(R::Version)),
    ("GET / HTTP/0.9", Some(R::Version)),
    ("GET / HTTP/2.0", Some(R::Version)),
    ("GET / HTTP/1.1\0", Some(R::Version)),
    ("GET / HTTP/1.1\r", Some(R::BareCr)),
    ("GET /\rHTTP/1.1", Some(R::BareCr)),
    ("PRI * HTTP/2.0", Some(R::Version)),
    ("CONNECT a:80 HTTP/1.1", Some(R::Connect)),
    ("G@T / HTTP/1.1", Some(R::Method)),
    (" GET / HTTP/1.1", Some(R::Method)),
    ("\0GET / HTTP/1.1", Some(R::Method)),
    ("\u{16}\u{3}\u{1}", Some(R::Method)),
    ("LARDER-REFUSED / HTTP/1.1", Some(R::Method)),
    ("AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDD / HTTP/1.1", Some(R::Method)),
    ("\nGET / HTTP/1.1", Some(R::BareLf)),
    ("\rGET / HTTP/1.1", Some(R::BareCr)),
    ("\r\nGET / HTTP/1.1", None),
    ("\r\n\r\nGET / HTTP/1.1", Some(R::BlankLines)),
];

/// Fields after a sound first line.
const FIELDS: &[(&str, Option<R>)] = &[
    ("Host: a", None),
    ("host:a", None),
    ("HOST: \t A.b:8080 \t", None),
    ("Host: [::1]:80", None),
    ("Host: a\r\nX: ", None),
    ("Host: a\r\nX: caf\u{e9}\ttea", None),
    ("Host: a\r\nContent-Length: 0", None),
    ("", Some(R::HostMissing)),
    ("X: y", Some(R::HostMissing)),
    ("Host: a\r\nHost: a", Some(R::HostRepeated)),
    ("Host: a\r\nhOST: b", Some(R::HostRepeated)),
    ("Host:", Some(R::Host)),
    ("Host: a b", Some(R::Host)),
    ("Host: a,b", Some(R::Host)),
    ("Host: a/b", Some(R::Host)),
    ("Host: u@a", Some(R::Host)),
    ("Host: a:b", Some(R::Host)),
    ("Host: a:", Some(R::Host)),
    ("Host: a:99999", Some(R::Host)),
    ("Host: a:80:80", Some(R::Host)),
    ("Host: a\\b", Some(R::Host)),
    ("Host: a%00", Some(R::Host)),
    ("Host: [::1", Some(R::Host)),
    ("Host: [a.b]c", Some(R::Host)),
    ("Host: \u{e9}", Some(R::Host)),
    ("Host : a", Some(R::SpaceBeforeColon)),
    ("Host\t: a", Some(R::SpaceBeforeColon)),
    (" Host: a", Some(R::Folded)),
    ("Host: a\r\n b", Some(R::Folded)),
    ("Host: a\r\n\tb", Some(R::Folded)),
    ("Host: a\r\n : b", Some(R::Folded)),
    ("Host: a\r\n: b", Some(R::FieldName)),
    ("Host: a\r\nX", Some(R::FieldName)),
    ("Host: a\r\nX Y: z", Some(R::FieldName)),
    ("Host: a\r\nX(: z", Some(R::FieldName)),
    ("Host: a\r\nX\0: z", Some(R::FieldName)),
    ("Host: a\r\n\u{e9}: z", Some(R::FieldName)),
    ("Host: a\r\nX: \0", Some(R::Control)),
    ("Host: a\r\nX: \u{1b}", Some(R::Control)),
    ("Host: a\r\nX: \u{7f}", Some(R::Control)),
    ("Host: a\r\nX: y\rZ: z", Some(R::BareCr)),
    ("Host: a\r\nX: y\nZ: z", Some(R::BareLf)),
    ("Host: a\nX: y", Some(R::BareLf)),
    ("Host: a\r\nX: y\r", Some(R::BareCr)),
    ("Host: a\r\nX: y\r\n\r", Some(R::FieldName)),
    ("Host: a\r\nContent-Length: 0\r\nContent-Length: 0", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length: 0\r\nContent-Length: 1", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length: 0, 0", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length:", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length: -1", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length: +1", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length: 0x1", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length: 1 1", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length: 1;a", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length: 18446744073709551617", Some(R::ContentLength)),
    ("Host: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked", Some(R::LengthAndEncoding)),
    ("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4", Some(R::LengthAndEncoding)),
    ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Some(R::TransferEncoding)),
    ("Host: a\r\nTransfer-Encoding: gzip, chunked", Some(R::TransferEncoding)),
    ("Host: a\r\nTransfer-Encoding: chunked, identity", Some(R::TransferEncoding)),
    ("Host: a\r\nTransfer-Encoding: identity", Some(R::TransferEncoding)),
    ("Host: a\r\nTransfer-Encoding: xchunked", Some(R::TransferEncoding)),
    ("Host: a\r\nTransfer-Encoding: \u{b}chunked", Some(R::Control)),
    ("Host: a\r\nTransfer-Encoding: \"chunked\"", Some(R::TransferEncoding)),
    ("Host: a\r\nTransfer-Encoding: chunked;a=b", Some(R::TransferEncoding)),
    ("Host: a\r\nTransfer-Encoding:", Some(R::TransferEncoding)),
    ("Host: a\r\nTransfer-Encoding : chunked", Some(R::SpaceBeforeColon)),
    ("Host: a\r\nTransfer-Encoding\u{b}: chunked", Some(R::FieldName)),
];

/// A head and why it is refused; nothing when all of it passes.
fn cases() -> Vec<(String, Option<R>)> {
    let lines = LINES.iter().map(|&(line, why)| (format!("{line}\r\nHost: a\r\n\r\n"), why));
    let fields = FIELDS.iter().map(|&(fields, why)| {
        let separator = if fields.is_empty() { "" } else { "\r\n" };
        (format!("GET / HTTP/1.1\r\n{fields}{separator}\r\n"), why)
    });
    let old = [
        ("GET / HTTP/1.0\r\n\r\n", None),
        ("GET http://a/ HTTP/1.0\r\n\r\n", None),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Some(R::TransferEncoding)),
    ];
    lines.chain(fields).chain(old.map(|(head, why)| (head.to_owned(), why))).collect()
}

#[test]
fn every_head_gets_its_verdict() {
    let runtime = runtime();
    let _context = runtime.enter();
    for (head, why) in cases() {
        let (passed, outcome) = pass(vec![head.clone().into_bytes()], 8192);
        match why {
            None => assert_eq!((passed, outcome), (head.clone().into_bytes(), Outcome::Waits), "{head:?}"),
            Some(why) => {
                assert_eq!((passed, outcome), (Vec::new(), Outcome::Refused(why)), "{head:?}");
            }
        }
    }
}

#[test]
fn what_follows_a_refusal_is_never_seen_and_what_preceded_it_passes() {
    let runtime = runtime();
    let _context = runtime.enter();
    for (head, why) in cases() {
        let Some(why) = why else { continue };
        let wire = format!("{GOOD}{head}{GOOD}").into_bytes();
        assert_eq!(pass(vec![wire], 8192), (GOOD.as_bytes().to_vec(), Outcome::Refused(why)), "{head:?}");
    }
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Chunked bodies, and how many of their bytes pass before they break; `None`: all, and a head may follow.
fn bodies() -> Vec<(String, Option<usize>)> {
    let mut bodies: Vec<(String, Option<usize>)> = [
        ("0\r\n\r\n", None),
        ("5\r\nhello\r\n0\r\n\r\n", None),
        ("A;a=b;c=\"d e\"\r\n0123456789\r\n00\r\n\r\n", None),
        ("0\r\nX: y\r\nZ:\r\n\r\n", None),
        ("\r\n", Some(0)),
        (" 0\r\n\r\n", Some(0)),
        ("0 \r\n\r\n", Some(1)),
        ("0x5\r\n", Some(1)),
        ("-1\r\n", Some(0)),
        ("g\r\n", Some(0)),
        ("5\nhello", Some(1)),
        ("5\rhello", Some(2)),
        ("5;a\nhello", Some(3)),
        ("5;\0\r\n", Some(2)),
        ("5;\u{7f}\r\n", Some(2)),
        ("0000000000000000\r\n", Some(15)),
        ("ffffffffffffffff\r\n", Some(15)),
        ("5\r\nhello0\r\n\r\n", Some(8)),
        ("5\r\nhello\n0\r\n\r\n", Some(8)),
        ("5\r\nhello\r0\r\n\r\n", Some(9)),
        ("5\r\nhell\r\n0\r\n\r\n", Some(8)),
        ("0\r\n\n", Some(3)),
        ("0\r\n\rGET", Some(4)),
        ("0\r\nX: y\n\r\n", Some(7)),
        ("0\r\nX\r\n\r\n", Some(5)),
        ("0\r\n X: y\r\n\r\n", Some(9)),
        ("0\r\nX: y\rZ\r\n\r\n", Some(8)),
        ("0\r\nX: \0\r\n\r\n", Some(8)),
    ]
    .map(|(body, broken)| (body.to_owned(), broken))
    .into();
    bodies.push((
        format!("0;{}\r\n\r\n", "a".repeat(limits::CHUNK_LINE_BYTES_MAX)),
        Some(limits::CHUNK_LINE_BYTES_MAX),
    ));
    bodies.push((
        format!("0\r\nX:{}\r\n\r\n", "a".repeat(limits::TRAILER_BYTES_MAX)),
        Some(3 + limits::TRAILER_BYTES_MAX),
    ));
    bodies.push((format!("0\r\n{}\r\n", "X:\r\n".repeat(limits::REQUEST_FIELDS_MAX)), None));
    let over = limits::REQUEST_FIELDS_MAX + 1;
    bodies.push((format!("0\r\n{}\r\n", "X:\r\n".repeat(over)), Some(3 + 4 * over - 1)));
    bodies
}

#[test]
fn chunked_bodies_end_where_they_end_or_break() {
    let runtime = runtime();
    let _context = runtime.enter();
    for (body, broken) in bodies() {
        let wire = format!("{CHUNKED}{body}{GOOD}").into_bytes();
        let expected = match broken {
            None => (wire.clone(), Outcome::Waits),
            Some(at) => (wire[..CHUNKED.len() + at].to_vec(), Outcome::Broken),
        };
        assert_eq!(pass(vec![wire], 8192), expected, "{body:?}");
    }
}

#[test]
fn a_body_is_never_read_as_a_head() {
    let runtime = runtime();
    let _context = runtime.enter();
    let wire = |length: usize, body: &str| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}{GOOD}").into_bytes()
    };
    // The bodies look like a request. One byte more than it belongs to the body, or one less.
    let whole = wire(GOOD.len() + 1, &format!("{GOOD}\n"));
    assert_eq!(pass(vec![whole.clone()], 8192), (whole, Outcome::Waits));
    let short = wire(GOOD.len() - 1, GOOD);
    let passed = short[..short.len() - GOOD.len() - 1].to_vec();
    assert_eq!(pass(vec![short], 8192), (passed, Outcome::Refused(Refusal::BareLf)));
}

#[test]
fn limits_hold_to_the_byte() {
    let runtime = runtime();
    let _context = runtime.enter();
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length - 1));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
    let head = |length: usize| {
        let (start, end) = ("GET / HTTP/1.1\r\nHost: a\r\nx: ", "\r\n\r\n");
        format!("{start}{}{end}", "a".repeat(length - start.len() - end.len()))
    };
    let (target_max, fields_max) = (limits::REQUEST_TARGET_BYTES_MAX, limits::REQUEST_FIELDS_MAX);
    let head_max = limits::REQUEST_HEAD_BYTES_MAX;
    for (wire, why) in [
        (target(target_max), None),
        (target(target_max + 1), Some(R::TargetTooLong)),
        (target(10 * target_max), Some(R::TargetTooLong)),
        ("a".repeat(2 * target_max), Some(R::TargetTooLong)),
        (fields(fields_max), None),
        (fields(fields_max + 1), Some(R::TooManyFields)),
        (head(head_max), None),
        (head(head_max + 1), Some(R::HeadTooLarge)),
        (format!("{GOOD}{}", head(head_max)), None),
        (head(2 * head_max)[..head_max + 1].to_owned(), Some(R::HeadTooLarge)),
    ] {
        let wire = wire.into_bytes();
        let length = wire.len();
        for room in [1000, 8192, 65_536] {
            let (_, outcome) = pass(vec![wire.clone()], room);
            assert_eq!(outcome, why.map_or(Outcome::Waits, Outcome::Refused), "{length} bytes by {room}");
        }
    }
}

/// All of it in two pieces at every place, in single bytes, and read through buffers of several sizes.
fn assert_same_for_every_split(wire: &[u8]) {
    let whole = pass(vec![wire.to_vec()], 8192);
    for at in 0..=wire.len() {
        let (left, right) = wire.split_at(at);
        assert_eq!(
            pass(vec![left.to_vec(), right.to_vec()], 8192),
            whole,
            "split at {at} of {:?}",
            wire.escape_ascii().to_string()
        );
    }
    for room in [1, 7, 64, 8192] {
        let bytes = wire.iter().map(|&byte| vec![byte]).collect();
        assert_eq!(pass(bytes, room), whole, "single bytes of {}", wire.escape_ascii());
        assert_eq!(pass(vec![wire.to_vec()], room), whole, "read by {room}: {}", wire.escape_ascii());
    }
}

#[test]
fn no_split_changes_a_verdict() {
    let runtime = runtime();
    let _context = runtime.enter();
    for (head, _) in cases() {
        assert_same_for_every_split(format!("{GOOD}{head}{GOOD}").as_bytes());
    }
    for (body, _) in bodies() {
        if body.len() < 200 {
            assert_same_for_every_split(format!("{CHUNKED}{body}{GOOD}").as_bytes());
        }
    }
}

const WORDS: [&str; 26] = [
    GOOD,
    CHUNKED,
    "GET / HTTP/1.1\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\n",
    "Host: a\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "Content-Length: 3\r\n",
    "Content-Length: 12\r\n",
    "Transfer-Encoding: chunked\r\n",
    "0\r\n\r\n",
    "3\r\nabc\r\n",
    "0",
    "5;x\r\n",
    " ",
    "\t",
    ":",
    "\0",
    "X: y\r\n",
    "abc",
    "*",
    "http://a/",
    "HTTP/1.0\r\n",
    "\u{e9}",
];

/// Pieces of requests that mean something to parsers, in any order.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(WORDS.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let byte = any::<u8>().prop_map(|byte| vec![byte]);
    prop::collection::vec(prop_oneof![9 => word, 1 => byte], 0..12).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_random_split_changes_a_verdict(
        wire in fragments(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        room in 1_usize..100,
    ) {
        let runtime = runtime();
        let _context = runtime.enter();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        places.extend([0, wire.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|ends| wire[ends[0]..ends[1]].to_vec()).collect();
        prop_assert_eq!(pass(pieces, room), pass(vec![wire], 65_536));
    }
}
