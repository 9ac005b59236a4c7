//! The admin listener's service: health, metrics, purges, what is stored, reload.
//!
//! ```text
//! gate.rs    who may         reply.rs   answers and errors as JSON      health.rs  /livez /readyz /metrics /status
//! purge.rs   /purge /purges  inspect.rs /cache                          reload.rs  /reload
//! ```
//!
//! It knows the rest of the node only through the functions in [`Admin`].

mod gate;
mod health;
mod inspect;
mod purge;
mod reload;
mod reply;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Body as HttpBody;
use serde::Serialize;
use serde_json::Value;

pub use self::gate::{CameFrom, Gate};
use crate::http::Response;
use crate::limits;
use crate::purge::{Pending, Purges};

/// Reasons why something is not so; none when it is.
pub type Reasons = Vec<String>;

/// What `GET /status` tells beside name, version, readiness and the purge position.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Facts {
    /// Objects stored, each counted once.
    pub objects: u64,
    /// Bytes in the memory tier.
    pub bytes_memory: u64,
    /// Bytes on disk.
    pub bytes_disk: u64,
    /// Time since the start.
    pub uptime_seconds: u64,
    /// Names of the sites.
    pub sites: Vec<String>,
}

/// A configuration that is in force now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Reloaded {
    /// What changed, in words.
    pub changed: Vec<String>,
    /// What is hardly meant.
    pub warnings: Vec<String>,
}

/// What the admin listener can do, each a function of the part that really does it.
pub struct Admin {
    /// Who may.
    pub gate: Arc<Gate>,
    /// Purges and their history.
    pub purges: Arc<Purges>,
    /// Why the process should be restarted.
    pub alive: Box<dyn Fn() -> Reasons + Send + Sync>,
    /// Why it should get no traffic now: starting, draining.
    pub ready: Box<dyn Fn() -> Reasons + Send + Sync>,
    /// All metrics as Prometheus text.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// What is stored under a normalised URL.
    pub inspect: Box<dyn Fn(String) -> Pending<Value> + Send + Sync>,
    /// Loads the configuration again: what changed, or every reason why it was refused.
    pub reload: Box<dyn Fn() -> Pending<Result<Reloaded, Reasons>> + Send + Sync>,
    /// How much is stored, and for how long it runs.
    pub facts: Box<dyn Fn() -> Facts + Send + Sync>,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Livez,
    Readyz,
    Metrics,
    Status,
    Purge,
    Purges,
    Cache,
    Reload,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            "/status" => Self::Status,
            "/purge" => Self::Purge,
            "/purges" => Self::Purges,
            "/cache" => Self::Cache,
            "/reload" => Self::Reload,
            _ => return None,
        })
    }

    const fn changes(self) -> bool {
        matches!(self, Self::Purge | Self::Reload)
    }

    const fn open(self) -> bool {
        matches!(self, Self::Livez | Self::Readyz | Self::Metrics)
    }
}

/// Answers one request to the admin listener. If the request carries a [`CameFrom`] among its extensions, refusals are logged
/// with that address.
pub async fn serve<B>(request: Request<B>, admin: Arc<Admin>) -> Response
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    let Some(route) = Route::of(request.uri().path()) else {
        let hint = "there are /livez /readyz /metrics /status /purge /purges /cache /reload";
        return reply::error(StatusCode::NOT_FOUND, "no such path", hint);
    };
    let method = request.method();
    let fits =
        if route.changes() { method == Method::POST } else { matches!(*method, Method::GET | Method::HEAD) };
    if !fits {
        return reply::wrong_method(if route.changes() { "POST" } else { "GET, HEAD" });
    }
    if !route.open() && !admin.gate.admits(&request) {
        return reply::unauthorised();
    }
    let work = answer(route, request, &admin);
    match tokio::time::timeout(limits::ADMIN_WORK_TIMEOUT, work).await {
        Ok(answer) => answer,
        Err(_) => late(limits::ADMIN_WORK_TIMEOUT),
    }
}

async fn answer<B>(route: Route, request: Request<B>, admin: &Admin) -> Response
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    match route {
        Route::Livez => health::health(&(admin.alive)()),
        Route::Readyz => health::health(&(admin.ready)()),
        Route::Metrics => health::metrics(request.headers(), (admin.metrics)()),
        Route::Status => health::status(admin),
        Route::Purge => purge::order(request, admin).await,
        Route::Purges => purge::history(request.uri().query(), admin).await,
        Route::Cache => inspect::inspect(request.uri().query(), admin).await,
        Route::Reload => reload::reload(admin).await,
    }
}

fn late(limit: Duration) -> Response {
    let error = format!("not done within {} s", limit.as_secs());
    let hint = "it may still happen; ask again: a purge with the same id is done once";
    reply::error(StatusCode::SERVICE_UNAVAILABLE, &error, hint)
}
