//! What runs where: one thread a worker, one for the operator's side.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::{Control, Node, StartError, operator};
use crate::context::Client;
use crate::listener::{self, Listeners, Peer, Shared, Socket};
use crate::worker::Worker;
use crate::{admin, limits, proxy};

/// A runtime for one thread.
pub(super) fn runtime() -> Result<Runtime, StartError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| StartError::System("set up a runtime", error))
}

fn thread(
    name: String,
    run: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = runtime()?;
    let started = std::thread::Builder::new().name(name).spawn(move || runtime.block_on(run));
    started.map_err(|error| StartError::System("start a thread", error))
}

impl Node {
    /// Starts the threads; on an error those that were started are still there.
    pub(super) fn launch(
        &mut self,
        mut listeners: Listeners,
        mut admin_listeners: Listeners,
    ) -> Result<(), StartError> {
        let control = &self.control;
        let sockets = admin_listeners.take(0);
        self.controller = Some(thread("control".into(), administer(Arc::clone(control), sockets))?);
        for (index, worker) in control.workers.iter().enumerate() {
            let (worker, sockets) = (Arc::clone(worker), listeners.take(index));
            let working = Working::new(Arc::clone(control));
            let shared = Arc::clone(&control.shared);
            let serving = async move {
                let _working = working;
                serve(worker, shared, sockets).await;
            };
            self.workers.push(thread(format!("worker-{index}"), serving)?);
        }
        Ok(())
    }
}

/// Counts as a worker that serves for as long as it lives, so that one that panics is missed.
struct Working(Arc<Control>);

impl Working {
    fn new(control: Arc<Control>) -> Self {
        control.working.fetch_add(1, Ordering::Relaxed);
        Self(control)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One core: accepts, serves, and at the end lets the flights land that it started.
async fn serve(worker: Arc<Worker>, shared: Arc<Shared>, sockets: Vec<Socket>) {
    let (serving, at) = (Arc::clone(&shared), Arc::clone(&worker));
    listener::run(sockets, shared, move |request, peer: Arc<Peer>| {
        let (worker, request) = (Arc::clone(&at), request.map(|body| serving.request_body(body)));
        let client = Client {
            address: peer.address,
            local: peer.local,
            tls: peer.tls.is_some(),
            sni: peer.tls.as_ref().and_then(|tls| tls.sni.clone()),
        };
        proxy::serve(worker, request, client)
    })
    .await;
    let flown_out = async {
        while !worker.core.flights.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = tokio::time::timeout(limits::FLIGHTS_DRAIN_TIMEOUT, flown_out).await;
}

/// The operator's side: the admin listener, and at the end the store.
async fn administer(control: Arc<Control>, sockets: Vec<Socket>) {
    if let Some(fleet) = &control.fleet {
        fleet.run();
    }
    if let Some(admin) = operator::admin(&control) {
        let admin = Arc::new(admin);
        listener::run(sockets, Arc::clone(&control.admin_shared), move |mut request, peer: Arc<Peer>| {
            request.extensions_mut().insert(admin::CameFrom(peer.address));
            admin::serve(request, Arc::clone(&admin))
        })
        .await;
    }
    control.workers_over.cancelled().await;
    control.core.cache.store().clone().close().await;
    control.core.log.load().flush(limits::LOG_FLUSH_TIMEOUT);
}
