//! The origin's connections: read a request, play its reply, count.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::net::sockopt::set_socket_linger;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::reply::{Content, Cut, Framing};
use super::{Asked, Reply, State};
use crate::page::Pattern;
use crate::wire::{Length, Wire};

/// Bytes the origin writes at once.
const PIECE: usize = 256 * 1024;

pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let (state, tls) = (Arc::clone(&state), tls.clone());
        crate::spawn(async move {
            state.open.fetch_add(1, Ordering::SeqCst);
            connection(stream, tls, number, &state).await;
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, number: usize, state: &State) {
    let _ = stream.set_nodelay(true);
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
    let wire = match tls {
        None => Wire::new(stream),
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Wire::new(stream),
            Err(_) => return,
        },
    };
    let mut line = Line { wire, socket, number, dropped: false };
    while line.exchange(state).await {}
}

/// One connection; `socket` is a second handle of it, to reset it.
struct Line {
    wire: Wire,
    socket: OwnedFd,
    number: usize,
    /// It ends without a word of TLS.
    dropped: bool,
}

impl Line {
    /// One request and its answer; whether another may follow.
    async fn exchange(&mut self, state: &State) -> bool {
        let asked = match self.request(state).await {
            Ok(Some(asked)) => asked,
            Ok(None) => return false,
            Err(why) => {
                // A node that leaves in the middle of a body it sends for a client is no fault of its framing.
                if !why.starts_with("closed") {
                    state.broken.lock().expect("no script panics").push(why);
                }
                return false;
            }
        };
        let method = asked.method.clone();
        let reply = state.reply(asked);
        if let Some(gate) = &reply.hold {
            gate.pass().await;
        }
        let again = self.play(&method, &reply).await.unwrap_or(false);
        if !again && !self.dropped {
            self.wire.shut_down().await;
        }
        again
    }

    async fn request(&mut self, state: &State) -> Result<Option<Asked>, String> {
        let Some(head) = self.wire.head().await? else { return Ok(None) };
        let words: Vec<_> = head.line.split(' ').collect();
        let [method, target, "HTTP/1.1"] = words[..] else {
            return Err(format!("request line {:?}", head.line));
        };
        let mut body = BytesMut::new();
        let length = head.length(Length::Exactly(0))?;
        self.wire.body(length, &mut |piece: Bytes| body.extend_from_slice(&piece)).await?;
        Ok(Some(Asked {
            method: method.to_owned(),
            target: target.to_owned(),
            version: state.version(target),
            fields: head.fields.clone(),
            body: body.freeze(),
            connection: self.number,
        }))
    }

    /// Plays a reply; whether the connection stays.
    async fn play(&mut self, method: &str, reply: &Reply) -> std::io::Result<bool> {
        if let Some(interim) = reply.interim {
            self.wire.write(interim.as_bytes()).await?;
        }
        if let Content::Raw(bytes) = &reply.content {
            self.wire.write(bytes).await?;
            return Ok(false);
        }
        self.wire.write(head(reply).as_bytes()).await?;
        if method == "HEAD" || matches!(reply.status, 204 | 304) {
            return Ok(!reply.close);
        }
        let whole = self.body(reply).await?;
        Ok(whole && !reply.close)
    }

    /// Writes the body; false when it was cut.
    async fn body(&mut self, reply: &Reply) -> std::io::Result<bool> {
        let chunked = reply.framing == Framing::Chunked;
        let pattern = match reply.content {
            Content::Pattern(from, _) => Some((Pattern::default(), from)),
            _ => None,
        };
        let (mut at, length) = (0, reply.length());
        loop {
            if let Some((_, gate)) = reply.pause.as_ref().filter(|(place, _)| *place == at) {
                gate.pass().await;
            }
            if let Some((_, cut)) = reply.cut.filter(|(place, _)| *place == at) {
                self.cut(cut);
                return Ok(false);
            }
            if at >= length {
                break;
            }
            let marks = [reply.pause.as_ref().map(|(place, _)| *place), reply.cut.map(|(place, _)| place)];
            let next = marks.into_iter().flatten().filter(|place| *place > at).fold(length, u64::min);
            let most = usize::try_from(next - at).unwrap_or(PIECE).min(PIECE);
            let piece = match (&reply.content, &pattern) {
                (Content::Bytes(bytes), _) => {
                    let from = usize::try_from(at).expect("inside the body");
                    bytes.slice(from..from + most)
                }
                (_, Some((pattern, from))) => pattern.piece(from + at, most),
                (_, None) => Bytes::new(),
            };
            at += piece.len() as u64;
            if chunked {
                self.wire.write(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            }
            self.wire.write(&piece).await?;
            if chunked {
                self.wire.write(b"\r\n").await?;
            }
        }
        if chunked {
            self.wire.write(b"0\r\n\r\n").await?;
        }
        Ok(true)
    }

    fn cut(&mut self, cut: Cut) {
        match cut {
            Cut::Close => {}
            Cut::Reset => drop(set_socket_linger(&self.socket, Some(Duration::ZERO))),
            Cut::Drop => self.dropped = true,
        }
    }
}

fn head(reply: &Reply) -> String {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !matches!(reply.status, 204 | 304) {
        match reply.framing {
            Framing::Length => head.push_str(&format!("content-length: {}\r\n", reply.length())),
            Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
            Framing::Close => head.push_str("connection: close\r\n"),
        }
    }
    head.push_str("\r\n");
    head
}
