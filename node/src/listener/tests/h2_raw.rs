//! HTTP/2 with a hostile client: frames written by hand.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

/// Fields as literals without indexing (RFC 7541 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
    [&head[..], payload].concat()
}

/// Sends a request of `fields` and gives the kinds of the frames that came back on its stream, and whether the
/// connection was ended.
async fn ask(fields: &[(&str, &str)]) -> (Vec<u8>, bool, Vec<String>) {
    let mut pipe = pipe(1 << 16, true);
    let request = frame(HEADERS, 0x5, 1, &block(fields));
    pipe.client.write_all(&[PREFACE, &request].concat()).await.unwrap();
    let mut kinds = Vec::new();
    loop {
        let mut head = [0; 9];
        if pipe.client.read_exact(&mut head).await.is_err() {
            return (kinds, true, pipe.origin.seen());
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        pipe.client.read_exact(&mut payload).await.unwrap();
        let (kind, flags, stream) = (head[3], head[4], head[8]);
        if stream == 1 {
            kinds.push(kind);
        }
        if kind == GOAWAY {
            return (kinds, true, pipe.origin.seen());
        }
        if stream == 1 && (kind == RST_STREAM || flags & 1 == 1) {
            return (kinds, false, pipe.origin.seen());
        }
    }
}

const SOUND: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")];

#[tokio::test(start_paused = true)]
async fn a_sound_request_is_served() {
    let (kinds, ended, seen) = ask(&SOUND).await;
    assert_eq!((kinds.first(), ended), (Some(&HEADERS), false));
    assert_eq!(seen, ["GET /"]);
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_a_connection_is_reset() {
    for field in [
        ("connection", "close"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("Upper", "case"),
        (":method", "POST"),
        (":unknown", "x"),
        ("content-length", "3"),
        ("content-length", "x"),
    ] {
        let mut fields = SOUND.to_vec();
        fields.push(field);
        let (kinds, ended, seen) = ask(&fields).await;
        assert!(ended || kinds == [RST_STREAM], "{field:?}: {kinds:?}");
        assert!(seen.is_empty(), "{field:?}: {seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_would_be_syntax_in_http1_never_arrive() {
    for field in [
        ("x", "a\r\nb: c"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("x y", "z"),
        ("x:y", "z"),
        ("x\r\ny", "z"),
        ("", "z"),
        (":path", "/a b"),
        (":path", "/a\r\nHost: b"),
        (":path", "a"),
        (":path", ""),
        (":authority", "a\r\nb"),
        (":authority", "a b"),
        (":authority", "u@a"),
        (":authority", ""),
        (":method", "GET / HTTP/1.1\r\n"),
        (":method", "CONNECT"),
        (":scheme", "http"),
        (":scheme", "x"),
    ] {
        let mut fields: Vec<_> = SOUND.into_iter().filter(|known| known.0 != field.0).collect();
        if field.0.starts_with(':') {
            fields.insert(0, field);
        } else {
            fields.push(field);
        }
        let (_, _, seen) = ask(&fields).await;
        assert!(seen.is_empty(), "{field:?}: {seen:?}");
    }
}
