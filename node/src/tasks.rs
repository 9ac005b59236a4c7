//! The only place that starts tasks, so that none is anonymous.
//!
//! Every worker is a current-thread runtime: a task stays on the core that started it.

use std::future::Future;

/// Starts `task` on this worker. The name is for whoever reads a trace.
#[expect(clippy::disallowed_methods, reason = "the one place that may spawn")]
pub fn spawn<F>(name: &'static str, task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tracing::trace!(task = name, "started");
    tokio::spawn(task)
}
