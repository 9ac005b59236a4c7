//! The origin: a scripted web server in this process that counts what it was asked.

mod asked;
mod reply;
mod serve;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub use asked::Asked;
pub use reply::Reply;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::case::Case;
use crate::tls::Authority;

type Script = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// A web server that does what a case tells it.
pub struct Origin {
    address: SocketAddr,
    tls: bool,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

/// What every connection of an origin shares.
pub(crate) struct State {
    pub(crate) case: Arc<Case>,
    scripts: Mutex<Vec<(String, Script)>>,
    versions: Mutex<HashMap<String, u64>>,
    seen: Mutex<Vec<Asked>>,
    pub(crate) connections: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) broken: Mutex<Vec<String>>,
}

impl Origin {
    /// Listens on a free port. Until told otherwise it answers every path with its page, fresh for an hour.
    ///
    /// # Panics
    /// When this machine has no free port.
    pub async fn start(case: &Arc<Case>) -> Self {
        Self::listen(case, None).await
    }

    /// The same over TLS, with a certificate of `authority` for `localhost`.
    ///
    /// # Panics
    /// When this machine has no free port.
    pub async fn start_tls(case: &Arc<Case>, authority: &Authority) -> Self {
        Self::listen(case, Some(authority.acceptor(&["localhost"]))).await
    }

    async fn listen(case: &Arc<Case>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let state = Arc::new(State {
            case: Arc::clone(case),
            scripts: Mutex::default(),
            versions: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            broken: Mutex::default(),
        });
        let has_tls = tls.is_some();
        let acceptor = crate::spawn(serve::accept(listener, tls, Arc::clone(&state)));
        Self { address, tls: has_tls, state, acceptor: Some(acceptor) }
    }

    /// What a node's `endpoints` says.
    #[must_use]
    pub fn url(&self) -> String {
        match self.tls {
            true => format!("https://localhost:{}", self.address.port()),
            false => format!("http://{}", self.address),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `path` by `script`; a trailing `*` takes every path that starts so. The latest script wins.
    pub fn on(&self, path: &str, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        self.state.scripts.lock().expect("no script panics").push((path.to_owned(), Arc::new(script)));
    }

    /// Answers `path` with its page and these fields, as with [`Reply::page`].
    pub fn page(&self, path: &str, fields: &'static [(&'static str, &'static str)]) {
        self.on(path, move |asked| fields.iter().fold(Reply::page(asked), |reply, (n, v)| reply.with(n, v)));
    }

    /// Makes a new version of `target` (path and query): later pages name it.
    pub fn bump(&self, target: &str) -> u64 {
        let mut versions = self.state.versions.lock().expect("no script panics");
        let version = versions.entry(target.to_owned()).or_insert(1);
        *version += 1;
        *version
    }

    /// The version pages of `target` name now, from 1.
    #[must_use]
    pub fn version(&self, target: &str) -> u64 {
        self.state.version(target)
    }

    /// How often it was asked for `target` (path and query) with any method.
    #[must_use]
    pub fn count(&self, target: &str) -> usize {
        self.state.seen.lock().expect("no script panics").iter().filter(|a| a.target == target).count()
    }

    /// How often it was asked for anything.
    #[must_use]
    pub fn total(&self) -> usize {
        self.state.seen.lock().expect("no script panics").len()
    }

    /// Every request so far, in the order they came.
    #[must_use]
    pub fn seen(&self) -> Vec<Asked> {
        self.state.seen.lock().expect("no script panics").clone()
    }

    /// The newest request for `target`.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn last(&self, target: &str) -> Asked {
        let seen = self.seen();
        let found = seen.into_iter().rev().find(|asked| asked.target == target);
        found.unwrap_or_else(|| panic!("the origin was never asked for {target}"))
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Requests that were not HTTP/1.1 as it should be; a node never sends one.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.state.broken.lock().expect("no script panics").clone()
    }

    /// Stops listening: later connections are refused. Those that are open stay.
    pub async fn stop(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.abort();
            let _ = acceptor.await;
        }
    }

    /// Listens again on the same port after [`Origin::stop`] (plain HTTP only).
    ///
    /// # Panics
    /// When another process took the port.
    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is still ours");
        self.acceptor = Some(crate::spawn(serve::accept(listener, None, Arc::clone(&self.state))));
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(acceptor) = &self.acceptor {
            acceptor.abort();
        }
        if let (Ok(broken), false) = (self.state.broken.lock(), std::thread::panicking()) {
            assert!(broken.is_empty(), "the node sent what is not HTTP/1.1: {broken:?}");
        }
    }
}

impl State {
    pub(crate) fn version(&self, target: &str) -> u64 {
        self.versions.lock().expect("no script panics").get(target).copied().unwrap_or(1)
    }

    /// Notes a request and finds what to answer.
    pub(crate) fn reply(&self, asked: Asked) -> Reply {
        self.case.count("origin requests");
        let script = {
            let scripts = self.scripts.lock().expect("no script panics");
            let path = asked.path();
            let fits = |pattern: &str| match pattern.strip_suffix('*') {
                Some(start) => path.starts_with(start),
                None => path == pattern,
            };
            scripts.iter().rev().find(|(pattern, _)| fits(pattern)).map(|(_, script)| Arc::clone(script))
        };
        self.seen.lock().expect("no script panics").push(asked.clone());
        match script {
            Some(script) => script(&asked),
            None => Reply::page(&asked).with("cache-control", "max-age=3600"),
        }
    }
}
