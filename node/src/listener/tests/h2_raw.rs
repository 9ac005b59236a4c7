//! HTTP/2 with a hostile client: frames written by hand.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// Fields as literals without indexing (RFC 7541 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // RFC 7541 5.1, as far as two bytes go.
            match u8::try_from(text.len()) {
                Ok(length) if length < 127 => block.push(length),
                _ => {
                    let rest = text.len() - 127;
                    assert!(rest < 1 << 14, "two bytes");
                    block.extend([127, rest as u8 | 0x80, (rest >> 7) as u8]);
                }
            }
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

/// Kind, flags, stream and payload of the next frame; nothing at the end of the connection.
async fn next(client: &mut DuplexStream) -> Option<(u8, u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    client.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    client.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], head[8], payload))
}

/// Sends a request of `fields` and gives the kinds of the frames that came back on its stream, whether the connection
/// was ended, and what was served.
async fn ask(fields: &[(&str, &str)]) -> (Vec<u8>, bool, Vec<String>) {
    let mut pipe = pipe(1 << 16, true);
    let request = frame(HEADERS, 0x5, 1, &block(fields));
    pipe.client.write_all(&[PREFACE, &request].concat()).await.unwrap();
    let mut kinds = Vec::new();
    loop {
        let Some((kind, flags, stream, _)) = next(&mut pipe.client).await else {
            return (kinds, true, pipe.origin.seen());
        };
        if stream == 1 {
            kinds.push(kind);
        }
        if kind == GOAWAY || stream == 1 && (kind == RST_STREAM || flags & 1 == 1) {
            return (kinds, kind == GOAWAY, pipe.origin.seen());
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

#[tokio::test(start_paused = true)]
async fn drain_says_goaway_and_finishes_what_is_under_way() {
    let mut pipe = pipe(1 << 16, true);
    let mut fields = SOUND;
    fields[3].1 = "/gate";
    let request = frame(HEADERS, 0x5, 1, &block(&fields));
    pipe.client.write_all(&[PREFACE, &request].concat()).await.unwrap();
    until("asked", || !pipe.origin.seen().is_empty()).await;
    pipe.shared.drain();
    loop {
        let (kind, flags, _, payload) = next(&mut pipe.client).await.expect("open until the answer");
        if kind == GOAWAY {
            pipe.origin.gate.add_permits(1);
        }
        if kind == PING && flags == 0 {
            pipe.client.write_all(&frame(PING, 1, 0, &payload)).await.unwrap();
        }
        if kind == DATA && payload == b"open" {
            break;
        }
    }
    pipe.running.await.unwrap();
}

/// Sends `count` fields of about 400 bytes in HEADERS and CONTINUATION frames; gives what was served.
async fn ask_large(count: usize) -> (u64, Vec<String>) {
    let mut pipe = pipe(1 << 16, true);
    let value = "v".repeat(400);
    let mut fields = SOUND.to_vec();
    fields.extend(std::iter::repeat_n(("x", value.as_str()), count));
    let block = block(&fields);
    let mut pieces = block.chunks(16_000).peekable();
    let mut wire = PREFACE.to_vec();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let flags = u8::from(kind == HEADERS) | if pieces.peek().is_none() { 4 } else { 0 };
        wire.extend(frame(kind, flags, 1, piece));
        kind = CONTINUATION;
    }
    pipe.client.write_all(&wire).await.unwrap();
    let mut answered = 0;
    while let Some((kind, _, stream, _)) = next(&mut pipe.client).await {
        answered += u64::from(stream == 1);
        if stream == 1 && kind != DATA || kind == GOAWAY {
            break;
        }
    }
    (answered, pipe.origin.seen())
}

#[tokio::test(start_paused = true)]
async fn a_header_list_is_limited_in_bytes() {
    assert_eq!(ask_large(70).await, (1, vec!["GET /".to_owned()]));
    let (answered, seen) = ask_large(80).await;
    assert_eq!((answered, seen), (1, Vec::new()), "refused by h2 itself");
}
