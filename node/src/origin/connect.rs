//! From an endpoint to a connection: name, TCP, TLS, all in one time limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::endpoint::{Link, Live};
use super::wire::{Meter, Socket, Transport, Wire};
use crate::error::{Error, Kind, Retry};
use crate::{limits, tasks};

/// Connects to the first of the endpoint's addresses that answers within `limit`; each gets its share of the time.
///
/// # Errors
/// None did. Nothing was sent, so any request may be tried elsewhere.
pub(super) async fn dial(live: &Live, limit: Duration) -> Result<Link, Error> {
    let deadline = Instant::now() + limit;
    let addresses = match timeout_at(deadline, live.common.resolver.addresses()).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(refused(live, Kind::Dns, "looking up the name", &error)),
        Err(late) => return Err(refused(live, Kind::ConnectTimeout, "looking up the name", &late.into())),
    };
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match timeout(share, open(live, *address)).await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) => last = Some(error),
            Err(late) => last = Some(refused(live, Kind::ConnectTimeout, &address.to_string(), &late.into())),
        }
    }
    live.common.resolver.doubt();
    Err(last.unwrap_or_else(|| Error::origin(Kind::NoEndpoint, Retry::Safe, "no address")))
}

async fn open(live: &Live, address: SocketAddr) -> Result<Link, Error> {
    let at = || address.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| classify(live, &at(), &error))?;
    stream.set_nodelay(true).map_err(|error| classify(live, &at(), &error))?;
    let stream = Arc::new(stream);
    let socket = Arc::downgrade(&stream);
    let transport = match &live.common.tls {
        None => Transport::Plain(Socket(stream)),
        Some((connector, name)) => {
            let handshake = connector.connect(name.clone(), Socket(stream)).await;
            Transport::Tls(Box::new(handshake.map_err(|error| refused(live, shaken(&error), &at(), &error))?))
        }
    };
    let meter = Arc::new(Meter::default());
    let wire = Wire { transport, meter: Arc::clone(&meter) };
    let (sender, connection) = http1::Builder::new()
        .max_headers(limits::ORIGIN_FIELDS_MAX)
        .max_header_size(limits::ORIGIN_HEAD_BYTES_MAX)
        .max_buf_size(limits::ORIGIN_BUFFER_BYTES_MAX)
        .handshake(TokioIo::new(wire))
        .await
        .map_err(|error| Error::origin(Kind::ConnectRefused, Retry::Safe, error))?;
    // What goes wrong is told to whoever sent the request; on an unused connection nobody needs to know.
    let task = tasks::spawn("origin-connection", async move { drop(connection.await) });
    Ok(Link { sender, meter, socket, task: task.abort_handle(), patience: None })
}

/// What ended a handshake.
fn shaken(error: &io::Error) -> Kind {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let certificate =
        matches!(tls, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented));
    if certificate { Kind::TlsCertificate } else { Kind::Tls }
}

fn classify(live: &Live, at: &str, error: &io::Error) -> Error {
    let ours = error.kind() == io::ErrorKind::AddrNotAvailable
        || matches!(
            rustix::io::Errno::from_io_error(error),
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOBUFS)
        );
    if ours {
        return Error::node(Kind::NoEndpoint, format_args!("{}: {at}: {error}", live.common.name));
    }
    let kind =
        if error.kind() == io::ErrorKind::TimedOut { Kind::ConnectTimeout } else { Kind::ConnectRefused };
    refused(live, kind, at, error)
}

fn refused(live: &Live, kind: Kind, at: &str, error: &io::Error) -> Error {
    Error::origin(kind, Retry::Safe, format_args!("{}: {at}: {error}", live.common.name))
}
