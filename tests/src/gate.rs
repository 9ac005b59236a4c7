//! Order without sleeping: gates that hold an answer, and waiting for a condition with a bound.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A gate that is shut until [`Gate::open`]; who comes before waits, who comes later walks through.
#[derive(Clone, Debug)]
pub struct Gate {
    door: Arc<watch::Sender<bool>>,
    waiting: Arc<AtomicUsize>,
}

impl Gate {
    /// A shut gate.
    #[must_use]
    pub fn shut() -> Self {
        Self { door: Arc::new(watch::channel(false).0), waiting: Arc::default() }
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.door.send_replace(true);
    }

    /// How many stand before it now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Comes back once at least `count` stand before it.
    pub async fn reached(&self, count: usize) {
        until("the gate to be reached", || self.waiting() >= count).await;
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        let mut door = self.door.subscribe();
        let _here = Here::new(&self.waiting);
        // The sender lives in `self`, so waiting cannot fail.
        let _ = door.wait_for(|open| *open).await;
    }
}

struct Here<'a>(&'a AtomicUsize);

impl<'a> Here<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits until `condition` holds, ten seconds at the most.
///
/// # Panics
/// When it does not come true in time.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_within(Duration::from_secs(10), what, async || condition()).await;
}

/// Waits until the asynchronous `condition` holds, `limit` at the most; says how long it took.
///
/// # Panics
/// When it does not come true in time.
pub async fn until_within(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        moment().await;
    }
    start.elapsed()
}

/// The time between two looks at something that takes its own time.
#[expect(clippy::disallowed_methods, reason = "the one place that polls")]
pub(crate) async fn moment() {
    tokio::time::sleep(Duration::from_millis(4)).await;
}

/// Starts a task of a case.
pub fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(task)
}
