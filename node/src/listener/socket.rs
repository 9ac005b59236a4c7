//! Binding: every address before anything runs, one socket for each worker.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket as Raw, Type};

use super::Config;
use crate::limits;

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address as configured.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// One worker's share of one listener.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
}

/// All sockets, bound and listening.
#[derive(Debug)]
pub struct Listeners {
    addresses: Vec<(Config, SocketAddr)>,
    workers: Vec<Vec<Socket>>,
}

impl Listeners {
    /// Binds every address once for each worker; the kernel spreads connections over them (`SO_REUSEPORT`).
    /// `[::]` means IPv6 only: `0.0.0.0` is a listener of its own.
    ///
    /// # Errors
    /// The first address that is not available, also when another process listens there with `SO_REUSEPORT`.
    pub fn bind(configs: &[Config], workers: usize) -> Result<Self, BindError> {
        let mut all = Self { addresses: Vec::new(), workers: Vec::new() };
        all.workers.resize_with(workers.max(1), Vec::new);
        for config in configs {
            let failed = |source| BindError { address: config.address, source };
            let mut address = config.address;
            if address.port() != 0 {
                // Without this, a second node on the same port would silently take half of the connections.
                open(address, false).map_err(failed)?;
            }
            for worker in &mut all.workers {
                let listener = open(address, true).map_err(failed)?;
                address = listener.local_addr().map_err(failed)?;
                worker.push(Socket { listener, address, tls: config.tls });
            }
            all.addresses.push((config.clone(), address));
        }
        Ok(all)
    }

    /// Each listener with the address it really has (port 0 is resolved).
    #[must_use]
    pub fn addresses(&self) -> Vec<(Config, SocketAddr)> {
        self.addresses.clone()
    }

    /// The sockets of one worker, once; nothing the second time.
    pub fn take(&mut self, worker: usize) -> Vec<Socket> {
        self.workers.get_mut(worker).map(std::mem::take).unwrap_or_default()
    }
}

/// What is set here is inherited by every accepted connection.
fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Raw::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(limits::SOCKET_UNSENT_BYTES_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: SocketAddr) -> Config {
        Config { address, tls: false }
    }

    #[test]
    fn each_worker_gets_each_address_once() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut all = Listeners::bind(&[config(any), config(any)], 3).unwrap();
        let addresses = all.addresses();
        assert_ne!(addresses[0].1.port(), addresses[1].1.port());
        for worker in 0..3 {
            let taken: Vec<_> = all.take(worker).iter().map(|socket| socket.address).collect();
            assert_eq!(taken, [addresses[0].1, addresses[1].1]);
        }
        assert!(all.take(0).is_empty() && all.take(3).is_empty());
    }

    #[test]
    fn an_address_in_use_is_an_error_that_names_it() {
        let first = Listeners::bind(&[config("127.0.0.1:0".parse().unwrap())], 2).unwrap();
        let taken = first.addresses()[0].1;
        let error = Listeners::bind(&[config(taken)], 1).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
    }
}
