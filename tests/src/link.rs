//! A TCP link that a case can cut, stop or slow down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They go on.
    Open,
    /// Connections are closed, new ones as well.
    Cut,
    /// They are taken and go nowhere, as when a firewall drops packets.
    Stopped,
    /// They go on after this time.
    Slow(Duration),
}

/// Forwards connections from its own address to another one.
pub struct Link {
    address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    acceptor: JoinHandle<()>,
}

impl Link {
    /// An open link to `target`, which need not listen yet.
    ///
    /// # Panics
    /// When this machine has no free port.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let mode = Arc::new(watch::Sender::new(Mode::Open));
        let at = Arc::clone(&mode);
        let acceptor = crate::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mode = Arc::clone(&at);
                if *mode.borrow() != Mode::Cut {
                    crate::spawn(connection(near, target, mode));
                }
            }
        });
        Self { address, mode, acceptor }
    }

    /// Where to connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection, and new ones at once.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Takes bytes and lets none through; connections stay.
    pub fn stop(&self) {
        self.mode.send_replace(Mode::Stopped);
    }

    /// Lets bytes through after `delay`.
    pub fn slow(&self, delay: Duration) {
        self.mode.send_replace(Mode::Slow(delay));
    }

    /// As at the beginning. What was taken while it was stopped goes on.
    pub fn mend(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.cut();
    }
}

async fn connection(near: TcpStream, target: SocketAddr, mode: Arc<watch::Sender<Mode>>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let mut cut = mode.subscribe();
    tokio::select! {
        _ = copy(near_in, far_out, Arc::clone(&mode)) => {}
        _ = copy(far_in, near_out, Arc::clone(&mode)) => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: Arc<watch::Sender<Mode>>) -> Option<()> {
    let (mut buffer, mut changes) = (vec![0; 16 * 1024], mode.subscribe());
    loop {
        let length = from.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        let now = *changes.wait_for(|mode| *mode != Mode::Stopped).await.ok()?;
        if let Mode::Slow(delay) = now {
            pass(delay).await;
        }
        to.write_all(&buffer[..length]).await.ok()?;
    }
}

/// The time a slow link takes.
#[expect(clippy::disallowed_methods, reason = "a slow link is one that takes its time")]
async fn pass(delay: Duration) {
    tokio::time::sleep(delay).await;
}
