//! The client: HTTP/1.1 written and read to the byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use crate::answer::{Answer, End};
use crate::case::Case;
use crate::gate::moment;
use crate::wire::{Head, Length, Wire};

/// Longest silence of a node.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request to ask.
#[derive(Debug, Clone)]
pub struct Ask {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Ask {
    /// A request of any method for path and query of `www.example.com`.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let (method, target, host) = (method.to_owned(), target.to_owned(), "www.example.com".to_owned());
        Self { method, target, host, fields: Vec::new(), body: Bytes::new() }
    }

    /// GET.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// HEAD.
    #[must_use]
    pub fn head(target: &str) -> Self {
        Self::new("HEAD", target)
    }

    /// One more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// A body with its Content-Length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.with("content-length", &length)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// One connection to a node.
pub struct Client {
    wire: Wire,
    case: Option<Arc<Case>>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the node listens");
        stream.set_nodelay(true).expect("an open socket");
        Self { wire: Wire::new(stream).impatient(PATIENCE), case: None }
    }

    /// Connects as soon as somebody listens there; `None` once `give_up` says so.
    pub async fn reach(address: SocketAddr, give_up: impl Fn() -> bool) -> Option<Self> {
        while !give_up() {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Some(Self::over(stream));
            }
            moment().await;
        }
        None
    }

    /// The same over a stream that is there already (TLS).
    #[must_use]
    pub fn over(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { wire: Wire::new(stream).impatient(PATIENCE), case: None }
    }

    /// Counts its answers for `case`.
    #[must_use]
    pub fn counting(mut self, case: &Arc<Case>) -> Self {
        self.case = Some(Arc::clone(case));
        self
    }

    /// Asks and reads the whole answer.
    ///
    /// # Panics
    /// When no answer comes, or one that is not HTTP.
    pub async fn ask(&mut self, ask: Ask) -> Answer {
        self.send(&ask).await;
        self.answer_to(&ask.method).await
    }

    /// Sends a request without reading anything. A peer that closed already is seen when reading.
    pub async fn send(&mut self, ask: &Ask) {
        let _ = self.wire.write(&ask.bytes()).await;
    }

    /// Sends bytes as they are. A peer that closed already is seen when reading.
    pub async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.wire.write(bytes).await;
    }

    /// Closes the sending side.
    pub async fn finish(&mut self) {
        self.wire.shut_down().await;
    }

    /// Reads the answer to a request of `method`; 1xx are skipped.
    ///
    /// # Panics
    /// When none comes.
    pub async fn answer_to(&mut self, method: &str) -> Answer {
        self.try_answer_to(method).await.unwrap_or_else(|why| panic!("no answer: {why}"))
    }

    /// The same, for peers that may close instead.
    ///
    /// # Errors
    /// A sentence when no complete head came.
    pub async fn try_answer_to(&mut self, method: &str) -> Result<Answer, String> {
        let mut body = BytesMut::new();
        let mut answer = self.stream_answer(method, |piece| body.extend_from_slice(&piece)).await?;
        answer.body = body.freeze();
        Ok(answer)
    }

    /// Reads an answer and gives its body away piece by piece.
    ///
    /// # Errors
    /// A sentence when no complete head came.
    pub async fn stream_answer(
        &mut self,
        method: &str,
        mut take: impl FnMut(Bytes),
    ) -> Result<Answer, String> {
        let head = self.head().await?;
        self.body_after(&head, method, &mut take).await
    }

    /// Only the head of an answer; read its body with [`Client::body_after_head`].
    ///
    /// # Errors
    /// A sentence when no complete head came.
    pub async fn answer_head(&mut self) -> Result<Answer, String> {
        let head = self.head().await?;
        Ok(Answer { status: status(&head)?, fields: head.fields, body: Bytes::new(), end: End::Whole })
    }

    /// The body that follows a head which was read before.
    ///
    /// # Errors
    /// A sentence when the framing of the head is broken.
    pub async fn body_after_head(
        &mut self,
        head: &Answer,
        mut take: impl FnMut(Bytes),
    ) -> Result<End, String> {
        let head = Head { line: format!("HTTP/1.1 {}", head.status), fields: head.fields.clone() };
        self.body_after(&head, "GET", &mut take).await.map(|answer| answer.end)
    }

    async fn head(&mut self) -> Result<Head, String> {
        loop {
            let head = tokio::time::timeout(PATIENCE, self.wire.head()).await;
            let head = head.map_err(|_| "nothing in time".to_owned())??.ok_or("closed without an answer")?;
            if status(&head)? >= 200 || status(&head)? == 101 {
                return Ok(head);
            }
        }
    }

    async fn body_after(
        &mut self,
        head: &Head,
        method: &str,
        take: &mut impl FnMut(Bytes),
    ) -> Result<Answer, String> {
        let status = status(head)?;
        let length = match status {
            _ if method == "HEAD" => Length::Exactly(0),
            204 | 304 => Length::Exactly(0),
            _ => head.length(Length::ToTheEnd)?,
        };
        let end = match self.wire.body(length, take).await {
            Ok(()) => End::Whole,
            Err(why) => End::Cut(why),
        };
        let answer = Answer { status, fields: head.fields.clone(), body: Bytes::new(), end };
        if let Some(case) = &self.case {
            case.count(answer.outcome());
        }
        Ok(answer)
    }

    /// Everything that still comes until the node closes.
    pub async fn rest(&mut self) -> Bytes {
        tokio::time::timeout(PATIENCE, self.wire.rest()).await.unwrap_or_default()
    }

    /// Whether the node closes the connection without another byte.
    pub async fn closed(&mut self) -> bool {
        tokio::time::timeout(PATIENCE, self.wire.closed()).await.unwrap_or(false)
    }
}

fn status(head: &Head) -> Result<u16, String> {
    let word = head.line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    word.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("status line {:?}", head.line))
}
