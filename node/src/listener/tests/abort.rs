//! Where only the end of the connection ends a body, no other end may look like it.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::Frame;

use super::tls::{certificate, connect};
use super::*;
use crate::http::Cut;

/// A body of unknown length, one piece at a time.
struct Pieces {
    piece: &'static [u8],
    left: usize,
    whole: bool,
    rested: bool,
}

pub(super) fn pieces(piece: &'static [u8], left: usize, whole: bool) -> Body {
    Body::stream(Pieces { piece, left, whole, rested: false })
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.piece)))));
        }
        if !std::mem::replace(&mut self.rested, true) {
            // What was given so far goes out first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready((!self.whole).then(|| Err(Cut::Origin("broke off".to_owned()))))
    }
}

/// What came, and how it ended.
async fn end(stream: &mut (impl AsyncReadExt + Unpin)) -> (String, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await;
    let end = read.expect("closed in time").err().map(|error| error.kind());
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

async fn ask(node: &Node, head: &str) -> (String, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    end(&mut stream).await
}

#[tokio::test]
async fn only_a_cut_without_framing_is_a_reset() {
    let node = node();
    for (path, version, expected) in [
        ("/pieces", "1.0", None),
        ("/cut", "1.0", Some(ErrorKind::ConnectionReset)),
        ("/large", "1.0", None),
        // The missing last chunk says it, and what was sent before it arrives.
        ("/cut", "1.1", None),
    ] {
        let head = format!("GET {path} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (answer, ended) = ask(&node, &head).await;
        assert_eq!(ended, expected, "{path} {version}");
        let chunked = version == "1.1";
        assert_eq!(answer.contains("chunked"), chunked, "{answer:.200}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer:.200}");
    }
}

#[tokio::test]
async fn over_tls_too() {
    let directory = tempfile::tempdir().unwrap();
    let (pair, _) = certificate(directory.path(), "a", &["a.example"]);
    let node = node_with(Limits::default(), Some(Certificates::load(&[pair]).unwrap()));
    for (path, expected) in [("/pieces", None), ("/cut", Some(ErrorKind::ConnectionReset))] {
        let mut stream = connect(node.address, "a.example", &["http/1.1"]).await.unwrap();
        let head = format!("GET {path} HTTP/1.0\r\nHost: a\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(end(&mut stream).await.1, expected, "{path}");
    }
}

#[tokio::test]
async fn a_client_that_took_too_long_is_not_told_a_clean_end() {
    let limits = Limits { body_timeout: Duration::from_millis(50), ..Limits::default() };
    let node = node_with(limits, None);
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(b"GET /pieces/large HTTP/1.0\r\nHost: a\r\n\r\n").await.unwrap();
    until("given up", || node.shared.counters().timeouts(Timeout::Write) == 1).await;
    let (answer, ended) = end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer:.200}");
    assert_eq!(ended, Some(ErrorKind::ConnectionReset));
}
