//! Accepting: one loop for each socket, a permit for each connection, and the end of both.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::activity::Activity;
use super::connection::{self, Link};
use super::permits::Permit;
use super::refusal::Timeout;
use super::stall::Stall;
use super::{Peer, Shared, Socket, TlsInfo};
use crate::http::Response;
use crate::{limits, tasks};

/// Serves the sockets of one worker; returns when the node was drained and the last connection here has ended.
pub async fn run<S, Fut>(sockets: Vec<Socket>, shared: Arc<Shared>, serve: S)
where
    S: Fn(Request<Incoming>, Arc<Peer>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let open = Arc::new(Open::default());
    let mut loops = Vec::new();
    for socket in sockets {
        let (shared, serve, open) = (Arc::clone(&shared), serve.clone(), Arc::clone(&open));
        loops.push(tasks::spawn("accept", async move {
            let address = socket.address;
            match TcpListener::from_std(socket.listener) {
                Ok(listener) => {
                    accept(&Door { listener, address, tls: socket.tls, shared, open }, serve).await
                }
                Err(error) => tracing::error!(%address, %error, "cannot accept"),
            }
        }));
    }
    for running in loops {
        // An accept loop that panicked is in the log; the others still have to be waited for.
        let _ = running.await;
    }
    shared.draining.cancelled().await;
    open.empty().await;
}

/// The connections of one worker.
#[derive(Debug, Default)]
struct Open {
    count: AtomicUsize,
    fewer: Notify,
}

impl Open {
    async fn empty(&self) {
        while self.count.load(Ordering::Relaxed) > 0 {
            self.fewer.notified().await;
        }
    }
}

struct Opened(Arc<Open>);

impl Opened {
    fn new(open: &Arc<Open>) -> Self {
        open.count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.fewer.notify_one();
    }
}

/// One socket and what its connections need.
struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: bool,
    shared: Arc<Shared>,
    open: Arc<Open>,
}

async fn accept<S, Fut>(door: &Door, serve: S)
where
    S: Fn(Request<Incoming>, Arc<Peer>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let shared = &door.shared;
    while !shared.is_draining() {
        let accepted = tokio::select! {
            biased;
            () = shared.draining.cancelled() => break,
            accepted = door.listener.accept() => accepted,
        };
        match accepted {
            // While all permits are taken this one waits in hand and the others in the kernel's queue.
            Ok((stream, from)) => start(door, stream, from, serve.clone()).await,
            Err(error) => rest(shared, &error).await,
        }
    }
    // Whom the kernel has accepted already would be reset with the socket.
    while let Some((stream, from)) = queued(&door.listener) {
        start(door, stream, from, serve.clone()).await;
    }
}

/// A connection that waits in the kernel's queue, asked of the kernel: tokio knows only what it was told already.
fn queued(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    let (stream, from) = SockRef::from(listener).accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some((TcpStream::from_std(stream.into()).ok()?, from.as_socket()?))
}

/// Without descriptors or buffers each accept would fail at once again; other errors are the connection's own.
pub(super) async fn rest(shared: &Shared, error: &io::Error) {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    if exhausted.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        shared.counters.exhaust();
        tracing::warn!(%error, "cannot accept for a moment");
        sleep(limits::ACCEPT_REST).await;
    }
}

async fn start<S, Fut>(door: &Door, stream: TcpStream, from: SocketAddr, serve: S)
where
    S: Fn(Request<Incoming>, Arc<Peer>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let shared = &door.shared;
    shared.counters.accept();
    let Some(permit) = permit(shared).await else { return };
    let opened = Opened::new(&door.open);
    let (shared, tls, local) = (Arc::clone(shared), door.tls, stream.local_addr().unwrap_or(door.address));
    tasks::spawn("connection", async move {
        let limits = shared.limits.load_full();
        let activity = Arc::new(Activity::default());
        let counters = Arc::clone(&shared.counters);
        let stream = Stall::new(stream, limits.body_timeout, Arc::clone(&activity), counters);
        let peer = Peer { address: from, local, tls: None };
        let link = Link { shared, limits, activity, peer: Arc::new(peer) };
        if tls {
            secure(stream, link, serve).await;
        } else {
            connection::http1(stream, link, serve).await;
        }
        drop((permit, opened));
    });
}

/// A permit, or none when the drain ends before one is free.
async fn permit(shared: &Arc<Shared>) -> Option<Permit> {
    tokio::select! {
        biased;
        permit = Permit::acquire(shared) => Some(permit),
        () = drained(shared) => None,
    }
}

async fn drained(shared: &Shared) {
    shared.draining.cancelled().await;
    let end = shared.drain_deadline().unwrap_or_else(Instant::now);
    sleep_until(end).await;
}

async fn secure<S, Fut>(stream: Stall<TcpStream>, mut link: Link, serve: S)
where
    S: Fn(Request<Incoming>, Arc<Peer>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let counters = &link.shared.counters;
    let handshake = TlsAcceptor::from(Arc::clone(&link.shared.tls)).accept(stream);
    let stream = match timeout(limits::TLS_HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            counters.fail_handshake();
            tracing::debug!(peer = %link.peer.address, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            counters.fail_handshake();
            counters.time_out(Timeout::Handshake);
            return;
        }
    };
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    let tls = Some(TlsInfo { sni: session.server_name().map(Arc::from) });
    link.peer = Arc::new(Peer { tls, ..*link.peer });
    if http2 {
        connection::http2(stream, link, serve).await;
    } else {
        connection::http1(stream, link, serve).await;
    }
}
