//! An origin that plays bytes: for each connection a script, and at the end it closes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What an origin does next on a connection.
#[derive(Clone)]
pub(super) enum Step {
    /// Reads one request: its head, and its body by Content-Length or to the last chunk.
    Hear,
    /// Reads a request's head only.
    HearHead,
    Say(Vec<u8>),
    /// Waits for the test.
    Gate(Gate),
    /// Says it again and again until nobody listens.
    Babble(&'static [u8]),
    /// Waits until the other side closes.
    Hang,
    /// Closes with a reset.
    Reset,
    /// Closes TLS with a close_notify; otherwise a script's end just closes the socket.
    Farewell,
}

pub(super) fn say(text: impl AsRef<[u8]>) -> Step {
    Step::Say(text.as_ref().to_vec())
}

/// A door the test opens once for every pass.
#[derive(Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(super) fn open(&self) {
        self.0.add_permits(1);
    }

    async fn pass(&self) {
        self.0.acquire().await.expect("never closed").forget();
    }
}

/// A listening origin and what it saw.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    accepted: AtomicUsize,
    ended: AtomicUsize,
    requests: Mutex<Vec<String>>,
    sockets: Mutex<Vec<Weak<socket2::Socket>>>,
}

impl Origin {
    /// Plays the nth script on the nth connection and the last one on all after it.
    pub(super) async fn play(scripts: Vec<Vec<Step>>) -> Self {
        Self::start(scripts, None).await
    }

    pub(super) async fn play_tls(scripts: Vec<Vec<Step>>, tls: TlsAcceptor) -> Self {
        Self::start(scripts, Some(tls)).await
    }

    async fn start(scripts: Vec<Vec<Step>>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        crate::tasks::spawn("scripted-origin", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
                let script = scripts[number.min(scripts.len() - 1)].clone();
                let (seen, tls) = (Arc::clone(&shared), tls.clone());
                crate::tasks::spawn("scripted-connection", async move {
                    connection(stream, script, tls, &seen).await;
                    seen.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    pub(super) fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// Connections whose script is over, or which the pool closed.
    pub(super) fn ended(&self) -> usize {
        self.seen.ended.load(Ordering::SeqCst)
    }

    /// The nth connection's socket, to do something to it that no task has seen yet.
    pub(super) fn socket(&self, number: usize) -> Arc<socket2::Socket> {
        self.seen.sockets.lock()[number].upgrade().expect("still connected")
    }

    /// The requests heard so far, byte for byte.
    pub(super) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().clone()
    }
}

async fn connection(stream: TcpStream, script: Vec<Step>, tls: Option<TlsAcceptor>, seen: &Seen) {
    // Bytes that wait for an acknowledgement look like silence where the clock jumps.
    stream.set_nodelay(true).expect("a socket");
    let raw = Arc::new(socket2::SockRef::from(&stream).try_clone().expect("a spare descriptor"));
    seen.sockets.lock().push(Arc::downgrade(&raw));
    match tls {
        None => perform(stream, raw, script, seen).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => perform(stream, raw, script, seen).await,
            Err(error) => seen.requests.lock().push(format!("handshake: {error}")),
        },
    };
}

async fn perform<S>(mut stream: S, raw: Arc<socket2::Socket>, script: Vec<Step>, seen: &Seen)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for step in script {
        let done = match step {
            Step::Hear => hear(&mut stream, true, seen).await,
            Step::HearHead => hear(&mut stream, false, seen).await,
            Step::Say(bytes) => stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok(),
            Step::Gate(gate) => {
                gate.pass().await;
                true
            }
            Step::Babble(bytes) => {
                while stream.write_all(bytes).await.is_ok() {}
                false
            }
            Step::Hang => {
                let mut rest = Vec::new();
                drop(stream.read_to_end(&mut rest).await);
                false
            }
            Step::Reset => {
                raw.set_linger(Some(std::time::Duration::ZERO)).expect("a socket");
                false
            }
            Step::Farewell => stream.shutdown().await.is_ok(),
        };
        if !done {
            return;
        }
    }
}

/// Byte by byte, so that nothing of a next request is swallowed.
async fn hear<S: AsyncRead + Unpin>(stream: &mut S, body: bool, seen: &Seen) -> bool {
    let mut heard = Vec::new();
    if !hear_until(stream, &mut heard, |heard| heard.ends_with(b"\r\n\r\n")).await {
        return false;
    }
    let head = heard.len();
    let text = String::from_utf8_lossy(&heard).into_owned();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let whole = match (body, length) {
        (false, _) => true,
        (true, Some(length)) => hear_until(stream, &mut heard, |heard| heard.len() == head + length).await,
        (true, None) if text.contains("transfer-encoding: chunked") => {
            hear_until(stream, &mut heard, |heard| heard.ends_with(b"0\r\n\r\n")).await
        }
        (true, None) => true,
    };
    seen.requests.lock().push(String::from_utf8_lossy(&heard).into_owned());
    whole
}

async fn hear_until<S: AsyncRead + Unpin>(
    stream: &mut S,
    heard: &mut Vec<u8>,
    done: impl Fn(&[u8]) -> bool,
) -> bool {
    while !done(heard) {
        match stream.read_u8().await {
            Ok(byte) => heard.push(byte),
            Err(_) => return false,
        }
    }
    true
}
