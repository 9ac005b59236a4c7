//! The client over HTTP/2 and TLS.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::answer::{Answer, End};
use crate::client::Ask;
use crate::tls::Authority;

/// One HTTP/2 connection; clones are further streams of it.
#[derive(Clone)]
pub struct H2 {
    sender: SendRequest<Full<Bytes>>,
}

impl H2 {
    /// Connects with ALPN `h2` and `sni`.
    ///
    /// # Panics
    /// When the handshake fails or the node chooses another protocol.
    pub async fn connect(address: SocketAddr, authority: &Authority, sni: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the node listens");
        let stream = authority.connect(stream, sni, &["h2"]).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("an HTTP/2 preface");
        crate::spawn(connection);
        Self { sender }
    }

    /// Asks and reads the whole answer.
    ///
    /// # Errors
    /// When the stream or the connection ends before a head.
    pub async fn ask(&mut self, ask: Ask) -> Result<Answer, hyper::Error> {
        let uri = format!("https://{}{}", ask.host, ask.target);
        let mut request = http::Request::builder().method(ask.method.as_str()).uri(uri);
        for (name, value) in &ask.fields {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(ask.body)).expect("a case asks well-formed requests");
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let (head, body) = answer.into_parts();
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let fields = head.headers.iter().map(field).collect();
        let (body, end) = match body.collect().await {
            Ok(body) => (body.to_bytes(), End::Whole),
            Err(error) => (Bytes::new(), End::Cut(error.to_string())),
        };
        Ok(Answer { status: head.status.as_u16(), fields, body, end })
    }

    /// Whether the node has closed the connection or asked to leave it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}
