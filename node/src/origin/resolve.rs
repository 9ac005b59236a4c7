//! From a host to its addresses, off the worker and remembered for a short while.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{limits, tasks};

/// The addresses of one endpoint. After the first answer nobody waits for a name server again: what is known is used
/// while a task asks anew, and kept when the name server fails.
#[derive(Debug)]
pub(super) struct Resolver {
    host: String,
    port: u16,
    known: Mutex<Known>,
    /// Held while the first lookup runs, so that a herd asks once.
    first: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    /// `None` for an address that was given as one.
    until: Option<Instant>,
    asking: bool,
}

impl Resolver {
    /// `host` is a name, or an address without brackets.
    pub(super) fn new(host: &str, port: u16) -> Arc<Self> {
        let addresses: Arc<[SocketAddr]> =
            host.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)).into_iter().collect();
        let known = Known { addresses, until: None, asking: false };
        Arc::new(Self {
            host: host.to_owned(),
            port,
            known: Mutex::new(known),
            first: tokio::sync::Mutex::new(()),
        })
    }

    /// At least one address, in the name server's order.
    ///
    /// # Errors
    /// The name has no address, or nobody could be asked and nothing is known from before.
    pub(super) async fn addresses(self: &Arc<Self>) -> io::Result<Arc<[SocketAddr]>> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let _first = self.first.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let found = self.look_up().await?;
        self.remember(Some(Arc::clone(&found)));
        Ok(found)
    }

    /// None of the addresses answered: ask anew at the next use.
    pub(super) fn doubt(&self) {
        let mut known = self.known.lock();
        if known.until.is_some() {
            known.until = Some(Instant::now());
        }
    }

    fn known(self: &Arc<Self>) -> Option<Arc<[SocketAddr]>> {
        let mut known = self.known.lock();
        if known.addresses.is_empty() {
            return None;
        }
        if known.until.is_some_and(|until| until <= Instant::now()) && !known.asking {
            known.asking = true;
            let this = Arc::clone(self);
            tasks::spawn("origin-resolve", async move {
                let found = this.look_up().await;
                if let Err(error) = &found {
                    tracing::warn!(host = this.host, %error, "the name server failed; the known addresses stay");
                }
                this.remember(found.ok());
            });
        }
        Some(Arc::clone(&known.addresses))
    }

    /// Takes what a name server said; `None` when it did not.
    pub(super) fn remember(&self, found: Option<Arc<[SocketAddr]>>) {
        let mut known = self.known.lock();
        if let Some(found) = found {
            known.addresses = found;
        }
        known.until = Some(Instant::now() + limits::ORIGIN_ADDRESSES_TIME);
        known.asking = false;
    }

    async fn look_up(&self) -> io::Result<Arc<[SocketAddr]>> {
        let mut found: Vec<SocketAddr> = Vec::new();
        for address in tokio::net::lookup_host((self.host.as_str(), self.port)).await? {
            if !found.contains(&address) && found.len() < limits::ORIGIN_ADDRESSES_MAX {
                found.push(address);
            }
        }
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(found.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_taken_as_they_are_and_names_are_looked_up() {
        for (host, expected) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80")] {
            let found = Resolver::new(host, 80).addresses().await.expect("an address");
            assert_eq!(*found, [expected.parse().expect("an address")]);
        }
        let resolver = Resolver::new("localhost", 8080);
        let found = resolver.addresses().await.expect("localhost is in /etc/hosts");
        assert!(
            found.iter().all(|address| address.ip().is_loopback() && address.port() == 8080),
            "{found:?}"
        );
    }

    #[tokio::test]
    async fn what_is_known_is_used_while_it_is_asked_anew() {
        let resolver = Resolver::new("localhost", 80);
        let old: Arc<[SocketAddr]> = Arc::new([SocketAddr::from(([192, 0, 2, 1], 80))]);
        resolver.remember(Some(Arc::clone(&old)));
        resolver.doubt();
        assert_eq!(resolver.addresses().await.expect("known"), old);
        assert!(resolver.known.lock().asking, "a task asks");
        assert_eq!(resolver.addresses().await.expect("known"), old, "and only one");
        while resolver.known.lock().asking {
            tokio::task::yield_now().await;
        }
        assert_ne!(resolver.addresses().await.expect("known"), old);
    }

    #[tokio::test]
    async fn a_failing_name_server_leaves_what_is_known() {
        let resolver = Resolver::new("name.invalid", 80);
        let old: Arc<[SocketAddr]> = Arc::new([SocketAddr::from(([192, 0, 2, 1], 80))]);
        resolver.remember(Some(Arc::clone(&old)));
        resolver.remember(None);
        assert_eq!(resolver.addresses().await.expect("known"), old);
    }
}
