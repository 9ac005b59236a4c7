//! HTTP/1.1 framing to the byte, for both ends of a case: nothing is tolerated, nothing is hidden.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A TCP or TLS stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection and what was read of it but not used yet.
pub(crate) struct Wire {
    io: Box<dyn Io>,
    ahead: BytesMut,
    /// Longest silence; none is for ever.
    patience: Option<Duration>,
}

/// The head of a message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Exactly(u64),
    Chunked,
    ToTheEnd,
}

impl Head {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The length the fields announce; `otherwise` when they announce none.
    pub(crate) fn length(&self, otherwise: Length) -> Result<Length, String> {
        let chunked = self.get("transfer-encoding").map(str::to_ascii_lowercase);
        match (chunked.as_deref(), self.get("content-length")) {
            (Some("chunked"), None) => Ok(Length::Chunked),
            (None, Some(text)) => {
                text.parse().map(Length::Exactly).map_err(|_| format!("content-length {text:?}"))
            }
            (None, None) => Ok(otherwise),
            (te, cl) => Err(format!("transfer-encoding {te:?} with content-length {cl:?}")),
        }
    }
}

impl Wire {
    pub(crate) fn new(io: impl Io + 'static) -> Self {
        Self { io: Box::new(io), ahead: BytesMut::new(), patience: None }
    }

    /// Takes a silence of `patience` for an error.
    pub(crate) fn impatient(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    pub(crate) async fn shut_down(&mut self) {
        let _ = self.io.shutdown().await;
    }

    /// Reads more; false at the end of the stream.
    async fn fill(&mut self) -> Result<bool, String> {
        self.ahead.reserve(64 * 1024);
        let read = self.io.read_buf(&mut self.ahead);
        let read = match self.patience {
            Some(patience) => {
                tokio::time::timeout(patience, read).await.map_err(|_| "nothing more in time")?
            }
            None => read.await,
        };
        read.map(|count| count > 0).map_err(|error| format!("closed: {error}"))
    }

    /// The next head; `None` when the peer closed before its first byte.
    pub(crate) async fn head(&mut self) -> Result<Option<Head>, String> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let raw = self.ahead.split_to(end + 4);
                return parse(&raw[..end]).map(Some);
            }
            if !self.fill().await? {
                if self.ahead.is_empty() {
                    return Ok(None);
                }
                return Err(format!("closed inside a head: {:?}", String::from_utf8_lossy(&self.ahead)));
            }
        }
    }

    /// Gives the body's pieces to `take` as they come.
    pub(crate) async fn body(&mut self, length: Length, take: &mut impl FnMut(Bytes)) -> Result<(), String> {
        match length {
            Length::Exactly(count) => self.exactly(count, take).await,
            Length::Chunked => self.chunked(take).await,
            Length::ToTheEnd => loop {
                if !self.ahead.is_empty() {
                    take(self.ahead.split().freeze());
                }
                if !self.fill().await? {
                    return Ok(());
                }
            },
        }
    }

    async fn exactly(&mut self, mut left: u64, take: &mut impl FnMut(Bytes)) -> Result<(), String> {
        while left > 0 {
            if self.ahead.is_empty() && !self.fill().await? {
                return Err(format!("closed with {left} bytes missing"));
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.ahead.len());
            left -= most as u64;
            take(self.ahead.split_to(most).freeze());
        }
        Ok(())
    }

    async fn chunked(&mut self, take: &mut impl FnMut(Bytes)) -> Result<(), String> {
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(digits, 16).map_err(|_| format!("chunk size {line:?}"))?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.exactly(size, take).await?;
            if !self.line().await?.is_empty() {
                return Err("no CRLF after a chunk".into());
            }
        }
    }

    async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
                self.ahead.advance(end + 2);
                return Ok(line);
            }
            if !self.fill().await? {
                return Err("closed inside a line of chunked framing".into());
            }
        }
    }

    /// Everything until the peer closes. A reset ends it too.
    pub(crate) async fn rest(&mut self) -> Bytes {
        while let Ok(true) = self.fill().await {}
        self.ahead.split().freeze()
    }

    /// Whether the peer closes or has closed without sending anything more.
    pub(crate) async fn closed(&mut self) -> bool {
        self.ahead.is_empty() && !matches!(self.fill().await, Ok(true))
    }
}

fn parse(raw: &[u8]) -> Result<Head, String> {
    let text = String::from_utf8_lossy(raw);
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let field = |line: &str| {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("field line {line:?}"))?;
        Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let fields = lines.map(field).collect::<Result<_, String>>()?;
    Ok(Head { line, fields })
}
